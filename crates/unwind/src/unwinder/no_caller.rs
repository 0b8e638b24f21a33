//! Code of which the tables say that nothing called it, which need not be true where it is.

use vmcore_memory::{VirtAddr, arch::x86_64::PT_REGS_SIZE};

use super::{Cursor, Saved, Step, Unwinder};
use crate::arch::x86_64::fallback;
use crate::{Machine, Segment, StackRange, Unwound};

impl<M: Machine + ?Sized> Unwinder<'_, M> {
    /// Whether code without a table, or with one that has no caller, has not used its stack yet: the return address is
    /// still the last word. That is so where the call before it led here, and where the walk begins in such code, which
    /// may have been jumped to by what was called.
    ///
    /// Thunks of indirect calls are such code, and their inner call, whose return address they overwrite, leads into them.
    /// Source: `arch/x86/lib/retpoline.S`: `UNWIND_HINT_EMPTY`, which is the end of a stack in ORC, since kernel commit
    /// cc1ac9c79281, and `UNWIND_HINT_UNDEFINED` since fb799447ae29.
    pub(super) fn was_just_called(&mut self, from: &Cursor, stack: Option<StackRange>, pc: VirtAddr) -> bool {
        let Ok(found) = self.memory.possible_return(from.sp) else { return false };
        let caller = found.pc;
        let jumped_to = || {
            from.exact
                && !self.machine.is_entry(pc)
                && !fallback::is_at_the_top(stack, from.sp)
                && fallback::returns_to(self.machine, caller)
        };
        fallback::led_to(self.machine, caller, pc) || jumped_to()
    }

    /// Whether a stack can end in code that ORC says has no caller: entry code, or what stands at the top of a task's stack. The tables
    /// say so of other code as well, such as `return_to_handler()`, which the graph tracer has functions return to (`UNWIND_HINT_EMPTY`
    /// in `arch/x86/kernel/ftrace_64.S`, up to 6.3), and which works with the stack of whoever called those.
    pub(super) fn may_end(&self, from: &Cursor, stack: Option<StackRange>, pc: VirtAddr) -> bool {
        /// Registers of user mode and some words: nothing is called from there but what is the first function itself.
        const TOP: u64 = 512;
        let is_near_top =
            |stack: StackRange| stack.segment != Segment::Task || stack.high.get().saturating_sub(from.sp.get()) <= TOP;
        self.machine.is_entry(pc) || stack.is_none_or(is_near_top)
    }

    /// The step to user mode from where a new task begins, `ret_from_fork()`: all that its stack has are the registers that it goes there with. Of
    /// a thread of the kernel they are zeroes.
    pub(super) fn first_user_mode(
        &mut self,
        from: &Cursor,
        stack: Option<StackRange>,
        unwound: &mut Unwound,
    ) -> Option<Step> {
        /// `TOP_OF_KERNEL_STACK_PADDING` with FRED.
        const PADDING: u64 = 16;
        let above = stack?.high.get().checked_sub(from.sp.get())?.checked_sub(PT_REGS_SIZE as u64)?;
        if !from.exact || unwound.frames.len() != 1 || ![0, PADDING].contains(&above) {
            return None;
        }
        let registers = self.read_registers(from.sp, true).ok().flatten()?;
        let is_user =
            matches!(registers, Saved::Whole(registers) | Saved::NoGeneral(registers) if registers.user_mode());
        is_user.then(|| self.saved_registers(from, stack, from.sp, true, unwound).ok().flatten()).flatten()
    }
}
