//! Functions of the kernel that say nothing about a crash.

/// Where the CPU came into the kernel by an exception, interrupt or NMI: what follows in a stack is what it did before.
/// Of x86 names since 5.8 (`asm_`, kernel commit 27d6b4d14f5c), those of FRED, and before; of arm64 since 5.14
/// (`arch/arm64/kernel/entry.S`), and before.
pub(super) fn is_entry(name: &str) -> bool {
    let old = [
        "page_fault",
        "async_page_fault",
        "general_protection",
        "invalid_op",
        "divide_error",
        "apic_timer_interrupt",
        "nmi",
        "end_repeat_nmi",
        "el1h_64_sync",
        "el1h_64_irq",
        "el1h_64_fiq",
        "el1h_64_error",
        "el1_sync",
        "el1_irq",
        "el1_fiq",
        "el1_error",
    ];
    name.starts_with("asm_exc_")
        || name.starts_with("asm_sysvec_")
        || name.starts_with("asm_common_")
        || name.starts_with("asm_fred_entrypoint_kernel")
        || name.starts_with("asm_fred_entry_from_kvm")
        || old.contains(&name)
}

/// Beginnings of names: of reporting, of entry and exit, of what everybody sleeps or spins in.
const PREFIXES: &[&str] = &[
    // Reporting and ending.
    "panic",
    "oops",
    "die",
    "__die",
    "crash_",
    "__crash",
    "machine_kexec",
    "report_bug",
    "handle_bug",
    "dump_stack",
    "show_",
    "__show_",
    "printk",
    "_printk",
    "vprintk",
    "nmi_",
    "watchdog",
    "__warn",
    "warn_slowpath",
    "bust_spinlocks",
    "page_fault_oops",
    "no_context",
    "bad_area",
    "__bad_area",
    "fixup_bug",
    "do_trap",
    "do_error_trap",
    "__stack_chk",
    "__do_kernel_fault",
    "arm64_serror",
    "bug_handler",
    "brk_handler",
    "call_break_hook",
    "unknown_nmi",
    "default_do_nmi",
    "do_nmi",
    "io_check_error",
    "pci_serr_error",
    "mem_parity_error",
    // What a CPU does in a loop that has no end.
    "delay_",
    "__delay",
    "__const_udelay",
    "__udelay",
    // Entry.
    "asm_",
    "fred_",
    "__fred_",
    "exc_",
    "sysvec_",
    "__sysvec_",
    "do_user_addr_fault",
    "do_kern_addr_fault",
    "__do_page_fault",
    "do_page_fault",
    "do_syscall_",
    "do_int80",
    "entry_",
    "x64_sys_call",
    "ret_from_fork",
    "hrtimer_",
    "__hrtimer_",
    "smp_apic",
    "local_apic",
    "irq_",
    "__irq_",
    "common_interrupt",
    "do_softirq",
    "__do_softirq",
    "handle_softirqs",
    "call_on_stack",
    "call_on_irq_stack",
    "vectors",
    "el0_",
    "el0t_",
    "el1_",
    "el1h_",
    "do_el0_",
    "do_el1_",
    "do_mem_abort",
    "do_translation_fault",
    "do_sea",
    "do_alignment_fault",
    "do_debug_exception",
    "do_interrupt_handler",
    "do_notify_resume",
    "invoke_syscall",
    "gic_handle_irq",
    "handle_irq_desc",
    "handle_domain_irq",
    "generic_handle_domain_irq",
    "handle_percpu_devid",
    "arch_timer_handler",
    "do_handle_IPI",
    "handle_IPI",
    "ipi_",
    // Sleeping.
    "schedule",
    "__schedule",
    "io_schedule",
    "preempt_schedule",
    "__preempt",
    "context_switch",
    "__switch_to",
    "wait_for_",
    "__wait_",
    "wait_on_",
    "wait_woken",
    "do_wait_for_",
    "prepare_to_wait",
    "bit_wait",
    "out_of_line_wait",
    "folio_wait_",
    "__folio_lock",
    "__lock_page",
    "lock_page",
    "usleep_range",
    "msleep",
    "smp_call_function",
    "__smp_call_function",
    "csd_lock_wait",
    "__csd_lock_wait",
    "on_each_cpu",
    "synchronize_rcu",
    "__synchronize",
    "synchronize_srcu",
    // Locks.
    "mutex_",
    "__mutex_",
    "rwsem_",
    "down_",
    "__down_",
    "down",
    "up_",
    "rt_mutex_",
    "__rt_mutex",
    "rt_spin_",
    "rtlock_",
    "ww_mutex_",
    "native_queued_",
    "queued_",
    "pv_queued",
    "__pv_",
    "_raw_",
    "__raw_",
    "do_raw_",
    "percpu_down",
    "percpu_rwsem",
    // Threads.
    "kthread",
    "worker_thread",
    "process_one_work",
    "process_scheduled_works",
    "smpboot_thread",
    // Idle.
    "native_halt",
    "native_safe_halt",
    "default_idle",
    "arch_cpu_idle",
    "cpu_startup_entry",
    "do_idle",
    "cpuidle_",
    "start_secondary",
    "start_kernel",
    "rest_init",
    "x86_64_start",
    "secondary_startup",
    "acpi_idle",
    "acpi_safe_halt",
    "mwait_idle",
    "intel_idle",
    "amd_e400_idle",
    "pv_native_safe_halt",
    "stop_this_cpu",
    "local_cpu_stop",
    "cpu_park_loop",
    "cpu_do_idle",
    "native_stop_other",
    // Asking for a crash.
    "sysrq_handle_crash",
    "__handle_sysrq",
    "write_sysrq_trigger",
];

/// Whether a function stands in the stacks of crashes that have nothing to do with each other.
pub(super) fn says_nothing(name: &str) -> bool {
    name.is_empty() || PREFIXES.iter().any(|prefix| matches(name, prefix))
}

/// A prefix with `_` at its end is of many names; any other is a name, or the stem of `name_…`.
fn matches(name: &str, prefix: &str) -> bool {
    let Some(rest) = name.strip_prefix(prefix) else { return false };
    prefix.ends_with('_')
        || rest.is_empty()
        || rest.starts_with('_')
        || rest.starts_with(|letter: char| letter.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::{is_entry, says_nothing};

    #[test]
    fn entry_code_of_fred_names_no_crash() {
        assert!(is_entry("asm_fred_entrypoint_kernel") && is_entry("asm_fred_entry_from_kvm"));
        assert!(!is_entry("asm_fred_entrypoint_user"), "system calls come in there");
        for name in ["asm_fred_entrypoint_user", "fred_extint", "fred_exc_nmi", "__fred_entry_from_kvm"] {
            assert!(says_nothing(name), "{name}");
        }
        assert!(!says_nothing("fredkin_gate"));
    }
}
