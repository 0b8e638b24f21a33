//! Where in the kernel's code a report finds a CPU or task.

use crate::event::Kind;
use crate::frame::Location;
use crate::registers::RegisterDump;
use crate::trace::{Trace, TraceFrame};

impl Trace {
    /// Where in the kernel's code it was: of a CPU the interrupted instruction, of a task that sleeps who made it sleep.
    #[must_use]
    pub fn place(&self) -> Option<&Location> {
        if let Some(registers) = self.kernel_registers() {
            // Where their instruction is missing, the frames are those of its callers.
            return registers.function();
        }
        // Of the interrupted code only, where registers stand within the trace.
        let below = self.interrupted.first().filter(|at| at.registers.user_mode == Some(false));
        let nested = below.and_then(|at| at.registers.location.as_ref()).filter(|at| at.symbol.is_some());
        nested.or_else(|| self.first_telling())
    }

    /// Who called the function of the interrupted instruction, where that instruction's own is not known.
    pub(crate) fn caller(&self) -> Option<&Location> {
        let registers = self.kernel_registers()?;
        self.first_telling().filter(|_| registers.function().is_none())
    }

    /// The CPU's own registers. Those above all frames are that too where the first of their lines is missing, by which they are
    /// told from an exception's.
    fn kernel_registers(&self) -> Option<&RegisterDump> {
        let above = || self.interrupted.first().filter(|at| at.before_frame == 0).map(|at| &at.registers);
        self.registers.as_ref().or_else(above).filter(|registers| registers.user_mode != Some(true))
    }

    pub(crate) fn first_telling(&self) -> Option<&Location> {
        let frames = || self.own_frames().iter().map(|frame| &frame.frame);
        let telling = |location: &&Location| location.symbol.as_deref().is_some_and(|symbol| !is_on_the_way(symbol));
        let sure = frames().filter(|frame| frame.reliable).map(|frame| &frame.location).find(telling);
        // 2.6.32 was sure of nothing. Where the kernel is of some, the others are of calls before.
        if self.own_frames().iter().any(|frame| frame.frame.reliable) {
            return sure;
        }
        let is_called = |location: &&Location| location.offset.is_none() || location.offset != location.size;
        frames().map(|frame| &frame.location).filter(is_called).find(telling)
    }

    /// The frames of what the CPU or task did: not those of the NMI by which that was found out, nor, of a task that sleeps, of how it
    /// went to sleep, between which lie what calls before have left.
    fn own_frames(&self) -> &[TraceFrame] {
        let is_of_nmi = |frame: &TraceFrame| frame.stack.as_deref() == Some("NMI");
        let behind_nmi = self.frames.iter().rposition(is_of_nmi).map_or(0, |last| last + 1);
        let own = self.frames.get(behind_nmi..).filter(|own| !own.is_empty()).unwrap_or(&self.frames);
        if !self.is_of_another_task() {
            return own;
        }
        let is_scheduling = |frame: &TraceFrame| frame.frame.location.symbol.as_deref().is_some_and(schedules);
        let begin = if own.iter().any(|frame| frame.frame.reliable) {
            own.iter().position(|frame| frame.frame.reliable && !is_scheduling(frame))
        } else {
            // Nothing tells them from what calls before have left.
            let head = own.get(..MAX_SCHEDULING).unwrap_or(own);
            head.iter().rposition(is_scheduling).map(|last| last + 1)
        };
        begin.and_then(|begin| own.get(begin..)).filter(|own| !own.is_empty()).unwrap_or(own)
    }
}

/// As many entries, those included that calls before have left, may lie around what schedules.
const MAX_SCHEDULING: usize = 12;

/// Functions that only have others do something, or begin a task.
const BY_NAME_ONLY: [&str; 4] = ["schedule_work", "schedule_delayed_work", "schedule_on_each_cpu", "schedule_tail"];

/// Whether a function gives the CPU up.
fn schedules(symbol: &str) -> bool {
    let starts = ["__schedule", "schedule", "io_schedule", "preempt_schedule", "__sched_text_start"];
    starts.iter().any(|start| symbol.starts_with(start)) && !BY_NAME_ONLY.contains(&symbol)
}

