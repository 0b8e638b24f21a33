use serde_json::{Value, json};

use super::*;

fn frames(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"symbol": name})).collect()
}

fn deadlock(pids: [i64; 2], function: &str) -> Value {
    let [a, b] = pids;
    let (task_a, task_b) = (format!("task {a} \"one\""), format!("task {b} \"two\""));
    let edge = |from: &str, kind: &str, to: &str| json!({"from": from, "kind": kind, "to": to});
    let lock = |number: i64| format!("mutex 0x{number}");
    json!({"verdict": {"issue": "deadlock", "confidence": "confirmed"},
        "edges": [edge(&task_a, "sleeps_on", &lock(1)), edge(&lock(1), "owned_by", &task_b),
            edge(&task_b, "sleeps_on", &lock(2)), edge(&lock(2), "owned_by", &task_a)],
        "shapes": [{"kind": "deadlock", "edges": [0, 1, 2, 3]}],
        "stacks": [
            {"pid": a, "frames": frames(&["__schedule", "schedule", "__mutex_lock.constprop.0", function, "do_syscall_64"])},
            {"pid": b, "frames": frames(&["__schedule", "schedule_preempt_disabled", "mutex_lock", "second", "kthread"])}]})
}

#[test]
fn pids_suffixes_and_who_comes_first_do_not_count() {
    let first = Signature::of(Document(&deadlock([7, 8], "first.isra.0")));
    assert_eq!(first.exact, "deadlock | deadlock | owned_by>sleeps_on | first < second");
    assert_eq!(first.similar, "deadlock | first");
    assert_eq!(Signature::of(Document(&deadlock([90, 3], "first"))), first);
    let mut turned = deadlock([7, 8], "first");
    turned["shapes"][0]["edges"] = json!([3, 0, 1, 2]);
    assert_eq!(Signature::of(Document(&turned)), first);
    assert_ne!(Signature::of(Document(&deadlock([7, 8], "other"))).exact, first.exact);
}

/// Whoever waits for a lock that all need, the crash is that of its holder.
#[test]
fn a_chain_is_named_by_whom_it_ends_at() {
    let held = |holder: &str, waiter: &str| {
        let document = json!({"verdict": {"issue": "lock-held", "confidence": "confirmed"},
            "edges": [{"from": "task 5 \"one\"", "kind": "sleeps_on", "to": "mutex 0x1"},
                {"from": "mutex 0x1", "kind": "owned_by", "to": "task 6 \"two\""}],
            "stacks": [{"pid": 5, "frames": frames(&["__schedule", "schedule", "mutex_lock", waiter])},
                {"pid": 6, "frames": frames(&[holder])}]});
        Signature::of(Document(&document))
    };
    let reset = held("ixgbe_reset", "rtnetlink_rcv_msg");
    assert_eq!(reset.exact, "lock-held | sleeps_on>owned_by | ixgbe_reset");
    assert_eq!(reset, held("ixgbe_reset", "netlink_dump"));
    assert_ne!(reset.similar, held("bond_enslave", "rtnetlink_rcv_msg").similar);
    // Where its stack says nothing, those of the waiters have to do.
    assert_eq!(held("do_syscall_64", "netlink_dump").similar, "lock-held | netlink_dump");
}

/// Another CPU may have found that a grace period does not end, and panicked.
#[test]
fn a_stall_is_named_by_what_holds_it_up() {
    let stall = json!({"verdict": {"issue": "rcu-stall", "confidence": "confirmed"}, "panic": {"pid": 9, "cpu": 0},
        "edges": [{"from": "CPU 1", "kind": "runs", "to": "task 7 \"ioctl\""},
            {"from": "grace period of rcu", "kind": "held_up_by", "to": "CPU 1"}],
        "stacks": [{"pid": 7, "cpu": 1, "frames": frames(&["driver_loop", "driver_ioctl"])},
            {"pid": 9, "cpu": 0, "frames": frames(&["panic", "rcu_sched_clock_irq", "innocent"])}]});
    assert_eq!(Signature::of(Document(&stall)).exact, "rcu-stall | held_up_by+runs | driver_loop");
}

#[test]
fn a_crash_is_named_by_what_ran_before_the_exception() {
    let oops = |names: &[&str]| {
        let document = json!({"verdict": {"issue": "kernel-oops", "confidence": "confirmed"}, "panic": {"pid": 5, "cpu": 1},
            "stacks": [{"pid": 5, "cpu": 1, "frames": frames(names)}]});
        Signature::of(Document(&document)).exact
    };
    let new = [
        "machine_kexec",
        "__crash_kexec",
        "oops_end",
        "page_fault_oops",
        "exc_page_fault",
        "asm_exc_page_fault",
        "ext4_write.cold",
        "ext4_sync",
        "vfs_write",
        "__x64_sys_write",
        "do_syscall_64",
    ];
    assert_eq!(oops(&new), "kernel-oops | ext4_write < ext4_sync < vfs_write");
    let old = [
        "machine_kexec",
        "crash_kexec",
        "no_context",
        "__do_page_fault",
        "page_fault",
        "ext4_write",
        "ext4_sync",
        "vfs_write",
    ];
    assert_eq!(oops(&old), oops(&new));
    // Where nothing telling is behind the exception, what is before it counts.
    assert_eq!(oops(&["panic", "my_handler", "asm_exc_page_fault", "do_idle"]), "kernel-oops | my_handler");
}

