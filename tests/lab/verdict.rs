//! `analyze`: the verdict is the truth, and every link of its proof is there.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::lab_dump::{LabDump, Scenario, parse_hex};
use crate::other_problems;
use crate::program::{hex, int, list, run_on, text};

const SECOND_NS: i64 = 1_000_000_000;
/// `PG_locked` is the first of the page flags.
const PG_LOCKED: u64 = 1;

pub(crate) fn is_the_truth(dump: &LabDump) {
    let (status, analysis) = dump.analysis();
    assert_eq!(analysis["schema_version"], 2);
    assert_eq!(text(&analysis["kernel"], "release"), dump.truth.release);
    expect_verdict(dump, status, &analysis);
    match dump.truth.scenario {
        Scenario::ThpLivelock => livelock(dump, &analysis),
        Scenario::SoftLockup => soft_lockup(dump, &analysis),
        Scenario::Sysrq | Scenario::ThpBusy => no_circle(&analysis),
        Scenario::OtherProblem(problem) => other_problems::is_the_truth(dump, problem, status, &analysis),
    }
    let stacks: BTreeSet<_> = list(&analysis, "stacks").iter().map(|stack| int(stack, "cpu")).collect();
    assert_eq!(stacks.len(), dump.truth.cpus, "a stack for every CPU");
}

pub(crate) fn text_says_the_same(dump: &LabDump) {
    let (status, analysis) = dump.analysis();
    let report = dump.run("analyze", &["--color", "never"]).expect_status(status).stdout;
    assert!(!report.contains('\x1b'), "no escape sequences");
    let people = list(&analysis, "spinners").iter().chain(list(&analysis, "splitters"));
    for person in people {
        let (comm, pid) = (text(person, "comm"), int(person, "pid").to_string());
        assert!(report.contains(comm) && report.contains(&pid), "{comm} {pid} in\n{report}");
    }
    let verdict = &analysis["verdict"];
    let answer = match verdict["issue"].as_str() {
        Some(issue) if text(verdict, "confidence") == "none" => format!("Verdict: nothing wrong found ({issue})"),
        Some(issue) => format!("Verdict: {issue} ({})", text(verdict, "confidence")),
        None => "Verdict: nothing wrong found".to_owned(),
    };
    assert_eq!(report.lines().next(), Some(answer.as_str()));
}

/// How a dump is stored changes nothing but the `dump` object, which says just that.
pub(crate) fn other_forms_say_the_same(dump: &LabDump) {
    let commands = [("analyze", &["--format", "json"][..]), ("bt", &["--all", "--format", "json"])];
    for (command, options) in commands {
        let answer = |vmcore: &Path| {
            let run = run_on(command, vmcore, &dump.vmlinux, options);
            let mut answer = run.json();
            answer.as_object_mut().expect("an object").remove("dump");
            (run.status, answer)
        };
        let original = answer(&dump.vmcore);
        for other in &dump.others {
            // Not assert_eq!: megabytes of output help nobody.
            assert!(answer(other) == original, "{command} of {} differs", other.display());
        }
    }
}

/// What the scenario must be called.
pub(crate) fn expect_verdict(dump: &LabDump, status: i32, analysis: &Value) {
    let verdict = &analysis["verdict"];
    let (expected_status, issue, confidence) = match dump.truth.scenario {
        Scenario::ThpLivelock => (1, Some("thp-split-page-fault-livelock"), Some("confirmed")),
        Scenario::SoftLockup => (1, Some("soft-lockup"), None),
        // Nothing is wrong; where the crash was asked for, that is what the verdict names.
        Scenario::Sysrq | Scenario::ThpBusy => (0, requested(analysis), Some("none")),
        Scenario::OtherProblem(_) => return,
    };
    assert_eq!(status, expected_status, "exit status for {verdict}");
    assert_eq!(verdict["issue"].as_str(), issue, "{verdict}");
    if let Some(confidence) = confidence {
        assert_eq!(text(verdict, "confidence"), confidence, "{verdict}");
    }
    assert!(!text(verdict, "summary").is_empty());
}

