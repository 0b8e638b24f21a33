//! Hangs and crashes that are not the livelock: each under its own name, with its own owners; and none where it is not.

use serde::Deserialize;
use serde_json::Value;

use crate::lab_dump::{LabDump, Scenario, Thread, parse_hex};
use crate::program::{list, text};

/// Scenarios with a fault of their own.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OtherProblem {
    MutexDeadlock,
    RwsemHeld,
    RwsemWriter,
    WorkDeadlock,
    SpinlockHeld,
    NoAnswer,
    RcuStall,
    RtStarvation,
    NullPointer,
    Bug,
    Oom,
    FuseHang,
    LateDisk,
}

impl OtherProblem {
    /// What the verdict may be called on a kernel of this release.
    fn issues(self, release: &str) -> &'static [&'static str] {
        match self {
            // With PREEMPT_RT they sleep; who boosts the holder may starve others beside it.
            Self::SpinlockHeld if release.contains("-rt-") => &["lock-held", "cpu-starvation"],
            Self::MutexDeadlock | Self::WorkDeadlock => &["deadlock"],
            Self::RwsemHeld | Self::FuseHang => &["lock-held"],
            // Depends on who was hung when the watchdog looked: the readers, or only the writer.
            Self::RwsemWriter => &["lock-held", "page-locked"],
            Self::SpinlockHeld => &["spinlock-held"],
            Self::NoAnswer => &["unanswered-call"],
            Self::RcuStall => &["rcu-stall"],
            Self::RtStarvation => &["cpu-starvation"],
            Self::NullPointer | Self::Bug => &["kernel-oops"],
            Self::Oom => &["out-of-memory"],
            Self::LateDisk => &["io-error"],
        }
    }
}

/// What else `truth.json` has for these.
#[derive(Default, Deserialize)]
pub(crate) struct OtherProblemTruth {
    #[serde(default)]
    waits: Vec<Wait>,
    hog: Option<Thread>,
    starved: Option<Thread>,
    deaf: Option<Thread>,
    #[serde(default)]
    callers: Vec<Thread>,
    faulting: Option<Thread>,
    function: Option<String>,
    fault_address: Option<String>,
}

/// A task, the lock or work it waits for, and who has that.
#[derive(Deserialize)]
struct Wait {
    pid: i64,
    comm: String,
    lock: String,
    holder: Option<i64>,
}

/// The verdict has the scenario's name, and its finding names who did it.
pub(crate) fn is_the_truth(dump: &LabDump, problem: OtherProblem, status: i32, analysis: &Value) {
    let issue = text(&analysis["verdict"], "issue");
    assert_eq!(status, 1, "{}", analysis["verdict"]);
    assert!(problem.issues(&dump.truth.release).contains(&issue), "{}", analysis["verdict"]);
    assert!(list(analysis, "spinners").is_empty() && list(analysis, "splitters").is_empty());
    let truth = &dump.truth.problem;
    truth.waits.iter().for_each(|wait| waits(analysis, wait));
    let summary = text(finding(analysis, issue), "summary");
    let named = [&truth.hog, &truth.starved, &truth.deaf, &truth.faulting].into_iter().flatten().chain(&truth.callers);
    for thread in named {
        let name = format!("pid {} \"{}\"", thread.pid, thread.comm);
        assert!(summary.contains(&name), "{name} in {summary}");
    }
    if let Some(deaf) = &truth.deaf {
        for caller in &truth.callers {
            let caller = node(caller.pid, &caller.comm);
            edge(analysis, &caller, &format!("CPU {}", deaf.cpu));
        }
        edge(analysis, &format!("CPU {}", deaf.cpu), &node(deaf.pid, &deaf.comm));
    }
    if let Some(function) = &truth.function {
        assert!(summary.contains(function), "{function} in {summary}");
    }
    if let Some(address) = truth.fault_address.as_deref().and_then(parse_hex) {
        let is_it = |evidence: &Value| evidence["value"].as_str().and_then(parse_hex) == Some(address);
        assert!(list(finding(analysis, issue), "evidence").iter().any(is_it), "{address:#x} in {analysis}");
    }
}

/// The task waits for that lock and no other, and that lock leads to its holder and nobody else.
fn waits(analysis: &Value, wait: &Wait) {
    let waiter = node(wait.pid, &wait.comm);
    let lock = parse_hex(&wait.lock).expect("an address in the truth");
    let waits = |edge: &&Value| text(edge, "from") == waiter && text(edge, "kind") != "queued_behind";
    let leaves: Vec<_> = list(analysis, "edges").iter().filter(waits).map(|edge| text(edge, "to")).collect();
    let [to] = leaves.as_slice() else { panic!("{waiter} waits for one lock: {leaves:?}") };
    let found = to.split_once(' ').and_then(|(_, address)| parse_hex(address));
    assert_eq!(found, Some(lock), "{waiter} waits for {to}");
    let holders: Vec<_> = edges_from(analysis, to).collect();
    let [holder] = holders.as_slice() else { panic!("{to} has one holder: {holders:?}") };
    match wait.holder {
        Some(pid) => assert!(holder.starts_with(&format!("task {pid} ")), "{to} is held by {holder}"),
        None => assert!(holder.starts_with("unknown"), "{to} is held by {holder}"),
    }
}

fn node(pid: i64, comm: &str) -> String {
    format!("task {pid} \"{comm}\"")
}

fn edges_from<'v>(analysis: &'v Value, from: &str) -> impl Iterator<Item = &'v str> {
    list(analysis, "edges").iter().filter(move |edge| text(edge, "from") == from).map(|edge| text(edge, "to"))
}

#[track_caller]
fn edge(analysis: &Value, from: &str, to: &str) {
    assert!(edges_from(analysis, from).any(|end| end == to), "{from} to {to} in {}", analysis["edges"]);
}

#[track_caller]
fn finding<'v>(analysis: &'v Value, id: &str) -> &'v Value {
    let found = list(analysis, "findings").iter().find(|finding| text(finding, "id") == id);
    found.unwrap_or_else(|| panic!("no finding {id} in {}", analysis["findings"]))
}

/// On dumps of other scenarios, nothing is found that is not there; on all, every finding has evidence.
pub(crate) fn are_not_invented(dump: &LabDump) {
    let (_, analysis) = dump.analysis();
    for finding in list(&analysis, "findings") {
        assert!(!list(finding, "evidence").is_empty(), "{finding}");
        let expected = match dump.truth.scenario {
            // Spinners with real-time priority keep RCU's own thread from its CPU as well.
            Scenario::ThpLivelock if dump.truth.real_time => &["soft-lockup", "rcu-stall"],
            Scenario::ThpLivelock | Scenario::SoftLockup => &["soft-lockup"][..],
            Scenario::Sysrq | Scenario::ThpBusy => &["crash-requested"],
            Scenario::OtherProblem(_) => continue,
        };
        // The kernel may have warned of something on the way, as when CPUs are stopped by a panic.
        let is_expected = |id| id == "kernel-warning" || expected.contains(&id);
        assert!(is_expected(text(finding, "id")), "{finding}");
    }
}
