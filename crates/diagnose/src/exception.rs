//! The exception that a kernel died of, by the stack of the CPU that panicked.
//!
//! Its registers lie on the stack, below `die()` and `panic()`. Where the oops itself started the crash kernel
//! (`crash_kexec(regs)`), what kdump saved for that CPU *are* the registers of the exception, and the stack begins at the
//! faulting instruction, with nothing of the exception above it.

use vmcore_kernel::{Stack, StackFrame};
use vmcore_memory::{Registers, VirtAddr};

use crate::arch::{arm64, is_page_fault, is_page_fault_at, pc_names, x86_64};
use crate::evidence::member;
use crate::names::{base_name, is_dying};
use crate::operand::{disassemble, memory_accesses, read_code};
use crate::{Evidence, Facts, Reader, Value};

/// An access below this is through a NULL pointer: nothing is ever mapped there.
const NULL_PAGE: u64 = 4096;

/// Whether a function is the entry code of an exception that code causes: of no interrupt, nor of an NMI.
#[must_use]
pub fn is_exception_entry(function: &str) -> bool {
    x86_64::is_exception_entry(function) || arm64::is_exception_entry(function)
}

/// Whether functions, from the outermost on, begin with the entry code of a page fault that kernel code takes.
#[must_use]
pub fn begins_with_page_fault<'f>(mut functions: impl Iterator<Item = &'f str>) -> bool {
    functions.next().is_some_and(|entry| is_page_fault_at(entry, functions))
}

/// An exception in kernel code.
pub(crate) struct Exception<'f> {
    registers: Registers,
    /// Where they were saved; `None` where the dump has them in a note.
    at: Option<VirtAddr>,
    /// Whether the general registers are known.
    complete: bool,
    /// The entry code, where it is on the stack, and whether it took a page fault.
    entry: Option<(&'f str, bool)>,
    /// The function in which it was taken.
    pub(crate) frame: Option<&'f StackFrame>,
}

/// The exception of the CPU that panicked.
pub(crate) fn of_death<'f>(facts: &'f Facts<'_>) -> Option<Exception<'f>> {
    let number = facts.state.panic.cpu?;
    let stack = facts.running_on(number)?;
    on_stack(stack).or_else(|| in_note(facts, number, stack))
}

/// Whether the exception is the one that sysrq-c causes on purpose, up to 5.9 (kernel commit 8341f2f222d7).
pub(crate) fn by_sysrq(facts: &Facts<'_>) -> bool {
    let frame = of_death(facts).and_then(|exception| exception.frame);
    frame.and_then(StackFrame::function).is_some_and(|function| base_name(function) == "sysrq_handle_crash")
}

/// The outermost exception in kernel mode on top of which the kernel dies.
fn on_stack(stack: &Stack) -> Option<Exception<'_>> {
    let mut kernel = stack.interrupts.iter().rev().filter(|interrupt| !interrupt.registers.user_mode());
    kernel.find_map(|interrupt| {
        let inwards = stack.frames.get(..interrupt.frame)?;
        let entry = inwards.last()?.function()?;
        (is_exception_entry(entry) && is_dying(inwards)).then(|| Exception {
            registers: interrupt.registers,
            at: Some(interrupt.address),
            complete: interrupt.complete,
            entry: Some((entry, is_page_fault(inwards))),
            frame: stack.frames.get(interrupt.frame),
        })
    })
}

/// The stack begins where the exception was: nothing of how the kernel dies is on it.
fn in_note<'f>(facts: &Facts<'_>, number: u32, stack: &'f Stack) -> Option<Exception<'f>> {
    let known = facts.snapshot.cpu(number)?.registers?;
    let is_note = !known.registers.user_mode();
    let frame = stack.frames.first().filter(|frame| frame.exact && is_note)?;
    let oopsed =
        facts.state.panic.message.as_deref().is_some_and(|message| vmcore_console::panic_message(message).is_none());
    (oopsed && !is_dying(&stack.frames)).then_some(Exception {
        registers: known.registers,
        at: None,
        complete: true,
        entry: None,
        frame: Some(frame),
    })
}

/// `function+0x10 [module]`.
pub(crate) fn location(frame: &StackFrame) -> String {
    let Some(symbol) = &frame.location.symbol else { return format!("code at {}", frame.pc) };
    let module = symbol.module.as_ref().map(|module| format!(" [{module}]")).unwrap_or_default();
    format!("{}+{:#x}{module}", symbol.name, symbol.offset)
}

impl Exception<'_> {
    /// Where it was, and where that is written down.
    pub(crate) fn registers_evidence(&self, reader: &dyn Reader) -> Evidence {
        let function = self.frame.map(location).unwrap_or_default();
        let value = Value::Hex(self.registers.pc().get());
        let names = pc_names(&self.registers);
        match self.at {
            Some(at) => {
                let entry = self.entry.map_or("an exception", |(entry, _)| entry);
                let meaning = format!("{entry} taken in {function}; its registers are saved here");
                member(reader, at, ("pt_regs", names.member), value, meaning)
            }
            None => {
                let meaning =
                    format!("the registers that kdump saved for this CPU are those of the exception, in {function}");
                Evidence::new(format!("NT_PRSTATUS.{}", names.member), meaning).value(value)
            }
        }
    }

    /// The address that the instruction touched and that is not mapped, as evidence and in words. `is_page_fault` is what
    /// the log says, for exceptions whose entry code is not on the stack.
    pub(crate) fn faulting_address(&self, reader: &dyn Reader, is_page_fault: bool) -> Option<(Evidence, String)> {
        let is_page_fault = self.entry.map_or(is_page_fault, |(_, is_page_fault)| is_page_fault);
        if !is_page_fault || !self.complete {
            return None;
        }
        let code = read_code(reader, self.registers.pc());
        let is_readable = |address: VirtAddr| address.is_kernel_half() && reader.read(address, &mut [0]).is_ok();
        let mut accesses = memory_accesses(&code, &self.registers).into_iter();
        let access = accesses.find(|access| !is_readable(access.address))?;
        let instruction = disassemble(&code, &self.registers).unwrap_or_default();
        let how = if access.write { "writes" } else { "reads" };
        let is_null = access.address.get() < NULL_PAGE;
        let kind = if is_null { "a NULL pointer plus the offset of a member" } else { "an address that is not mapped" };
        let meaning = format!("what `{instruction}` {how}, by its operand and the saved registers: {kind}");
        let through = if is_null { " through a NULL pointer" } else { "" };
        let fact = Evidence::new("faulting address", meaning).value(Value::Hex(access.address.get()));
        Some((fact, format!(", which {how} {}{through}", access.address)))
    }
}
