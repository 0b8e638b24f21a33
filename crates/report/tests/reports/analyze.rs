//! `analyze`.

use std::collections::BTreeMap;

use vmcore_diagnose::graph::{Edge, EdgeKind, Graph, GraphBuilder, Node};
use vmcore_diagnose::{
    CheckResult, Confidence, Diagnosis, Evidence, Finding, Issue, KnownIssue, LogLine, Place, Refutation, Remedy,
    Spinner, Splitter, Value, Verdict, read_log,
};
use vmcore_inspect::state::TaintingModule;
use vmcore_memory::{Pfn, PhysAddr, VirtAddr};
use vmcore_report::analyze::{Analyze, KernelLog, Subject};
use vmcore_report::info::Machine;
use vmcore_report::machine::{Dump, Followed, Kernel, Panic, StacksFollowed};
use vmcore_report::{Hex, Report, Theme};

use crate::machine::{HOSTILE, SPINNER, SPLITTER, faults, snapshot, stacks};
use crate::{json, text, written_json};

const HEAD: VirtAddr = VirtAddr::new(0xffff_ea00_0010_8000);

fn subject() -> Subject {
    Subject {
        dump: Dump {
            path: "vmcore".to_owned(),
            format: "elf".to_owned(),
            source: "qemu".to_owned(),
            pages: 262_208,
            excluded_pages: None,
            dump_level: None,
            incomplete: false,
            incomplete_reason: None,
            cpus_with_registers: vec![0, 1],
        },
        kernel: Kernel {
            release: Some("6.1.0-30-cloud-amd64".to_owned()),
            version: None,
            build_id: None,
            nodename: None,
            arch: "x86_64",
            kaslr_offset: Hex(0),
            page_levels: 4,
            cpus: Some(3),
            modules: Some(0),
            more_modules: false,
            stacks: Some(StacksFollowed {
                cpus: Followed { total: 3, ended: 3, guessed: 0 },
                tasks: Followed { total: 9, ended: 6, guessed: 1 },
            }),
        },
        panic: Panic {
            message: Some("Kernel panic - not syncing: softlockup: hung tasks".to_owned()),
            cpu: Some(0),
            pid: Some(146),
        },
        uptime_ns: Some(14_958_232_208),
        crash_time: Some(1_763_841_600),
        machine: Machine {
            command_line: Some("root=/dev/vda ro preempt=none quiet".to_owned()),
            load: Some(vec![4.25, 1.5, 0.5]),
            memory_total: Some(1 << 30),
            memory_free: Some(800 << 20),
            taint: Some(Hex(0x1000)),
            taint_letters: Some("O".to_owned()),
            tainting_modules: vec![TaintingModule { name: "driver".to_owned(), taints: "O".to_owned() }].into(),
            hardware: Some("QEMU Standard PC".to_owned()),
            gaps: Vec::new(),
            ..unknown_machine()
        },
        faulting_addresses: faults(),
    }
}

fn unknown_machine() -> Machine {
    vmcore_inspect::Machine::unknown().into()
}

fn spinner(cpu: u32, comm: &str) -> Spinner {
    let entry = Evidence::new("pte entry", "migration entry (write, swap type 29), pfn 0x4203")
        .at(Place::Physical(PhysAddr::new(0x3fe5_b018)))
        .value(Value::Hex(0xeff9_ffff_ff7b_f802));
    let head = Evidence::new("struct page (compound head).flags", "pfn 0x4200, head of a compound page, locked")
        .at(Place::Kernel(HEAD))
        .value(Value::Hex(0x000f_ffff_c009_009d));
    Spinner {
        cpu,
        task: SPINNER,
        pid: 146,
        comm: comm.to_owned(),
        address: Some(VirtAddr::new(0x7f3b_6460_31b1)),
        running_ns: Some(9_943_789_219),
        kept_ns: Some(9_943_789_219),
        fault_function: Some("copy_user_enhanced_fast_string".to_owned()),
        syscall_function: Some("__do_sys_newfstat".to_owned()),
        entry: Some(0xeff9_ffff_ff7b_f802),
        head_page: Some(HEAD),
        evidence: vec![entry, head],
    }
}

