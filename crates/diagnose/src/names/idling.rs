//! Code with which a CPU idles.

use vmcore_console::base_name;

/// Whether it is code with which a CPU idles: what waits for an interrupt, and the loop around it.
///
/// Source: `kernel/sched/idle.c`, `drivers/cpuidle/`, `arch/x86/kernel/process.c`, `arch/arm64/kernel/idle.c`.
pub(crate) fn is_idling(symbol: &str) -> bool {
    const EXACT: [&str; 34] = [
        "do_idle",
        "cpu_startup_entry",
        "cpu_idle_poll",
        "poll_idle",
        "default_idle_call",
        "default_idle",
        "arch_cpu_idle",
        "cpuidle_idle_call",
        "call_cpuidle",
        "cpuidle_enter",
        "cpuidle_enter_state",
        "cpuidle_enter_s2idle",
        "native_safe_halt",
        "pv_native_safe_halt",
        "native_halt",
        "mwait_idle",
        "mwait_idle_with_hints",
        "amd_e400_idle",
        "xen_safe_halt",
        "xen_hypercall_sched_op",
        "tdx_safe_halt",
        "tdx_halt",
        "__tdx_hypercall",
        // `cpuidle-haltpoll`.
        "default_enter_idle",
        "acpi_safe_halt",
        "acpi_processor_ffh_cstate_enter",
        "io_idle",
        "cpu_do_idle",
        "cpu_suspend",
        "__cpu_suspend_enter",
        // Firmware of arm64.
        "__arm_smccc_smc",
        "__arm_smccc_hvc",
        // A CPU that was switched off.
        "arch_cpu_idle_dead",
        "play_dead_common",
    ];
    const STARTS: [&str; 7] =
        ["intel_idle", "acpi_idle_", "psci_", "native_play_dead", "mwait_play_dead", "hlt_play_dead", "cpu_die"];
    let name = base_name(symbol);
    EXACT.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}
