//! Lines by which the kernel says that something is wrong.
//!
//! Source: `kernel/watchdog.c`, `kernel/watchdog_perf.c` (lockups); `kernel/hung_task.c`; `kernel/rcu/tree_stall.h`;
//! `lib/nmi_backtrace.c`; `kernel/panic.c`; `arch/x86/mm/fault.c`, `show_fault_oops()`; `arch/x86/kernel/dumpstack.c`,
//! `__die_header()`; `lib/bug.c`; `mm/oom_kill.c`; `kernel/sched/core.c`, `sched_show_task()`.

/// A soft lockup, as the watchdog reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftLockup {
    /// The CPU that no other task could get.
    pub cpu: u32,
    /// For how long, in seconds of 2^30 ns.
    pub seconds: u64,
    /// The name of the task that had it: untrusted.
    pub comm: String,
    /// Its thread id.
    pub pid: i32,
}

/// Something that the kernel reports about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `BUG: soft lockup - CPU#7 stuck for 11s! [comm:pid]`
    SoftLockup(SoftLockup),
    /// The same, of which the end is missing.
    CutLockup {
        /// The CPU that no other task could get.
        cpu: u32,
    },
    /// `Watchdog detected hard LOCKUP on cpu 3`
    HardLockup {
        /// The CPU that took no timer interrupts.
        cpu: u32,
    },
    /// `INFO: task comm:pid blocked for more than 120 seconds.`
    HungTask {
        /// The task's name: untrusted.
        comm: String,
        /// Its thread id.
        pid: i32,
        /// For at least how long it slept, in seconds.
        seconds: u64,
    },
    /// `rcu: INFO: rcu_sched detected stalls on CPUs/tasks:` or `self-detected stall on CPU`
    RcuStall(String),
    /// `NMI backtrace for cpu 3`: a CPU was asked for its stack.
    Backtrace {
        /// The CPU that answers.
        cpu: u32,
    },
    /// `task:comm state:D stack:0 pid:123 …`: the stack of a task that another prints.
    Task {
        /// The task's name: untrusted.
        comm: String,
        /// Its thread id, where the line has it.
        pid: Option<i32>,
    },
    /// An exception in the kernel or `kernel BUG at`: the whole line.
    Oops(String),
    /// `WARNING: CPU: 1 PID: 2 at …`, `BUG: workqueue lockup …`: the whole line.
    Warning(String),
    /// What follows `Kernel panic - not syncing: `.
    Panic(String),
    /// `Out of memory: Killed process 12 (comm)`: the whole line.
    OutOfMemory(String),
    /// `------------[ cut here ]------------`
    CutHere,
}

impl Event {
    /// Reads a line without prefix and indentation.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Nearly every line of a log ends here.
        let first = text.bytes().next()?;
        if !matches!(first, b'-' | b'A'..=b'Z' | b'a'..=b'z') {
            return None;
        }
        lockup(text).or_else(|| hung(text)).or_else(|| crash(text)).or_else(|| task(text))
    }

    /// The CPU that the report is about, and that prints it.
    #[must_use]
    pub const fn cpu(&self) -> Option<u32> {
        match self {
            Self::SoftLockup(lockup) => Some(lockup.cpu),
            Self::Backtrace { cpu } | Self::CutLockup { cpu } => Some(*cpu),
            _ => None,
        }
    }
}

/// `watchdog: BUG: soft lockup - CPU#7 stuck for 11s! [split_v2:28356]`. The name may itself hold colons and brackets.
#[must_use]
pub fn soft_lockup(text: &str) -> Option<SoftLockup> {
    let rest = without_watchdog(text).strip_prefix("BUG: soft lockup - CPU#")?;
    let (cpu, rest) = rest.split_once(" stuck for ")?;
    let (seconds, rest) = rest.split_once("s! [")?;
    let (comm, pid) = rest.trim_end().strip_suffix(']')?.rsplit_once(':')?;
    Some(SoftLockup {
        cpu: cpu.parse().ok()?,
        seconds: seconds.parse().ok()?,
        comm: comm.to_owned(),
        pid: pid.parse().ok()?,
    })
}

