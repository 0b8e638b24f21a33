//! Where on the stack of a CPU the exception is that a kernel died of.
//!
//! Its registers lie on the stack, below `die()` and `panic()`. Where the oops itself started the crash kernel
//! (`crash_kexec(regs)`), what kdump saved for that CPU *are* the registers of the exception, and the stack begins at the
//! faulting instruction, with nothing of the exception above it.

use vmcore_kernel::{CpuRegisters, Stack, StackFrame};
use vmcore_memory::{Registers, VirtAddr};

use crate::arch::{arm64, is_exception, is_page_fault, x86_64};
use crate::names::{base_name, is_dying, is_workqueue_watchdog};

/// Whether a function is the entry code of exceptions that code causes, and of nothing else: of no interrupt, nor of an NMI.
#[must_use]
pub fn is_exception_entry(function: &str) -> bool {
    x86_64::is_exception_entry(function) || arm64::is_exception_entry(function)
}

/// An exception in kernel code.
pub(crate) struct Exception<'f> {
    /// The registers that were saved.
    pub(crate) registers: Registers,
    /// Where they were saved; `None` where the dump has them in a note.
    pub(crate) at: Option<VirtAddr>,
    /// Whether the general registers are known.
    pub(crate) complete: bool,
    /// The entry code, or what serves the exception where that says more, if it is on the stack, and whether it took a page fault.
    pub(crate) entry: Option<(&'f str, bool)>,
    /// The function in which it was taken.
    pub(crate) frame: Option<&'f StackFrame>,
}

impl<'f> Exception<'f> {
    /// The exception of the CPU that panicked, by its stack and by the registers that the dump has of it. `oopsed` says that
    /// the kernel panicked with an oops and nothing else.
    pub(crate) fn of_death(stack: &'f Stack, known: Option<CpuRegisters>, oopsed: bool) -> Option<Self> {
        Self::on_stack(stack).or_else(|| Self::in_note(stack, known?, oopsed))
    }

    /// The outermost exception in kernel mode on top of which the kernel dies.
    fn on_stack(stack: &'f Stack) -> Option<Self> {
        let mut kernel = stack.interrupts.iter().rev().filter(|interrupt| !interrupt.registers.user_mode());
        kernel.find_map(|interrupt| {
            let inwards = stack.frames.get(..interrupt.frame)?;
            let entry = inwards.last()?.function()?;
            let handler = || x86_64::fred_handler(entry, inwards.iter().rev().skip(1).filter_map(StackFrame::function));
            (is_exception(inwards) && is_dying(inwards)).then(|| Self {
                registers: interrupt.registers,
                at: Some(interrupt.address),
                complete: interrupt.complete,
                entry: Some((handler().unwrap_or(entry), is_page_fault(inwards))),
                frame: stack.frames.get(interrupt.frame),
            })
        })
    }

    /// The stack begins where the exception was: nothing of how the kernel dies is on it.
    fn in_note(stack: &'f Stack, known: CpuRegisters, oopsed: bool) -> Option<Self> {
        let is_note = !known.registers.user_mode();
        let frame = stack.frames.first().filter(|frame| frame.exact && is_note)?;
        (oopsed && !is_dying(&stack.frames)).then_some(Self {
            registers: known.registers,
            at: None,
            complete: true,
            entry: None,
            frame: Some(frame),
        })
    }

    /// Whether it is the one that sysrq-c causes on purpose, up to 5.9 (kernel commit 8341f2f222d7).
    pub(crate) fn is_by_sysrq(&self) -> bool {
        let function = self.frame.and_then(StackFrame::function);
        function.is_some_and(|function| base_name(function) == "sysrq_handle_crash")
    }

    /// Whether it is the `BUG()` by which the watchdog of work queues gives up (`workqueue.panic_on_stall`, 6.12 to 6.19).
    pub(crate) fn is_by_workqueue_watchdog(&self) -> bool {
        self.frame.and_then(StackFrame::function).is_some_and(is_workqueue_watchdog)
    }
}
