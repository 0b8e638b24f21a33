//! Lockups and hung tasks: who stands still, and for how long.
//!
//! Source: `kernel/watchdog.c`, `kernel/watchdog_perf.c`, `arch/powerpc/kernel/watchdog.c`; `kernel/hung_task.c`;
//! `kernel/workqueue.c`, `wq_watchdog_timer_fn()`;
//! `kernel/sched/core.c`, `sched_show_task()`; `lib/nmi_backtrace.c`.

use super::text::{cpu_list, number, number_after, task, word};
use super::{Event, Kind, stall};

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

/// `watchdog: BUG: soft lockup - CPU#7 stuck for 11s! [split_v2:28356]`. The name may itself hold colons and brackets.
#[must_use]
pub fn soft_lockup(text: &str) -> Option<SoftLockup> {
    let event = whole_lockup(without_watchdog(text))?;
    Some(SoftLockup { cpu: event.cpu()?, seconds: event.seconds?, comm: event.comm?, pid: event.pid? })
}

pub(super) fn parse(text: &str) -> Option<Event> {
    let rest = without_watchdog(text);
    soft(rest)
        .or_else(|| hard(rest))
        .or_else(|| stall::parse(text))
        .or_else(|| hung(text))
        .or_else(|| freezer(text))
        .or_else(|| workqueue(text))
        .or_else(|| unanswered(text))
        .or_else(|| stack_of(text))
}

/// The prefix was `NMI watchdog: ` in 4.x and is missing before.
fn without_watchdog(text: &str) -> &str {
    let rest = text.strip_prefix("NMI ").unwrap_or(text);
    rest.strip_prefix("watchdog: ").unwrap_or(text)
}

fn soft(text: &str) -> Option<Event> {
    if let Some(cpu) = text.strip_prefix("BUG: soft lockup detected on CPU#") {
        return Some(Event::new(Kind::SoftLockup, text).on_cpu(number(cpu)));
    }
    whole_lockup(text).or_else(|| cut_lockup(text))
}

fn whole_lockup(text: &str) -> Option<Event> {
    let (cpu, rest) = text.strip_prefix("BUG: soft lockup - CPU#")?.split_once(" stuck for ")?;
    // Typed off a screen the exclamation mark may be missing.
    let (seconds, rest) = rest.split_once("s! [").or_else(|| rest.split_once("s ["))?;
    let (comm, pid) = task(rest.trim_end().strip_suffix(']')?, ':')?;
    let event = Event::new(Kind::SoftLockup, text).on_cpu(Some(cpu.parse().ok()?)).of_task(comm, Some(pid));
    Some(event.for_seconds(Some(seconds.parse().ok()?)))
}

