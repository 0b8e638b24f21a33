//! Whole debug files: ELF headers and notes, compressed sections, symbols, types, source lines, call frames.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_debuginfo::{CallFrames, Vmlinux};
use vmcore_memory::VirtAddr;

fuzz_target!(|bytes: &[u8]| {
    vmcore_fuzz::with_file(bytes, |path| {
        let Ok(vmlinux) = Vmlinux::open(path) else { return };
        let _ = (vmlinux.build_id(), vmlinux.banner(), vmlinux.btf_problem());
        let symbols = vmlinux.symbols();
        let first = symbols.address("_text");
        let addresses = [first.unwrap_or_default(), VirtAddr::new(0xffff_ffff_8100_0010), VirtAddr::new(u64::MAX)];
        for address in addresses {
            let _ = symbols.lookup(address);
            let _ = vmlinux.read_static(address, 64);
        }
        let _ = symbols.addresses("_text").count();
        let _ = vmlinux.types().member("task_struct", "sched_info.last_arrival");
        if let Some(types) = vmlinux.dwarf_types() {
            let _ = (types.member("task_struct", "se.load"), types.enumerator("PG_locked"));
        }
        let _ = vmlinux.source_frames(&addresses);
        for name in [".debug_frame", ".orc_unwind", ".orc_unwind_ip", ".notes"] {
            let _ = vmlinux.section(name);
        }
        if let Some(section) = vmlinux.section(".debug_frame") {
            let _ = CallFrames::new(section.data.to_vec().into()).find(addresses[1]);
        }
    });
});
