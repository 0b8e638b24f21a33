//! Whether a CPU was in kernel code.

use vmcore_kernel::Cpu;

use crate::Facts;
use crate::names::syscall_function;

/// Whether a CPU's task is known to have been in kernel code when the CPU was stopped.
pub(crate) fn in_kernel_code(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let stack = facts.running_on(cpu.cpu).filter(|stack| stack.error.is_none() && !stack.frames.is_empty());
    let Some(stack) = stack.filter(|_| cpu.registers.is_some()) else { return false };
    let mut interrupted = stack.interrupts.iter().map(|interrupt| interrupt.registers).peekable();
    // A CPU that was stopped in user code has only the code that stopped it. A system call came from user code, too, but
    // what runs is the kernel's.
    interrupted.peek().is_none()
        || interrupted.any(|registers| !registers.user_mode())
        || syscall_function(&stack.frames).is_some()
}
