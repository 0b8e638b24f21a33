//! An exception in kernel code that it did not survive: which function, which instruction, which address.
//!
//! The exception's registers lie on the stack of the CPU that died, below `die()` and `panic()`. The address that a page
//! fault was about is not saved with them; the operand of the faulting instruction gives it, and the log says it too.
//!
//! Control: exceptions that are only on the way, such as a page fault that the kernel was handling, have no dying
//! function on top of them.

use vmcore_kernel::{Interrupt, Stack, StackFrame};
use vmcore_memory::VirtAddr;

use super::Neighbour;
use super::panic::{Death, message_evidence, place};
use crate::fault::{PT_REGS_IP, read_code};
use crate::names::base_name;
use crate::operand::{disassemble, memory_accesses};
use crate::{Confidence, Evidence, Facts, Finding, Place, Reader, Severity, Value, issue};

/// Entry code of exceptions: named `asm_exc_…` since 5.8, after the exception before.
const OLD_ENTRIES: [&str; 7] = [
    "page_fault",
    "async_page_fault",
    "general_protection",
    "invalid_op",
    "divide_error",
    "stack_segment",
    "double_fault",
];
/// Functions that end a kernel after an exception.
const DYING: [&str; 9] =
    ["oops_end", "die", "__die", "die_addr", "page_fault_oops", "no_context", "panic", "crash_kexec", "__crash_kexec"];
/// As many lines above an oops's number are searched for what it was.
const HEADLINE_DISTANCE: usize = 16;
/// An access below this is through a NULL pointer: nothing is ever mapped there.
const NULL_PAGE: u64 = 4096;

struct Exception<'f> {
    interrupt: &'f Interrupt,
    entry: &'f str,
    frame: Option<&'f StackFrame>,
}

/// The exception that the kernel died of.
pub(crate) fn detect(facts: &Facts<'_>, reader: &dyn Reader) -> Option<Neighbour> {
    if Death::of(facts) != Death::Oops {
        return None;
    }
    let message = facts.state.panic.message.clone().unwrap_or_default();
    let headline = headline(facts);
    let what = headline.clone().unwrap_or_else(|| message.clone());
    let mut evidence = vec![message_evidence(facts, &message)];
    let lines = ["RIP: "].iter().filter_map(|begin| facts.log.iter().rev().find(|line| line.text.starts_with(begin)));
    let stack = facts.state.panic.cpu.and_then(|cpu| facts.running_on(cpu));
    let exception = stack.and_then(exception);
    let location = exception.as_ref().and_then(|exception| exception.frame).map(location);
    let in_function = location.map(|location| format!(" in {location}")).unwrap_or_default();
    if let Some(headline) = &headline {
        evidence.push(Evidence::new("kernel log", "what was wrong").value(Value::Text(headline.clone())));
    }
    let mut address = String::new();
    match &exception {
        Some(exception) => {
            evidence.push(registers(exception));
            let (fact, text) = faulting_address(exception, reader);
            evidence.extend(fact);
            address = text;
        }
        None => evidence.extend(
            lines.map(|line| Evidence::new("kernel log", "where it was").value(Value::Text(line.text.clone()))),
        ),
    }
    let summary = format!("the kernel ran into an exception{in_function}{}{address}: {what}", place(facts));
    let confidence = if exception.is_some() { Confidence::Confirmed } else { Confidence::Probable };
    Some((confidence, Finding { id: issue::OOPS, severity: Severity::Critical, summary, evidence }))
}

/// Whether the exception is the one that sysrq-c causes on purpose, up to 5.9 (kernel commit 8341f2f222d7).
pub(crate) fn by_sysrq(facts: &Facts<'_>) -> bool {
    let stack = facts.state.panic.cpu.and_then(|cpu| facts.running_on(cpu));
    let frame = stack.and_then(exception).and_then(|exception| exception.frame);
    frame.and_then(StackFrame::function).is_some_and(|function| base_name(function) == "sysrq_handle_crash")
}

