//! Oopses and panics, of every architecture.
//!
//! What all have in common is the number that `die()` gives each: `Oops: 0002 [#1] SMP`, `Oops [#1]` on RISC-V,
//! `Internal error: Oops: 17 [#1] SMP ARM`, `Oops[#1]:` on MIPS. The lines above it say what was wrong.
//!
//! Source: `kernel/panic.c`; `arch/x86/kernel/dumpstack.c`, `__die_header()`; `arch/x86/mm/fault.c`, `show_fault_oops()`;
//! `arch/arm64/mm/fault.c`, `die_kernel_fault()`; `arch/arm/kernel/traps.c`; `arch/riscv/kernel/traps.c`;
//! `arch/powerpc/kernel/traps.c`; `arch/s390/kernel/dumpstack.c`; `arch/mips/kernel/traps.c`; `drivers/tty/sysrq.c`.

use super::{Event, Kind};

/// Why the kernel stopped itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PanicReason {
    /// Somebody asked for it.
    Requested,
    /// `hung_task: blocked tasks`
    HungTask,
    /// `softlockup: hung tasks`
    SoftLockup,
    /// `Hard LOCKUP`
    HardLockup,
    /// `RCU Stall`
    RcuStall,
    /// `workqueue: stall lasted …`: the watchdog of work queues (`workqueue.panic_on_stall`), since 7.0. From 6.12 on it did so by
    /// a `BUG()`, which is an oops.
    WorkqueueStall,
    /// No memory, and nothing to kill or told to panic.
    OutOfMemory,
    /// An exception in kernel code.
    Oops,
    /// A warning, and told to panic (`panic_on_warn`).
    Warning,
    /// A non-maskable interrupt that no part of the kernel knows: somebody's way to have a machine dumped that hangs
    /// (`virsh inject-nmi`, `ipmitool power diag`), a watchdog on its board, or the hardware.
    Nmi,
    /// A watchdog that a program has to reset every now and then, and nobody did.
    Watchdog,
    /// The hardware reported an error.
    Hardware,
    /// Any other.
    Other,
}

impl PanicReason {
    /// Whether it says that somebody, or something outside the kernel, gave the machine up, and not for what: any hang may be
    /// behind it.
    #[must_use]
    pub const fn is_from_outside(self) -> bool {
        matches!(self, Self::Requested | Self::Nmi | Self::Watchdog)
    }

