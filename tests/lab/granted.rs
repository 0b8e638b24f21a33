//! A dump that was taken in the moment that fair tasks are granted: then the splitter has the CPU, and the spinner waits for it.
//!
//! That is so in about one of twenty dumps of real-time spinners. What the truth says of who runs is the other way round then.

use serde_json::Value;

use crate::lab_dump::LabDump;
use crate::program::{int, list, text};

/// Checks of who has the CPU; and a scenario of such a dump has no such moment, which `synth --from` says.
pub(crate) const NOT_OF_SUCH: [&str; 4] = ["verdict", "tasks", "run_queues", "reduced"];

/// Whether a dump is one.
pub(crate) fn is(dump: &LabDump) -> bool {
    let waits = |spinner: &Value| spinner["running_ns"].is_null();
    dump.truth.patched && list(&dump.analysis().1, "spinners").iter().any(waits)
}

/// The livelock all the same, of the same tasks.
pub(crate) fn is_the_livelock(dump: &LabDump) {
    let (status, analysis) = dump.analysis();
    let verdict = &analysis["verdict"];
    assert_eq!((status, text(verdict, "issue")), (1, "thp-split-page-fault-livelock"));
    let pids = |people: &str| {
        let mut pids: Vec<_> = list(&analysis, people).iter().map(|person| int(person, "pid")).collect();
        pids.sort_unstable();
        pids
    };
    let mut spinners: Vec<_> = dump.truth.spinners.iter().map(|spinner| spinner.thread.pid).collect();
    spinners.sort_unstable();
    assert_eq!(pids("spinners"), spinners);
    assert_eq!(pids("splitters"), dump.truth.splitter.iter().map(|splitter| splitter.pid).collect::<Vec<_>>());
}