fn requested(analysis: &Value) -> Option<&'static str> {
    let panicked = analysis["panic"]["message"].as_str().is_some();
    panicked.then_some("crash-requested")
}

fn livelock(dump: &LabDump, analysis: &Value) {
    let spinners = list(analysis, "spinners");
    let found: Vec<_> = spinners.iter().map(identity).collect();
    let mut truth: Vec<_> =
        dump.truth.spinners.iter().map(|spinner| &spinner.thread).map(|t| (t.cpu, t.pid, t.comm.as_str())).collect();
    truth.sort_unstable();
    assert_eq!(found, truth, "the spinners, by CPU");
    for waiter in &dump.truth.head_waiters {
        assert!(found.iter().all(|(_, pid, _)| *pid != waiter.thread.pid), "{} only waits", waiter.thread.comm);
    }
    addresses(dump, spinners);
    spinners.iter().for_each(spinner_proof);
    let [splitter] = list(analysis, "splitters") else { panic!("one splitter: {}", analysis["splitters"]) };
    let truth = dump.truth.splitter.as_ref().expect("the truth names the splitter");
    assert_eq!(identity(splitter), (truth.cpu, truth.pid, truth.comm.as_str()));
    splitter_proof(splitter, spinners);
    circle(analysis);
    for refutation in list(analysis, "refutations") {
        assert_ne!(text(refutation, "result"), "holds", "{refutation}");
    }
    assert!(!text(&analysis["known_issue"], "id").is_empty());
    assert!(!list(analysis, "remedy").is_empty());
}

fn identity(person: &Value) -> (i64, i64, &str) {
    (int(person, "cpu"), int(person, "pid"), text(person, "comm"))
}

/// A copy may be caught after its first bytes: the instruction goes on where it was interrupted.
fn addresses(dump: &LabDump, spinners: &[Value]) {
    let mut exact = 0;
    for spinner in spinners {
        let (pid, address) = (int(spinner, "pid"), hex(spinner, "address"));
        let buffers = &dump.truth.spinners;
        let buffer = buffers.iter().find(|buffer| buffer.thread.pid == pid).expect("a spinner of the truth");
        let range = buffer.address..buffer.address + buffer.length;
        assert!(range.contains(&address), "{address:#x} of pid {pid} in {range:#x?}");
        exact += usize::from(address == buffer.address);
    }
    println!("{}: {exact} of {} spinners fault at the first byte of their buffer", dump.name, spinners.len());
}

/// Links 1 to 4: who spins, at what address, on which entry, of which page.
fn spinner_proof(spinner: &Value) {
    // A real-time spinner has breaks where fair tasks are granted some time: then its counters show it.
    let is_counted = || list(spinner, "evidence").iter().any(|evidence| text(evidence, "what").contains("min_flt"));
    assert!(int(spinner, "running_ns") >= SECOND_NS || is_counted(), "{spinner}");
    assert!(spinner["fault_function"].is_string() && spinner["syscall_function"].is_string(), "{spinner}");
    assert!(!proof_named(spinner, "last_arrival")["address"].is_null());
    // Without an address where the CPU was stopped between two faults: its registers are in a note, not in memory. Between two
    // faults it is at the very instruction.
    let names = ["pt_regs", "RIP", "PC"];
    let is_place = |evidence: &&Value| names.iter().any(|name| text(evidence, "what").contains(name));
    assert!(list(spinner, "evidence").iter().any(|evidence| is_place(&evidence)), "where it faults in {spinner}");
    assert!(!proof_of(spinner, "value", hex(spinner, "address")).is_null());
    let entry = proof_of(spinner, "value", hex(spinner, "entry"));
    assert!(text(entry, "meaning").contains("migration"), "{entry}");
    let locked = list(spinner, "evidence").iter().any(|evidence| {
        let flags = evidence["value"].as_str().and_then(parse_hex).unwrap_or_default();
        text(evidence, "what").contains("page") && text(evidence, "what").contains("flags") && flags & PG_LOCKED != 0
    });
    assert!(locked, "a locked page in the evidence of {spinner}");
}

