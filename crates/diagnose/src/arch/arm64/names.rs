//! Entry code of exceptions.
//!
//! All exceptions that code at the kernel's own level causes come in through one vector: `el1h_64_sync` since 5.13, `el1_sync`
//! before. What kind it is shows only in what the vector calls: `el1_abort()` (5.6, inline before) and `do_mem_abort()` take
//! a fault of data or code.
//!
//! Source: `arch/arm64/kernel/entry.S`, `entry-common.c`, `arch/arm64/mm/fault.c`.

use crate::names::base_name;

/// The vectors, and the labels in `el1_sync` that it branches to before 5.6 (kernel commit ed3768db588e): symbols are such
/// labels, too.
const SYNC: [&str; 10] = [
    "el1h_64_sync",
    "el1t_64_sync",
    "el1_sync",
    "el1_da",
    "el1_ia",
    "el1_sp_pc",
    "el1_pc",
    "el1_undef",
    "el1_dbg",
    "el1_inv",
];
const ABORT: [&str; 4] = ["do_mem_abort", "el1_abort", "el1_da", "el1_ia"];
/// Entry code of interrupts, which may lie on top of a fault.
const INTERRUPT: [&str; 7] =
    ["el1h_64_irq", "el1h_64_fiq", "el1h_64_error", "el1_irq", "el1_fiq", "el1_error", "call_on_irq_stack"];

/// Whether a function is the entry code of an exception that kernel code causes: of no interrupt.
pub(crate) fn is_exception_entry(function: &str) -> bool {
    SYNC.contains(&base_name(function))
}

/// The vectors of what user code causes, system calls among it: `el0t_64_sync` since 5.13.
const USER_SYNC: [&str; 6] = ["el0t_64_sync", "el0t_32_sync", "el0_sync", "el0_sync_compat", "el0_da", "el0_ia"];

/// Whether a function is the entry code of an exception that user code causes: of no interrupt.
pub(crate) fn is_exception_of_user_code(function: &str) -> bool {
    USER_SYNC.contains(&base_name(function))
}

/// The vectors of interrupts that come over user code: `el0t_64_irq` since 5.13.
const USER_INTERRUPT: [&str; 7] =
    ["el0t_64_irq", "el0t_32_irq", "el0t_64_fiq", "el0t_32_fiq", "el0_irq", "el0_irq_naked", "el0_fiq"];

/// Whether a function is the entry code of an interrupt that came over user code.
pub(crate) fn is_interrupt_of_user_code(function: &str) -> bool {
    USER_INTERRUPT.contains(&base_name(function))
}

/// Whether the exception with this entry code, which called the functions that follow, from the outermost on, is a fault.
pub(crate) fn is_page_fault<'f>(entry: &str, inwards: impl Iterator<Item = &'f str>) -> bool {
    let is_of_this = |function: &&str| !INTERRUPT.contains(function) && !SYNC.contains(function);
    let mut called = inwards.map(base_name).take_while(is_of_this);
    is_exception_entry(entry) && (ABORT.contains(&base_name(entry)) || called.any(|function| ABORT.contains(&function)))
}

/// The same of a fault that user code took.
pub(crate) fn is_page_fault_of_user_code<'f>(entry: &'f str, inwards: impl Iterator<Item = &'f str>) -> bool {
    const ABORT: [&str; 3] = ["do_mem_abort", "el0_da", "el0_ia"];
    let is_of_this = |function: &&str| !INTERRUPT.contains(function) && !SYNC.contains(function);
    let mut called = std::iter::once(base_name(entry)).chain(inwards.map(base_name).take_while(is_of_this));
    is_exception_of_user_code(entry) && called.any(|function| ABORT.contains(&function))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_fault(functions: &[&str]) -> bool {
        let mut outermost_first = functions.iter().rev().copied();
        is_page_fault(outermost_first.next().unwrap(), outermost_first)
    }

    #[test]
    fn a_fault_of_user_code_is_what_its_vector_calls() {
        let is_fault = |functions: &[&str]| {
            let mut outermost_first = functions.iter().rev().copied();
            is_page_fault_of_user_code(outermost_first.next().unwrap(), outermost_first)
        };
        assert!(is_fault(&["handle_mm_fault", "do_mem_abort", "el0_da", "el0t_64_sync_handler", "el0t_64_sync"]));
        assert!(is_fault(&["do_mem_abort", "el0_da"]), "4.19");
        assert!(!is_fault(&["__arm64_sys_read", "el0_svc", "el0t_64_sync_handler", "el0t_64_sync"]));
        assert!(!is_fault(&["do_mem_abort", "el1_abort", "el1h_64_sync", "el0_svc", "el0t_64_sync"]));
        assert!(!is_fault(&["do_mem_abort", "el1_abort", "el1h_64_sync"]));
    }

    #[test]
    fn a_fault_is_what_the_vector_calls() {
        let fault = ["handle_mm_fault", "do_page_fault", "do_translation_fault", "do_mem_abort", "el1_abort"];
        let vector = ["el1h_64_sync_handler", "el1h_64_sync"];
        assert!(is_fault(&[fault.as_slice(), &vector].concat()));
        assert!(is_fault(&["el1_abort", "el1_sync_handler", "el1_sync"]), "5.10");
        assert!(is_fault(&["do_mem_abort", "el1_da"]), "4.19");
        assert!(
            is_fault(&["do_page_fault", "do_translation_fault", "do_mem_abort", "el1_ia"]),
            "4.19, both at one address"
        );
        let bug = ["die", "bug_handler", "call_break_hook", "brk_handler", "do_debug_exception", "el1_dbg"];
        assert!(is_exception_entry("el1_dbg") && !is_fault(&bug), "up to 5.5");
        assert!(!is_fault(&[bug.as_slice(), &["el1_sync_handler", "el1_sync"]].concat()), "5.10");
        assert!(!is_fault(&["do_undefinstr", "el1_undef"]));
        assert!(!is_fault(&["el1h_64_irq"]));
    }

    #[test]
    fn a_fault_that_an_interrupt_takes_is_not_that_of_the_code_below() {
        let inner =
            ["do_mem_abort", "el1_abort", "el1h_64_sync", "timer", "el1h_64_irq", "do_undefinstr", "el1h_64_sync"];
        assert!(!is_fault(&inner));
    }
}