#[test]
fn an_arm64_crash_is_named_by_what_ran_before_the_exception() {
    let oops = |names: &[&str]| {
        let document = json!({"verdict": {"issue": "kernel-oops", "confidence": "confirmed"}, "panic": {"pid": 5, "cpu": 1},
            "stacks": [{"pid": 5, "cpu": 1, "frames": frames(names)}]});
        Signature::of(Document(&document)).exact
    };
    let dying = ["vectors", "__delay", "__const_udelay", "panic", "die", "die_kernel_fault", "__do_kernel_fault"];
    let new =
        ["do_page_fault", "do_translation_fault", "do_mem_abort", "el1_abort", "el1h_64_sync_handler", "el1h_64_sync"];
    let old = ["do_page_fault", "do_mem_abort", "el1_sync_handler", "el1_sync"];
    let did = ["read_value", "proc_write", "vfs_write", "invoke_syscall", "el0_svc"];
    for entry in [&new[..], &old] {
        assert_eq!(oops(&[&dying, entry, &did].concat()), "kernel-oops | read_value < proc_write < vfs_write");
    }
    // As kdump's crash kernel finds it, and where another CPU was stopped.
    assert_eq!(oops(&[&new[..], &did].concat()), "kernel-oops | read_value < proc_write < vfs_write");
    assert_eq!(
        oops(&["local_cpu_stop", "ipi_handler", "do_handle_IPI", "el1h_64_irq", "my_loop"]),
        "kernel-oops | my_loop"
    );
}

/// What a log tells of a crash has the name that its dump has.
#[test]
fn a_log_names_the_function_of_its_registers() {
    let trace = frames(&["locks_write", "vfs_write", "ksys_write"]);
    let log = json!({"verdict": {"issue": "kernel-oops"}, "panic": {"pid": 5, "cpu": 1}, "timeline": [],
        "cpus": [{"cpu": 1, "registers": {"symbol": "read_value", "user_mode": false}, "frames": trace, "lines": [1]}]});
    assert_eq!(Signature::of(Document(&log)).exact, "kernel-oops | read_value < locks_write < vfs_write");
    let interrupted = json!([{"before_frame": 2, "registers": {"symbol": "my_loop", "user_mode": false}}]);
    let trace = frames(&["watchdog_timer_fn", "asm_sysvec_apic_timer_interrupt", "my_write"]);
    let log = json!({"verdict": {"issue": "soft-lockup"}, "timeline": [],
        "cpus": [{"cpu": 1, "frames": trace, "interrupted": interrupted}]});
    assert_eq!(Signature::of(Document(&log)).exact, "soft-lockup | my_loop < my_write");
}

#[test]
fn a_dump_that_is_judged_by_its_own_log_has_the_name_that_the_log_has() {
    let crash = |function: &str| {
        let trace = frames(&[function, "vfs_write", "ksys_write"]);
        json!({"verdict": {"issue": "kernel-oops"}, "panic": {"message": "Fatal exception", "cpu": 1}, "timeline": [],
            "cpus": [{"cpu": 1, "frames": trace, "lines": [1]}]})
    };
    let dump = |log: Value| {
        json!({"verdict": {"issue": "kernel-oops"}, "stacks": [], "log": log,
            "panic": {"message": "Kernel panic - not syncing: Fatal exception", "cpu": 1, "pid": 7}})
    };
    for function in ["driver_read", "driver_clear"] {
        let (log, dump) = (crash(function), dump(crash(function)));
        assert_eq!(Signature::of(Document(&dump)), Signature::of(Document(&log)));
        assert!(Signature::of(Document(&dump)).exact.contains(function));
    }
    let panic = |message: &str| json!({"verdict": {"issue": "kernel-panic"}, "panic": {"message": message}});
    let (log, dump) = (panic("VFS: no root"), panic("Kernel panic - not syncing: VFS: no root"));
    assert_eq!(Signature::of(Document(&dump)), Signature::of(Document(&log)));
}

