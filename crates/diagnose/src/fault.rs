//! A page fault that kernel code took on a user address, found on a stack.
//!
//! The fault is often deep: under a timer interrupt, the watchdog, `panic()` and an NMI. A CPU that faults in a loop may
//! also be caught between two faults, at the very instruction that will fault again.

use vmcore_kernel::{Cpu, Interrupt, Stack};
use vmcore_memory::{Registers, VirtAddr};

use crate::access::{Access, read_code};
use crate::arch::{is_page_fault, pc_names};
use crate::evidence::member;
use crate::operand::{disassemble, user_accesses};
use crate::{Evidence, Reader, Value, within_fault};

/// How the fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caught {
    /// In the page-fault handler: the exception is on the stack.
    InHandler,
    /// At the instruction itself, before or after an exception.
    AtInstruction,
}

/// A kernel instruction that touches user memory and was interrupted there.
#[derive(Clone, Debug)]
pub(crate) struct KernelFault {
    pub(crate) caught: Caught,
    /// Index of the interrupted frame.
    pub(crate) frame: usize,
    pub(crate) function: Option<String>,
    pub(crate) registers: Registers,
    /// Where the registers were saved; `None` where they are the CPU's own.
    pub(crate) registers_at: Option<VirtAddr>,
    /// Empty where the instruction could not be read.
    pub(crate) accesses: Vec<Access>,
    pub(crate) instruction: Option<String>,
}

/// The fault on this stack, if there is one: the outermost that is in its handler, else an instruction about to fault. `cpu` is the one
/// that runs the stack's task; there is none where that task waits for one.
pub(crate) fn find(stack: &Stack, cpu: Option<&Cpu>, reader: &dyn Reader) -> Option<KernelFault> {
    let interrupts = stack.interrupts.iter().rev().filter(|interrupt| !interrupt.registers.user_mode());
    let faults: Vec<_> = interrupts.map(|interrupt| from_interrupt(stack, interrupt, reader)).collect();
    let in_handler = faults.iter().find(|fault| fault.caught == Caught::InHandler);
    let about_to = || faults.iter().find(|fault| !fault.accesses.is_empty());
    in_handler.or_else(about_to).cloned().or_else(|| from_cpu(stack, cpu?, reader))
}

fn from_interrupt(stack: &Stack, interrupt: &Interrupt, reader: &dyn Reader) -> KernelFault {
    let in_handler = stack.frames.get(..interrupt.frame).is_some_and(is_page_fault);
    let caught = if in_handler { Caught::InHandler } else { Caught::AtInstruction };
    let mut fault = fault(stack, interrupt.frame, caught, interrupt.registers, Some(interrupt.address), reader);
    if !interrupt.complete {
        // The general registers of a frame that only the CPU pushed are not known, so neither is the operand.
        fault.accesses.clear();
        fault.instruction = None;
    }
    fault
}

fn from_cpu(stack: &Stack, cpu: &Cpu, reader: &dyn Reader) -> Option<KernelFault> {
    let registers = cpu.registers.as_ref()?.registers;
    let fault = fault(stack, 0, Caught::AtInstruction, registers, None, reader);
    (!registers.user_mode() && !fault.accesses.is_empty()).then_some(fault)
}

fn fault(
    stack: &Stack,
    frame: usize,
    caught: Caught,
    registers: Registers,
    registers_at: Option<VirtAddr>,
    reader: &dyn Reader,
) -> KernelFault {
    let code = read_code(reader, registers.pc());
    KernelFault {
        caught,
        frame,
        function: stack.frames.get(frame).and_then(|frame| frame.function()).map(str::to_owned),
        accesses: user_accesses(&code, &registers),
        instruction: disassemble(&code, &registers),
        registers,
        registers_at,
    }
}

impl KernelFault {
    /// Whether the instruction could be read, and no operand of it is in user memory.
    pub(crate) fn touches_no_user_memory(&self) -> bool {
        self.instruction.is_some() && self.accesses.is_empty()
    }

    /// The function within the fault's handler that waits or works, if there is one; not one of an interrupt on top.
    pub(crate) fn waits_in<'s>(&self, stack: &'s Stack) -> Option<&'s str> {
        if self.caught != Caught::InHandler {
            return None;
        }
        let further_in = stack.interrupts.iter().map(|interrupt| interrupt.frame).filter(|&frame| frame < self.frame);
        let handler = stack.frames.get(further_in.max().unwrap_or(0)..self.frame)?;
        within_fault::waits_in(handler.iter().rev().filter_map(|frame| frame.function()))
    }

    /// The fault itself, as evidence.
    pub(crate) fn evidence(&self, reader: &dyn Reader) -> Evidence {
        let function = self.function.as_deref().unwrap_or("unknown code");
        let meaning = match self.caught {
            Caught::InHandler => format!("page fault taken in kernel mode by {function}; its registers are saved here"),
            Caught::AtInstruction => format!("interrupted in {function}, at an instruction that touches user memory"),
        };
        let value = Value::Hex(self.registers.pc().get());
        let names = pc_names(&self.registers);
        match self.registers_at {
            Some(at) => member(reader, at, ("pt_regs", names.member), value, meaning),
            None => Evidence::new(names.register, meaning).value(value),
        }
    }

    /// The address that `access` touches, as evidence.
    pub(crate) fn address_evidence(&self, access: &Access) -> Evidence {
        let how = if access.write { "writes" } else { "reads" };
        let instruction = self.instruction.as_deref().unwrap_or("the instruction");
        let meaning = format!(
            "the user address that `{instruction}` at {} {how}, by its operand and the saved registers",
            self.registers.pc()
        );
        Evidence::new("faulting address", meaning).value(Value::Hex(access.address.get()))
    }
}