fn splitter() -> Splitter {
    let on_rq = Evidence::new("task_struct.on_rq", "queued on a run queue")
        .at(Place::Kernel(SPLITTER))
        .value(Value::Decimal(1));
    Splitter {
        task: SPLITTER,
        pid: 143,
        comm: "splitter".to_owned(),
        cpu: 0,
        state: 'R',
        on_rq: 1,
        on_cpu: false,
        waiting_ns: Some(9_839_112_996),
        split_function: "split_huge_page_to_list".to_owned(),
        is_tied: true,
        head_page: Some(HEAD),
        evidence: vec![on_rq],
    }
}

fn edge(from: Node, kind: EdgeKind, to: Node, evidence: Vec<Evidence>) -> Edge {
    Edge::new(from, kind, to, "because of it").shown_by(evidence)
}

fn graph(edges: Vec<Edge>) -> Graph {
    let mut builder = GraphBuilder::new();
    builder.extend(edges);
    builder.finish()
}

fn named(address: VirtAddr, pid: i32, comm: &str) -> Node {
    Node::Task { address, pid, comm: comm.to_owned() }
}

fn livelock() -> Diagnosis {
    let (spinner, splitter) = (spinner(0, "fstat/0"), splitter());
    let (spinning, splitting) = (named(SPINNER, 146, "fstat/0"), named(SPLITTER, 143, "splitter"));
    let entry =
        Node::UserAddress { mm: VirtAddr::new(0xffff_8880_0100_0000), address: VirtAddr::new(0x7f3b_6460_3000) };
    let (page, queue) = (Node::Page { address: HEAD }, Node::RunQueue { cpu: 0 });
    let model = Evidence::new("preemption model", "kernel code is not preempted");
    Diagnosis {
        verdict: Verdict {
            issue: Some(Issue::ThpLivelock),
            confidence: Confidence::Confirmed,
            summary: "1 CPU spins in page faults on a huge page that is being split for up to 9.9 s, while pid 143 \
                      \"splitter\", which is splitting it, is runnable on CPU 0 and never scheduled."
                .to_owned(),
        },
        graph: graph(vec![
            edge(spinning.clone(), EdgeKind::FaultsOn, entry.clone(), spinner.evidence.clone()),
            edge(named(HEAD, 147, "fstat/1"), EdgeKind::WaitsForPage, page.clone(), Vec::new()),
            edge(entry, EdgeKind::EntryOf, page.clone(), spinner.evidence.clone()),
            edge(page, EdgeKind::LockedBy, splitting.clone(), splitter.evidence.clone()),
            edge(splitting, EdgeKind::QueuedOn, queue.clone(), Vec::new()),
            edge(queue, EdgeKind::RunBy, spinning, vec![model]),
        ]),
        page_frames: BTreeMap::from([(HEAD, Pfn::new(0x39a36))]),
        spinners: vec![spinner],
        splitters: vec![splitter],
        findings: vec![Finding::new(
            Issue::SoftLockup,
            Confidence::Confirmed,
            "CPU 0 was stuck for 10 s".to_owned(),
            vec![Evidence::new("kernel log", "logged 14.9 s after boot").value(Value::Text(HOSTILE.to_owned()))],
        )],
        refutations: vec![
            Refutation {
                claim: "the page that CPU 0 waits for is unlocked".to_owned(),
                checked: "flags 0xfffffc009009d".to_owned(),
                result: CheckResult::Refuted,
            },
            Refutation {
                claim: "the kernel would preempt the spinner".to_owned(),
                checked: "not known".to_owned(),
                result: CheckResult::Unknown,
            },
        ],
        unknown: vec!["run queue of CPU 2: not in the dump".to_owned()],
        known_issue: Some(KnownIssue {
            id: "ffc90cbb2970".to_owned(),
            mechanism: "a fault does not wait".to_owned(),
            affected: "kernels before 5.13".to_owned(),
            fixed_by: "mainline commit ffc90cbb2970".to_owned(),
            in_this_kernel: None,
            why: "its release does not tell".to_owned(),
            evidence: vec![Evidence::new("instruction", "the page's own count is taken").value(Value::Hex(0x90))],
        }),
        remedy: vec![
            Remedy {
                action: "install a kernel with the fix".to_owned(),
                command: None,
                why: "a fault then sleeps".to_owned(),
            },
            Remedy {
                action: "until then, use huge pages only on request".to_owned(),
                command: Some("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled".to_owned()),
                why: "there is nothing to split".to_owned(),
            },
        ],
        stacks: stacks(),
    }
}

