//! Finding a caller without ORC: by DWARF call-frame information, by the call that led here, by frame pointer, else by
//! searching the stack; and, in entry code, which has none of these, by the registers that it saved.
//!
//! A value is taken for a return address only where it points into text just after a call instruction, so that a pushed
//! constant or a function pointer is not taken for one; or where a tracer has replaced one there.

use vmcore_memory::{
    VirtAddr,
    arch::x86_64::{PT_REGS_SIZE, Registers},
};

use crate::{CfiRow, Machine, Segment, StackRange, Trust, replaced::Return, stack_memory::StackMemory};

/// How many words of a stack whose bounds are not known are searched.
const UNKNOWN_STACK_WORDS: u64 = 128;

/// The longest call instruction of interest: `call *disp32(base,index,scale)` with a REX prefix.
const LONGEST_CALL: usize = 8;

/// How many words above the stack pointer are searched for the call that led to a function: kernels are built with a warning
/// of frames of 2048 bytes (`CONFIG_FRAME_WARN`).
const FRAME_WORDS: u64 = 256;

/// `call rel32`.
const DIRECT_CALL: usize = 5;

/// A caller found without tables.
pub(crate) struct Caller {
    pub(crate) found: Return,
    pub(crate) sp: VirtAddr,
    pub(crate) bp: Option<VirtAddr>,
    pub(crate) trust: Trust,
}

/// Applies DWARF call-frame information.
pub(crate) fn by_cfi<M: Machine + ?Sized>(
    machine: &M,
    memory: &mut StackMemory<'_, M>,
    row: CfiRow,
    sp: VirtAddr,
    bp: Option<VirtAddr>,
) -> Option<Caller> {
    let offset = |base: VirtAddr, by: i64| base.wrapping_add(by.cast_unsigned());
    let cfa = offset(if row.cfa_from_bp { bp? } else { sp }, row.cfa_offset);
    let found = memory.return_address(offset(cfa, row.return_address?)).ok()?;
    let caller_bp = match row.saved_bp {
        Some(at) => memory.word(offset(cfa, at)).ok().map(VirtAddr::new),
        None => bp,
    };
    let is_one = found.is_lost() || returns_to(machine, found.pc);
    (cfa > sp && is_one).then_some(Caller { found, sp: cfa, bp: caller_bp, trust: Trust::Cfi })
}

/// The stack that an interrupt was taken on, for a frame that called onto the interrupt stack: its own stack pointer is
/// in the top word of that stack, from which it is taken back after the call. Call-frame information does not say so.
///
/// Source: `arch/x86/include/asm/irq_stack.h`, `call_on_stack()`, since 5.12 (kernel commits a0cfc74d0b00, 951c2a51ae75);
/// `arch/x86/kernel/dumpstack_64.c`, `in_irq_stack()`.
pub(crate) fn below_irq_stack<M: Machine + ?Sized>(
    machine: &M,
    memory: &mut StackMemory<'_, M>,
    stack: Option<StackRange>,
    sp: VirtAddr,
) -> Option<(VirtAddr, StackRange)> {
    let top = stack.filter(|stack| stack.segment == Segment::Irq)?.high.wrapping_sub(8);
    if sp != top {
        return None;
    }
    let below = VirtAddr::new(memory.word(top).ok()?);
    let stack = machine.stack(below).filter(|stack| stack.segment != Segment::Irq)?;
    Some((below, stack))
}

/// Follows RBP: `[bp]` is the caller's RBP, `[bp + 8]` the return address. RBP is a general register in most kernels,
/// so it must lie on the same stack above `sp`.
pub(crate) fn by_frame_pointer<M: Machine + ?Sized>(
    machine: &M,
    memory: &mut StackMemory<'_, M>,
    stack: Option<StackRange>,
    sp: VirtAddr,
    bp: Option<VirtAddr>,
) -> Option<Caller> {
    let (stack, bp) = (stack?, bp?);
    let next = bp.checked_add(16)?;
    if bp < sp || !bp.get().is_multiple_of(8) || !stack.contains(next) {
        return None;
    }
    let found = memory.return_address(bp.wrapping_add(8)).ok()?;
    let caller_bp = VirtAddr::new(memory.word(bp).ok()?);
    let is_one = found.is_lost() || returns_to(machine, found.pc);
    is_one.then_some(Caller { found, sp: next, bp: Some(caller_bp), trust: Trust::FramePointer })
}

