//! Kernel log text, as it is and with every line twice, as if two CPUs printed in step.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vmcore_console::Log;

fuzz_target!(|bytes: &[u8]| {
    let log = Log::read(bytes).expect("memory can be read");
    for trace in &log.traces {
        assert!((0.0..=1.0).contains(&trace.attribution));
        assert!(trace.interrupted.iter().all(|at| at.before_frame <= trace.frames.len()));
    }
    let _ = (log.lockups(), log.panic());
    // Every line twice: two CPUs in step.
    let twice: Vec<u8> =
        bytes.split_inclusive(|byte| *byte == b'\n').flat_map(|line| [line, line]).flatten().copied().collect();
    let _ = Log::read(twice.as_slice());
});