    /// By what follows `Kernel panic - not syncing: `.
    #[must_use]
    pub fn of(message: &str) -> Self {
        const STARTS: [(&str, PanicReason); 30] = [
            ("sysrq triggered crash", PanicReason::Requested),
            ("hung_task: ", PanicReason::HungTask),
            ("softlockup: ", PanicReason::SoftLockup),
            ("soft lockup", PanicReason::SoftLockup),
            ("hard lockup", PanicReason::HardLockup),
            ("watchdog detected hard lockup", PanicReason::HardLockup),
            ("rcu stall", PanicReason::RcuStall),
            ("workqueue: ", PanicReason::WorkqueueStall),
            ("out of memory", PanicReason::OutOfMemory),
            ("system is deadlocked on memory", PanicReason::OutOfMemory),
            ("fatal machine check", PanicReason::Hardware),
            ("timeout: not all cpus entered broadcast exception handler", PanicReason::Hardware),
            ("uncorrected hardware", PanicReason::Hardware),
            ("fatal hardware error", PanicReason::Hardware),
            ("machine check", PanicReason::Hardware),
            ("fatal local machine check", PanicReason::Hardware),
            // `arch/x86/kernel/cpu/mce/core.c`, `do_machine_check()`; `drivers/edac/edac_mc.c`, `edac_ue_error()`.
            ("failed kernel mode recovery", PanicReason::Hardware),
            ("ue ", PanicReason::Hardware),
            // `arch/x86/kernel/nmi.c`, `unknown_nmi_error()`; `drivers/watchdog/hpwdt.c`.
            ("nmi: not continuing", PanicReason::Nmi),
            ("an nmi occurred", PanicReason::Nmi),
            // `drivers/watchdog`: `softdog.c`, `pretimeout_panic.c`, `sbsa_gwdt.c`; `drivers/char/ipmi/ipmi_watchdog.c`.
            ("software watchdog timer expired", PanicReason::Watchdog),
            ("watchdog pretimeout event", PanicReason::Watchdog),
            ("sbsa generic watchdog timeout", PanicReason::Watchdog),
            ("ipmi watchdog: pre-timeout", PanicReason::Watchdog),
            ("watchdog pre-timeout", PanicReason::Watchdog),
            ("pre-timeout", PanicReason::Watchdog),
            ("nmi iock error", PanicReason::Hardware),
            ("nmi: pci system error", PanicReason::Hardware),
            ("asynchronous serror", PanicReason::Hardware),
            ("kernel: panic_on_warn", PanicReason::Warning),
        ];
        let reason = message.to_ascii_lowercase();
        // Newer ones of `hpwdt` begin with the number of the reason: `00: An NMI occurred`.
        let reason = match reason.split_once(": ") {
            Some((number, rest)) if number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_hexdigit()) => rest,
            _ => &reason,
        };
        if let Some((_, known)) = STARTS.iter().find(|(begin, _)| reason.starts_with(begin)) {
            return *known;
        }
        // `KASAN: panic_on_warn set ...`, `UBSAN: panic_on_warn set ...`, `kernel: panic_on_warn set ...`.
        if reason.contains("panic_on_warn set") || reason == "scheduling while atomic" {
            return Self::Warning;
        }
        // arm64: `Oops: Fatal exception`, `synchronous external abort: Fatal exception in interrupt`.
        let is_oops = reason.contains("fatal exception") || reason.starts_with("fatal trap") || reason == "oops";
        if is_oops { Self::Oops } else { Self::Other }
    }
}

/// How an oops may begin, above the line with its number.
const HEADLINES: [&str; 18] = [
    "BUG: kernel NULL pointer dereference",
    "BUG: unable to handle ",
    "BUG: Unable to handle ",
    "BUG: stack guard page ",
    "BUG: IRQ stack ",
    "BUG: TASK stack ",
    "BUG: NMI stack ",
    "kernel BUG at ",
    "Kernel BUG at ",
    "Unable to handle kernel ",
    "Internal error: ",
    "PANIC: double fault",
    "traps: PANIC: double fault",
    "PANIC: early exception",
    // OpenZFS's `spl_panic()`: the thread stops there for ever.
    "PANIC at ",
    "Bad mode in ",
    "Insufficient stack space to handle exception",
    "Kernel stack overflow",
];

pub(super) fn parse(text: &str) -> Option<Event> {
    panic(text).or_else(|| requested(text)).or_else(|| oops(text))
}

fn panic(text: &str) -> Option<Event> {
    if let Some(message) = text.strip_prefix("Kernel panic - not syncing: ") {
        return Some(panic_event(message));
    }
    // What `panic()` says last repeats its reason: in a log whose beginning is lost it is all there is.
    if let Some(rest) = text.strip_prefix("---[ end Kernel panic - not syncing") {
        let message = rest.trim_start_matches([':', ' ']).trim_end_matches("]---").trim_end();
        return Some(Event { is_cut: true, ..panic_event(message) });
    }
    // The hypervisor's own: `xen/common/console.c`.
    let rest = text.strip_prefix("(XEN) ").unwrap_or_default();
    let cpu = rest.strip_prefix("Panic on CPU ")?;
    Some(Event::new(Kind::Panic, rest.trim_end_matches(':')).on_cpu(super::text::number(cpu)))
}

fn panic_event(message: &str) -> Event {
    let mut event = Event::new(Kind::Panic, message.trim_end());
    // `Watchdog detected hard LOCKUP on cpu 3`.
    event.cpus.extend(super::text::number_after::<u32>(message, "hard LOCKUP on cpu "));
    event
}