/// Finds the call of the function that `pc` is in, in its own frame: the first word above `sp` that a direct call of it has left.
///
/// Where RBP is a general register, or not set yet, following it passes over the caller. So it is in `__crash_kexec()`, in which
/// every CPU of a kdump stands that has called `panic()`: it has no ORC entries (`STACK_FRAME_NON_STANDARD`,
/// `kernel/kexec_core.c`), and RBP is still that of `panic()`.
pub(crate) fn by_call<M: Machine + ?Sized>(
    machine: &M,
    memory: &mut StackMemory<'_, M>,
    stack: Option<StackRange>,
    sp: VirtAddr,
    bp: Option<VirtAddr>,
    pc: VirtAddr,
) -> Option<Caller> {
    let stack = stack?;
    let start = sp.checked_add(7)?.get() & !7;
    let end = stack.high.get().min(start.saturating_add(FRAME_WORDS * 8));
    (start..end).step_by(8).find_map(|at| {
        let found = memory.possible_return(VirtAddr::new(at)).ok()?;
        let sp = VirtAddr::new(at.checked_add(8)?);
        let bp = bp.filter(|&bp| bp >= sp && stack.contains(bp));
        led_to(machine, found.pc, pc).then_some(Caller { found, sp, bp, trust: Trust::Scan })
    })
}

/// Whether a direct call that ends at `caller` led to the function that `pc` is in.
pub(crate) fn led_to<M: Machine + ?Sized>(machine: &M, caller: VirtAddr, pc: VirtAddr) -> bool {
    called_before(machine, caller).is_some_and(|to| to == pc || to < pc && machine.is_same_function(to, pc))
}

/// Selectors of the kernel's and of user code and stacks (`__KERNEL_CS` and so on, `arch/x86/include/asm/segment.h`).
/// SS may be 0 where an interrupt found the kernel in 64-bit mode.
const KERNEL_CODE: u64 = 0x10;
const KERNEL_STACKS: [u64; 2] = [0x18, 0];
const USER_CODE: [u64; 2] = [0x33, 0x23];
const USER_STACK: u64 = 0x2b;
/// Flags: bit 1 is always set, and there are none from bit 22 on.
const ALWAYS_SET: u64 = 1 << 1;
const FLAGS_END: u64 = 1 << 22;

/// Selectors have 16 bits. With FRED the CPU puts more into the rest of their words: into that of CS the level of the stack, into
/// that of SS what has come (`struct fred_cs` and `struct fred_ss`, `arch/x86/include/asm/ptrace.h`).
const SELECTOR: u64 = 0xffff;

/// Whether these may be registers that the CPU and the entry code saved. Five words have to agree, so nothing else on a
/// stack looks like it.
pub(crate) fn are_saved_registers<M: Machine + ?Sized>(machine: &M, registers: &Registers) -> bool {
    let flags = registers.eflags & ALWAYS_SET != 0 && registers.eflags < FLAGS_END;
    let (code, stack) = (registers.cs & SELECTOR, registers.ss & SELECTOR);
    let kernel = || {
        code == KERNEL_CODE
            && KERNEL_STACKS.contains(&stack)
            && registers.sp().is_kernel_half()
            && machine.is_text(registers.pc())
    };
    let user = || {
        USER_CODE.contains(&code)
            && stack == USER_STACK
            && !registers.pc().is_kernel_half()
            && !registers.sp().is_kernel_half()
    };
    flags && (kernel() || user())
}

/// Whether above `sp` is nothing but the place of the registers of user code: a thread's first function has no caller.
pub(crate) fn is_at_the_top(stack: Option<StackRange>, sp: VirtAddr) -> bool {
    stack.filter(|stack| stack.segment == Segment::Task).is_some_and(|stack| {
        stack.high.checked_sub(sp.get()).is_some_and(|left| left.get() <= PT_REGS_SIZE as u64 + TOP_PADDING)
    })
}

/// What a kernel leaves free above the registers of user code, at most (16 with FRED, kernel commit 65c9cc9e2c14), in
/// bytes.
const TOP_PADDING: u64 = 16;