/// Link 5: who splits that page, wants a CPU, and has none.
fn splitter_proof(splitter: &Value, spinners: &[Value]) {
    assert_eq!(text(splitter, "state"), "R");
    assert_eq!(splitter["on_cpu"], false);
    assert_eq!(splitter["on_rq"], 1);
    let is_counted = || list(splitter, "evidence").iter().any(|evidence| text(evidence, "what").contains("run_delay"));
    assert!(int(splitter, "waiting_ns") >= SECOND_NS || is_counted(), "{splitter}");
    assert!(text(splitter, "split_function").contains("split"), "{splitter}");
    assert!(!proof_named(splitter, "last_queued")["address"].is_null());
    let head = hex(splitter, "head_page");
    for spinner in spinners {
        proof_of(spinner, "address", head);
    }
}

/// Link 6, and that all of them close: spinner, user address, page, splitter, run queue, spinner.
fn circle(analysis: &Value) {
    assert_eq!(analysis["verdict"]["shape"], "livelock");
    let shape = &list(analysis, "shapes")[0];
    assert_eq!(shape["is_cycle"], true);
    let kinds: Vec<_> =
        list(shape, "edges").iter().map(|at| text(&analysis["edges"][at.as_u64().unwrap() as usize], "kind")).collect();
    assert_eq!(kinds, ["faults_on", "entry_of", "locked_by", "queued_on", "run_by"]);
    let edges = list(analysis, "edges");
    let spinners = list(analysis, "spinners");
    assert!(edges.len() >= spinners.len() + 3, "{}", analysis["edges"]);
    for edge in edges {
        assert!(!list(edge, "evidence").is_empty(), "{edge}");
        let to = text(edge, "to");
        assert!(edges.iter().any(|next| text(next, "from") == to), "somebody waits for {to}, which leads nowhere");
    }
}

/// Of a machine that does not hang.
fn no_circle(analysis: &Value) {
    assert!(list(analysis, "spinners").is_empty());
    let circles: Vec<_> = list(analysis, "shapes").iter().filter(|shape| shape["is_cycle"] == true).collect();
    assert!(circles.is_empty(), "{circles:?} in {}", analysis["edges"]);
}

#[track_caller]
fn proof_named<'v>(person: &'v Value, name: &str) -> &'v Value {
    let found = list(person, "evidence").iter().find(|evidence| text(evidence, "what").contains(name));
    let evidence = found.unwrap_or_else(|| panic!("no evidence about {name} for {person}"));
    assert!(!evidence["value"].is_null(), "{evidence}");
    evidence
}

/// The evidence whose address or value is `number`.
#[track_caller]
fn proof_of<'v>(person: &'v Value, member: &str, number: u64) -> &'v Value {
    let is_it = |evidence: &&Value| evidence[member].as_str().and_then(parse_hex) == Some(number);
    let found = list(person, "evidence").iter().find(is_it);
    found.unwrap_or_else(|| panic!("no evidence with {member} {number:#x} for {person}"))
}

fn soft_lockup(dump: &LabDump, analysis: &Value) {
    let truth = dump.truth.locked_up.as_ref().expect("the truth names who locked up");
    let about_it = |finding: &&Value| {
        let summary = text(finding, "summary");
        text(finding, "id") == "soft-lockup"
            && summary.contains(&format!("CPU {}", truth.cpu))
            && summary.contains(&format!("pid {}", truth.pid))
            && summary.contains(&truth.comm)
    };
    let findings = list(analysis, "findings");
    let finding = findings.iter().find(about_it).unwrap_or_else(|| panic!("{}", analysis["findings"]));
    assert!(!list(finding, "evidence").is_empty());
    assert!(list(analysis, "splitters").is_empty());
}
