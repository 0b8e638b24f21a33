//! The kernel's description of itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_dump::Vmcoreinfo;

fuzz_target!(|bytes: &[u8]| {
    let info = Vmcoreinfo::parse(bytes);
    let _ = (info.text().len(), info.osrelease(), info.build_id(), info.kerneloffset(), info.crash_time());
    for name in ["init_uts_ns", "list_head", "list_head.next", "mem_section", "phys_base", "pgtable_l5_enabled"] {
        let _ = (info.get(name), info.symbol(name), info.size(name), info.offset(name), info.length(name));
        let _ = info.number(name);
    }
});