/// The CPU of a soft lockup whose line ends before the name of the task does.
fn cut_lockup(text: &str) -> Option<u32> {
    let (cpu, rest) = text.strip_prefix("BUG: soft lockup - CPU#")?.split_once(' ')?;
    let rest = rest.strip_prefix("stuck")?;
    let cut = !rest.contains(" [") || !rest.trim_end().ends_with(']');
    cut.then(|| cpu.parse().ok()).flatten()
}

/// The prefix was "NMI watchdog: " in 4.x and is missing before; hard lockups name the CPU that noticed (since 6.8).
fn without_watchdog(text: &str) -> &str {
    let rest = text.strip_prefix("NMI ").unwrap_or(text);
    rest.strip_prefix("watchdog: ").unwrap_or(text)
}

fn lockup(text: &str) -> Option<Event> {
    if let Some(lockup) = soft_lockup(text) {
        return Some(Event::SoftLockup(lockup));
    }
    let rest = without_watchdog(text);
    if let Some(cpu) = cut_lockup(rest) {
        return Some(Event::CutLockup { cpu });
    }
    let rest = match rest.strip_prefix("CPU").and_then(|rest| rest.split_once(": ")) {
        Some((number, after)) if number.bytes().all(|byte| byte.is_ascii_digit()) => after,
        _ => rest,
    };
    if let Some(cpu) = rest.strip_prefix("Watchdog detected hard LOCKUP on cpu ") {
        let digits = cpu.split(|letter: char| !letter.is_ascii_digit()).next()?;
        return Some(Event::HardLockup { cpu: digits.parse().ok()? });
    }
    if let Some(cpu) = text.strip_prefix("NMI backtrace for cpu ") {
        let digits = cpu.split(|letter: char| !letter.is_ascii_digit()).next()?;
        return Some(Event::Backtrace { cpu: digits.parse().ok()? });
    }
    let rcu = text.strip_prefix("rcu: ").unwrap_or(text);
    let is_stall =
        rcu.starts_with("INFO: rcu_") && (rcu.contains("detected stall") || rcu.contains("detected expedited"));
    is_stall.then(|| Event::RcuStall(rcu.to_owned()))
}

/// `INFO: task comm:pid blocked for more than 120 seconds.`
fn hung(text: &str) -> Option<Event> {
    let (task, rest) = text.strip_prefix("INFO: task ")?.split_once(" blocked ")?;
    let (_, rest) = rest.split_once("more than ")?;
    let (comm, pid) = task.rsplit_once(':')?;
    Some(Event::HungTask {
        comm: comm.to_owned(),
        pid: pid.parse().ok()?,
        seconds: rest.split_once(' ')?.0.parse().ok()?,
    })
}

fn crash(text: &str) -> Option<Event> {
    const OOPS: [&str; 14] = [
        "BUG: kernel NULL pointer dereference",
        "BUG: unable to handle ",
        "BUG: stack guard page ",
        "BUG: IRQ stack ",
        "BUG: TASK stack ",
        "kernel BUG at ",
        "general protection fault",
        "Oops: ",
        "invalid opcode: ",
        "double fault: ",
        "divide error: ",
        "stack segment: ",
        "PANIC: double fault",
        "traps: PANIC: double fault",
    ];
    if let Some(message) = text.strip_prefix("Kernel panic - not syncing: ") {
        return Some(Event::Panic(message.to_owned()));
    }
    if text.starts_with("WARNING: CPU: ") || text.starts_with("WARNING: ") && text.contains(" at ") {
        return Some(Event::Warning(text.to_owned()));
    }
    if text.starts_with("Out of memory: Kill") || text.starts_with("Memory cgroup out of memory: Kill") {
        return Some(Event::OutOfMemory(text.to_owned()));
    }
    if text.starts_with("------------[ cut here ]") {
        return Some(Event::CutHere);
    }
    // A program's own faults: `traps: a.out[12] general protection fault ip:…` does not begin with them.
    if OOPS.iter().any(|start| text.starts_with(start)) {
        return Some(Event::Oops(text.to_owned()));
    }
    // Of all else that begins so (a worker pool that is stuck, a sanitizer's report) the kernel goes on.
    text.starts_with("BUG: ").then(|| Event::Warning(text.to_owned()))
}

