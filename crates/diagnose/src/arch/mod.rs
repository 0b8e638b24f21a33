//! What a judgement needs to know of a machine architecture: which addresses an instruction touches, how the entry code of
//! exceptions is named, where the flags say that interrupts are off and the scheduler that it asks for a CPU.
//!
//! Detectors ask [`crate::operand`], [`crate::exception`], [`crate::interrupts`] and the functions here, which choose by the registers
//! at hand or by the reader's machine.

pub(crate) mod arm64;
pub(crate) mod x86_64;

use vmcore_kernel::{Cpu, StackFrame, Task};
use vmcore_memory::{Architecture, Registers, VirtAddr};

use crate::{Evidence, Reader};

/// How evidence names the register that holds the interrupted instruction's address.
pub(crate) struct PcNames {
    /// The member of `struct pt_regs`.
    pub(crate) member: &'static str,
    /// The register itself.
    pub(crate) register: &'static str,
}

/// Where a machine says that interrupts are off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InterruptFlag {
    /// The member of `struct pt_regs`, and where it lies there, in bytes.
    pub(crate) member: &'static str,
    pub(crate) offset: u64,
    /// The bit.
    pub(crate) bit: u64,
    /// Whether interrupts are off where the bit is set.
    pub(crate) off_where_set: bool,
    /// That they are off, in words.
    pub(crate) off: &'static str,
}

/// The flags of a CPU, and which of them is about interrupts.
pub(crate) const fn interrupt_flag(registers: &Registers) -> (u64, &'static InterruptFlag) {
    match registers {
        Registers::X86_64(registers) => (registers.eflags, &x86_64::INTERRUPTS),
        Registers::Arm64(registers) => (registers.pstate, &arm64::INTERRUPTS),
    }
}

/// How the program counter is named.
pub(crate) const fn pc_names(registers: &Registers) -> PcNames {
    match registers {
        Registers::X86_64(_) => PcNames { member: "ip", register: "RIP" },
        Registers::Arm64(_) => PcNames { member: "pc", register: "PC" },
    }
}

/// The entry code, which is the last of these frames, and the functions that follow it inwards.
fn entry(frames: &[StackFrame]) -> Option<(&str, impl Iterator<Item = &str> + Clone)> {
    let entry = frames.last().and_then(StackFrame::function)?;
    Some((entry, frames.iter().rev().skip(1).filter_map(StackFrame::function)))
}

/// Whether an exception is a page fault, by the frames from the innermost to the entry code, which is the last of them.
pub(crate) fn is_page_fault(frames: &[StackFrame]) -> bool {
    entry(frames).is_some_and(|(entry, inwards)| is_page_fault_at(entry, inwards))
}

/// The same, by the entry code and the functions that follow it inwards.
pub(crate) fn is_page_fault_at<'f>(entry: &str, inwards: impl Iterator<Item = &'f str> + Clone) -> bool {
    x86_64::is_page_fault(entry, inwards.clone()) || arm64::is_page_fault(entry, inwards)
}

/// Whether an exception is a page fault that user code took, by the same frames.
pub(crate) fn is_page_fault_of_user_code(frames: &[StackFrame]) -> bool {
    entry(frames).is_some_and(|(entry, inwards)| {
        x86_64::is_page_fault(entry, inwards.clone()) || arm64::is_page_fault_of_user_code(entry, inwards)
    })
}

/// Whether what these frames serve is an exception that kernel code caused: no interrupt, nor an NMI.
pub(crate) fn is_exception(frames: &[StackFrame]) -> bool {
    entry(frames)
        .is_some_and(|(entry, inwards)| x86_64::is_exception(entry, inwards) || arm64::is_exception_entry(entry))
}

/// The same of one that user code caused, system calls of arm64 among them.
pub(crate) fn is_exception_of_user_code(frames: &[StackFrame]) -> bool {
    let is_exception = |entry, inwards| x86_64::is_exception(entry, inwards) || arm64::is_exception_of_user_code(entry);
    entry(frames).is_some_and(|(entry, inwards)| is_exception(entry, inwards))
}

/// Whether what these frames serve is an interrupt that came over user code, but not the one with which a CPU is stopped.
pub(crate) fn is_interrupt_of_user_code(frames: &[StackFrame]) -> bool {
    let is_interrupt = |entry, inwards| x86_64::is_interrupt(entry, inwards) || arm64::is_interrupt_of_user_code(entry);
    entry(frames).is_some_and(|(entry, inwards)| is_interrupt(entry, inwards))
}

/// A frame's return address as it lies on the stack: where that is, if it is known, and the word there.
pub(crate) fn return_address(
    reader: &dyn Reader,
    frames: &[StackFrame],
    index: usize,
) -> Option<(Option<VirtAddr>, u64)> {
    let frame = frames.get(index)?;
    if frame.exact {
        return Some((None, frame.pc.get()));
    }
    Some(match reader.architecture() {
        // A call pushes it just below where RSP is after the return.
        Architecture::X86_64 => (Some(frame.sp.wrapping_sub(8)), frame.pc.get()),
        Architecture::Arm64 => arm64::return_address(reader, frames.get(index.checked_sub(1)?)?, frame),
    })
}

/// Whether the scheduler asks for a CPU, whose current task this is; `None` where that cannot be read.
pub(crate) fn asked_for_cpu(reader: &dyn Reader, cpu: &Cpu, task: &Task) -> Option<(bool, Evidence)> {
    match reader.architecture() {
        Architecture::X86_64 => x86_64::asked_for_cpu(reader, cpu),
        Architecture::Arm64 => arm64::asked_for_cpu(reader, task),
    }
}
