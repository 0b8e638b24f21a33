//! What interrupted code, told by the name of the entry code that saved its registers.
//!
//! Source: `arch/x86/entry/entry_64.S` and `arch/x86/include/asm/idtentry.h`. Since 5.8 entries are called
//! `asm_exc_*` (exceptions), `asm_sysvec_*` (system vectors) and `asm_common_interrupt` (devices); before, they carried
//! the bare name. With FRED there is one entry for all, and what it calls has the name.

use vmcore_diagnose::{fred_handler, is_fred_entry};

/// The kind of what came in by the entry code `entry`, which called the functions that follow, from the outermost on.
pub(super) fn kind_of<'f>(entry: &'f str, inwards: impl Iterator<Item = &'f str>) -> Option<&'f str> {
    if !is_fred_entry(entry) {
        return kind(entry);
    }
    let handler = fred_handler(entry, inwards)?;
    match handler {
        "do_syscall_64" | "do_fast_syscall_32" | "int80_emulation" => Some("syscall"),
        _ => Some(handler.strip_prefix("exc_").unwrap_or(handler)),
    }
}

/// The kind of an exception whose entry code is `handler`; `None` where the name says nothing.
///
/// Page faults, NMIs and system calls have one name for all kernels. Everything else keeps the kernel's own.
fn kind(handler: &str) -> Option<&str> {
    let name = handler.split('.').next().unwrap_or(handler);
    match name {
        "page_fault" | "async_page_fault" | "trace_page_fault" | "asm_exc_page_fault" => return Some("page_fault"),
        // The NMI's registers are copied around its own stack: any of these labels may be the caller.
        "nmi" | "asm_exc_nmi" | "first_nmi" | "repeat_nmi" | "end_repeat_nmi" | "nmi_restore" => return Some("nmi"),
        "int80_emulation" | "asm_int80_emulation" | "entry_INT80_compat" => return Some("syscall"),
        _ => {}
    }
    if name.starts_with("entry_SYSCALL") || name.starts_with("entry_SYSENTER") {
        return Some("syscall");
    }
    if name.starts_with("ret_from_fork") {
        return Some("fork");
    }
    if let Some(exception) = name.strip_prefix("asm_exc_") {
        return Some(exception);
    }
    if let Some(vector) = name.strip_prefix("asm_") {
        return Some(vector);
    }
    is_old_entry(name).then_some(name)
}

/// Entry code of kernels before 5.8, other than what [`kind`] renames.
fn is_old_entry(name: &str) -> bool {
    const EXCEPTIONS: [&str; 19] = [
        "alignment_check",
        "bounds",
        "coprocessor_error",
        "coprocessor_segment_overrun",
        "debug",
        "device_not_available",
        "divide_error",
        "double_fault",
        "general_protection",
        "hypervisor_callback",
        "int3",
        "invalid_TSS",
        "invalid_op",
        "machine_check",
        "overflow",
        "segment_not_present",
        "simd_coprocessor_error",
        "spurious_interrupt_bug",
        "stack_segment",
    ];
    // error_interrupt, apic_timer_interrupt, irq_work_interrupt, common_interrupt, hyperv_callback_vector, ...
    name.ends_with("_interrupt") || name.ends_with("_callback_vector") || EXCEPTIONS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::{kind, kind_of};

    #[test]
    fn one_name_for_all_kernels() {
        for name in ["asm_exc_page_fault", "page_fault", "async_page_fault"] {
            assert_eq!(kind(name), Some("page_fault"));
        }
        for name in ["asm_exc_nmi", "end_repeat_nmi", "nmi"] {
            assert_eq!(kind(name), Some("nmi"));
        }
        for name in ["entry_SYSCALL_64_after_hwframe", "entry_SYSCALL_64", "entry_SYSENTER_compat_after_hwframe"] {
            assert_eq!(kind(name), Some("syscall"));
        }
    }

    #[test]
    fn others_keep_the_kernels_name() {
        assert_eq!(kind("asm_sysvec_apic_timer_interrupt"), Some("sysvec_apic_timer_interrupt"));
        assert_eq!(kind("apic_timer_interrupt"), Some("apic_timer_interrupt"));
        assert_eq!(kind("asm_common_interrupt"), Some("common_interrupt"));
        assert_eq!(kind("asm_exc_general_protection"), Some("general_protection"));
        assert_eq!(kind("general_protection"), Some("general_protection"));
        assert_eq!(kind("ret_from_fork_asm"), Some("fork"));
    }

    #[test]
    fn with_fred_what_the_entry_calls_has_the_name() {
        let kind = |function: &'static str| kind_of("asm_fred_entrypoint_user", [function].into_iter());
        assert_eq!(kind("exc_page_fault"), Some("page_fault"));
        assert_eq!(kind("fred_exc_nmi"), Some("nmi"));
        assert_eq!(kind("do_syscall_64"), Some("syscall"));
        assert_eq!(kind("exc_general_protection"), Some("general_protection"));
        assert_eq!(kind("fred_sysvec_apic_timer_interrupt"), Some("sysvec_apic_timer_interrupt"));
        assert_eq!(kind("common_interrupt"), Some("common_interrupt"));
        assert_eq!(kind("schedule"), None);
        assert_eq!(kind_of("asm_exc_page_fault", ["exc_page_fault"].into_iter()), Some("page_fault"));
    }

    #[test]
    fn what_is_not_known_has_no_kind() {
        assert_eq!(kind("schedule"), None);
        assert_eq!(kind("error_entry"), None);
    }
}
