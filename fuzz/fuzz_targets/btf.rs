//! Type layouts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_debuginfo::Types;

fuzz_target!(|bytes: &[u8]| {
    let Ok(types) = Types::from_btf(bytes.to_vec()) else { return };
    for name in ["task_struct", "list_head", "a", "b", "int"] {
        let _ = (types.size_of(name), types.member_names(name), types.has_type(name), types.enumerator(name));
        let _ = (types.variable_type_size(name), types.variable_array_len(name), types.enumerator_of("a", name));
        for path in ["next", "a", "a.b", "a[3]", "a[4294967295].b", "a[1][2]"] {
            let _ = types.member(name, path);
        }
    }
});