/// The outermost exception in kernel mode on top of which the kernel dies.
fn exception(stack: &Stack) -> Option<Exception<'_>> {
    let kernel = stack.interrupts.iter().rev().filter(|interrupt| !interrupt.registers.user_mode());
    let found = kernel.filter_map(|interrupt| {
        let entry = stack.frames.get(interrupt.frame.checked_sub(1)?)?.function()?;
        let above = stack.frames.get(..interrupt.frame)?;
        let dying = |frame: &StackFrame| frame.function().is_some_and(|name| DYING.contains(&base_name(name)));
        let is_exception = entry.starts_with("asm_exc_") && entry != "asm_exc_nmi" || OLD_ENTRIES.contains(&entry);
        let frame = stack.frames.get(interrupt.frame);
        (is_exception && above.iter().any(dying)).then_some(Exception { interrupt, entry, frame })
    });
    found.into_iter().next()
}

fn location(frame: &StackFrame) -> String {
    let Some(symbol) = &frame.location.symbol else { return format!("code at {}", frame.pc) };
    let module = symbol.module.as_ref().map(|module| format!(" [{module}]")).unwrap_or_default();
    format!("{}+{:#x}{module}", symbol.name, symbol.offset)
}

fn registers(exception: &Exception<'_>) -> Evidence {
    let at = exception.interrupt.address.wrapping_add(PT_REGS_IP);
    let function = exception.frame.map(location).unwrap_or_default();
    Evidence::new("pt_regs.ip", format!("{} taken in {function}; its registers are saved here", exception.entry))
        .at(Place::Kernel(at))
        .value(Value::Hex(exception.interrupt.registers.rip))
}

/// For a page fault: the address that the instruction touched and that is not mapped.
fn faulting_address(exception: &Exception<'_>, reader: &dyn Reader) -> (Option<Evidence>, String) {
    let registers = &exception.interrupt.registers;
    if !exception.entry.ends_with("page_fault") || !exception.interrupt.complete {
        return (None, String::new());
    }
    let code = read_code(reader, registers.pc());
    let is_readable = |address: VirtAddr| address.is_kernel_half() && reader.read(address, &mut [0]).is_ok();
    let Some(access) = memory_accesses(&code, registers).into_iter().find(|access| !is_readable(access.address)) else {
        return (None, String::new());
    };
    let instruction = disassemble(&code, registers.rip).unwrap_or_default();
    let how = if access.write { "writes" } else { "reads" };
    let is_null = access.address.get() < NULL_PAGE;
    let kind = if is_null { "a NULL pointer plus the offset of a member" } else { "an address that is not mapped" };
    let meaning = format!("what `{instruction}` {how}, by its operand and the saved registers: {kind}");
    let through = if is_null { " through a NULL pointer" } else { "" };
    let fact = Evidence::new("faulting address", meaning).value(Value::Hex(access.address.get()));
    (Some(fact), format!(", which {how} {}{through}", access.address))
}

/// The line that says what was wrong, above the one with the oops's number.
fn headline(facts: &Facts<'_>) -> Option<String> {
    let begins = ["BUG: ", "kernel BUG at ", "Oops: ", "general protection fault", "divide error", "invalid opcode"];
    let skipped = ["BUG: soft lockup", "BUG: workqueue lockup", "BUG: scheduling while atomic"];
    let is_one = |text: &str| {
        begins.iter().any(|begin| text.starts_with(begin)) && !skipped.iter().any(|begin| text.starts_with(begin))
    };
    let oops = facts.log.iter().rposition(|line| line.text.contains("[#1]"));
    let until = oops.map_or(facts.log.len(), |at| at.saturating_add(1));
    let before = facts.log.get(..until)?;
    let found = before.iter().skip(before.len().saturating_sub(HEADLINE_DISTANCE)).find(|line| is_one(&line.text));
    found.map(|line| line.text.trim_end().to_owned())
}
