//! Text that means harm: no panic, no endless loop, memory and time within bounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{BufReader, Read};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use vmcore_console::Log;

/// Lines that mean something, some cut short and some with absurd numbers.
const PIECES: [&str; 24] = [
    "watchdog: BUG: soft lockup - CPU#7 stuck for 11s! [a]b:c:28356]",
    "watchdog: BUG: soft lockup - CPU#4294967295 stuck for 18446744073709551615s! [:-1]",
    "Kernel panic - not syncing: ",
    "CPU: 4294967295 PID: 4294967295 Comm:  Tainted: ",
    "CPU: 1 PID: 2 Comm: x Not tainted 1 2 3",
    "RIP: ffff:",
    "RIP: 0010:f+0xffffffffffffffff/0xffffffffffffffff",
    "RSP: 0018:ffffffffffffffff EFLAGS: 0",
    "RDX: ffffffffffffffff RSI: 0 RDI: 7fffffffffff",
    "R13: 1 R14: 2 R15: 3",
    "FS:  0(0) GS:ffffffffffffffff(0) knlGS:0",
    "Call Trace:",
    " <IRQ>",
    " </IRQ>",
    " <TASK>",
    " </TASK>",
    " f+0x1/0x2",
    " ? asm_exc_page_fault+0x22/0x30",
    " entry_SYSCALL_64_after_hwframe+0x44/0xa9",
    "Modules linked in: a b c",
    " a b c",
    "------------[ cut here ]------------",
    "---[ end trace 0 ]---",
    "",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let log = Log::read(bytes.as_slice()).unwrap();
        prop_assert!(log.traces.len() <= 4096);
    }

    #[test]
    fn lines_that_mean_something_in_any_order(
        lines in prop::collection::vec((0..PIECES.len(), 0u64..4, 0usize..80), 0..200),
    ) {
        let text: String = lines
            .iter()
            .map(|(piece, micros, cut)| {
                let text: String = PIECES[*piece].chars().take(*cut + 20).collect();
                format!("[    1.00000{micros}] {text}\n")
            })
            .collect();
        let log = Log::read(text.as_bytes()).unwrap();
        prop_assert_eq!(log.extent.lines, lines.len() as u64);
        let mut seen = std::collections::HashSet::new();
        for trace in &log.traces {
            prop_assert!((0.0..=1.0).contains(&trace.attribution));
            prop_assert!(trace.lines.iter().all(|(line, _)| seen.insert(*line)), "no line is in two reports");
            prop_assert!(trace.interrupted.iter().all(|at| at.before_frame <= trace.frames.len()));
        }
    }
}

/// A line of 64 MiB without an end: read in pieces, and cut.
#[test]
fn one_endless_line() {
    let line = std::io::repeat(b'x').take(64 << 20);
    let log = Log::read(BufReader::new(line)).unwrap();
    // No report is made of that alone.
    assert_eq!((log.extent.lines, log.extent.cut_lines), (1, 0));
}

#[test]
fn many_lines_take_time_in_proportion() {
    let time = |count: usize| {
        let text = "[    1.000000] usb 1-1: new device\n".repeat(count);
        let start = Instant::now();
        assert_eq!(Log::read(text.as_bytes()).unwrap().extent.lines, count as u64);
        start.elapsed()
    };
    let (short, long) = (time(20_000), time(200_000));
    assert!(long < short * 40 + Duration::from_secs(1), "{short:?} and {long:?}");
}

/// Every line may belong to many CPUs' reports: the search keeps to its beam.
#[test]
fn nothing_but_reports() {
    let text: String =
        (0..3000).map(|line| format!("CPU: {} PID: 1 Comm: a\n f+0x{line:x}/0x2\n", line % 300)).collect();
    let start = Instant::now();
    let log = Log::read(text.as_bytes()).unwrap();
    assert!(!log.traces.is_empty());
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

/// More than is kept: how it ended is worth as much as how it began.
#[test]
fn what_comes_after_thousands_of_warnings_is_read() {
    let warning = |at: u64| {
        let frames: String = (0..40).map(|frame| format!("[{at}.000001]  function{frame}+0x12/0x34\n")).collect();
        format!(
            "[{at}.000000] WARNING: CPU: 0 PID: 7 at net/core/dev.c:{at} f+0x1/0x2\n[{at}.000000] Call Trace:\n{frames}"
        )
    };
    let last = "[99999.0] watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [fstat:154]\n[99999.1] RIP: 0010:spin_here+0x1/0x2\n";
    let text: String = (1..=9000).map(|number| warning(number * 11)).chain([last.to_owned()]).collect();
    let log = Log::read(text.as_bytes()).unwrap();
    assert_eq!(log.events.len(), 4096);
    assert_eq!(log.extent.dropped_events, 9001 - 4096);
    assert_eq!(log.lockups().len(), 1);
    let trace = log.traces.last().unwrap();
    assert_eq!((trace.cpu, trace.pid), (Some(3), Some(154)));
    assert!((2000..=4096).contains(&log.traces.len()) && log.extent.dropped_traces > 1000, "{}", log.traces.len());
    assert!(log.traces.is_sorted_by_key(|trace| trace.lines[0].0));
}

/// One report with more frames than any stack has: the first and the latest are kept, and that there were more is said.
#[test]
fn frames_without_an_end() {
    let frames = |count: u64| {
        let frames: String = (0..count).map(|at| format!("[    1.000000]  function{at}+0x12/0x34\n")).collect();
        let text =
            format!("[    1.000000] BUG: unable to handle page fault for address: 0\n[    1.0] Call Trace:\n{frames}");
        let log = Log::read(text.as_bytes()).unwrap();
        (log.traces.iter().map(|trace| trace.frames.len()).sum::<usize>(), log.extent.dropped_traces > 0)
    };
    assert_eq!(frames(1000), (1000, false));
    let (kept, are_more) = frames(160_000);
    assert!((120_000..140_000).contains(&kept) && are_more, "{kept} {are_more}");
}