/// `sysrq: Trigger a crash`, before 4.20 `SysRq : Trigger a crash`.
fn requested(text: &str) -> Option<Event> {
    let asked = text.strip_prefix("sysrq: ").unwrap_or(text);
    let asked = asked.strip_prefix("SysRq : ").unwrap_or(asked);
    (asked == "Trigger a crash" && asked.len() < text.len()).then(|| Event::new(Kind::CrashRequested, text))
}

fn oops(text: &str) -> Option<Event> {
    // The processor's asynchronous error, which the kernel did not cause.
    if text.starts_with("Bad mode in Error handler") {
        return None;
    }
    let is_headline = HEADLINES.iter().any(|start| text.starts_with(start)) || on_cpu(text).is_some() || is_lbug(text);
    (is_headline || has_number(text)).then(|| Event::new(Kind::Oops, text).on_cpu(on_cpu(text)))
}

/// `LustreError: 12345:0:(osc_request.c:1234:osc_build_rpc()) LBUG`: the thread stops there for ever.
fn is_lbug(text: &str) -> bool {
    text.starts_with("LustreError: ") && text.trim_end().ends_with(") LBUG")
}

/// MIPS and `LoongArch`: `CPU 0 Unable to handle kernel paging request at virtual address …`.
fn on_cpu(text: &str) -> Option<u32> {
    let (cpu, what) = text.strip_prefix("CPU ")?.split_once(' ')?;
    what.starts_with("Unable to handle kernel ").then(|| cpu.parse().ok()).flatten()
}

