//! How many lines are given to the CPU that printed them, where the kernel itself recorded who did.
//!
//! The logs under `tests/logs` are from ring buffers of real kernels, which keep the caller of each record. Every log is
//! read without those callers: as it was recorded, and with the streams of its CPUs mixed at random. The score of a log
//! is the share of the CPUs' lines that are at their place in the text that is rebuilt for their CPU; a line that ends up
//! nowhere is wrong. Next to it stands the share that is there with its own line number: lower where CPUs printed the
//! same lines in step.
//!
//! `VMCORE_CONSOLE_LOGS` names a directory with more logs of the same form (`scripts/compare/interleave` makes them of
//! dumps); `--nocapture` shows every score.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod mix;
mod recorded;
mod reports;
mod score;

use mix::{Mix, Random};
use score::{Score, Total};

/// The share of lines that must be at their place, over all logs of a kind, in percent.
const IN_PLACE: f64 = 95.0;

#[test]
fn logs_as_they_were_recorded() {
    let mut total = Total::new("as recorded");
    for log in recorded::all().iter().filter(|log| log.streams.len() > 1) {
        for timestamps in [true, false] {
            total.add(&format!("{} {}", log.name, form(timestamps)), Score::of(&log.lines, timestamps));
        }
    }
    total.require(8, IN_PLACE, 85.0);
}

#[test]
fn logs_mixed_at_random() {
    let logs = recorded::all();
    let mut total = Total::new("mixed");
    for log in logs.iter().filter(|log| log.streams.len() > 1) {
        for burst in [1, 2, 4, 8] {
            for timestamps in [true, false] {
                let seed = burst * 2 + u64::from(timestamps);
                let mut random = Random::new(seed);
                let count = 2 + random.below(3) as usize;
                let mix = Mix::new(&log.streams, count, burst, &mut random);
                let (cpus, name) = (mix.cpus.len(), &log.name);
                let name = format!("{name}, {cpus} CPUs, bursts of {burst}, seed {seed}, {}", form(timestamps));
                total.add(&name, Score::of(&mix.lines, timestamps));
            }
        }
    }
    total.require(20, IN_PLACE, 93.0);
}

#[test]
fn with_the_callers_all_but_every_line_is_right() {
    let (mut lines, mut exact) = (0, 0);
    for log in recorded::all() {
        let score = Score::with_callers(&log.lines);
        assert!(score.exact + 1 >= score.lines, "{}: {score:?}", log.name);
        lines += score.lines;
        exact += score.exact;
    }
    assert!(exact * 1000 >= lines * 999, "{exact} of {lines}");
}

const fn form(timestamps: bool) -> &'static str {
    if timestamps { "with times" } else { "without times" }
}
