//! What the traces below a report say of it: who, and where in the kernel's code.

use crate::event::{Event, Kind};
use crate::log::Occurrence;
use crate::place::trimmed_registers;
use crate::registers::RegisterDump;
use crate::trace::Trace;

/// As many lines below a report's first may belong to it.
pub(crate) const REACH: u64 = 64;

/// What the traces of an episode say of its reports.
pub(crate) fn complete(events: &mut [Occurrence], traces: &[Trace]) {
    for trace in traces {
        let Some((first, last)) = trace.lines.first().zip(trace.lines.last()) else { continue };
        let (first, last) = (first.0, last.0);
        let start = events.partition_point(|known| known.line.saturating_add(REACH) < first);
        for known in events.iter_mut().skip(start).take_while(|known| known.line <= last) {
            if known.event.function.is_none() && is_of_pool(known, trace, first) {
                known.event.function = trace.place().cloned();
            }
            let is_own = trace.lines.iter().any(|(line, _)| *line == known.line);
            if is_own || is_of_stall(&known.event, trace) {
                let trimmed = trimmed_registers(known.event.kind, trace, traces);
                fill(&mut known.event, trace, trimmed);
                known.last_line = known.last_line.max(last);
            }
        }
    }
}

/// Whether the trace, which others asked for, shows where a CPU is that a stall is about.
fn is_of_stall(event: &Event, trace: &Trace) -> bool {
    let stalls = matches!(event.kind, Kind::RcuStall | Kind::HardLockup);
    stalls && trace.has_state() && trace.cpu.is_some_and(|cpu| event.cpus.contains(&cpu))
}

/// Whether the trace is that of a worker which keeps a pool from its work: newer kernels print those below the report
/// (`kernel/workqueue.c`, `show_cpu_pool_hog()`).
fn is_of_pool(known: &Occurrence, trace: &Trace, first: u64) -> bool {
    let is_worker = trace.comm.as_deref().is_some_and(|comm| comm.starts_with("kworker/"));
    known.event.kind == Kind::WorkqueueLockup && is_worker && trace.is_of_another_task() && first > known.line
}

fn fill(event: &mut Event, trace: &Trace, trimmed: Option<&RegisterDump>) {
    // The kernel prints one line of it, and no stack: what stands around it is another report.
    if event.kind.stands_alone() {
        return;
    }
    if event.kind == Kind::RcuStall && is_bystander(event, trace) {
        return;
    }
    let other_cpu = trace.cpu.is_some_and(|cpu| !event.cpus.is_empty() && !event.cpus.contains(&cpu));
    let other_task = trace.pid.is_some_and(|pid| event.pid.is_some_and(|known| known != pid));
    if other_cpu || other_task {
        return;
    }
    let finds_place = event.function.is_none() && event.kind != Kind::OutOfMemory;
    if event.cpus.is_empty() && !event.kind.is_of_another_task() {
        event.cpus.extend(trace.cpu);
    }
    if event.pid.is_none() && !matches!(event.kind, Kind::OutOfMemory | Kind::CgroupOutOfMemory) {
        event.pid = trace.pid;
        event.comm = trace.comm.clone().or_else(|| event.comm.take());
    }
    if event.pid.is_some() && event.pid == trace.pid && event.comm.is_none() {
        event.comm.clone_from(&trace.comm);
    }
    if finds_place {
        let (function, caller) = match trimmed {
            Some(registers) => (registers.function(), trace.first_telling()),
            None => (trace.place(), trace.caller()),
        };
        event.function = function.cloned();
        event.caller = caller.filter(|_| function.is_none()).cloned().map(Box::new);
    }
}

/// Whether the trace below a stall's report is that of the thread that ends grace periods, which waits for its end like everybody
/// else (`kernel/rcu/tree_stall.h`, `rcu_check_gp_kthread_starvation()`).
fn is_bystander(event: &Event, trace: &Trace) -> bool {
    const THREADS: [&str; 4] = ["rcu_sched", "rcu_preempt", "rcu_bh", "rcu_tasks_kthre"];
    let is_named = event.pid.is_some() && event.pid == trace.pid;
    let is_thread = trace.comm.as_deref().is_some_and(|comm| THREADS.contains(&comm));
    trace.is_of_another_task() && is_thread && !is_named
}

#[cfg(test)]
mod tests {
    use crate::Kind;
    use crate::reports::tests::events;

    #[test]
    fn a_stall_names_the_task_of_its_cpu() {
        let found = events(
            "[  500.000001] rcu: INFO: rcu_sched self-detected stall on CPU
[  500.000002] rcu: \t4-....: (5249 ticks this GP) idle=51e4/1/0x4000000000000000 softirq=309/309 fqs=2563
[  500.000003] rcu: \t(t=5250 jiffies g=-319 q=608 ncpus=24)
[  500.000004] CPU: 4 UID: 1000 PID: 1067 Comm: dirty_log Tainted: G             L     6.13.0-rc3 #814
[  500.000005] RIP: 0010:enable_log_dirty_pt_masked+0x26/0x200 [kvm]
",
        );
        let [stall] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((stall.cpus.as_slice(), stall.pid, stall.jiffies), (&[4][..], Some(1067), Some(5250)));
        assert_eq!(stall.function.as_ref().and_then(|at| at.symbol.as_deref()), Some("enable_log_dirty_pt_masked"));
    }

    #[test]
    fn a_stall_is_not_of_the_thread_that_waits_for_its_end() {
        let starved = "[  396.651023] INFO: rcu_sched self-detected stall on CPU
[  396.656449] \t0-...!: (120232 ticks this GP) idle=3da/1/4611686018427387906 softirq=85066/85067 fqs=87
[  396.671551] rcu_sched kthread starved for 96651 jiffies! g45941 c45940 f0x2 RCU_GP_WAIT_FQS(3) ->state=0x0 ->cpu=1
[  396.682013] RCU grace-period kthread stack dump:
[  396.686747] rcu_sched       R  running task    22584     9      2 0x80000000
[  396.690000] Call Trace:
[  396.690001]  rcu_gp_kthread+0x1/0x2
";
        let of_cpu = "[  396.700000] NMI backtrace for cpu 0
[  396.700001] CPU: 0 PID: 8 Comm: ksoftirqd/0 Not tainted 5.2.0-rc1 #1
[  396.700002] RIP: 0010:demo_loop+0x1/0x20
";
        let stall = |text: &str| events(text).into_iter().find(|event| event.kind == Kind::RcuStall).unwrap();
        let alone = stall(starved);
        assert_eq!((alone.cpus.as_slice(), alone.pid, alone.function), (&[0][..], None, None));
        let shown = stall(&format!("{starved}{of_cpu}"));
        let function = shown.function.and_then(|at| at.symbol);
        assert_eq!((shown.pid, function.as_deref()), (Some(8), Some("demo_loop")));
    }

    #[test]
    fn another_cpus_stack_is_not_that_of_the_locked_one() {
        let found = events(
            "[ 1.000000] watchdog: CPU4: Watchdog detected hard LOCKUP on cpu 5
[ 1.000001] CPU: 4 PID: 77 Comm: other Not tainted 6.8.0 #1
[ 1.000002] RIP: 0010:somewhere+0x1/0x2
",
        );
        let [hard] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((hard.cpus.as_slice(), hard.pid, hard.function.is_none()), (&[5][..], None, true));
    }
}