/// A line that ends before the name of the task does.
fn cut_lockup(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("BUG: soft lockup - CPU#")?;
    let (cpu, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let is_cut =
        rest.is_empty() || rest.starts_with("stuck") && (!rest.contains(" [") || !rest.trim_end().ends_with(']'));
    let mut event = Event::new(Kind::SoftLockup, text).on_cpu(Some(cpu.parse().ok()?));
    event.is_cut = true;
    is_cut.then(|| event.for_seconds(rest.strip_prefix("stuck for ").and_then(number)))
}

/// Since 6.8 the CPU that noticed is named first. powerpc has a watchdog of its own.
fn hard(text: &str) -> Option<Event> {
    let event = |cpus: Vec<u32>| Some(Event { cpus, ..Event::new(Kind::HardLockup, text) });
    let rest = match text.strip_prefix("CPU").and_then(|rest| rest.split_once(": ")) {
        Some((number, after)) if number.bytes().all(|byte| byte.is_ascii_digit()) => after,
        _ => text,
    };
    if let Some(cpu) = rest.strip_prefix("Watchdog detected hard LOCKUP on cpu ") {
        return event(vec![number(cpu)?]);
    }
    // Before 2.6.37.
    if let Some(rest) = rest.strip_prefix("NMI Watchdog detected LOCKUP on CPU") {
        return event(vec![number(rest)?]);
    }
    let (cpu, what) = text
        .strip_prefix("CPU ")
        .or_else(|| text.strip_prefix("Watchdog CPU:"))
        .and_then(|rest| rest.split_once(' '))?;
    if let Some((_, others)) = what.split_once("detected hard LOCKUP on other CPUs ") {
        return event(cpu_list(others));
    }
    let own = what.starts_with("self-detected hard LOCKUP") || what.starts_with("Hard LOCKUP");
    own.then(|| event(vec![number(cpu)?])).flatten()
}

/// Whether a line about a hard lockup is printed by another CPU than the locked one.
pub(super) fn is_seen_from_outside(text: &str) -> bool {
    text.contains(": Watchdog detected hard LOCKUP") && without_watchdog(text).starts_with("CPU")
        || text.contains("on other CPUs")
}

/// `INFO: task comm:pid blocked for more than 120 seconds.`
fn hung(text: &str) -> Option<Event> {
    let (who, rest) = text.strip_prefix("INFO: task ")?.split_once(" blocked ")?;
    let (_, rest) = rest.split_once("more than ")?;
    let (comm, pid) = task(who, ':')?;
    Some(Event::new(Kind::HungTask, text).of_task(comm, Some(pid)).for_seconds(Some(number(rest)?)))
}

/// `Freezing user space processes failed after 20.008 seconds (1 tasks refusing to freeze, wq_busy=0):`, before a suspend; to 6.1
/// `Freezing of tasks failed after`. Their stacks follow. `kernel/power/process.c`.
fn freezer(text: &str) -> Option<Event> {
    let (what, after) = text.strip_prefix("Freezing ")?.split_once(" failed after ")?;
    let is_freezer = ["of tasks", "user space processes", "remaining freezable tasks"].contains(&what);
    is_freezer.then(|| Event::new(Kind::HungTask, text).for_seconds(number(after)))
}

/// `BUG: workqueue lockup - pool cpus=2 node=0 flags=0x1 nice=0 stuck for 2171s!`
fn workqueue(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("BUG: workqueue lockup - pool ")?;
    let mut event = Event::new(Kind::WorkqueueLockup, text).for_seconds(number_after(rest, "stuck for "));
    event.cpus = rest.strip_prefix("cpus=").and_then(word).map(cpu_list).unwrap_or_default();
    Some(event)
}

/// `smp: csd: Detected non-responsive CSD lock (#1) on CPU#3, waiting 5000000003 ns for CPU#07 f+0x0/0x40(0x0).`, with
/// `CONFIG_CSD_LOCK_WAIT_DEBUG` since 5.10: `kernel/smp.c`, `csd_lock_wait_toolong()`.
fn unanswered(text: &str) -> Option<Event> {
    let rest = text.strip_prefix("smp: ").unwrap_or(text).strip_prefix("csd: ")?;
    let (_, rest) = rest.split_once("non-responsive CSD lock ")?;
    let (by, rest) = rest.split_once(", waiting ").unwrap_or((rest, ""));
    let mut event = Event::new(Kind::UnansweredCall, text).on_cpu(number_after(rest, "for CPU#"));
    event.is_cut = event.cpus.is_empty();
    let mut event = event.for_seconds(number::<u64>(rest).map(|ns| ns / 1_000_000_000));
    event.details.extend(number_after::<u32>(by, "on CPU#").map(|cpu| format!("CPU {cpu}")));
    Some(event)
}

/// Whose stack follows.
fn stack_of(text: &str) -> Option<Event> {
    if let Some(cpu) = text.strip_prefix("NMI backtrace for cpu ") {
        return Some(Event::new(Kind::Backtrace, text).on_cpu(Some(number(cpu)?)));
    }
    let asked = text.strip_prefix("sysrq: ").unwrap_or(text);
    let asked = asked.strip_prefix("SysRq : ").unwrap_or(asked);
    if asked.starts_with("Show ") && asked.len() < text.len() {
        return Some(Event::new(Kind::StateShown, text));
    }
    new_task_line(text).or_else(|| old_task_line(text))
}

/// `task:splitter        state:R  running task     stack:0     pid:147   ppid:146    flags:0x00004000`
fn new_task_line(text: &str) -> Option<Event> {
    let (comm, rest) = text.strip_prefix("task:")?.split_once(" state:")?;
    let pid = rest.split_once(" pid:").and_then(|(_, pid)| number(pid));
    Some(Event::new(Kind::Task, text).of_task(comm.trim_end(), pid))
}

/// Before 5.11: `splitter        R  running task        0   147    146 0x00000000`, before 4.13 with an address where now
/// is nothing or `running task`.
fn old_task_line(text: &str) -> Option<Event> {
    let (rest, flags) = text.trim_end().rsplit_once(" 0x")?;
    if flags.len() != 8 || !flags.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut words = rest.split_whitespace().rev();
    words.next()?.parse::<u32>().ok()?;
    let pid = words.next()?.parse().ok()?;
    words.next()?.parse::<u32>().ok()?;
    let mut word = words.next()?;
    let is_address = word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_address || word == "task" && words.next()? == "running" {
        word = words.next()?;
    }
    let is_state = word.len() <= 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || b"tx+?".contains(&byte));
    // The name is the rest, and may have blanks.
    let comm = rest.get(..16).unwrap_or(rest).trim_end();
    let comm = if comm.contains("  ") { comm.split("  ").next()? } else { comm };
    is_state.then(|| Event::new(Kind::Task, text).of_task(comm, Some(pid)))
}

