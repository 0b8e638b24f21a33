//! Calls that are inlined into each other tens of thousands deep, as no compiler writes them.

use std::time::{Duration, Instant};

use vmcore_memory::VirtAddr;

use crate::elf::write::Contents;
use crate::fixture::{Fixture, TEXT};

/// Generous: a busy machine and a build that is not optimized.
const MOST_TIME: Duration = Duration::from_secs(20);

/// What wraps each call.
#[derive(Clone, Copy, Debug)]
enum Around {
    Nothing,
    /// A block without ranges, which may hold anything.
    Block,
    /// A call that does not cover the address, with all that follows in it.
    OtherCall,
}

/// `depth` calls, each inlined into the one before, in the function `schedule`.
fn debug_info(depth: usize, around: Around) -> Vec<u8> {
    let range = |out: &mut Vec<u8>, start: u64, len: u64| {
        out.extend(start.to_le_bytes());
        out.extend(len.to_le_bytes());
    };
    let mut unit = vec![4, 0];
    unit.extend(0u32.to_le_bytes());
    unit.push(8);
    unit.push(1);
    range(&mut unit, TEXT, 0x1000);
    let subprogram = unit.len() as u32 + 4;
    unit.push(2);
    unit.extend(b"schedule\0");
    range(&mut unit, TEXT, 0x1000);
    for _ in 0..depth {
        let (code, start) = match around {
            Around::Nothing | Around::Block => (3, TEXT + 0x100),
            Around::OtherCall => (3, TEXT + 0x200),
        };
        if matches!(around, Around::Block) {
            unit.push(4);
        }
        unit.push(code);
        unit.extend(subprogram.to_le_bytes());
        range(&mut unit, start, 0x10);
        unit.extend([1, 7]);
    }
    let lists = if matches!(around, Around::Block) { 2 * depth } else { depth } + 2;
    unit.extend(vec![0; lists]);
    [(unit.len() as u32).to_le_bytes().to_vec(), unit].concat()
}

/// The codes: unit, function, inlined call, block; all have children.
const ABBREVIATIONS: &[u8] = &[
    1, 0x11, 1, 0x11, 0x01, 0x12, 0x07, 0, 0, //
    2, 0x2e, 1, 0x03, 0x08, 0x11, 0x01, 0x12, 0x07, 0, 0, //
    3, 0x1d, 1, 0x31, 0x13, 0x11, 0x01, 0x12, 0x07, 0x58, 0x0b, 0x59, 0x0b, 0, 0, //
    4, 0x0b, 1, 0, 0, //
    0,
];

#[test]
fn they_are_followed_to_a_bound() {
    for depth in [20_000, 100_000] {
        for around in [Around::Nothing, Around::Block, Around::OtherCall] {
            let mut fixture = Fixture::new();
            fixture.add(".debug_info", 0, 0, Contents::Bytes(debug_info(depth, around).into()));
            fixture.add(".debug_abbrev", 0, 0, Contents::Bytes(ABBREVIATIONS.to_vec().into()));
            let vmlinux = fixture.open();
            let start = Instant::now();
            let addresses: Vec<_> = (0..64).map(|at| VirtAddr::new(TEXT + 0xf8 + at)).collect();
            let frames = vmlinux.source_frames(&addresses);
            let mut one_by_one = vmlinux.source().unwrap();
            assert!(addresses.iter().zip(&frames).all(|(address, frames)| one_by_one.frames(*address) == *frames));
            let most = frames.iter().map(Vec::len).max().unwrap();
            let least = if matches!(around, Around::Nothing) { super::functions::MAX_DEPTH } else { 1 };
            assert!((least..=super::functions::MAX_DEPTH + 1).contains(&most), "{depth} {around:?}: {most}");
            assert!(!vmlinux.types().has_type("task_struct"));
            let taken = start.elapsed();
            assert!(taken < MOST_TIME, "{depth} {around:?}: {taken:?}");
        }
    }
}