/// How the names of functions begin by which a stack is printed, or that only found what is wrong.
const ON_THE_WAY: [&str; 106] = [
    "dump_stack",
    "show_stack",
    "show_trace",
    "show_regs",
    "__dump_stack",
    "dump_backtrace",
    "unwind_backtrace",
    "c_backtrace",
    "walk_stackframe",
    "panic",
    "vpanic",
    "nmi_panic",
    "watchdog_",
    "__perf_event_overflow",
    "perf_event_overflow",
    "perf_event_nmi_handler",
    "intel_pmu_handle_irq",
    "nmi_handle",
    "do_nmi",
    "default_do_nmi",
    "exc_nmi",
    "asm_exc_nmi",
    "fred_exc_nmi",
    "end_repeat_nmi",
    "nmi",
    "warn_alloc",
    "__warn",
    "warn_slowpath",
    "print_report",
    "kasan_report",
    "rcu_dump_cpu_stacks",
    "__switch_to",
    "sched_show_task",
    "_sched_show_task",
    "context_switch",
    "trigger_",
    // Of kernels that look for bugs: what the compiler puts in, and what reports.
    "__sanitizer_cov_trace",
    "__asan_",
    "kasan_object_err",
    "kasan_check_",
    "check_memory_region",
    "print_address_description",
    "kmsan_",
    "__msan_",
    "object_err",
    "slab_err",
    "print_circular_bug",
    "print_deadlock_bug",
    "print_usage_bug",
    "print_irq_inversion_bug",
    "print_unlock_imbalance_bug",
    "lockdep_rcu_suspicious",
    "register_lock_class",
    "check_preemption_disabled",
    "__might_sleep",
    "___might_sleep",
    "__might_resched",
    "spin_dump",
    "spin_bug",
    "do_raw_spin_",
    "__lock_acquire",
    "lock_acquire",
    "lock_release",
    "lock_is_held",
    "check_prev",
    "check_noncircular",
    "validate_chain",
    "find_held_lock",
    "debug_check_no_locks_held",
    "lockdep_hardirqs_on",
    "__this_cpu_preempt_check",
    "debug_smp_processor_id",
    "might_fault",
    "__might_fault",
    "rcu_preempt_sleep_check",
    "unwind_next_frame",
    "check_hung_uninterruptible_tasks",
    // The tick that found it.
    "dump_cpu_task",
    "print_cpu_stall",
    "print_other_cpu_stall",
    "check_cpu_stall",
    "rcu_pending",
    "update_process_times",
    "tick_sched_",
    "tick_nohz_handler",
    "__hrtimer_run_queues",
    "__run_hrtimer",
    "hrtimer_interrupt",
    "local_apic_timer_interrupt",
    "smp_apic_timer_interrupt",
    "apic_timer_interrupt",
    "__sysvec_apic_timer_interrupt",
    "sysvec_apic_timer_interrupt",
    "asm_sysvec_apic_timer_interrupt",
    "fred_sysvec_apic_timer_interrupt",
    "fred_extint",
    "fred_entry_from_",
    "asm_fred_",
    "retint_kernel",
    "rcu_print_detail_task_stall",
    "rcu_check_callbacks",
    "rcu_sched_clock_irq",
    "vprintk",
    "printk",
    "_printk",
    "___preempt_schedule",
];

/// Whether a function prints a stack, sends a task to sleep, or only found what is wrong: it says nothing of why.
fn is_on_the_way(symbol: &str) -> bool {
    // What finds hung tasks is inlined into `watchdog`.
    symbol == "watchdog" || schedules(symbol) || ON_THE_WAY.iter().any(|start| symbol.starts_with(start))
}

/// The lines of registers that stand among those of a trace that has none, and that belong to no trace, as some of them are missing:
/// of a report for which the kernel prints what was interrupted.
pub(crate) fn trimmed_registers<'t>(kind: Kind, trace: &Trace, traces: &'t [Trace]) -> Option<&'t RegisterDump> {
    let has_registers = matches!(kind, Kind::SoftLockup | Kind::HardLockup | Kind::RcuStall | Kind::Oops);
    let (first, last) = trace.lines.first().zip(trace.lines.last()).filter(|_| has_registers)?;
    let is_inside = |rows: &&Trace| rows.lines.first().is_some_and(|(line, _)| (first.0..last.0).contains(line));
    let of_nobody = |rows: &&Trace| rows.frames.is_empty() && rows.events.is_empty() && rows.registers.is_none();
    let rows = traces.iter().filter(|_| trace.registers.is_none()).filter(is_inside).find(of_nobody)?;
    let registers = rows.interrupted.first().map(|at| &at.registers)?;
    // Where several CPUs print, an instruction may be another's.
    (registers.function().is_none() || traces.len() == 2).then_some(registers)
}

#[cfg(test)]
mod tests {
    use super::is_on_the_way;
    use crate::{Kind, Log};

    #[test]
    fn what_took_the_tick_or_the_nmi_is_passed_over_by_any_name() {
        for name in [
            "asm_sysvec_apic_timer_interrupt",
            "fred_sysvec_apic_timer_interrupt",
            "fred_extint",
            "fred_exc_nmi",
            "fred_entry_from_kernel",
            "asm_fred_entrypoint_kernel",
        ] {
            assert!(is_on_the_way(name), "{name}");
        }
        assert!(!is_on_the_way("driver_read"));
    }

    /// Where the log's first problem is.
    fn place(text: &str) -> Option<String> {
        let log = Log::read(text.as_bytes()).unwrap();
        let known = log.events.iter().find(|known| known.event.kind.is_problem()).unwrap();
        known.event.function.as_ref().and_then(|function| function.symbol.clone())
    }

