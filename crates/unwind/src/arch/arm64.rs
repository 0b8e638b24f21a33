//! The walk on arm64.
//!
//! Every function that calls another keeps a frame record, its caller's `x29` and the return address, and `x29` points to
//! the innermost one. Where a CPU was interrupted, the innermost function may not have made its record yet, or never will:
//! then call-frame information tells, or the link register. Entry code saves a `struct pt_regs`, with a record of its own
//! in it (`stackframe`); the outermost record of every task is in the topmost `pt_regs` and holds zeroes. Before 5.14 (kernel
//! commit 7d7b720a4b80) tasks of the kernel have no such record: there the frame pointer is 0 in the code that began the task, or in the
//! record that it made.
//!
//! Return addresses may carry an authentication code, which [`Machine::pac_mask`] covers; it is taken off in one place
//! ([`Walk::code`]).
//!
//! Sources: `arch/arm64/kernel/stacktrace.c`, `entry.S`; "Procedure Call Standard for the Arm 64-bit Architecture", 6.4.6.

use vmcore_memory::VirtAddr;
use vmcore_memory::arch::arm64::{Registers, USER_PT_REGS_SIZE};

use crate::frame::lookup_pc;
use crate::replaced::Return;
use crate::stack_memory::StackMemory;
use crate::{End, Frame, Interrupt, MAX_FRAMES, Machine, Problem, Segment, StackRange, Trust, Unwound};

/// Bit 55 of an address says whose half it is of; no authentication code is ever there.
const HALF: u64 = 1 << 55;
/// `x0` to `x30`, in bytes; behind them are the stack pointer, where the code was and its state.
const GENERAL_SIZE: usize = 31 * 8;

/// Where the walk stands.
#[derive(Clone, Copy)]
struct Cursor {
    pc: VirtAddr,
    sp: VirtAddr,
    /// Whether `sp` is the stack pointer itself; else it is near it.
    sp_known: bool,
    fp: VirtAddr,
    /// The link register, where this frame was interrupted.
    lr: Option<VirtAddr>,
    exact: bool,
    trust: Trust,
    /// What a tracer had put in the place of the return address `pc`; `pc` itself where that is lost.
    tracer: Option<VirtAddr>,
}

enum Step {
    Caller(Cursor),
    User,
    Outermost,
}

impl Cursor {
    /// Where `found` is returned to, with all else as it was.
    fn after(found: Return, from: &Self) -> Self {
        Self { pc: found.pc, tracer: found.tracer, lr: None, exact: found.is_lost(), ..*from }
    }

    /// Whether `pc` is a tracer's, in the place of a return address that is lost.
    fn is_lost(&self) -> bool {
        self.tracer == Some(self.pc)
    }
}

/// One walk.
pub(crate) struct Walk<'w, 'a, M: ?Sized> {
    pub(crate) machine: &'a M,
    pub(crate) memory: &'w mut StackMemory<'a, M>,
}

impl<M: Machine + ?Sized> Walk<'_, '_, M> {
    /// Walks from `start` outwards; `exact` and `complete` as in [`crate::Start`].
    pub(crate) fn unwind(&mut self, start: &Registers, exact: bool, complete: bool, unwound: &mut Unwound) {
        let mut cursor = Cursor {
            pc: start.pc,
            sp: start.sp,
            sp_known: true,
            fp: start.fp(),
            lr: complete.then(|| start.lr()),
            exact,
            trust: Trust::Context,
            tracer: None,
        };
        while unwound.frames.len() < MAX_FRAMES {
            let stack = self.machine.stack(cursor.sp);
            let Cursor { pc, sp, exact, trust, .. } = cursor;
            unwound.frames.push(Frame { pc, sp, exact, trust, segment: stack.map(|stack| stack.segment) });
            self.memory.tracers.went_on(cursor.tracer, false);
            if cursor.is_lost() {
                unwound.problem.get_or_insert(Problem::Traced { pc });
            }
            match self.step(&cursor, stack, unwound) {
                Ok(Step::Caller(next)) => cursor = next,
                Ok(Step::User) => {
                    unwound.end = End::User;
                    return;
                }
                Ok(Step::Outermost) => {
                    unwound.end = End::Outermost;
                    return;
                }
                Err(problem) => {
                    unwound.problem.get_or_insert(problem);
                    return;
                }
            }
        }
        unwound.problem.get_or_insert(Problem::TooManyFrames { limit: MAX_FRAMES });
    }

