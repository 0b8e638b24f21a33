//! The exception that a kernel died of, by the stack of the CPU that panicked.
//!
//! Where it is on the stack: `exception_frame.rs`.

use vmcore_kernel::StackFrame;
use vmcore_memory::VirtAddr;

use crate::access::read_code;
use crate::arch::{is_page_fault_at, pc_names};
use crate::evidence::member;
use crate::exception_frame::Exception;
pub use crate::exception_frame::is_exception_entry;
use crate::facts::derived;
use crate::operand::{disassemble, memory_accesses};
use crate::{Evidence, Facts, Reader, Value};

/// An access below this is through a NULL pointer: nothing is ever mapped there.
const NULL_PAGE: u64 = 4096;

/// Whether functions, from the outermost on, begin with the entry code of a page fault that kernel code takes.
#[must_use]
pub fn begins_with_page_fault<'f>(mut functions: impl Iterator<Item = &'f str> + Clone) -> bool {
    functions.next().is_some_and(|entry| is_page_fault_at(entry, functions))
}

/// The exception of the CPU that panicked.
pub(crate) fn of_death<'f>(facts: &'f Facts<'_>) -> Option<Exception<'f>> {
    derived::exception(facts)
}

/// Whether the exception is the one that sysrq-c causes on purpose, up to 5.9 (kernel commit 8341f2f222d7).
pub(crate) fn by_sysrq(facts: &Facts<'_>) -> bool {
    of_death(facts).is_some_and(|exception| exception.is_by_sysrq())
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
