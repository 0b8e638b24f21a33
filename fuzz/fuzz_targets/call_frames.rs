//! DWARF call-frame information.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_debuginfo::CallFrames;
use vmcore_memory::VirtAddr;

fuzz_target!(|input: (u64, Vec<u8>)| {
    let (pc, bytes) = input;
    let frames = CallFrames::new(bytes.into());
    for pc in [pc, 0, u64::MAX, 0xffff_ffff_8100_0000] {
        let _ = frames.find(VirtAddr::new(pc));
    }
});
