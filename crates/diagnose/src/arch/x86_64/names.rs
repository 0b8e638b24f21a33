//! Entry code of exceptions: named `asm_exc_…` since 5.8, after the exception before.
//!
//! Source: `arch/x86/entry/entry_64.S`, `arch/x86/include/asm/idtentry.h`.

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

pub(crate) fn is_page_fault_entry(symbol: &str) -> bool {
    PAGE_FAULT_ENTRY.contains(&base_name(symbol))
}

/// Entry code with the name of an exception of something that comes from outside: NMIs, machine checks, interrupts of Xen.
const FROM_OUTSIDE: [&str; 4] =
    ["asm_exc_nmi", "asm_exc_machine_check", "asm_exc_xen_hypervisor_callback", "asm_exc_xennmi"];

/// Whether a function is the entry code of an exception that code causes: of no interrupt, nor of an NMI.
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

/// Whether a function is the entry code of an interrupt, but not of the one with which a CPU is stopped.
pub(crate) fn is_interrupt_entry(function: &str) -> bool {
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
    fn the_entry_is_not_its_handler() {
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