fn nothing(confidence: Confidence, summary: &str) -> Diagnosis {
    Diagnosis {
        verdict: Verdict { issue: None, confidence, summary: summary.to_owned() },
        spinners: Vec::new(),
        splitters: Vec::new(),
        graph: Graph::default(),
        page_frames: BTreeMap::new(),
        findings: Vec::new(),
        refutations: Vec::new(),
        unknown: Vec::new(),
        known_issue: None,
        remedy: Vec::new(),
        stacks: Vec::new(),
    }
}

#[test]
fn a_confirmed_livelock() {
    let (snapshot, diagnosis) = (snapshot(), livelock());
    let report = Analyze::new(subject(), &snapshot, &diagnosis);
    insta::assert_snapshot!("livelock_text", text(&report));
    insta::assert_snapshot!("livelock_json", json(&report));
}

#[test]
fn nothing_found_and_nothing_known() {
    let snapshot = snapshot();
    let healthy = nothing(Confidence::None, "No CPU was spinning.");
    insta::assert_snapshot!("healthy_text", text(&Analyze::new(subject(), &snapshot, &healthy)));
    let mut blind = nothing(Confidence::Insufficient, "It cannot be told whether a CPU was spinning.");
    blind.unknown.push("CPU 0: its run queue cannot be read".to_owned());
    let subject = Subject { panic: Panic::default(), uptime_ns: None, machine: unknown_machine(), ..subject() };
    insta::assert_snapshot!("blind_text", text(&Analyze::new(subject, &snapshot, &blind)));
}

/// The answer fits one screen on a big machine, too, and no line is wider than it.
#[test]
fn the_answer_fits_one_screen() {
    let snapshot = snapshot();
    let mut diagnosis = livelock();
    diagnosis.spinners = (0..192).map(|cpu| spinner(cpu, "fifteen-letters")).collect();
    diagnosis.splitters = vec![splitter(); 20];
    let text = text(&Analyze::new(subject(), &snapshot, &diagnosis));
    let (answer, proof) = text.split_once("\n-----").unwrap();
    let lines = answer.lines().count();
    assert!(lines <= 45, "{lines} lines");
    for line in answer.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(
        answer.contains("... and 187 more CPUs spin") && answer.contains("... and 15 more tasks starve"),
        "{answer}"
    );
    assert_eq!(proof.matches(" spins: pid 146 ").count(), 192);
}

/// A chain that breaks off shows where; a circle of very many steps does not push the answer off the screen.
#[test]
fn chains_and_long_circles() {
    let snapshot = snapshot();
    let mut diagnosis = livelock();
    let unknown = Node::unknown("holder of the page", "its struct page is not in the dump");
    let page = || Node::Page { address: HEAD };
    let open = [(named(SPINNER, 146, "a"), EdgeKind::WaitsForPage, page()), (page(), EdgeKind::LockedBy, unknown)];
    diagnosis.graph = graph(open.map(|(from, kind, to)| edge(from, kind, to, Vec::new())).to_vec());
    let shown = text(&Analyze::new(subject(), &snapshot, &diagnosis));
    assert!(shown.contains("a chain, no cycle") && shown.contains("unknown holder of the page:"), "{shown}");
    let node = |number: i32| named(VirtAddr::new(number as u64), number, "t");
    let ring = (0..40).map(|at| edge(node(at), EdgeKind::WaitsForWork, node((at + 1) % 40), Vec::new()));
    diagnosis.graph = graph(ring.collect());
    let shown = text(&Analyze::new(subject(), &snapshot, &diagnosis));
    let (answer, _) = shown.split_once("\n-----").unwrap();
    assert!(answer.contains("deadlock") && answer.contains("more steps"), "{answer}");
    assert!(answer.lines().count() <= 50, "{answer}");
}

