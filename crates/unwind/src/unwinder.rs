//! The walk itself: from one frame to the next until the user boundary, the thread's entry, or a reason to stop.

mod no_caller;

use vmcore_memory::{
    VirtAddr,
    arch::x86_64::{PT_REGS_SIZE, Registers},
};

use crate::arch::x86_64::fallback;
use crate::{
    End, Frame, Interrupt, MAX_FRAMES, Machine, Problem, Segment, StackRange, Start, Trust, Unwound,
    frame::lookup_pc,
    orc::{Base, FramePointer, Kind, OrcEntry},
    stack_memory::StackMemory,
};

/// Offset of `ip` in `struct pt_regs`: where the part begins that the CPU itself pushes.
const IRET_FRAME_OFFSET: u64 = 16 * 8;
/// The one of `orig_ax`.
const ORIG_RAX_OFFSET: u64 = 15 * 8;

/// Walks one stack.
pub struct Unwinder<'a, M: ?Sized> {
    machine: &'a M,
    memory: StackMemory<'a, M>,
}

/// Where the walk stands.
struct Cursor {
    pc: VirtAddr,
    sp: VirtAddr,
    bp: Option<VirtAddr>,
    exact: bool,
    trust: Trust,
    /// What a tracer had put in the place of the return address `pc`; `pc` itself where that is lost.
    tracer: Option<VirtAddr>,
    /// All registers, where this frame was interrupted and they were saved.
    registers: Option<Registers>,
}

/// What one step found.
#[expect(clippy::large_enum_variant, reason = "moved once a frame, never stored")]
enum Step {
    Caller(Cursor),
    User,
    Outermost,
}

/// What is known of a `struct pt_regs`.
enum Saved {
    Whole(Registers),
    /// All but `r15` to `di`.
    NoGeneral(Registers),
    /// What the CPU itself pushes: RIP, CS, RFLAGS, RSP and SS.
    ReturnFrame(Registers),
}

impl<'a, M: Machine + ?Sized> Unwinder<'a, M> {
    /// An unwinder for stacks of `machine`.
    pub fn new(machine: &'a M) -> Self {
        Self { machine, memory: StackMemory::new(machine) }
    }

    /// Walks from `start` outwards. Always ends: frames are capped and each stack is only walked upwards.
    pub fn unwind(&mut self, start: Start) -> Unwound {
        let mut unwound = Unwound { frames: Vec::new(), interrupts: Vec::new(), end: End::Truncated, problem: None };
        if start.registers.user_mode() {
            unwound.end = End::User;
            return unwound;
        }
        let registers = match &start.registers {
            vmcore_memory::Registers::X86_64(registers) => registers,
            vmcore_memory::Registers::Arm64(registers) => {
                let mut walk = crate::arch::arm64::Walk { machine: self.machine, memory: &mut self.memory };
                walk.unwind(registers, start.exact, start.complete, &mut unwound);
                return unwound;
            }
        };
        let mut cursor = Cursor {
            pc: registers.pc(),
            sp: registers.sp(),
            bp: Some(VirtAddr::new(registers.rbp)),
            exact: start.exact,
            trust: Trust::Context,
            tracer: None,
            registers: start.complete.then_some(*registers),
        };
        loop {
            if unwound.frames.len() == MAX_FRAMES {
                unwound.problem.get_or_insert(Problem::TooManyFrames { limit: MAX_FRAMES });
                return unwound;
            }
            let stack = self.machine.stack(cursor.sp);
            unwound.frames.push(frame(&cursor, stack));
            self.memory.tracers.went_on(cursor.tracer, matches!(cursor.trust, Trust::FramePointer | Trust::Scan));
            if cursor.is_lost() {
                unwound.problem.get_or_insert(Problem::Traced { pc: cursor.pc });
            }
            match self.step(&cursor, stack, &mut unwound) {
                Ok(Step::Caller(next)) => cursor = next,
                Ok(Step::User) => {
                    unwound.end = End::User;
                    return unwound;
                }
                Ok(Step::Outermost) => {
                    unwound.end = End::Outermost;
                    return unwound;
                }
                Err(problem) => {
                    unwound.problem.get_or_insert(problem);
                    return unwound;
                }
            }
        }
    }

