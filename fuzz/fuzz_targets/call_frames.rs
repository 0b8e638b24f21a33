//! DWARF call-frame information.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_debuginfo::CallFrames;
use vmcore_memory::{Architecture, VirtAddr};

fuzz_target!(|input: (u64, Vec<u8>)| {
    let (pc, bytes) = input;
    for architecture in [Architecture::X86_64, Architecture::Arm64] {
        let frames = CallFrames::new(bytes.as_slice().into(), architecture);
        for pc in [pc, 0, u64::MAX, 0xffff_ffff_8100_0000] {
            let _ = frames.find(VirtAddr::new(pc));
        }
    }
});