#[test]
fn hostile_names_are_shown_not_obeyed() {
    let snapshot = snapshot();
    let mut diagnosis = livelock();
    diagnosis.spinners = vec![spinner(0, HOSTILE)];
    diagnosis.splitters[0].comm = HOSTILE.to_owned();
    diagnosis.verdict.summary = HOSTILE.to_owned();
    let hostile = Node::unknown(HOSTILE, HOSTILE);
    diagnosis.graph = graph(vec![edge(named(SPINNER, 1, HOSTILE), EdgeKind::FaultsOn, hostile, Vec::new())]);
    diagnosis.unknown = vec![HOSTILE.to_owned()];
    let subject = Subject { panic: Panic { message: Some(HOSTILE.to_owned()), ..Panic::default() }, ..subject() };
    let lines = [LogLine { timestamp_ns: 1, caller: None, text: HOSTILE.to_owned() }];
    let log = KernelLog { lines: &lines, reports: &read_log(&lines) };
    let report = Analyze::new(subject, &snapshot, &diagnosis).with_log(log);
    assert!(report.page().unwrap().contains("The log around it"));
    for output in [text(&report), written_json(&report), report.page().unwrap()] {
        assert!(output.contains("evil") && !output.contains(['\x1b', '\x07', '\u{202e}']), "{output}");
    }
}

/// On a narrow terminal nothing of who hangs is broken in the middle by the terminal itself.
#[test]
fn who_fits_a_narrow_terminal() {
    let (snapshot, diagnosis) = (snapshot(), livelock());
    let report = Analyze::new(subject(), &snapshot, &diagnosis);
    for width in [60, 80, 100] {
        let mut text = Vec::new();
        report.write_text(&mut text, &Theme::plain().within(width)).unwrap();
        let text = String::from_utf8(text).unwrap();
        let who: Vec<_> = text.lines().skip_while(|line| *line != "Who").take_while(|line| !line.is_empty()).collect();
        assert!(who.iter().any(|line| line.contains("at 0x7f3b646031b1")), "{text}");
        assert!(who.iter().all(|line| line.chars().count() <= width), "{who:#?}");
    }
}

/// A page is for whoever opens a ticket: all of the report is in it, and no name is markup.
#[test]
fn a_page_says_all_that_the_text_says() {
    let snapshot = snapshot();
    let mut diagnosis = livelock();
    let name = "</pre><b>&amp;\"";
    diagnosis.spinners[0].comm = name.to_owned();
    diagnosis.spinners[0].evidence[0].meaning = name.to_owned();
    let report = Analyze::new(subject(), &snapshot, &diagnosis);
    insta::assert_snapshot!("livelock_html", lines(&report.page().unwrap()));
    assert!(!report.page().unwrap().contains("<b>"));
    let healthy = nothing(Confidence::None, "No CPU was spinning.");
    let page = Analyze::new(subject(), &snapshot, &healthy).page().unwrap();
    assert!(page.contains("<header class=\"good\"><h1>nothing wrong found</h1>"), "{page}");
    // Who had the CPUs is there, and nothing that would need a reason.
    assert!(page.contains("<h2>Run queues</h2>") && !page.contains("<h2>Why") && !page.contains("<h2>Proof"), "{page}");
}

/// A page without its style, a line for each element, to be compared by people.
fn lines(page: &str) -> String {
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    let page = format!("{head}{body}").replace(env!("CARGO_PKG_VERSION"), "VERSION");
    page.replace('<', "\n<").replace("\n</", "</")
}
