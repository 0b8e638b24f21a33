//! An exception in kernel code that it did not survive: which function, which instruction, which address.
//!
//! The address that a page fault was about is not saved with its registers; the operand of the faulting instruction gives
//! it, and the log says it too.
//!
//! Control: exceptions that are only on the way, such as a page fault that the kernel was handling, have no dying
//! function on top of them.

use vmcore_console::{Kind, Occurrence, PanicReason, is_page_fault_report};

use super::panic::message_evidence;
use super::{Context, Found};
use crate::describe::died_on;
use crate::exception::{self, location};
use crate::{Confidence, Evidence, Facts, Finding, Issue, Value};

/// The exception that the kernel died of.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let facts = context.facts;
    if facts.death() != Some(PanicReason::Oops) {
        return Found::default();
    }
    let message = facts.state.panic.message.clone().unwrap_or_default();
    let said = report(facts);
    let what = said.map_or_else(|| message.clone(), |said| said.event.text.trim_end().to_owned());
    let mut evidence = vec![message_evidence(facts, &message)];
    if said.is_some() {
        evidence.push(Evidence::new("kernel log", "what was wrong").value(Value::Text(what.clone())));
    }
    let exception = exception::of_death(facts);
    let mut at = exception.as_ref().and_then(|exception| exception.frame).map(location);
    let mut address = String::new();
    match &exception {
        Some(exception) => {
            evidence.push(exception.registers_evidence(context.reader));
            if let Some((fact, text)) = exception.faulting_address(context.reader, is_page_fault_report(&what)) {
                evidence.push(fact);
                address = text;
            }
        }
        None => {
            at = said.and_then(|said| said.event.function.as_ref()).and_then(|function| function.symbol.clone());
            evidence.extend(at.clone().map(|at| Evidence::new("kernel log", "where it was").value(Value::Text(at))));
        }
    }
    let in_function = at.map(|location| format!(" in {location}")).unwrap_or_default();
    let summary = format!("the kernel ran into an exception{in_function}{}{address}: {what}", died_on(facts));
    let confidence = if exception.is_some() { Confidence::Confirmed } else { Confidence::Probable };
    Finding::new(Issue::Oops, confidence, summary, evidence).from_log(true).into()
}

/// The report of the exception that the kernel died of: the last one before it panicked.
fn report<'f>(facts: &'f Facts<'_>) -> Option<&'f Occurrence> {
    let end = facts.reports.panic().map_or(u64::MAX, |panic| panic.line);
    facts.reports_of(Kind::Oops).rfind(|known| known.line <= end)
}
