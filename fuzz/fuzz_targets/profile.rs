//! Profiles: the ELF header is always that of a 64-bit x86-64 executable, so that what is behind it is reached.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut file = vmcore_fuzz::with_magic(bytes, b"\x7fELF\x02\x01\x01");
    if let Some(kind) = file.get_mut(16..20) {
        kind.copy_from_slice(&[2, 0, 62, 0]);
    }
    vmcore_fuzz::open_vmlinux(&file);
});