/// `task:splitter        state:R  running task     stack:0     pid:147   ppid:146    flags:0x00004000`; before 5.11
/// `splitter        R  running task        0   147    146 0x00000000`, which nothing tells from other text.
fn task(text: &str) -> Option<Event> {
    let (comm, rest) = text.strip_prefix("task:")?.split_once(" state:")?;
    let pid = rest.split_once(" pid:").and_then(|(_, pid)| pid.trim_start().split(' ').next()?.parse().ok());
    Some(Event::Task { comm: comm.trim_end().to_owned(), pid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdogs_line() {
        let lockup = |cpu, seconds, comm: &str, pid| Some(SoftLockup { cpu, seconds, comm: comm.to_owned(), pid });
        let line = "BUG: soft lockup - CPU#7 stuck for 11s! [split_v2:28356]";
        for prefix in ["", "watchdog: ", "NMI watchdog: "] {
            assert_eq!(soft_lockup(&format!("{prefix}{line}")), lockup(7, 11, "split_v2", 28356));
        }
        let odd = soft_lockup("BUG: soft lockup - CPU#0 stuck for 22s! [kworker/0:1:17]");
        assert_eq!(odd, lockup(0, 22, "kworker/0:1", 17));
        assert_eq!(soft_lockup("softlockup: hung tasks"), None);
        assert_eq!(soft_lockup("someone wrote: BUG: soft lockup - CPU#7 stuck for 11s! [a:1]"), None);
        assert_eq!(soft_lockup("BUG: soft lockup - CPU#x stuck for 1s! [a:1]"), None);
        for cut in ["stuck", "stuck for ", "stuck for 11s", "stuck for 11s! [split_v2:28"] {
            let line = format!("watchdog: BUG: soft lockup - CPU#7 {cut}");
            assert_eq!(Event::parse(&line), Some(Event::CutLockup { cpu: 7 }), "{line}");
        }
    }

    #[test]
    fn other_reports() {
        let hard = Some(Event::HardLockup { cpu: 5 });
        assert_eq!(Event::parse("NMI watchdog: Watchdog detected hard LOCKUP on cpu 5dModules linked in:"), hard);
        assert_eq!(Event::parse("watchdog: CPU4: Watchdog detected hard LOCKUP on cpu 5"), hard);
        assert_eq!(Event::parse("NMI backtrace for cpu 3 skipped: idling"), Some(Event::Backtrace { cpu: 3 }));
        let hung = Event::HungTask { comm: "a:b".to_owned(), pid: 12, seconds: 120 };
        assert_eq!(Event::parse("INFO: task a:b:12 blocked for more than 120 seconds."), Some(hung.clone()));
        assert_eq!(Event::parse("INFO: task a:b:12 blocked in I/O wait for more than 120 seconds."), Some(hung));
        assert!(matches!(Event::parse("rcu: INFO: rcu_sched self-detected stall on CPU"), Some(Event::RcuStall(_))));
        assert!(matches!(Event::parse("BUG: kernel NULL pointer dereference, address: 0"), Some(Event::Oops(_))));
        for warning in ["BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 40s!", "BUG: KASAN: x"] {
            assert_eq!(Event::parse(warning), Some(Event::Warning(warning.to_owned())));
        }
        assert!(matches!(Event::parse("Out of memory: Killed process 1 (a)"), Some(Event::OutOfMemory(_))));
        assert_eq!(Event::parse("traps: a.out[12] general protection fault ip:1"), None);
        assert_eq!(
            Event::parse("Kernel panic - not syncing: sysrq triggered crash"),
            Some(Event::Panic("sysrq triggered crash".to_owned()))
        );
        let task = "task:splitter        state:R  running task     stack:0     pid:147   ppid:146    flags:0x00004000";
        assert_eq!(Event::parse(task), Some(Event::Task { comm: "splitter".to_owned(), pid: Some(147) }));
    }
}
