//! System calls that tasks are in: which one, and with what arguments.
//!
//! `sys_call_table[number]` is the function of a call, also where the kernel itself uses a switch statement (x86-64 since
//! 6.9, kernel commit 1e3ad78334a6): tracing still needs the table. Its name has been `sys_read`, `SyS_read` and `__x64_sys_read`.

use vmcore_memory::{ReadVirtual, VirtAddr};
use vmcore_unwind::Interrupt;

use crate::{Kernel, Stack, StackEnd};

/// More calls than any kernel has.
const MAX_CALLS: u64 = 4096;

/// A system call that a task is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemCall {
    /// Its number.
    pub number: u64,
    /// Its name, as in the kernel: `newfstat`, `sendfile64`.
    pub name: String,
    /// Its arguments.
    pub arguments: [u64; 6],
}

impl Kernel<'_> {
    /// The system call that the task with this stack is in; `None` where it is in none, or nothing says which.
    #[must_use]
    pub fn system_call(&self, stack: &Stack) -> Option<SystemCall> {
        let number = self.system_call_number(stack)?;
        let saved = stack.interrupts.last()?;
        Some(SystemCall {
            number,
            name: self.system_call_name(number)?,
            arguments: saved.registers.system_call_arguments(),
        })
    }

    /// The number of the system call that the task with this stack is in; `None` where it is in none.
    #[must_use]
    pub fn system_call_number(&self, stack: &Stack) -> Option<u64> {
        if stack.end != StackEnd::UserMode {
            return None;
        }
        // The registers of user mode are the outermost that were saved.
        let saved = stack.interrupts.last().filter(|saved| saved.frame == stack.frames.len() && saved.complete)?;
        let entry = stack.frames.iter().rev().take(4).filter_map(|frame| frame.function());
        entry.into_iter().any(is_entry_of_calls).then(|| number(saved)).flatten()
    }

    /// The name of a system call of 64-bit programs.
    #[must_use]
    pub fn system_call_name(&self, number: u64) -> Option<String> {
        let table = self.symbol("sys_call_table")?;
        let slot = table.wrapping_add(number.checked_mul(8).filter(|_| number < MAX_CALLS)?);
        let function: VirtAddr = self.memory().read_pointer(slot).ok()?;
        let name = self.name_code(function, function).filter(|name| name.offset == 0)?.name;
        vmcore_console::system_call(&name).map(str::to_owned)
    }
}

/// Those of 64-bit programs: others have numbers of their own.
fn is_entry_of_calls(function: &str) -> bool {
    function.starts_with("entry_SYSCALL_64") || function.starts_with("el0t_64_sync") || function == "el0_svc"
}

fn number(saved: &Interrupt) -> Option<u64> {
    let number = saved.orig_rax.or_else(|| saved.registers.system_call_number())?;
    // Of x32 programs.
    Some(number & !0x4000_0000).filter(|number| *number < MAX_CALLS)
}

#[cfg(test)]
mod tests {
    use super::is_entry_of_calls;

    #[test]
    fn programs_of_32_bits_have_other_numbers() {
        assert!(is_entry_of_calls("entry_SYSCALL_64_after_hwframe") && is_entry_of_calls("el0t_64_sync_handler"));
        assert!(!is_entry_of_calls("entry_SYSENTER_compat_after_hwframe") && !is_entry_of_calls("asm_exc_page_fault"));
    }
}