    #[test]
    fn what_calls_before_have_left_is_not_where_a_task_sleeps() {
        let hung = "[  535.510131] INFO: task kworker/0:0:3642 blocked for more than 120 seconds.
[  535.745344] kworker/0:0     D    0  3642      2 0x00000000
[  536.020276] Call Trace:
[  536.041663]  [<ffffffff9e7f5e03>] ? __schedule+0x364/0x465
[  536.081681]  [<ffffffff9e7f7bc9>] ? usleep_range+0x66/0x66
[  536.146439]  [<ffffffff9e7f5f82>] ? schedule+0x7e/0x87
[  536.146440]  [<ffffffff9e7f5f83>] ? demo_end+0x40/0x40
[  536.146441]  [<ffffffff9e7f5f84>] ? demo_wait+0x7e/0x87
[  536.146442]  [<ffffffff9e7f5f85>] ? ret_from_fork+0x1/0x10
";
        assert_eq!(place(hung).as_deref(), Some("demo_wait"));
    }

    #[test]
    fn of_a_stack_that_is_sure_only_the_beginning_schedules() {
        let hung = "[  535.510131] INFO: task demo:3642 blocked for more than 120 seconds.
[  535.745344] demo            D    0  3642      2 0x00000000
[  536.020276] Call Trace:
[  536.041663]  __schedule+0x364/0x465
[  536.041664]  ? usleep_range+0x66/0x66
[  536.041665]  schedule+0x7e/0x87
[  536.041666]  demo_wait+0x7e/0x87
[  536.041667]  demo_ioctl+0x7e/0x87
[  536.041668]  ? schedule_hrtimeout_range+0x1/0x10
[  536.041669]  do_vfs_ioctl+0x7e/0x87
";
        assert_eq!(place(hung).as_deref(), Some("demo_wait"));
    }

    #[test]
    fn what_only_reports_or_looks_for_bugs_is_passed_over() {
        let hung = "[  535.510131] INFO: task demo:3642 blocked for more than 120 seconds.
[  535.745344] demo            D    0  3642      2 0x00000000
[  536.020276] Call Trace:
[  536.041663]  context_switch+0x1/0x20
[  536.041664]  __sched_text_start+0x8/0x20
[  536.041665]  demo_wait+0x1/0x20
";
        assert_eq!(place(hung).as_deref(), Some("demo_wait"));
        let lockdep = "[  535.510131] WARNING: suspicious RCU usage
[  535.510131] stack backtrace:
[  535.510132] CPU: 1 PID: 12 Comm: demo Not tainted 5.12.0-rc3 #1
[  535.510132] Call Trace:
[  535.510133]  dump_stack+0x1/0x20
[  535.510134]  lockdep_rcu_suspicious+0x1/0x20
[  535.510135]  __sanitizer_cov_trace_pc+0x1/0x20
[  535.510136]  demo_read+0x1/0x20
";
        assert_eq!(place(lockdep).as_deref(), Some("demo_read"));
    }

    /// 2.6.32, as Red Hat has it: what was interrupted stands behind `<<EOE>>`.
    #[test]
    fn an_nmi_is_not_where_a_cpu_was() {
        let hard = "<0>Watchdog detected hard LOCKUP on cpu 5
<4>Pid: 118823, comm: worker Tainted: G           --L------------    2.6.32-642.el6.x86_64 #1
<4>Call Trace:
<4> <NMI>  [<ffffffff810f2c41>] ? watchdog_overflow_callback+0xf1/0x110
<4> [<ffffffff8102b2a8>] ? x86_perf_event_set_period+0xd8/0x160
<4> <<EOE>>  [<ffffffff8129c2f5>] ? __write_lock_failed+0x5/0x10
<4> [<ffffffff81548f8e>] ? do_exit+0x1/0x20
";
        for text in [
            hard.to_owned(),
            // What the NMI interrupted was an interrupt itself.
            hard.replace("<<EOE>>  [", "<<EOE>>  <IRQ>  ["),
            hard.replace("] ? watchdog", "] watchdog"),
        ] {
            let log = Log::read(text.as_bytes()).unwrap();
            let hard = log.events.iter().find(|known| known.event.kind == Kind::HardLockup).unwrap();
            let function = hard.event.function.as_ref().and_then(|at| at.symbol.as_deref());
            assert_eq!(function, Some("__write_lock_failed"), "{text}");
        }
    }

    #[test]
    fn a_function_without_a_frame_of_its_own_is_the_innermost_on_arm() {
        let oops = "[  794.146728] Internal error: Oops: 80000207 [#1] PREEMPT SMP ARM
[  794.148669] CPU: 1 PID: 8604 Comm: demo Not tainted 5.12.0-rc3 #1
[  794.149090] PC is at 0x0
[  794.149091] LR is at demo_receive+0x10/0x20
[  794.172766] Backtrace:
[  794.172767] [<808ea9f4>] (demo_receive) from [<808dcfac>] (demo_ioctl+0x7b4/0xa6c)
[  794.172768] [<808dcfac>] (demo_ioctl) from [<8028cfac>] (sys_ioctl+0x7b4/0xa6c)
";
        let log = Log::read(oops.as_bytes()).unwrap();
        let [trace] = &log.traces[..] else { panic!("{:?}", log.traces) };
        let names: Vec<_> = trace.frames.iter().filter_map(|at| at.frame.location.symbol.as_deref()).collect();
        assert_eq!(names, ["demo_receive", "demo_ioctl", "sys_ioctl"]);
    }
}