    /// One step by the tables, or by a fall-back where they do not cover this code or lead nowhere.
    fn step(&mut self, from: &Cursor, stack: Option<StackRange>, unwound: &mut Unwound) -> Result<Step, Problem> {
        if from.is_lost() {
            // What is above is the frame of a caller that is not known.
            let caller = fallback::by_scan(self.machine, &mut self.memory, stack, from.sp, from.bp);
            return found(from, stack, from.sp, caller);
        }
        let lookup = lookup_pc(from.pc, from.exact);
        let entry = match self.machine.orc(lookup) {
            // A call through a bad pointer: nothing ran yet, so only the return address has been pushed.
            None if from.exact && !self.machine.is_text(lookup) => Some(OrcEntry::at_function_entry()),
            // Thunks of indirect calls are marked as code without a caller.
            Some(OrcEntry { kind: Kind::EndOfStack | Kind::Undefined, .. })
                if self.was_just_called(from, stack, lookup) =>
            {
                Some(OrcEntry::at_function_entry())
            }
            entry => entry,
        };
        let Some(entry) = entry else { return self.fall_back(from, stack, unwound) };
        match entry.kind {
            Kind::EndOfStack if self.may_end(from, stack, lookup) => {
                Ok(self.first_user_mode(from, stack, unwound).unwrap_or(Step::Outermost))
            }
            Kind::EndOfStack | Kind::Undefined => self.fall_back(from, stack, unwound),
            Kind::Call | Kind::Regs | Kind::PartialRegs => {
                match self.apply(entry, from, stack, unwound) {
                    Ok(Some(step)) => Ok(step),
                    // The entry needs a register that is not known, or does not lead to code.
                    Ok(None) => self.fall_back(from, stack, unwound),
                    Err(problem) => self.fall_back(from, stack, unwound).map_err(|_| problem),
                }
            }
        }
    }

    /// Applies an entry. `None` where it cannot be applied.
    fn apply(
        &mut self,
        entry: OrcEntry,
        from: &Cursor,
        stack: Option<StackRange>,
        unwound: &mut Unwound,
    ) -> Result<Option<Step>, Problem> {
        let Some(cfa) = self.cfa(entry, from)? else { return Ok(None) };
        match entry.kind {
            Kind::Call => self.call(entry, from, stack, cfa),
            Kind::Regs => self.saved_registers(from, stack, cfa, true, unwound),
            _ => self.saved_registers(from, stack, cfa.wrapping_sub(IRET_FRAME_OFFSET), false, unwound),
        }
    }

    /// The address that the entry's stack rule names.
    fn cfa(&mut self, entry: OrcEntry, from: &Cursor) -> Result<Option<VirtAddr>, Problem> {
        let register = |pick: fn(&Registers) -> u64| from.registers.as_ref().map(|r| VirtAddr::new(pick(r)));
        let base = match entry.sp_base {
            Base::Sp | Base::SpIndirect => Some(from.sp),
            Base::Bp | Base::BpIndirect => from.bp,
            Base::R10 => register(|r| r.r10),
            Base::R13 => register(|r| r.r13),
            Base::Di => register(|r| r.rdi),
            Base::Dx => register(|r| r.rdx),
            Base::Ax => register(|r| r.rax),
            Base::Undefined | Base::PrevSp => None,
        };
        let Some(base) = base else { return Ok(None) };
        Ok(Some(match entry.sp_base {
            Base::BpIndirect => VirtAddr::new(self.memory.word(offset(base, entry.sp_offset))?),
            // Since kernel commit 87ccc826bf1c the word is read first and the offset added to it; before, no compiler
            // output used this rule.
            Base::SpIndirect => offset(VirtAddr::new(self.memory.word(base)?), entry.sp_offset),
            _ => offset(base, entry.sp_offset),
        }))
    }

