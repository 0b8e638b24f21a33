//! A page fault that kernel code took on a user address, found on a stack; of a real-time task also one that its user code took.
//!
//! The fault is often deep: under a timer interrupt, the watchdog, `panic()` and an NMI. A CPU that faults in a loop may
//! also be caught between two faults, at the very instruction that will fault again.

use std::collections::BTreeSet;

use vmcore_kernel::{Cpu, Interrupt, Segment, Stack, StackFrame, words_between};
use vmcore_memory::{Registers, VirtAddr};

use crate::access::{Access, read_code, read_user_code};
use crate::arch::{is_page_fault, is_page_fault_of_user_code, pc_names};
use crate::evidence::member;
use crate::names::lookup_that_waits;
use crate::operand::{disassemble, general_registers, user_accesses};
use crate::{Evidence, Reader, Value, within_fault};

/// How the fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caught {
    /// In the page-fault handler: the exception is on the stack.
    InHandler,
    /// At the instruction itself, before or after an exception.
    AtInstruction,
    /// Without an exception: kernel code looks an address of its process up as a fault would (`fixup_user_fault()`).
    InLookup,
}

/// An instruction that touches user memory and was interrupted there: the kernel's, or user code's.
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
    /// The instruction could not be read, and these are all user addresses that may be what it touches.
    pub(crate) is_guessed: bool,
    pub(crate) instruction: Option<String>,
}

/// The fault on this stack, if there is one: the outermost that is in its handler, else an instruction about to fault. `cpu` is the one
/// that runs the stack's task; there is none where that task waits for one. `user` is the mm of a task whose user code keeps its CPU,
/// too, as a real-time task's does: then its faults count as well.
pub(crate) fn find(
    stack: &Stack,
    cpu: Option<&Cpu>,
    user: Option<VirtAddr>,
    reader: &dyn Reader,
) -> Option<KernelFault> {
    let counts = |interrupt: &&Interrupt| user.is_some() || !interrupt.registers.user_mode();
    let interrupts = stack.interrupts.iter().rev().filter(counts);
    let faults: Vec<_> = interrupts.filter_map(|interrupt| from_interrupt(stack, interrupt, user, reader)).collect();
    let in_handler = faults.iter().find(|fault| fault.caught == Caught::InHandler);
    let about_to = || faults.iter().find(|fault| !fault.accesses.is_empty());
    let at_instruction = || from_cpu(stack, cpu?, reader);
    in_handler.or_else(about_to).cloned().or_else(at_instruction).or_else(|| in_lookup(stack, cpu, reader))
}

fn from_interrupt(
    stack: &Stack,
    interrupt: &Interrupt,
    user: Option<VirtAddr>,
    reader: &dyn Reader,
) -> Option<KernelFault> {
    let by_user = interrupt.registers.user_mode();
    let is_fault = if by_user { is_page_fault_of_user_code } else { is_page_fault };
    let in_handler = stack.frames.get(..interrupt.frame).is_some_and(is_fault);
    let caught = if in_handler { Caught::InHandler } else { Caught::AtInstruction };
    let pc = interrupt.registers.pc();
    let code = match by_user {
        // What a system call or an interrupt came from took no fault.
        true => read_user_code(reader, user.filter(|_| in_handler)?, pc),
        false => read_code(reader, pc),
    };
    let mut fault = fault(stack, interrupt.frame, caught, interrupt.registers, &code);
    fault.registers_at = Some(interrupt.address);
    if !interrupt.complete {
        // The general registers of a frame that only the CPU pushed are not known, so neither is the operand.
        fault.accesses.clear();
        fault.instruction = None;
    }
    if fault.by_user_code() && fault.instruction.is_none() {
        fault.accesses = at_hand(stack, interrupt, reader);
        fault.is_guessed = true;
    }
    Some(fault)
}

/// The user addresses among the registers of code whose page fault is being handled, and on the stack of the handler, which looks
/// the address up and passes it on.
fn at_hand(stack: &Stack, interrupt: &Interrupt, reader: &dyn Reader) -> Vec<Access> {
    let registers = general_registers(&interrupt.registers).into_iter().map(|(_, value)| value);
    let of_task = |frame: &&StackFrame| frame.segment == Some(Segment::Task);
    let handler = stack.frames.iter().take(interrupt.frame).find(of_task);
    let words =
        handler.map(|frame| words_between(frame.sp, interrupt.address, |at, chunk| reader.read(at, chunk).is_ok()));
    user_addresses(registers.chain(words.into_iter().flatten().map(|(_, word)| word)))
}

