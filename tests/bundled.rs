//! The real, reduced dumps under `testdata`, judged by the real program: what the README shows works, without a lab.

// Helpers of tests, which clippy does not see as such.
#![allow(clippy::expect_used, clippy::indexing_slicing)]

#[path = "support/agreement.rs"]
mod agreement;
#[path = "bundled/arm64.rs"]
mod arm64;
#[path = "bundled/forms.rs"]
mod forms;
#[path = "support/reduced.rs"]
mod reduced;
#[path = "bundled/slips.rs"]
mod slips;
#[path = "bundled/terminal.rs"]
mod terminal;
#[path = "bundled/traced.rs"]
mod traced;
#[path = "bundled/unread.rs"]
mod unread;
#[path = "bundled/widths.rs"]
mod widths;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const KERNEL: &str = "6.1-cloud-amd64";

fn testdata(name: &str) -> PathBuf {
    file_of(KERNEL, name)
}

fn run(command: &str, options: &[&str], scenario: &str) -> Output {
    run_of(KERNEL, command, options, scenario)
}

fn file_of(kernel: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(kernel).join(name)
}

fn run_of(kernel: &str, command: &str, options: &[&str], scenario: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
        .arg(command)
        .args(options)
        .arg(file_of(kernel, &format!("{scenario}.vmcore")))
        .arg(file_of(kernel, "vmlinux.profile"))
        .output()
        .expect("the program starts")
}

fn text(command: &str, options: &[&str], scenario: &str) -> String {
    String::from_utf8(run(command, options, scenario).stdout).expect("output is UTF-8")
}

fn json(command: &str, options: &[&str], scenario: &str) -> Value {
    json_of(KERNEL, command, options, scenario)
}

fn json_of(kernel: &str, command: &str, options: &[&str], scenario: &str) -> Value {
    let output = run_of(kernel, command, &[options, &["--format", "json"]].concat(), scenario);
    serde_json::from_slice(&output.stdout).expect("output is JSON")
}

fn truth_of(kernel: &str, scenario: &str) -> Value {
    let bytes = std::fs::read(file_of(kernel, &format!("{scenario}.truth.json"))).expect("the truth can be read");
    serde_json::from_slice(&bytes).expect("the truth is JSON")
}

fn who(value: &Value) -> (i64, i64, String) {
    let comm = value["comm"].as_str().expect("a name").to_owned();
    (value["cpu"].as_i64().expect("a CPU"), value["pid"].as_i64().expect("a pid"), comm)
}

/// The livelock of a kernel, as its guest told of it; what `analyze` found.
fn livelock_is_the_truth(kernel: &str) -> Value {
    let (found, truth) = (json_of(kernel, "analyze", &[], "thp-livelock"), truth_of(kernel, "thp-livelock"));
    assert_eq!(found["verdict"]["issue"], "thp-split-page-fault-livelock");
    assert_eq!(found["verdict"]["confidence"], "confirmed");
    let list = |value: &Value| -> Vec<_> {
        let all = value.as_array().expect("a list").iter();
        all.map(|spinner| (who(spinner), spinner["address"].as_str().expect("an address").to_owned())).collect()
    };
    assert_eq!(list(&found["spinners"]), list(&truth["spinners"]));
    let splitters = found["splitters"].as_array().expect("a list");
    assert_eq!(splitters.iter().map(who).collect::<Vec<_>>(), [who(&truth["splitter"])]);
    assert_eq!(run_of(kernel, "analyze", &[], "thp-livelock").status.code(), Some(1));
    found
}

#[test]
fn the_livelock_is_confirmed_with_exactly_its_spinners_and_splitter() {
    let found = livelock_is_the_truth(KERNEL);
    assert_eq!(found["unknown"], Value::Array(Vec::new()));
}

#[test]
fn controls_are_not_flagged() {
    // That somebody asked for the crash is named, and nothing is wrong.
    for scenario in ["sysrq", "thp-busy"] {
        let found = json("analyze", &[], scenario);
        assert_eq!(found["verdict"]["issue"], "crash-requested", "{scenario}");
        assert_eq!(found["verdict"]["confidence"], "none", "{scenario}");
        assert_eq!(run("analyze", &[], scenario).status.code(), Some(0), "{scenario}");
    }
}

