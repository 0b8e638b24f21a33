//! ORC unwind tables.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_memory::VirtAddr;
use vmcore_unwind::orc::{FormatHints, OrcFormat, OrcTable};

fuzz_target!(|input: (u64, u64, Vec<u8>, Vec<u8>)| {
    let (at, pc, ips, entries) = input;
    let _ = OrcFormat::establish(&entries, FormatHints::default());
    for format in OrcFormat::ALL {
        let table = OrcTable::new(&ips, VirtAddr::new(at), &entries, format);
        let _ = (table.find(VirtAddr::new(pc)), table.address(table.len()), table.is_empty());
    }
});
