//! Dumps of every format: ELF cores and their notes, kdump-compressed, and both of them flattened.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_dump::Dump;
use vmcore_memory::{PhysAddr, ReadPhysical};

fuzz_target!(|bytes: &[u8]| {
    vmcore_fuzz::with_file(bytes, |path| {
        let Ok(dump) = Dump::open(path) else { return };
        let _ = (dump.page_count(), dump.dump_level(), dump.warnings().len());
        let _ = dump.incomplete().map(ToString::to_string);
        let _ = dump.vmcoreinfo().map(|info| (info.build_id(), info.symbol("init_task"), info.number("phys_base")));
        let mut page = [0; 4096];
        for segment in dump.segments().iter().take(64) {
            for address in [segment.physical.get(), segment.physical.get().wrapping_add(segment.memory_size)] {
                let _ = dump.read_physical(PhysAddr::new(address), &mut page);
                let _ = dump.read_physical(PhysAddr::new(address.wrapping_sub(8)), &mut page[..16]);
            }
        }
    });
});
