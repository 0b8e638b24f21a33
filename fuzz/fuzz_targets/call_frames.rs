//! DWARF call-frame information.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_debuginfo::{CallFrames, FrameSection};
use vmcore_memory::{Architecture, VirtAddr};

fuzz_target!(|input: (u64, Vec<u8>)| {
    let (pc, bytes) = input;
    for architecture in [Architecture::X86_64, Architecture::Arm64] {
        for section in [FrameSection::Debug, FrameSection::Eh(VirtAddr::new(0xffff_ffff_8200_0000))] {
            let frames = CallFrames::new(bytes.as_slice().into(), section, architecture);
            for pc in [pc, 0, u64::MAX, 0xffff_ffff_8100_0000] {
                let _ = frames.find(VirtAddr::new(pc));
            }
        }
    }
});