/// Whether a line has the number that `die()` gives each oops, and is made like such a line: what follows the number are
/// the kernel's options.
pub(super) fn has_number(text: &str) -> bool {
    /// Longer texts stand before no number.
    const MAX_TEXT: usize = 200;
    let Some((what, rest)) = text.split_once("[#") else { return false };
    let Some((number, options)) = rest.split_once(']') else { return false };
    let is_number = (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_option = |word: &str| {
        word.len() <= 32
            && word.bytes().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_=-".contains(&byte))
    };
    let options = options.strip_prefix(':').unwrap_or(options);
    // Behind the tag of a program, `libvirtd[44]: `, it is that program's.
    let is_text = what.len() <= MAX_TEXT
        && what.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && !what.contains("]: ");
    // `: 0002 `, `: 0000000096000004 `, or one of the words that architectures without a code print.
    let before = what.trim_end();
    let code = before.rsplit([' ', ':']).next().unwrap_or_default();
    let has_code = before.contains(": ") && !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_hexdigit());
    let names = [
        "Oops",
        "Internal error",
        "kernel BUG",
        "Kernel bug",
        "Kernel BUG",
        "BUG",
        "illegal ",
        "ilc:",
        "sig: ",
        "Machine check",
        " in kernel",
    ];
    let is_named = names.iter().any(|name| before.contains(name));
    is_text && is_number && (has_code || is_named) && options.split_whitespace().all(is_option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Option<Kind> {
        Event::parse(text).map(|event| event.kind)
    }

    #[test]
    fn oopses_of_all_architectures() {
        for line in [
            "BUG: kernel NULL pointer dereference, address: 0",
            "Oops: 0000 [#1] PREEMPT SMP PTI",
            "Oops: Oops: 0002 [#1] SMP NOPTI",
            "divide_error: 0000 [#1] PREEMPT SMP KASAN",
            "general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#3] SMP",
            "segment-related general protection fault: e030 [#1] SMP",
            "Unable to handle kernel NULL pointer dereference at virtual address 0000000c",
            "Internal error: Oops: 17 [#1] SMP ARM",
            "Internal error: synchronous external abort: 0000000096000010 [#1] PREEMPT SMP",
            "Oops [#1]",
            "kernel BUG [#1]",
            "Oops: Kernel access of bad area, sig: 11 [#1]",
            "Oops: 0004 ilc:3 [#1] SMP ",
            "CPU 0 Unable to handle kernel paging request at virtual address 0000000000000008, era == 9",
            "Oops[#1]:",
            "Kernel bug detected[#2]:",
            "Reserved instruction in kernel code[#1]:",
            "kernel BUG at mm/slub.c:123!",
            "PANIC: early exception 0x0e IP 10:ffffffff81a3c1b2 error 0 cr2 0xffffffffff240000",
            "PANIC at zfs_znode.c:339:zfs_znode_sa_init()",
            "LustreError: 12345:0:(osc_request.c:1234:osc_build_rpc()) LBUG",
        ] {
            assert_eq!(kind(line), Some(Kind::Oops), "{line}");
        }
    }

    #[test]
    fn what_only_looks_like_one() {
        for line in [
            "Oops: something bad happened in the driver",
            "usb 1-1: fixed in ticket [#12] by vendor",
            "demo: see [#1]",
            "Internal",
            "traps: a.out[12] general protection fault ip:1",
            "a.out[12]: segfault at 0 ip 0 sp 0 error 4 in a.out[400000+1000]",
            "Command line: panic=1 oops=panic",
            "[#1]",
        ] {
            assert_eq!(kind(line), None, "{line}");
        }
    }

    #[test]
    fn panics() {
        let panic = Event::parse("Kernel panic - not syncing: sysrq triggered crash").unwrap();
        assert_eq!((panic.kind, panic.text.as_str()), (Kind::Panic, "sysrq triggered crash"));
        let end = Event::parse("---[ end Kernel panic - not syncing: stack-protector: f+0x1/0x2 ]---").unwrap();
        assert_eq!((end.kind, end.text.as_str()), (Kind::Panic, "stack-protector: f+0x1/0x2"));
        assert_eq!(
            Event::parse("Kernel panic - not syncing: Watchdog detected hard LOCKUP on cpu 3").unwrap().cpus,
            [3]
        );
        assert_eq!(kind("(XEN) Panic on CPU 2:"), Some(Kind::Panic));
        for line in ["sysrq: Trigger a crash", "SysRq : Trigger a crash"] {
            assert_eq!(kind(line), Some(Kind::CrashRequested));
        }
    }

    #[test]
    fn reasons() {
        for (message, reason) in [
            ("softlockup: hung tasks", PanicReason::SoftLockup),
            ("Hard LOCKUP", PanicReason::HardLockup),
            ("Watchdog detected hard LOCKUP on cpu 3", PanicReason::HardLockup),
            ("Fatal exception in interrupt", PanicReason::Oops),
            ("Oops - BUG: Fatal exception", PanicReason::Oops),
            ("synchronous external abort: Fatal exception", PanicReason::Oops),
            ("kernel: panic_on_warn set ...", PanicReason::Warning),
            ("panic_on_warn set ...", PanicReason::Warning),
            ("KASAN: panic_on_warn set ...", PanicReason::Warning),
            ("Fatal machine check", PanicReason::Hardware),
            ("Failed kernel mode recovery", PanicReason::Hardware),
            ("UE memory read error on CPU_SrcID#1_Ha#0_Chan#2_DIMM#0 (channel:2 slot:0)", PanicReason::Hardware),
            ("Fatal hardware error!", PanicReason::Hardware),
            ("NMI IOCK error: Not continuing", PanicReason::Hardware),
            ("NMI: Not continuing", PanicReason::Nmi),
            ("An NMI occurred. Depending on your system the reason for the NMI is logged", PanicReason::Nmi),
            ("00: An NMI occurred. Depending on your system the reason for the NMI is logged", PanicReason::Nmi),
            ("Software Watchdog Timer expired", PanicReason::Watchdog),
            ("watchdog pretimeout event", PanicReason::Watchdog),
            ("pre-timeout", PanicReason::Watchdog),
            ("Attempted to kill init! exitcode=0x00000009", PanicReason::Other),
        ] {
            assert_eq!(PanicReason::of(message), reason, "{message}");
        }
    }
}
