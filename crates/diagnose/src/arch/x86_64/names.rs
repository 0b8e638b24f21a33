//! Entry code of exceptions: named `asm_exc_…` since 5.8, after the exception before, and one for all where CPUs have FRED.
//!
//! Source: `arch/x86/entry/entry_64.S`, `arch/x86/include/asm/idtentry.h`.

use super::fred::{Event, served};
use crate::names::base_name;

/// `asm_exc_page_fault` since 5.8, before that `page_fault` and, in guests of KVM, `async_page_fault`.
const PAGE_FAULT_ENTRY: [&str; 3] = ["asm_exc_page_fault", "page_fault", "async_page_fault"];

const OLD_ENTRIES: [&str; 7] = [
    "page_fault",
    "async_page_fault",
    "general_protection",
    "invalid_op",
    "divide_error",
    "stack_segment",
    "double_fault",
];

/// Whether the exception with this entry code, which called the functions that follow, from the outermost on, is a page fault.
pub(crate) fn is_page_fault<'f>(entry: &str, inwards: impl Iterator<Item = &'f str>) -> bool {
    PAGE_FAULT_ENTRY.contains(&base_name(entry))
        || served(entry, inwards).is_some_and(|(event, _)| event == Event::PageFault)
}

/// Entry code with the name of an exception of something that comes from outside: NMIs, machine checks, interrupts of Xen.
const FROM_OUTSIDE: [&str; 4] =
    ["asm_exc_nmi", "asm_exc_machine_check", "asm_exc_xen_hypervisor_callback", "asm_exc_xennmi"];

/// Whether what came in by this entry code, which called the functions that follow, is an exception that code causes.
pub(crate) fn is_exception<'f>(entry: &str, inwards: impl Iterator<Item = &'f str>) -> bool {
    let caused = |event| matches!(event, Event::PageFault | Event::Exception);
    is_exception_entry(entry) || served(entry, inwards).is_some_and(|(event, _)| caused(event))
}

/// Whether a function is the entry code of exceptions that code causes, and of nothing else: of no interrupt, nor of an NMI.
pub(crate) fn is_exception_entry(function: &str) -> bool {
    let from_outside = FROM_OUTSIDE.iter().any(|start| function.starts_with(start));
    function.starts_with("asm_exc_") && !from_outside || OLD_ENTRIES.contains(&function)
}

/// Entry code of interrupts before 5.8; of those of devices also the label behind the call of `do_IRQ()`.
const OLD_INTERRUPTS: [&str; 8] = [
    "apic_timer_interrupt",
    "common_interrupt",
    "ret_from_intr",
    "reschedule_interrupt",
    "call_function_interrupt",
    "call_function_single_interrupt",
    "irq_work_interrupt",
    "x86_platform_ipi",
];

/// Whether what came in by this entry code, which called the functions that follow, is an interrupt, but not the one with which a CPU
/// is stopped.
pub(crate) fn is_interrupt<'f>(entry: &str, inwards: impl Iterator<Item = &'f str>) -> bool {
    is_interrupt_entry(entry) || served(entry, inwards).is_some_and(|(event, _)| event == Event::Interrupt)
}

/// The same by the entry code alone.
fn is_interrupt_entry(function: &str) -> bool {
    let function = base_name(function);
    let is_new = function.starts_with("asm_sysvec_") && function != "asm_sysvec_reboot";
    is_new || function == "asm_common_interrupt" || OLD_INTERRUPTS.contains(&function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stops_a_cpu_is_no_interrupt_of_its_own() {
        assert!(is_interrupt_entry("asm_sysvec_apic_timer_interrupt") && is_interrupt_entry("apic_timer_interrupt"));
        assert!(is_interrupt_entry("asm_common_interrupt") && is_interrupt_entry("ret_from_intr"));
        for other in ["asm_sysvec_reboot", "asm_exc_nmi", "asm_exc_page_fault", "sysvec_apic_timer_interrupt"] {
            assert!(!is_interrupt_entry(other), "{other}");
        }
    }

    #[test]
    fn what_came_in_by_fred_is_what_its_entry_calls() {
        let of = |function: &'static str| {
            let entry = "asm_fred_entrypoint_kernel";
            let inwards = || [function].into_iter();
            [is_page_fault(entry, inwards()), is_exception(entry, inwards()), is_interrupt(entry, inwards())]
        };
        assert_eq!(of("exc_page_fault"), [true, true, false]);
        assert_eq!(of("exc_general_protection"), [false, true, false]);
        assert_eq!(of("fred_sysvec_reschedule_ipi"), [false, false, true]);
        for other in ["fred_exc_nmi", "fred_exc_machine_check", "fred_sysvec_reboot", "do_syscall_64", "driver_read"] {
            assert_eq!(of(other), [false; 3], "{other}");
        }
    }

    #[test]
    fn the_entry_is_not_its_handler() {
        let is_page_fault_entry = |entry| is_page_fault(entry, std::iter::empty());
        assert!(is_page_fault_entry("asm_exc_page_fault"));
        assert!(!is_page_fault_entry("exc_page_fault"));
        assert!(is_exception_entry("asm_exc_page_fault") && is_exception_entry("invalid_op"));
        for from_outside in
            ["asm_exc_nmi", "asm_exc_nmi_kvm_vmx", "asm_exc_machine_check", "asm_exc_xen_hypervisor_callback"]
        {
            assert!(!is_exception_entry(from_outside), "{from_outside}");
        }
    }
}
