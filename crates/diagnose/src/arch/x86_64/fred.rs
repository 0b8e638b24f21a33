//! Entry code of FRED (flexible return and event delivery): one entry for all that comes over user code, system calls among it, and
//! one for all that comes over kernel code. What has come shows only in what it calls, as on arm64.
//!
//! The functions that tell it apart (`fred_entry_from_kernel()`, `fred_hwexc()`, ...) mostly jump to what serves it, and are not on the
//! stack then. What serves it is that of other CPUs, some of it by another name: `fred_sysvec_…`, `fred_exc_nmi`.
//!
//! Kernels have had it since 6.9, and since 7.3 use it by default where the CPU does.
//!
//! Source: `arch/x86/entry/entry_64_fred.S`, `entry_fred.c`, `arch/x86/include/asm/idtentry.h`.

use crate::names::base_name;

/// The entries; the label behind the call of the one for user code.
const ENTRIES: [&str; 3] = ["asm_fred_entrypoint_kernel", "asm_fred_entrypoint_user", "asm_fred_exit_user"];

/// Functions that only tell apart what has come, with the kind of what comes through them.
const TELLING: [(&str, Event); 5] = [
    ("fred_extint", Event::Interrupt),
    ("fred_hwexc", Event::Exception),
    ("fred_swexc", Event::Exception),
    ("fred_intx", Event::Exception),
    ("fred_bad_type", Event::Exception),
];

/// What an entry served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A fault of a page.
    PageFault,
    /// Another exception that code causes.
    Exception,
    /// An interrupt, but not the one with which a CPU is stopped.
    Interrupt,
    /// A system call.
    SystemCall,
    /// What comes from outside and is no interrupt of the CPU's own: NMIs, machine checks, the stop of a CPU.
    FromOutside,
}

/// Whether a function is an entry of FRED.
#[must_use]
pub fn is_fred_entry(function: &str) -> bool {
    let name = base_name(function);
    ENTRIES.contains(&name) || name.starts_with("fred_entry_from_")
}

/// What the entry of FRED with this name served, and the function that did so, without the prefix that it has for FRED: by the functions
/// that follow the entry inwards. `None` where that is no entry of FRED, or nothing tells.
pub(crate) fn served<'f>(entry: &str, inwards: impl Iterator<Item = &'f str>) -> Option<(Event, &'f str)> {
    if !is_fred_entry(entry) {
        return None;
    }
    // Of an interrupt on top there is another entry.
    let of_this = inwards.map(base_name).take_while(|function| !ENTRIES.contains(function));
    let mut telling = None;
    for function in of_this {
        if let Some(served) = serves(function) {
            return Some(served);
        }
        let tells = TELLING.iter().find(|(name, _)| *name == function);
        telling = telling.or_else(|| tells.map(|(_, event)| (*event, function)));
    }
    telling
}

fn serves(function: &str) -> Option<(Event, &str)> {
    const PREFIXES: [&str; 3] = ["fred_", "instr_", "__"];
    let name = PREFIXES.iter().find_map(|prefix| function.strip_prefix(prefix)).unwrap_or(function);
    let event = match name {
        "exc_page_fault" => Event::PageFault,
        "exc_nmi" | "exc_machine_check" | "sysvec_reboot" => Event::FromOutside,
        "common_interrupt" | "spurious_interrupt" | "handle_spurious_interrupt" => Event::Interrupt,
        "do_syscall_64" | "do_fast_syscall_32" | "int80_emulation" => Event::SystemCall,
        _ if name.starts_with("exc_") => Event::Exception,
        _ if name.starts_with("sysvec_") => Event::Interrupt,
        _ => return None,
    };
    Some((event, name))
}

/// The function that served what came in by FRED's entry with this name, as on CPUs without it: `exc_page_fault`, `sysvec_call_function`.
#[must_use]
pub fn fred_handler<'f>(entry: &str, inwards: impl Iterator<Item = &'f str>) -> Option<&'f str> {
    served(entry, inwards).map(|(_, function)| function)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the innermost function to the entry.
    fn event(functions: &[&'static str]) -> Option<(Event, &'static str)> {
        let mut outermost_first = functions.iter().rev().copied();
        served(outermost_first.next().unwrap(), outermost_first)
    }

    #[test]
    fn what_has_come_is_what_the_entry_calls() {
        const KERNEL: &str = "asm_fred_entrypoint_kernel";
        const USER: &str = "asm_fred_entrypoint_user";
        for (functions, expected) in [
            // Tail calls, and a kernel that makes none.
            (&["do_user_addr_fault", "exc_page_fault", KERNEL][..], (Event::PageFault, "exc_page_fault")),
            (
                &["exc_page_fault", "fred_hwexc.constprop.0", "fred_entry_from_kernel", KERNEL],
                (Event::PageFault, "exc_page_fault"),
            ),
            (&["die", "exc_invalid_op", KERNEL], (Event::Exception, "exc_invalid_op")),
            (&["fred_exc_debug", USER], (Event::Exception, "exc_debug")),
            (&["__die", "fred_bad_type", KERNEL], (Event::Exception, "fred_bad_type")),
            (&["crash_nmi_callback", "nmi_handle", "exc_nmi", KERNEL], (Event::FromOutside, "exc_nmi")),
            (&["fred_exc_nmi", "fred_entry_from_user", USER], (Event::FromOutside, "exc_nmi")),
            (&["fred_exc_machine_check", "fred_hwexc", KERNEL], (Event::FromOutside, "exc_machine_check")),
            (
                &[
                    "hrtimer_interrupt",
                    "__sysvec_apic_timer_interrupt",
                    "fred_sysvec_apic_timer_interrupt",
                    "fred_extint",
                    KERNEL,
                ],
                (Event::Interrupt, "sysvec_apic_timer_interrupt"),
            ),
            (&["stop_this_cpu", "__sysvec_reboot", "fred_extint", USER], (Event::FromOutside, "sysvec_reboot")),
            (&["__common_interrupt", "common_interrupt", KERNEL], (Event::Interrupt, "common_interrupt")),
            (&["irqentry_exit", "fred_extint", USER], (Event::Interrupt, "fred_extint")),
            (&["x64_sys_call", "do_syscall_64", "asm_fred_exit_user"], (Event::SystemCall, "do_syscall_64")),
            (&["do_fast_syscall_32", "fred_entry_from_user"], (Event::SystemCall, "do_fast_syscall_32")),
        ] {
            assert_eq!(event(functions), Some(expected), "{functions:?}");
        }
        // A CPU that was stopped in the entry itself, and entries of others.
        assert_eq!(event(&[KERNEL]), None);
        assert_eq!(event(&["exc_page_fault", "asm_exc_page_fault"]), None);
    }

    #[test]
    fn what_came_on_top_is_not_what_came() {
        let nested = ["exc_page_fault", "asm_fred_entrypoint_kernel", "driver_read", "asm_fred_entrypoint_user"];
        assert_eq!(event(&nested), None);
        let in_call =
            ["exc_nmi", "asm_fred_entrypoint_kernel", "x64_sys_call", "do_syscall_64", "asm_fred_entrypoint_user"];
        assert_eq!(event(&in_call), Some((Event::SystemCall, "do_syscall_64")));
    }
}
