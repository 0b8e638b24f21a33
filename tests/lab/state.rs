//! The commands that show the kernel's state: `ps`, `runq`, `dmesg`, `info`, `vtop`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::lab_dump::{LabDump, Scenario};
use crate::program::{hex, int, list, text};

pub(crate) fn tasks(dump: &LabDump) {
    let output = dump.json("ps", &[]);
    let tasks = list(&output, "tasks");
    let by_pid: BTreeMap<i64, &Value> = tasks.iter().map(|task| (int(task, "pid"), task)).collect();
    for program in &dump.truth.programs {
        // One that ended before the panic is no task any more.
        if let Some(task) = by_pid.get(&program.pid) {
            assert_eq!(text(task, "comm"), program.comm);
        }
    }
    let init = by_pid.get(&1).expect("a task with pid 1");
    assert_eq!(init["kernel_thread"], false);
    let on_cpu = tasks.iter().filter(|task| task["on_cpu"] == true && int(task, "pid") != 0).count();
    assert!(on_cpu <= dump.truth.cpus, "{on_cpu} tasks run");
    let truth = &dump.truth;
    let spinners = truth.spinners.iter().map(|spinner| (&spinner.thread, true));
    let locked_up = truth.locked_up.iter().map(|thread| (thread, true));
    let splitter = truth.splitter.iter().map(|thread| (thread, false));
    for (thread, on_cpu) in spinners.chain(locked_up).chain(splitter) {
        let task = by_pid.get(&thread.pid).unwrap_or_else(|| panic!("no task {}", thread.comm));
        let found = (int(task, "tgid"), text(task, "comm"), int(task, "cpu"), &task["on_cpu"], text(task, "state"));
        assert_eq!(found, (thread.tgid, &*thread.comm, thread.cpu, &Value::Bool(on_cpu), "R"));
    }
}

pub(crate) fn run_queues(dump: &LabDump) {
    let output = dump.json("runq", &[]);
    let cpus = list(&output, "cpus");
    assert_eq!(cpus.len(), dump.truth.cpus);
    for (number, cpu) in cpus.iter().enumerate() {
        assert_eq!(int(cpu, "cpu"), i64::try_from(number).expect("a small number"));
        let queued = list(cpu, "queued").len();
        let running = usize::from(int(&cpu["current"], "pid") != 0);
        let (tasks, servers) = (i64::try_from(queued + running).expect("a small number"), int(cpu, "servers"));
        // Some kernels count deadline servers, too: Debian's 6.12.
        let counted = int(cpu, "nr_running");
        assert!(counted == tasks || counted == tasks + servers, "{cpu}");
    }
    for spinner in &dump.truth.spinners {
        let cpu = &cpus[usize::try_from(spinner.thread.cpu).expect("a CPU")];
        assert_eq!(int(&cpu["current"], "pid"), spinner.thread.pid);
    }
    if let Some(splitter) = &dump.truth.splitter {
        let cpu = &cpus[usize::try_from(splitter.cpu).expect("a CPU")];
        let waiting = list(cpu, "queued").iter().find(|task| int(task, "pid") == splitter.pid);
        let waiting = waiting.unwrap_or_else(|| panic!("the splitter is not in {cpu}"));
        // Not where a fair task is granted some time now and then, as it is by all kernels that are patched.
        assert!(int(waiting, "waiting_ns") > 1_000_000_000 || dump.truth.patched, "{waiting}");
    }
}

pub(crate) fn log(dump: &LabDump) {
    let output = dump.json("dmesg", &[]);
    let records = list(&output, "records");
    let has = |wanted: &str| records.iter().any(|record| text(record, "text").contains(wanted));
    let banner = format!("Linux version {} ", dump.truth.release);
    assert!(has(&banner), "no {banner:?} in the log");
    // With a capital on x86-64 alone.
    assert!(has("Command line: ") || has("Kernel command line: "));
    match dump.truth.scenario {
        // No module says anything there.
        Scenario::ThpLivelock if dump.truth.patched => {}
        Scenario::ThpLivelock if dump.truth.real_time => assert!(has("thp_livelock: spinner pid")),
        Scenario::ThpLivelock | Scenario::SoftLockup => assert!(has("BUG: soft lockup - CPU#")),
        Scenario::OtherProblem(_) => assert!(has("Kernel panic - not syncing: ")),
        Scenario::Sysrq | Scenario::ThpBusy => assert!(has("sysrq: Trigger a crash")),
    }
    let sequence: Vec<_> = records.iter().map(|record| int(record, "seq")).collect();
    assert!(sequence.is_sorted_by(|a, b| a < b), "sequence numbers rise");
    dump.run("dmesg", &[]).expect_status(0);
}

pub(crate) fn info(dump: &LabDump) {
    let output = dump.json("info", &[]);
    let kernel = &output["kernel"];
    assert_eq!(text(kernel, "release"), dump.truth.release);
    assert_eq!(text(kernel, "build_id"), text(&output["debuginfo"], "build_id"));
    assert_eq!(output["debuginfo"]["matches"], true);
    assert!(int(&output["dump"], "pages") > 0);
    assert!(int(&output, "uptime_ns") > 1_000_000_000);
    assert!(output["dump"]["incomplete"].is_null() || output["dump"]["incomplete"] == false, "{}", output["dump"]);
    dump.run("info", &[]).expect_status(0);
}

/// One entry of a queue is not read as two of different kinds.
pub(crate) fn wait_queues(dump: &LabDump) {
    let output = dump.json("waitq", &[]);
    let in_queue = |waiter: &Value| (int(&waiter["waiter"], "pid"), text(waiter, "queue").to_owned());
    let found: Vec<_> =
        list(&output, "waiters").iter().filter(|waiter| waiter["waiter"].is_object()).map(in_queue).collect();
    assert!(!found.is_empty(), "nobody is in a queue");
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "{found:?}");
}

/// The page-table walk that anyone can do by hand ends where `analyze` says the fault ends.
pub(crate) fn fault_address(dump: &LabDump) {
    let (_, analysis) = dump.analysis();
    for spinner in list(&analysis, "spinners") {
        let walk = dump.json("vtop", &["--pid", &int(spinner, "pid").to_string(), text(spinner, "address")]);
        let last = list(&walk, "levels").last().expect("a level");
        assert_eq!(hex(last, "value"), hex(spinner, "entry"));
        assert!(text(last, "meaning").contains("migration"), "{last}");
    }
    // The kernel's own half, through any process.
    let stacks = dump.json("bt", &["--cpu", "0"]);
    let pc = text(&list(&list(&stacks, "stacks")[0], "frames")[0], "pc");
    let walk = dump.json("vtop", &[pc]);
    assert!(hex(&walk, "physical") != 0);
}