    fn call(
        &mut self,
        entry: OrcEntry,
        from: &Cursor,
        stack: Option<StackRange>,
        cfa: VirtAddr,
    ) -> Result<Option<Step>, Problem> {
        let found = self.memory.return_address(cfa.wrapping_sub(8))?;
        let pc = found.pc;
        if !self.machine.is_text(pc.wrapping_sub(1)) && !self.machine.is_text(pc) {
            return Ok(None);
        }
        check_advance(self.machine, from, stack, cfa)?;
        let bp = match entry.frame_pointer {
            FramePointer::Unchanged => from.bp,
            FramePointer::FromCfa(by) => self.memory.word(offset(cfa, by)).ok().map(VirtAddr::new),
            FramePointer::FromBp(by) => match from.bp {
                Some(bp) => self.memory.word(offset(bp, by)).ok().map(VirtAddr::new),
                None => None,
            },
        };
        let (exact, tracer) = (entry.signal || found.is_lost(), found.tracer);
        Ok(Some(Step::Caller(Cursor { pc, sp: cfa, bp, exact, trust: Trust::Orc, tracer, registers: None })))
    }

    /// Crosses into interrupted code whose `struct pt_regs` is at `address`.
    fn saved_registers(
        &mut self,
        from: &Cursor,
        stack: Option<StackRange>,
        address: VirtAddr,
        complete: bool,
        unwound: &mut Unwound,
    ) -> Result<Option<Step>, Problem> {
        let Some(saved) = self.read_registers(address, complete)? else { return Ok(None) };
        let (registers, complete, orig_rax) = match (saved, from.registers) {
            (Saved::Whole(registers), _) => (registers, true, Some(registers.orig_rax)),
            (Saved::NoGeneral(registers), _) => (registers, false, Some(registers.orig_rax)),
            // Where the CPU has pushed only its own part, the entry code has not touched the general registers yet, or
            // has restored them already: they are still those of the interrupted code.
            (Saved::ReturnFrame(frame), Some(known)) => (known.with_return_frame(&frame), true, Some(known.orig_rax)),
            (Saved::ReturnFrame(registers), None) => (registers, false, None),
        };
        let interrupt =
            Interrupt { frame: unwound.frames.len(), address, registers: registers.into(), complete, orig_rax };
        if registers.user_mode() {
            unwound.interrupts.push(interrupt);
            return Ok(Some(Step::User));
        }
        // Where the task was interrupted in kernel mode, RSP is a kernel address; RIP may be anything (a bad jump).
        if !registers.sp().is_kernel_half() {
            return Ok(None);
        }
        check_advance(self.machine, from, stack, registers.sp())?;
        unwound.interrupts.push(interrupt);
        Ok(Some(Step::Caller(Cursor {
            pc: registers.pc(),
            sp: registers.sp(),
            bp: if complete { Some(VirtAddr::new(registers.rbp)) } else { from.bp },
            exact: true,
            trust: Trust::Orc,
            tracer: None,
            registers: complete.then_some(registers),
        })))
    }

