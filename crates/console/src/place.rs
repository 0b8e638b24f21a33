//! Where in the kernel's code a report finds a CPU or task.

use crate::event::Kind;
use crate::frame::Location;
use crate::registers::RegisterDump;
use crate::trace::Trace;

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
        let frames = || self.frames.iter().map(|frame| &frame.frame);
        let telling = |location: &&Location| location.symbol.as_deref().is_some_and(|symbol| !is_on_the_way(symbol));
        let sure = frames().filter(|frame| frame.reliable).map(|frame| &frame.location).find(telling);
        // 2.6.32 was sure of nothing.
        sure.or_else(|| frames().map(|frame| &frame.location).find(telling))
    }
}

/// Functions by which a stack is printed or a task goes to sleep: they say nothing of why.
fn is_on_the_way(symbol: &str) -> bool {
    const STARTS: [&str; 31] = [
        "dump_stack",
        "show_stack",
        "show_trace",
        "show_regs",
        "__dump_stack",
        "dump_backtrace",
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
        "end_repeat_nmi",
        "nmi",
        "__schedule",
        "schedule",
        "io_schedule",
        "warn_alloc",
        "__warn",
        "warn_slowpath",
        "print_report",
        "kasan_report",
        "rcu_dump_cpu_stacks",
        "__switch_to",
    ];
    STARTS.iter().any(|start| symbol.starts_with(start)) && symbol != "schedule_work"
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
