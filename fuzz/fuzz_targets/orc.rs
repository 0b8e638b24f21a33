//! ORC unwind tables.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_memory::VirtAddr;
use vmcore_unwind::orc::{OrcLayout, OrcTable};

fuzz_target!(|input: (u64, u64, Vec<u8>, Vec<u8>)| {
    let (at, pc, ips, entries) = input;
    for layout in [OrcLayout::End, OrcLayout::SignalEnd, OrcLayout::Type3] {
        let table = OrcTable::new(&ips, VirtAddr::new(at), &entries, layout);
        let _ = (table.find(VirtAddr::new(pc)), table.address(table.len()), table.is_empty());
    }
});