#[test]
fn what_the_kernel_marks_as_uncertain_names_no_crash() {
    let frame = |symbol: &str, reliable: bool| json!({"symbol": symbol, "reliable": reliable});
    let log = |frames: &[Value]| {
        json!({"verdict": {"issue": "kernel-oops"}, "panic": {"cpu": 1}, "timeline": [], "cpus": [{"cpu": 1, "lines": [1],
            "registers": {"symbol": "read_value", "user_mode": false}, "frames": frames}]})
    };
    let trace = [
        frame("page_fault_oops", false),
        frame("asm_exc_page_fault", false),
        frame("left_over", false),
        frame("vfs_read", true),
    ];
    assert_eq!(Signature::of(Document(&log(&trace))).exact, "kernel-oops | read_value < vfs_read");
}

/// A new kind of panic is a new group, though no stack names it.
#[test]
fn a_crash_without_a_stack_is_named_by_what_it_says() {
    let panic = |message: &str| {
        let log = json!({"verdict": {"issue": "kernel-panic"}, "panic": {"message": message}});
        Signature::of(Document(&log))
    };
    let root = panic("VFS: Unable to mount root fs on unknown-block(8,1)");
    assert_eq!(root.exact, "kernel-panic | VFS: Unable to mount root fs on unknown-block(N,N)");
    assert_eq!(root, panic("VFS: Unable to mount root fs on unknown-block(0,0)"));
    assert_ne!(root, panic("Attempted to kill init! exitcode=0x0000000b"));
    let oops = |summary: &str| {
        let log = json!({"verdict": {"issue": "kernel-oops"}, "panic": {"message": "Fatal exception"},
            "timeline": [{"summary": "panic: Fatal exception"}, {"summary": summary, "is_verdict": true}]});
        Signature::of(Document(&log)).exact
    };
    assert_eq!(
        oops("kernel BUG at mm/slub.c:305! in pid 7 \"a b\""),
        "kernel-oops | kernel BUG at mm/slub.c:N! in pid N NAME"
    );
    // Where it hung is not told, and who did is chance.
    let hung = json!({"verdict": {"issue": "hung-task"}, "panic": {"message": "hung_task: blocked tasks"},
        "timeline": [{"summary": "pid 7 \"one\" hangs", "is_verdict": true}]});
    assert_eq!(Signature::of(Document(&hung)).exact, "hung-task");
}

/// And not the thread that looks for hung tasks, or whatever else panicked later.
#[test]
fn hung_tasks_are_named_by_where_they_hang() {
    let watcher =
        json!({"cpu": 3, "pid": 89, "frames": frames(&["panic", "check_hung_uninterruptible_tasks"]), "lines": [15]});
    let hung = json!({"pid": 4711, "frames": frames(&["__schedule", "rpc_wait_bit_killable", "nfs4_do_open"]), "lines": [2, 5]});
    let log = json!({"verdict": {"issue": "hung-task"}, "panic": {"pid": 89, "cpu": 3}, "cpus": [watcher, hung],
        "timeline": [{"line": 2, "is_verdict": true}, {"line": 15, "is_verdict": false}]});
    assert_eq!(Signature::of(Document(&log)).exact, "hung-task | rpc_wait_bit_killable < nfs4_do_open");
    let stack = |pid: i64, on_cpu: bool, names: &[&str]| json!({"pid": pid, "cpu": 1, "on_cpu": on_cpu, "frames": frames(names)});
    let dump = json!({"verdict": {"issue": "hung-task"}, "panic": {"pid": 88, "cpu": 1}, "stacks": [
        stack(88, true, &["panic", "check_hung_uninterruptible_tasks", "watchdog", "kthread"]),
        stack(400, false, &["__schedule", "schedule", "nfs_wait_on_thing", "nfs_file_read"])]});
    assert_eq!(Signature::of(Document(&dump)).exact, "hung-task | nfs_wait_on_thing");
}

#[test]
fn a_known_bug_is_one_group_whoever_faults() {
    let known = |function: &str| {
        let mut document = deadlock([1, 2], function);
        document["known_issue"] = json!({"id": "ffc90cbb2970"});
        Signature::of(Document(&document))
    };
    assert_eq!(known("a"), known("b"));
    assert_eq!(known("a").similar, "deadlock");
}

#[test]
fn messages_without_numbers_and_failures_without_paths() {
    assert_eq!(normalize("stuck CPU#12 for 22s! at ffff888012345678 0x7f"), "stuck CPU#N for Ns! at ADDR ADDR");
    let one = Signature::of_failure("refused", "/pile/1/vmcore is cut short at byte 4096");
    let other = Signature::of_failure("refused", "/pile/2/vmcore is cut short at byte 8192");
    assert_eq!(one, other);
    assert_eq!(one.similar, "not judged: refused");
}

#[test]
fn anything_at_all_has_a_signature() {
    for document in [json!(null), json!([]), json!({"edges": 1, "stacks": {}, "shapes": [{"edges": [9, -1, "x"]}]})] {
        assert_eq!(Signature::of(Document(&document)).exact, "unclear");
    }
}