    /// The registers of a `struct pt_regs`. Of user code the general ones may be missing, where a dump was made to be
    /// given away: the walk ends there without them.
    fn read_registers(&mut self, address: VirtAddr, complete: bool) -> Result<Option<Saved>, Problem> {
        let read = |memory: &mut StackMemory<'a, M>, offset: u64| {
            // Each begins with zeroes: a read that fails may have filled a part.
            let mut bytes = [0; PT_REGS_SIZE];
            let from = usize::try_from(offset).ok().and_then(|offset| bytes.get_mut(offset..));
            from.map_or(Ok(()), |from| memory.read(address.wrapping_add(offset), from))?;
            Ok(Registers::from_pt_regs(&bytes))
        };
        if !complete {
            return Ok(read(&mut self.memory, IRET_FRAME_OFFSET)?.map(Saved::ReturnFrame));
        }
        let problem = match read(&mut self.memory, 0) {
            Ok(whole) => return Ok(whole.map(Saved::Whole)),
            Err(problem) => problem,
        };
        match read(&mut self.memory, ORIG_RAX_OFFSET) {
            Ok(Some(registers)) if registers.user_mode() => Ok(Some(Saved::NoGeneral(registers))),
            _ => Err(problem),
        }
    }

    /// Crosses into interrupted code without a table: entry code has just called a handler, and what is on its stack
    /// looks like the registers that it saved.
    fn registers_by_shape(&mut self, from: &Cursor, stack: Option<StackRange>, unwound: &mut Unwound) -> Option<Step> {
        if from.exact || !self.machine.is_entry(lookup_pc(from.pc, false)) {
            return None;
        }
        let (Saved::Whole(registers) | Saved::NoGeneral(registers)) = self.read_registers(from.sp, true).ok()?? else {
            return None;
        };
        if !fallback::are_saved_registers(self.machine, &registers) {
            return None;
        }
        match self.saved_registers(from, stack, from.sp, true, unwound).ok()?? {
            Step::Caller(interrupted) => Some(Step::Caller(Cursor { trust: Trust::Scan, ..interrupted })),
            step => Some(step),
        }
    }

    fn fall_back(&mut self, from: &Cursor, stack: Option<StackRange>, unwound: &mut Unwound) -> Result<Step, Problem> {
        if let Some(step) = self.registers_by_shape(from, stack, unwound) {
            return Ok(step);
        }
        let Self { machine, memory } = self;
        let (sp, stack) = match fallback::below_irq_stack(*machine, memory, stack, from.sp) {
            Some((sp, below)) => (sp, Some(below)),
            None => (from.sp, stack),
        };
        let pc = lookup_pc(from.pc, from.exact);
        let by_cfi = machine.cfi(pc).and_then(|row| {
            let caller = fallback::by_cfi(*machine, memory, row, sp, from.bp)?;
            stack.is_none_or(|stack| stack.contains(caller.sp)).then_some(caller)
        });
        let caller = by_cfi.or_else(|| {
            let by_frame_pointer = fallback::by_frame_pointer(*machine, memory, stack, sp, from.bp);
            // What did not call this function may have called the one that did: farther in.
            if by_frame_pointer.as_ref().is_some_and(|caller| fallback::led_to(*machine, caller.found.pc, pc)) {
                return by_frame_pointer;
            }
            let below = |stack: StackRange| {
                let caller = by_frame_pointer.as_ref().map(|caller| caller.sp.wrapping_sub(8));
                StackRange { high: caller.map_or(stack.high, |caller| caller.min(stack.high)), ..stack }
            };
            fallback::by_call(*machine, memory, stack.map(below), sp, from.bp, pc)
                .or(by_frame_pointer)
                .or_else(|| fallback::by_scan(*machine, memory, stack, sp, from.bp))
        });
        found(from, stack, sp, caller)
    }
}

impl Cursor {
    /// Whether `pc` is a tracer's, in the place of a return address that is lost.
    fn is_lost(&self) -> bool {
        self.tracer == Some(self.pc)
    }
}

/// The step to a caller that was found without tables; `sp` is where it was looked for.
fn found(
    from: &Cursor,
    stack: Option<StackRange>,
    sp: VirtAddr,
    caller: Option<fallback::Caller>,
) -> Result<Step, Problem> {
    let Some(fallback::Caller { found, sp, bp, trust }) = caller else {
        let is_first = fallback::is_at_the_top(stack, sp);
        return if is_first { Ok(Step::Outermost) } else { Err(Problem::NoCaller { pc: from.pc, sp }) };
    };
    let (pc, exact, tracer) = (found.pc, found.is_lost(), found.tracer);
    Ok(Step::Caller(Cursor { pc, sp, bp, exact, trust, tracer, registers: None }))
}

fn frame(cursor: &Cursor, stack: Option<StackRange>) -> Frame {
    Frame {
        pc: cursor.pc,
        sp: cursor.sp,
        exact: cursor.exact,
        trust: cursor.trust,
        segment: stack.map(|stack| stack.segment),
    }
}

fn offset(base: VirtAddr, by: i16) -> VirtAddr {
    base.wrapping_add(i64::from(by).cast_unsigned())
}

/// Refuses a stack pointer that does not move upwards on the same stack, or that leads from the task's stack to
/// another: interrupts nest only the other way, so a walk that obeys this ends.
fn check_advance<M: Machine + ?Sized>(
    machine: &M,
    from: &Cursor,
    stack: Option<StackRange>,
    to: VirtAddr,
) -> Result<(), Problem> {
    let backwards = Problem::NotAdvancing { pc: from.pc, from: from.sp, to };
    match stack {
        Some(stack) if stack.contains(to) => (to > from.sp).then_some(()).ok_or(backwards),
        Some(stack) if stack.segment == Segment::Task && machine.stack(to).is_some() => Err(backwards),
        Some(_) => Ok(()),
        // Off every known stack only upwards, unless it leads back to a known one.
        None => (to > from.sp || machine.stack(to).is_some()).then_some(()).ok_or(backwards),
    }
}

#[cfg(test)]
mod tests;