#[test]
fn the_log_says_nothing_that_the_dump_does_not() {
    for scenario in ["thp-livelock", "soft-lockup", "sysrq", "thp-busy"] {
        let files = [testdata(&format!("{scenario}.vmcore")), testdata("vmlinux.profile")];
        assert_eq!(agreement::disagreement(&files), None, "{scenario}");
    }
}

#[test]
fn a_soft_lockup_has_its_own_name() {
    let found = json("analyze", &[], "soft-lockup");
    assert_eq!(found["verdict"]["issue"], "soft-lockup");
    assert_eq!(found["spinners"], Value::Array(Vec::new()));
    assert_eq!(run("analyze", &[], "soft-lockup").status.code(), Some(1));
}

#[test]
fn every_stack_ends_properly() {
    for scenario in ["thp-livelock", "soft-lockup", "sysrq", "thp-busy"] {
        let stacks = json("bt", &["--all"], scenario);
        let stacks = stacks["stacks"].as_array().expect("a list");
        assert!(stacks.len() > 80, "{scenario} has {} stacks", stacks.len());
        for stack in stacks {
            assert_ne!(stack["end"], "truncated", "{scenario}: pid {}", stack["pid"]);
        }
    }
}

#[test]
fn the_output_does_not_depend_on_the_number_of_threads() {
    for command in ["analyze", "bt"] {
        let options: &[&str] = if command == "bt" { &["--all"] } else { &[] };
        let one = text(command, &[options, &["--threads", "1"]].concat(), "thp-livelock");
        let four = text(command, &[options, &["--threads", "4"]].concat(), "thp-livelock");
        assert_eq!(one, four, "{command}");
    }
}

#[test]
fn what_people_see() {
    let dump = testdata("");
    let dump = dump.to_string_lossy();
    for (command, options) in
        [("analyze", &[][..]), ("bt", &["--cpu", "2"]), ("ps", &[]), ("runq", &[]), ("info", &[]), ("dmesg", &[])]
    {
        let shown = text(command, options, "thp-livelock").replace(&*dump, "testdata/6.1-cloud-amd64/");
        insta::assert_snapshot!(format!("livelock_{command}"), shown);
    }
}

/// What a script of `lines` shows, errors in between.
fn session(lines: &[&str]) -> String {
    let mut child = Command::new("sh")
        .args(["-c", "exec \"$0\" shell \"$1\" \"$2\" -i - 2>&1", env!("CARGO_BIN_EXE_vmcore-thp")])
        .args([testdata("thp-livelock.vmcore"), testdata("vmlinux.profile")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(lines.join("\n").as_bytes()).expect("the program reads");
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(2), "some lines are wrong");
    String::from_utf8(output.stdout).expect("output is UTF-8").replace(&*testdata("").to_string_lossy(), "testdata/")
}

#[test]
fn what_a_kernel_looks_like_by_hand() {
    insta::assert_snapshot!(session(&[
        "struct list_head",
        "struct rwsem_waiter",
        "struct task_struct.pid,comm,thread_info ff2bd5afffe54180",
        "struct task_struct.pids",
        "struct list_head init_task",
        "p runqueues.nr_running",
        "p task(147)->mm->mmap_lock",
        "p -x runqueues:3.clock",
        "p init_task.foo",
        "p nothing",
        "rd ff2bd5afffe54180 3",
        "rd -s ff7db96340003f08 4",
        "rd -32 linux_banner 4",
        "rd 0",
        "sym schedule ffffffffad695387 runqueues",
        "sym -q split_huge_page",
        "sym 5",
        "dis schedule",
        "list task_struct.tasks -h init_task -s task_struct.comm --limit 2",
        "list module.list -H modules -s module.name --limit 2",
        "list 0",
        "tree runqueues:3.cfs.tasks_timeline --offset task_struct.se.run_node -s task_struct.comm",
        "tree -t maple task(1)->mm->mm_mt",
        "search ff2bd5afffe54180 --limit 2",
        "search -c splitter",
        "search 0123456789abcdef",
        "p -x runqueues:3.nr_running --format json",
        "# What crash calls differently, and what is wrong.",
        "set scroll off",
        "sys",
        "mod | head -3",
        "foreach UN bt",
        "bt -c 3 | tail -4",
        "bt -c 0,2 | grep -o '^PID: [0-9]*'",
        "bt -c 0-4",
        "foreach bt -s -x | grep -c '^PID'",
        "struct rq.cpu,nr_running runqueues:0,2-3",
        "struct rq.nr_running runqueues:a --format json | grep -o '.cpus.:[^]]*'",
        "struct rq.cpu runqueues:4",
        "p runqueues:1,3.nr_running",
        "whatis jiffies",
        "whatis init_task | head -2",
        "whatis schedule",
        "ps -m | sed -n 2,4p",
        "ps fstat",
        "ps --state D",
        "ps | grep -c .",
        "bt extra words",
        "nonsense",
        "p 'unfinished",
    ]));
}

#[test]
fn distilling_a_distilled_dump_changes_no_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let again = directory.path().join("again.vmcore");
    let status = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
        .args(["distill", "--output"])
        .arg(&again)
        .arg(testdata("thp-livelock.vmcore"))
        .arg(testdata("vmlinux.profile"))
        .status()
        .expect("the program starts");
    assert!(status.success());
    let stacks = |dump: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
            .args(["bt", "--all"])
            .arg(dump)
            .arg(testdata("vmlinux.profile"))
            .output();
        output.expect("the program starts").stdout
    };
    assert!(stacks(&again) == stacks(&testdata("thp-livelock.vmcore")), "stacks differ");
}

