//! Functions that are called from one or two places only, on every kernel: how exceptions, timers and system calls
//! enter. Renamed functions stand with their names over time.
//!
//! Source: `arch/x86/mm/fault.c`, `arch/x86/kernel/apic/apic.c`, `kernel/time/hrtimer.c`, `arch/x86/entry/common.c`.

use crate::base_name;

/// Who calls a function that has few callers; `None` for all others.
pub(crate) fn of(symbol: &str) -> Option<&'static [&'static str]> {
    let base = base_name(symbol);
    CALLERS.iter().find(|(callee, _)| *callee == base).map(|(_, callers)| *callers)
}

/// Whether a function is one of them.
pub(crate) fn contains(callers: &[&str], symbol: &str) -> bool {
    callers.contains(&base_name(symbol))
}

/// Whether a function runs on the interrupt stack, or never does; `None` for those that may run on either.
pub(crate) fn runs_in_interrupt(symbol: &str) -> Option<bool> {
    const INTERRUPT: [&str; 4] = ["watchdog_timer_fn", "__hrtimer_run_queues", "hrtimer_interrupt", "__run_hrtimer"];
    const TASK: [&str; 8] = [
        "__do_page_fault",
        "do_page_fault",
        "do_user_addr_fault",
        "exc_page_fault",
        "asm_exc_page_fault",
        "async_page_fault",
        "do_syscall_64",
        "entry_SYSCALL_64_after_hwframe",
    ];
    let base = base_name(symbol);
    if INTERRUPT.contains(&base) {
        return Some(true);
    }
    TASK.contains(&base).then_some(false)
}

const CALLERS: [(&str, &[&str]); 20] = [
    // Until 5.7.
    ("__do_page_fault", &["do_page_fault"]),
    ("do_page_fault", &["page_fault", "async_page_fault", "do_async_page_fault"]),
    ("do_async_page_fault", &["async_page_fault"]),
    ("smp_apic_timer_interrupt", &["apic_timer_interrupt"]),
    // Since 5.8.
    ("do_user_addr_fault", &["exc_page_fault", "handle_page_fault"]),
    ("handle_page_fault", &["exc_page_fault"]),
    (
        "exc_page_fault",
        &[
            "asm_exc_page_fault",
            // With FRED; mostly it is jumped to, and its caller is the entry.
            "asm_fred_entrypoint_kernel",
            "asm_fred_entrypoint_user",
            "fred_hwexc",
            "fred_entry_from_kernel",
            "fred_entry_from_user",
        ],
    ),
    (
        "__sysvec_apic_timer_interrupt",
        &[
            "sysvec_apic_timer_interrupt",
            "instr_sysvec_apic_timer_interrupt",
            "fred_sysvec_apic_timer_interrupt",
            "fred_extint",
        ],
    ),
    ("sysvec_apic_timer_interrupt", &["asm_sysvec_apic_timer_interrupt"]),
    (
        "common_interrupt",
        &[
            "asm_common_interrupt",
            "asm_fred_entrypoint_kernel",
            "asm_fred_entrypoint_user",
            "__fred_entry_from_kvm",
            "asm_fred_entry_from_kvm",
            "fred_extint",
            "fred_entry_from_kernel",
            "fred_entry_from_user",
        ],
    ),
    ("exc_nmi", &["asm_exc_nmi", "end_repeat_nmi"]),
    ("x64_sys_call", &["do_syscall_64"]),
    // All along.
    ("watchdog_timer_fn", &["__hrtimer_run_queues", "__run_hrtimer"]),
    ("__hrtimer_run_queues", &["hrtimer_interrupt", "hrtimer_run_queues"]),
    (
        "hrtimer_interrupt",
        &[
            "smp_apic_timer_interrupt",
            "__sysvec_apic_timer_interrupt",
            "local_apic_timer_interrupt",
            "smp_trace_apic_timer_interrupt",
        ],
    ),
    ("__handle_mm_fault", &["handle_mm_fault", "__handle_mm_fault"]),
    ("dump_stack_lvl", &["dump_stack", "panic", "vpanic", "nmi_cpu_backtrace", "dump_header", "rcu_dump_cpu_stacks"]),
    (
        "cp_new_stat",
        &[
            "__do_sys_newfstat",
            "__se_sys_newfstat",
            "__x64_sys_newfstat",
            "sys_newfstat",
            "SYSC_newfstat",
            "__do_sys_newstat",
            "__se_sys_newstat",
            "__x64_sys_newstat",
            "SYSC_newstat",
            "__do_sys_newlstat",
            "__do_sys_newfstatat",
            "__se_sys_newlstat",
            "__se_sys_newfstatat",
        ],
    ),
    (
        "do_syscall_64",
        &[
            "entry_SYSCALL_64_after_hwframe",
            "entry_SYSCALL_64_fastpath",
            "entry_SYSCALL_64",
            "asm_fred_entrypoint_user",
            "fred_entry_from_user",
        ],
    ),
    ("do_exit", &["do_group_exit", "rewind_stack_and_make_dead", "__x64_sys_exit", "make_task_dead", "kthread_exit"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_as_their_function() {
        let callers = of("watchdog_timer_fn.cold").unwrap();
        assert!(contains(callers, "__hrtimer_run_queues.constprop.0"));
        assert!(!contains(callers, "hrtimer_interrupt"));
        assert_eq!(of("schedule"), None);
    }

    #[test]
    fn with_fred_the_entry_itself_is_who_calls() {
        for callee in ["exc_page_fault", "common_interrupt"] {
            assert!(contains(of(callee).unwrap(), "asm_fred_entrypoint_kernel"), "{callee}");
        }
        assert!(contains(of("do_syscall_64").unwrap(), "asm_fred_entrypoint_user"));
        assert!(!contains(of("do_syscall_64").unwrap(), "asm_fred_entrypoint_kernel"));
        assert!(contains(of("__sysvec_apic_timer_interrupt").unwrap(), "fred_sysvec_apic_timer_interrupt"));
    }
}
