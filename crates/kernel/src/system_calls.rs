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
        let outermost = stack.frames.iter().rev().take(4).filter_map(|frame| frame.function());
        begins_with_call(outermost).then(|| number(saved)).flatten()
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

/// Whether these functions, from the outermost on, begin with a system call of a 64-bit program.
fn begins_with_call<'f>(outermost: impl Iterator<Item = &'f str>) -> bool {
    // FRED has one entry for all that comes over user code (`arch/x86/entry/entry_fred.c`).
    let mut by_fred = false;
    for function in outermost {
        by_fred |= function.starts_with("asm_fred_entrypoint_user") || function.starts_with("fred_entry_from_user");
        if is_entry_of_calls(function) || by_fred && function.starts_with("do_syscall_64") {
            return true;
        }
    }
    false
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
    use super::{begins_with_call, is_entry_of_calls};

    #[test]
    fn programs_of_32_bits_have_other_numbers() {
        assert!(is_entry_of_calls("entry_SYSCALL_64_after_hwframe") && is_entry_of_calls("el0t_64_sync_handler"));
        assert!(!is_entry_of_calls("entry_SYSENTER_compat_after_hwframe") && !is_entry_of_calls("asm_exc_page_fault"));
    }

    #[test]
    fn by_fred_a_system_call_is_what_serves_it() {
        let is_call = |functions: &[&'static str]| begins_with_call(functions.iter().copied());
        assert!(is_call(&["asm_fred_entrypoint_user", "do_syscall_64", "x64_sys_call"]));
        assert!(is_call(&["asm_fred_entrypoint_user", "fred_entry_from_user", "do_syscall_64"]));
        assert!(is_call(&["entry_SYSCALL_64_after_hwframe", "do_syscall_64"]));
        for other in ["do_fast_syscall_32", "exc_page_fault", "fred_extint", "fred_exc_nmi"] {
            assert!(!is_call(&["asm_fred_entrypoint_user", other]), "{other}");
        }
        assert!(!is_call(&["asm_fred_entrypoint_kernel", "exc_page_fault"]));
        assert!(!is_call(&["ret_from_fork_asm", "do_syscall_64"]), "no entry of user code");
    }
}