/// Where the direct call leads that ends at `pc`.
fn called_before<M: Machine + ?Sized>(machine: &M, pc: VirtAddr) -> Option<VirtAddr> {
    let start = pc.wrapping_sub(DIRECT_CALL as u64);
    let mut code = [0; DIRECT_CALL];
    if !machine.is_text(start) {
        return None;
    }
    machine.read_virtual(start, &mut code).ok()?;
    let [0xe8, distance @ ..] = code else { return None };
    Some(pc.wrapping_add(i64::from(i32::from_le_bytes(distance)).cast_unsigned()))
}

/// Searches upwards from `sp` for the first plausible return address, to the end of the stack at most. RBP is kept where
/// it points further up the same stack: a callee that did not use it left it to its callers.
pub(crate) fn by_scan<M: Machine + ?Sized>(
    machine: &M,
    memory: &mut StackMemory<'_, M>,
    stack: Option<StackRange>,
    sp: VirtAddr,
    bp: Option<VirtAddr>,
) -> Option<Caller> {
    let start = sp.checked_add(7)?.get() & !7;
    let limit = start.saturating_add(UNKNOWN_STACK_WORDS * 8);
    let end = stack.map_or(limit, |stack| stack.high.get());
    let mut at = start;
    while at < end {
        let found = memory.possible_return(VirtAddr::new(at)).ok()?;
        at = at.checked_add(8)?;
        if !found.is_lost() && returns_to(machine, found.pc) {
            let sp = VirtAddr::new(at);
            let bp = bp.filter(|&bp| bp >= sp && stack.is_some_and(|stack| stack.contains(bp)));
            return Some(Caller { found, sp, bp, trust: Trust::Scan });
        }
    }
    None
}

/// Whether `pc` is in text and a call instruction ends there.
pub(crate) fn returns_to<M: Machine + ?Sized>(machine: &M, pc: VirtAddr) -> bool {
    if !machine.is_text(pc.wrapping_sub(1)) {
        return false;
    }
    let mut code = [0; LONGEST_CALL];
    let start = pc.wrapping_sub(LONGEST_CALL as u64);
    machine.read_virtual(start, &mut code).is_ok() && ends_in_call(&code)
}

/// Whether the bytes end in a near call: `e8 rel32`, or `ff /2` with any addressing form.
fn ends_in_call(code: &[u8]) -> bool {
    let from_end = |distance: usize| code.len().checked_sub(distance).and_then(|at| code.get(at)).copied();
    if from_end(5) == Some(0xe8) {
        return true;
    }
    (2..=7).any(|length| {
        let (Some(0xff), Some(modrm)) = (from_end(length), from_end(length - 1)) else { return false };
        modrm >> 3 & 7 == 2 && operand_length(modrm, from_end(length - 2)) == Some(length)
    })
}

/// The length of an `ff` instruction with this ModRM byte and, where there is one, SIB byte.
fn operand_length(modrm: u8, sib: Option<u8>) -> Option<usize> {
    let (mode, rm) = (modrm >> 6, modrm & 7);
    let has_sib = mode != 3 && rm == 4;
    let displacement = match (mode, rm) {
        (0, 5) => 4,
        (0, 4) if sib? & 7 == 5 => 4,
        (1, _) => 1,
        (2, _) => 4,
        _ => 0,
    };
    Some(2 + usize::from(has_sib) + displacement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_recognized_by_their_last_bytes() {
        for code in [
            &[0x90, 0x90, 0x90, 0xe8, 1, 2, 3, 4][..],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xd0],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0x41, 0xff, 0xd4],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x50, 0x18],
            &[0x90, 0x90, 0xff, 0x15, 1, 2, 3, 4],
            &[0x90, 0xff, 0x14, 0xc5, 1, 2, 3, 4],
            &[0x90, 0x90, 0xff, 0x90, 1, 2, 3, 4],
        ] {
            assert!(ends_in_call(code), "{code:x?}");
        }
    }

    #[test]
    fn other_instructions_are_not_calls() {
        for code in [
            &[0x90; 8][..],
            &[0x90, 0x90, 0x90, 0xe9, 1, 2, 3, 4],
            // `jmp *%rax` and `push (%rax)`
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0xe0],
            &[0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xff, 0x30],
            &[0xff],
            &[],
        ] {
            assert!(!ends_in_call(code), "{code:x?}");
        }
    }
}
