//! Whether a CPU was in kernel code.

use vmcore_kernel::{Cpu, Segment, Stack, StackEnd};

use crate::Facts;
use crate::arch::{is_exception_of_user_code, is_interrupt_of_user_code};
use crate::names::{own_frame, syscall_function};

/// Whether a CPU's task is known to have been in kernel code when the CPU was stopped.
pub(crate) fn in_kernel_code(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let stack = facts.running_on(cpu.cpu).filter(|stack| stack.error.is_none() && !stack.frames.is_empty());
    let Some(stack) = stack.filter(|_| cpu.registers.is_some()) else { return false };
    let mut interrupted = stack.interrupts.iter().map(|interrupt| interrupt.registers).peekable();
    // A CPU that was stopped in user code has only the code that stopped it. A system call or an exception came from user code,
    // too, but what runs is the kernel's.
    interrupted.peek().is_none()
        || interrupted.any(|registers| !registers.user_mode())
        || syscall_function(&stack.frames).is_some()
        || in_exception_of_user_code(stack)
        || in_handler_over_user_code(stack)
}

/// Whether a CPU is known to have been in user code when it was stopped, with nothing of the kernel's on top of it but what stopped it.
pub(crate) fn in_user_code(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let stack = facts.running_on(cpu.cpu).filter(|_| cpu.registers.is_some());
    let is_whole = |stack: &&Stack| stack.error.is_none() && stack.end == StackEnd::UserMode;
    stack.filter(is_whole).is_some_and(|stack| stack.frames.is_empty() || !in_kernel_code(facts, cpu))
}

/// Whether the kernel does something for user code, or on top of it, that may have begun a moment ago, however long the task has had its CPU.
pub(crate) fn may_be_of_a_moment(stack: &Stack) -> bool {
    in_exception_of_user_code(stack) || in_handler_over_user_code(stack)
}

/// Whether the handler of an interrupt runs on top of user code, or soft interrupts behind it, and not only what stopped the CPU.
fn in_handler_over_user_code(stack: &Stack) -> bool {
    let innermost = stack.frames.get(own_frame(stack)).filter(|frame| frame.segment != Some(Segment::Nmi));
    innermost.is_some() && is_interrupt_of_user_code(&stack.frames) && from_user_code(stack)
}

fn from_user_code(stack: &Stack) -> bool {
    stack.interrupts.last().is_some_and(|last| last.registers.user_mode())
}

/// Whether the kernel serves an exception, such as a page fault, that user code caused. Such a one may never end: a fault that is
/// retried again and again in `filemap_fault()` or as a page is swapped in.
pub(crate) fn in_exception_of_user_code(stack: &Stack) -> bool {
    from_user_code(stack) && is_exception_of_user_code(&stack.frames)
}