/// The small dumps have none of the kernel's own tables: without their profile there is only VMCOREINFO.
#[test]
fn without_any_debug_information_the_log_is_judged() {
    let run = |command: &str, scenario: &str| {
        Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
            .args([command, "--format", "json", "--no-debuginfod"])
            .arg(testdata(&format!("{scenario}.vmcore")))
            .output()
            .expect("the program starts")
    };
    let json = |output: &Output| -> Value { serde_json::from_slice(&output.stdout).expect("output is JSON") };
    for (scenario, status, issue, confidence) in [
        // By its release this kernel has the fix.
        ("thp-livelock", 3, "thp-split-page-fault-livelock", "possible"),
        ("soft-lockup", 1, "soft-lockup", "probable"),
        // That the crash was asked for is no fault; that nothing else could be looked at is no health.
        ("sysrq", 3, "crash-requested", "insufficient"),
        ("thp-busy", 3, "crash-requested", "insufficient"),
    ] {
        let records = json(&run("dmesg", scenario))["records"].take();
        assert_eq!(records, self::json("dmesg", &[], scenario)["records"], "{scenario}");
        let (alone, whole) = (json(&run("info", scenario)), self::json("info", &[], scenario));
        for names in ["release", "version", "nodename", "build_id", "kaslr_offset", "page_levels"] {
            assert_eq!(alone["kernel"][names], whole["kernel"][names], "{scenario}: {names}");
        }
        assert_eq!(
            (&alone["panic"]["message"], &alone["debuginfo"]["source"]),
            (&whole["panic"]["message"], &"none".into())
        );
        let analysis = run("analyze", scenario);
        let found = json(&analysis);
        assert_eq!(found["verdict"]["issue"], issue, "{scenario}: {found}");
        assert_eq!(found["verdict"]["confidence"], confidence, "{scenario}");
        assert!(found["unknown"][0].as_str().is_some_and(|text| text.starts_with("stacks, tasks, run queues")));
        let first = &found["remedy"][0];
        let dump = testdata(&format!("{scenario}.vmcore")).display().to_string();
        assert_eq!(first["command"], format!("vmcore-thp analyze {dump} VMLINUX"), "{scenario}: {found}");
        assert!(first["action"].as_str().is_some_and(|action| action.contains("6.1.0-56-cloud-amd64 (build-id ")));
        assert_eq!(analysis.status.code(), Some(status), "{scenario}");
        let said = String::from_utf8_lossy(&analysis.stderr).into_owned();
        assert!(said.contains("only the log and the names of the machine can be read, by VMCOREINFO"), "{said}");
    }
}