    fn step(&mut self, from: &Cursor, stack: Option<StackRange>, unwound: &mut Unwound) -> Result<Step, Problem> {
        let is_entry = !from.exact && self.machine.is_entry(lookup_pc(from.pc, false));
        let crossed = if is_entry { self.saved_registers(from, stack, unwound)? } else { None };
        if let Some(step) = crossed {
            return Ok(step);
        }
        if let Some(caller) = self.by_call_frame(from).filter(|caller| self.advances(from, stack, caller)) {
            return Ok(Step::Caller(caller));
        }
        if from.fp.is_null() && self.is_first(from) {
            return Ok(Step::Outermost);
        }
        let record = self.record(from.fp);
        if let Some(caller) = self
            .by_link_register(from, record.as_ref().ok().copied())
            .filter(|caller| self.advances(from, stack, caller))
        {
            return Ok(Step::Caller(caller));
        }
        match record? {
            (0, 0) => Ok(Step::Outermost),
            (0, _) if self.is_first(from) => Ok(Step::Outermost),
            (fp, lr) => {
                let fp = VirtAddr::new(fp);
                let found = self.returned_to(lr, fp, None);
                let sp = if fp.is_null() { from.fp.wrapping_add(16) } else { fp };
                let trust = Trust::FramePointer;
                let caller = Cursor { sp, sp_known: false, fp, trust, ..Cursor::after(found, from) };
                if !self.is_return_address(found) {
                    return Err(Problem::NoCaller { pc: from.pc, sp: from.sp });
                }
                if !self.advances(from, stack, &caller) {
                    return Err(Problem::NotAdvancing { pc: from.pc, from: from.sp, to: sp });
                }
                Ok(Step::Caller(caller))
            }
        }
    }

    /// Crosses into interrupted code: entry code has its record inside the registers that it saved.
    fn saved_registers(
        &mut self,
        from: &Cursor,
        stack: Option<StackRange>,
        unwound: &mut Unwound,
    ) -> Result<Option<Step>, Problem> {
        let Some(offset) = self.machine.frame_record_offset() else { return Ok(None) };
        let address = from.fp.wrapping_sub(offset);
        let Some((registers, complete)) = self.read_registers(address)? else { return Ok(None) };
        let interrupt =
            Interrupt { frame: unwound.frames.len(), address, registers: registers.into(), orig_rax: None, complete };
        if registers.user_mode() {
            unwound.interrupts.push(interrupt);
            return Ok(Some(Step::User));
        }
        let interrupted = Cursor {
            pc: registers.pc,
            sp: registers.sp,
            sp_known: true,
            fp: registers.fp(),
            lr: Some(registers.lr()),
            exact: true,
            trust: Trust::FramePointer,
            tracer: None,
        };
        if !registers.sp.is_kernel_half() || !self.advances(from, stack, &interrupted) {
            return Ok(None);
        }
        unwound.interrupts.push(interrupt);
        Ok(Some(Step::Caller(interrupted)))
    }

    /// The registers saved at `address`, and whether that is all of them: of user code a dump that was given away may keep only
    /// where it was.
    fn read_registers(&mut self, address: VirtAddr) -> Result<Option<(Registers, bool)>, Problem> {
        let mut bytes = [0; USER_PT_REGS_SIZE];
        let Err(problem) = self.memory.read(address, &mut bytes) else {
            return Ok(Registers::from_user_pt_regs(&bytes).map(|registers| (registers, true)));
        };
        bytes.fill(0);
        let place = bytes.get_mut(GENERAL_SIZE..).unwrap_or_default();
        if self.memory.read(address.wrapping_add(GENERAL_SIZE as u64), place).is_err() {
            return Err(problem);
        }
        let registers = Registers::from_user_pt_regs(&bytes).filter(Registers::user_mode).ok_or(problem)?;
        Ok(Some((registers, false)))
    }