/// Those of these words that may be user addresses, each once.
fn user_addresses(words: impl Iterator<Item = u64>) -> Vec<Access> {
    /// Nothing is mapped below (`vm.mmap_min_addr`).
    const LOWEST: u64 = 0x1_0000;
    let known: BTreeSet<_> = words.filter(|&word| word >= LOWEST).map(VirtAddr::new).collect();
    let addresses = known.into_iter().filter(|address| address.get() < 1 << 56);
    addresses.map(|address| Access { address, write: false }).collect()
}

/// A look-up that finds an entry which it has to wait for. Who made it tries again: `futex()` without ever offering the CPU, until the
/// address is there.
fn in_lookup(stack: &Stack, cpu: Option<&Cpu>, reader: &dyn Reader) -> Option<KernelFault> {
    let (waits, looks_up) = lookup_that_waits(&stack.frames)?;
    let is_within = |frame: usize| (waits..=looks_up).contains(&frame);
    if stack.interrupts.iter().any(|interrupt| interrupt.frame != waits && is_within(interrupt.frame)) {
        return None;
    }
    let interrupted = stack.interrupts.iter().filter(|interrupt| interrupt.complete && interrupt.frame <= waits);
    let interrupted = interrupted.map(|interrupt| interrupt.registers).filter(|registers| !registers.user_mode());
    let own = cpu.and_then(|cpu| cpu.registers).map(|known| known.registers);
    let registers: Vec<_> = interrupted.chain(own.filter(|registers| !registers.user_mode())).collect();
    let low = stack.frames.get(waits)?.sp;
    let high = stack.frames.get(looks_up + 2).or_else(|| stack.frames.get(looks_up + 1))?.sp;
    let words = words_between(low, high, |at, chunk| reader.read(at, chunk).is_ok());
    let at_hand = registers.iter().flat_map(general_registers).map(|(_, value)| value);
    let accesses = user_addresses(at_hand.chain(words.into_iter().map(|(_, word)| word)));
    let fault = fault(stack, looks_up, Caught::InLookup, *registers.first()?, &[]);
    Some(KernelFault { accesses, is_guessed: true, instruction: None, ..fault })
}

fn from_cpu(stack: &Stack, cpu: &Cpu, reader: &dyn Reader) -> Option<KernelFault> {
    let registers = cpu.registers.as_ref()?.registers;
    let fault = fault(stack, 0, Caught::AtInstruction, registers, &read_code(reader, registers.pc()));
    (!registers.user_mode() && !fault.accesses.is_empty()).then_some(fault)
}

fn fault(stack: &Stack, frame: usize, caught: Caught, registers: Registers, code: &[u8]) -> KernelFault {
    KernelFault {
        caught,
        frame,
        function: stack.frames.get(frame).and_then(|frame| frame.function()).map(str::to_owned),
        accesses: user_accesses(code, &registers),
        is_guessed: false,
        instruction: disassemble(code, &registers),
        registers,
        registers_at: None,
    }
}

impl KernelFault {
    /// Whether it is one that user code took.
    pub(crate) const fn by_user_code(&self) -> bool {
        self.registers.user_mode()
    }

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
            Caught::InHandler if self.by_user_code() => {
                "page fault taken by user code; its registers are saved here".to_owned()
            }
            Caught::InHandler => format!("page fault taken in kernel mode by {function}; its registers are saved here"),
            Caught::InLookup => {
                format!("{function} looks up a user address as a fault would, and finds an entry to wait for")
            }
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
        if self.is_guessed {
            let whose = match self.caught {
                Caught::InLookup => "registers and the frames of who looks it up",
                _ => {
                    "the registers of the code that faulted, which is not in the dump, and the frames of its fault's handler"
                }
            };
            let meaning = format!("the user address among {whose} whose page is waited for");
            return Evidence::new("faulting address", meaning).value(Value::Hex(access.address.get()));
        }
        let how = if access.write { "writes" } else { "reads" };
        let instruction = self.instruction.as_deref().unwrap_or("the instruction");
        let meaning = format!(
            "the user address that `{instruction}` at {} {how}, by its operand and the saved registers",
            self.registers.pc()
        );
        Evidence::new("faulting address", meaning).value(Value::Hex(access.address.get()))
    }
}