#[test]
fn the_verdict_is_a_page_too() {
    let page = run("analyze", &["--format", "html"], "thp-livelock");
    let text = String::from_utf8(page.stdout).expect("output is UTF-8");
    assert_eq!(page.status.code(), Some(1));
    assert!(text.contains("<h1>thp-split-page-fault-livelock (confirmed)</h1>"), "{text}");
    for spinner in truth_of(KERNEL, "thp-livelock")["spinners"].as_array().expect("a list") {
        let (cpu, pid, comm) = who(spinner);
        assert!(text.contains(&format!("CPU {cpu} spins: pid {pid} &quot;{comm}&quot;")), "{comm}");
    }
    // Contents lead somewhere, and each picture says in words what it shows.
    let links: Vec<_> = text.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(
        links.len() > 8 && links.iter().all(|link| text.contains(&format!("<section id=\"{link}\">"))),
        "{links:?}"
    );
    let pictures: Vec<_> = text.split("<svg ").skip(1).filter_map(|rest| rest.split('>').next()).collect();
    assert_eq!(pictures.len(), 3, "who waits for whom, the page tables, since when");
    assert!(pictures.iter().all(|picture| picture.contains("role=\"img\" aria-label=\"")), "{pictures:?}");
    let refused = run("runq", &["--format", "html"], "thp-livelock");
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(2), [].as_slice()));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hint: use --format text or json"));
}

/// A small dump has next to nothing of these lists: then they end with 3 and say why, in text and in JSON.
#[test]
fn lists_of_state_are_not_empty_for_want_of_memory() {
    let inconclusive = ["timer", "workqueue", "dev", "mount", "net", "kmem", "swap"];
    for command in
        ["timer", "irq", "waitq", "workqueue", "locks", "rcu", "dev", "files", "mount", "net", "kmem", "swap"]
    {
        let text = run(command, &[], "thp-livelock");
        let status = if inconclusive.contains(&command) { 3 } else { 0 };
        assert_eq!(text.status.code(), Some(status), "{command}: {}", String::from_utf8_lossy(&text.stderr));
        let gaps = json(command, &[], "thp-livelock")["gaps"].as_array().unwrap().len();
        // In its list's place, or at the end.
        let said = String::from_utf8_lossy(&text.stdout).lines().filter(|line| line.contains("not read: ")).count();
        assert!(said >= gaps.min(6) && (said == 0) == (gaps == 0), "{command}: {said} of {gaps}");
        assert!(status == 0 || gaps > 0, "{command}");
    }
}

#[test]
fn the_verdict_in_one_line_and_one_fact_a_line() {
    let brief = text("analyze", &["--brief"], "thp-livelock");
    assert_eq!(brief.lines().count(), 1, "{brief}");
    assert!(brief.contains("thp-livelock.vmcore: thp-split-page-fault-livelock (confirmed): 4 CPUs"), "{brief}");
    let wide = text("analyze", &["--wide"], "thp-livelock");
    let report = json("analyze", &["--wide"], "thp-livelock");
    let of_third = report["spinners"][3]["evidence"].as_array().unwrap().len();
    assert_eq!(wide.lines().filter(|line| line.starts_with("spinner CPU 3 pid 154 \"fstat/3\": ")).count(), of_third);
    assert!(wide.lines().all(|line| line.contains(": ")), "{wide}");
}

#[test]
fn a_drgn_script_has_every_value_that_has_an_address() {
    let script = json("drgn-script", &[], "thp-livelock");
    let report = json("analyze", &[], "thp-livelock");
    let of = |part: &str| report[part].as_array().unwrap().iter().flat_map(|one| one["evidence"].as_array().unwrap());
    let is_read = |fact: &&Value| {
        let number =
            fact["value"].as_str().is_some_and(|value| value.starts_with("0x") || value.parse::<i64>().is_ok());
        number && ["kernel", "physical"].contains(&fact["space"].as_str().unwrap_or_default())
    };
    let script_text = script["script"].as_str().unwrap();
    for part in ["spinners", "splitters", "edges", "findings"] {
        for fact in of(part).filter(is_read) {
            let address = format!(", {}, ", fact["address"].as_str().unwrap());
            assert!(script_text.contains(&address), "{fact}");
        }
    }
    assert!(script["checks"].as_u64().unwrap() > 50 && script_text.is_ascii());
}

#[test]
fn a_dump_comes_down_to_a_scenario_with_the_same_verdict() {
    for scenario in ["thp-livelock", "soft-lockup"] {
        let files = [testdata(&format!("{scenario}.vmcore")), testdata("vmlinux.profile")];
        let files: Vec<_> = files.iter().map(|path| path.to_str().expect("a path in UTF-8")).collect();
        let secrets = reduced::secrets(&files);
        assert!(secrets.len() > 5, "{secrets:?}");
        reduced::check(&files, &secrets);
    }
}