    fn by_call_frame(&mut self, from: &Cursor) -> Option<Cursor> {
        if from.is_lost() {
            return None;
        }
        let row = self.machine.cfi(lookup_pc(from.pc, from.exact))?;
        let base = match row.cfa_from_bp {
            true => from.fp,
            false if from.sp_known => from.sp,
            false => return None,
        };
        let at = |base: VirtAddr, offset: i64| base.wrapping_add(offset.cast_unsigned());
        let cfa = at(base, row.cfa_offset);
        let pc = match row.return_address {
            Some(offset) => self.memory.word(at(cfa, offset)).ok()?,
            None => from.lr?.get(),
        };
        let fp = match row.saved_bp {
            Some(offset) => VirtAddr::new(self.memory.word(at(cfa, offset)).ok()?),
            None => from.fp,
        };
        let found = self.returned_to(pc, fp, Some(cfa));
        self.is_return_address(found).then_some(Cursor {
            sp: cfa,
            sp_known: true,
            fp,
            trust: Trust::Cfi,
            ..Cursor::after(found, from)
        })
    }

    /// The caller of interrupted code that has no frame record: it has called nothing yet, or never will.
    fn by_link_register(&self, from: &Cursor, record: Option<(u64, u64)>) -> Option<Cursor> {
        let found = self.returned_to(from.lr?.get(), from.fp, from.sp_known.then_some(from.sp));
        let link = self.code(from.lr?.get());
        // A link into the function itself was left by a call that has returned: so it has a record. Where the innermost
        // record has the same link, it is this function's own.
        let recorded = record.filter(|&(_, saved)| self.code(saved) == link);
        let is_own = match recorded {
            // A tracer's is that of many functions: it is this one's where nothing tells the two apart.
            Some((fp, saved)) if found.tracer.is_some() => {
                found.is_lost() || self.returned_to(saved, VirtAddr::new(fp), None).pc == found.pc
            }
            recorded => recorded.is_some() || self.machine.is_same_function(link.wrapping_sub(1), from.pc),
        };
        (!is_own && self.is_return_address(found))
            .then_some(Cursor { trust: Trust::FramePointer, ..Cursor::after(found, from) })
    }

    fn is_first(&self, from: &Cursor) -> bool {
        self.machine.is_first(lookup_pc(from.pc, from.exact))
    }

    /// The frame record at `fp`.
    fn record(&mut self, fp: VirtAddr) -> Result<(u64, u64), Problem> {
        Ok((self.memory.word(fp)?, self.memory.word(fp.wrapping_add(8))?))
    }

    /// A code address without its authentication code.
    fn code(&self, address: u64) -> VirtAddr {
        let mask = self.machine.pac_mask() & !HALF;
        VirtAddr::new(if address & HALF == 0 { address & !mask } else { address | mask })
    }

    /// The return address `address` of a function whose caller has this frame pointer and, when it called, this stack pointer.
    fn returned_to(&self, address: u64, fp: VirtAddr, sp: Option<VirtAddr>) -> Return {
        let found = self.memory.tracers.undo(self.machine, self.code(address), [Some(fp), sp], true);
        // What was replaced may have a code, too.
        if found.is_lost() { found } else { Return { pc: self.code(found.pc.get()), ..found } }
    }

    fn is_return_address(&self, found: Return) -> bool {
        let Return { pc, .. } = found;
        found.is_lost() || pc.get().is_multiple_of(4) && self.machine.is_text(pc.wrapping_sub(4))
    }

    /// Whether a walk that goes on so comes to an end: upwards on one stack, and from the task's stack to no other.
    fn advances(&self, from: &Cursor, stack: Option<StackRange>, to: &Cursor) -> bool {
        // Interrupted code without a frame has its caller's stack pointer.
        let is_above = to.sp > from.sp || to.sp == from.sp && from.exact && (!to.exact || to.is_lost());
        match stack {
            Some(stack) if stack.contains(to.sp) => is_above,
            Some(stack) if stack.segment == Segment::Task => self.machine.stack(to.sp).is_none() && is_above,
            Some(_) => true,
            None => is_above || self.machine.stack(to.sp).is_some(),
        }
    }
}

#[cfg(test)]
mod tests;