#[cfg(test)]
mod tests {
    use super::super::event;
    use super::*;

    fn cpus(text: &str) -> (Kind, Vec<u32>) {
        let event = event(text);
        (event.kind, event.cpus)
    }

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
            let cut = event(&format!("watchdog: BUG: soft lockup - CPU#7 {cut}"));
            assert_eq!((cut.kind, cut.cpu(), cut.is_cut), (Kind::SoftLockup, Some(7), true), "{cut:?}");
        }
        assert_eq!(cpus("BUG: soft lockup detected on CPU#3!"), (Kind::SoftLockup, vec![3]));
    }

    #[test]
    fn hard_lockups_of_all_watchdogs() {
        for (line, on) in [
            ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 5dModules linked in:", vec![5]),
            ("watchdog: CPU4: Watchdog detected hard LOCKUP on cpu 5", vec![5]),
            ("Watchdog detected hard LOCKUP on cpu 61", vec![61]),
            ("NMI Watchdog detected LOCKUP on CPU3, ip ffffffff8006b2b0, registers:", vec![3]),
            ("watchdog: CPU 30 detected hard LOCKUP on other CPUs 0,8-9", vec![0, 8, 9]),
            ("watchdog: CPU 0 Hard LOCKUP", vec![0]),
            ("watchdog: CPU 4 self-detected hard LOCKUP @ plpar_hcall+0x38/0x60", vec![4]),
            ("Watchdog CPU:7 Hard LOCKUP", vec![7]),
        ] {
            assert_eq!(cpus(line), (Kind::HardLockup, on), "{line}");
        }
        assert_eq!(Event::parse("watchdog: CPU 0 TB:7526, last heartbeat TB:6987 (10538ms ago)"), None);
        assert_eq!(Event::parse("watchdog: Delayed hard lockup detector"), None);
    }

    #[test]
    fn hung_tasks() {
        for line in [
            "INFO: task a:b:12 blocked for more than 120 seconds.",
            "INFO: task a:b:12 blocked in I/O wait for more than 120 seconds.",
        ] {
            let hung = event(line);
            assert_eq!(
                (hung.kind, hung.comm.as_deref(), hung.pid, hung.seconds),
                (Kind::HungTask, Some("a:b"), Some(12), Some(120))
            );
        }
        assert_eq!(Event::parse("INFO: task a:12 is blocked on a mutex likely owned by task b:13."), None);
    }

    #[test]
    fn stacks_and_queues() {
        let pool = event("BUG: workqueue lockup - pool cpus=2 node=0 flags=0x1 nice=0 stuck for 2171s!");
        assert_eq!((pool.kind, pool.cpus, pool.seconds), (Kind::WorkqueueLockup, vec![2], Some(2171)));
        assert_eq!(cpus("NMI backtrace for cpu 3 skipped: idling"), (Kind::Backtrace, vec![3]));
        for (line, comm, pid) in [
            (
                "task:splitter        state:R  running task     stack:0     pid:147   ppid:146    flags:0x00004000",
                "splitter",
                147,
            ),
            ("splitter        R  running task        0   147    146 0x00000000", "splitter", 147),
            ("demo            D 00000000     0    64      2 0x00100000", "demo", 64),
            ("kworker/u8:2    D    0    87      2 0x80004000", "kworker/u8:2", 87),
        ] {
            let task = event(line);
            assert_eq!((task.kind, task.comm.as_deref(), task.pid), (Kind::Task, Some(comm), Some(pid)), "{line}");
        }
        let call = event(
            "smp: csd: Detected non-responsive CSD lock (#1) on CPU#3, waiting 5000000003 ns for CPU#07 f+0x0/0x40(0x0).",
        );
        assert_eq!((call.kind, call.cpus, call.seconds), (Kind::UnansweredCall, vec![7], Some(5)));
        assert_eq!(call.details, ["CPU 3"]);
        assert_eq!(event("sysrq: Show Blocked State").kind, Kind::StateShown);
        assert_eq!(event("SysRq : Show State").kind, Kind::StateShown);
        assert_eq!(Event::parse("Show Blocked State"), None);
    }
}
