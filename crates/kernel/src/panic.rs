//! Whether, where and why the kernel panicked.
//!
//! `panic_cpu` is the CPU that won the race to panic, or to start the crash kernel for an oops; `crashing_cpu` the one
//! that started the crash kernel. Both are -1 on a machine that did neither, such as one whose dump was taken from
//! outside. Since 7.0 (kernel commit 2e171ab29f91) a CPU may hand its panic to another one (`panic_force_cpu=`): then it
//! is in `panic_redirect_cpu`, and the other two are the one that it was handed to, whatever that one did. The reason is
//! only in the log, and the log names CPU and task as well:
//!
//! ```text
//! Kernel panic - not syncing: softlockup: hung tasks
//! CPU: 0 UID: 0 PID: 201 Comm: fstat/0 Kdump: loaded Tainted: G           OEL     6.12.117
//! ```
//!
//! That serves where the task's own memory is not in the dump: filters too old for a kernel leave out too much.
//!
//! Source: `kernel/panic.c`, `kernel/crash_core.c`, `arch/x86/kernel/reboot.c`.

use vmcore_console::{Event, Kind, cpu_and_pid, oops_number, panic_message};
use vmcore_memory::ReadVirtual;

use crate::{Caller, Kernel, LogRecord, Snapshot};

/// As many records of one caller are searched for an oops's headline, or for the line that names CPU and task.
const MAX_DISTANCE: usize = 16;

/// Variables with the CPU that panicked, or that the kernel's end was left to: the first that names one counts.
const CPU_VARIABLES: [&str; 3] = ["panic_redirect_cpu", "panic_cpu", "crashing_cpu"];

/// How the kernel died; all `None` where it did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PanicInfo {
    /// The first line of what it said: `Kernel panic - not syncing: ...`, or for an oops that started the crash kernel
    /// `BUG: ...`, `kernel BUG at ...` or `... [#1] ...`. Untrusted as all of the log.
    pub message: Option<String>,
    /// The CPU that panicked.
    pub cpu: Option<u32>,
    /// The process id of the task on that CPU. The task need not have to do with it: panics happen in interrupts too.
    pub pid: Option<i32>,
}

impl Kernel<'_> {
    /// How the kernel died; `log` is all of its log.
    #[must_use]
    pub fn panic(&self, snapshot: &Snapshot, log: &[LogRecord]) -> PanicInfo {
        let variables = CPU_VARIABLES.map(|name| self.cpu_variable(name));
        let dying_cpu = dying_cpu(variables, |cpu| snapshot.cpu(cpu).is_some());
        // Not every kernel has all: `crashing_cpu` is of x86, `panic_redirect_cpu` new.
        let mut known = variables.iter().flatten().peekable();
        let survived = known.peek().is_some() && known.all(|&number| number == -1);
        let index = panic_record(log).or_else(|| if survived { None } else { oops_record(log) });
        let record = index.and_then(|index| log.get(index));
        let named = index.and_then(|index| named_cpu_and_pid(log, index));
        let from_log = || named.map(|(cpu, _)| cpu).or_else(|| caller_cpu(record?.caller?, snapshot));
        let cpu = dying_cpu.or_else(from_log);
        let current = cpu.and_then(|cpu| snapshot.current(snapshot.cpu(cpu)?));
        let pid_by_log = || named.filter(|(named, _)| Some(*named) == cpu).map(|(_, pid)| pid);
        PanicInfo {
            message: record.map(|record| first_line(&record.text).to_owned()),
            cpu,
            pid: current.map(|task| task.pid).or_else(pid_by_log),
        }
    }

    /// An `int` or `atomic_t` of the image that holds a CPU number or -1.
    fn cpu_variable(&self, name: &str) -> Option<i32> {
        self.memory().read_u32(self.symbol(name)?).ok().map(u32::cast_signed)
    }
}

/// The CPU that panicked, by what the variables say, in the order of [`CPU_VARIABLES`].
fn dying_cpu(variables: [Option<i32>; 3], is_known: impl Fn(u32) -> bool) -> Option<u32> {
    variables.into_iter().flatten().filter_map(|number| u32::try_from(number).ok()).find(|&cpu| is_known(cpu))
}

/// How the kernel died, where nothing but its log is known.
pub(crate) fn panic_by_log(log: &[LogRecord]) -> PanicInfo {
    let Some(index) = panic_record(log).or_else(|| oops_record(log)) else { return PanicInfo::default() };
    let named = named_cpu_and_pid(log, index);
    PanicInfo {
        message: log.get(index).map(|record| first_line(&record.text).to_owned()),
        cpu: named.map(|(cpu, _)| cpu),
        pid: named.map(|(_, pid)| pid),
    }
}

/// The CPU that a caller was on.
fn caller_cpu(caller: Caller, snapshot: &Snapshot) -> Option<u32> {
    match caller {
        Caller::Cpu(cpu) => snapshot.cpu(cpu).map(|cpu| cpu.cpu),
        // Every idle task has pid 0.
        Caller::Task(0) => None,
        Caller::Task(pid) => {
            let task = snapshot.tasks.iter().find(|task| task.pid == pid)?;
            snapshot.cpu_running(task).map(|cpu| cpu.cpu)
        }
    }
}

/// Records that the kernel printed itself: anyone with the rights can write to `/dev/kmsg`, but not as facility 0.
fn of_kernel(record: &LogRecord) -> bool {
    record.facility == 0
}

/// The first panic of all: one that follows was caused by it.
fn panic_record(log: &[LogRecord]) -> Option<usize> {
    log.iter().position(|record| of_kernel(record) && panic_message(&record.text).is_some())
}

/// The headline of the last oops.
fn oops_record(log: &[LogRecord]) -> Option<usize> {
    let last = log.iter().rposition(|record| of_kernel(record) && oops_number(first_line(&record.text)).is_some())?;
    let caller = log.get(last)?.caller;
    let before = log.iter().enumerate().take(last).rev();
    let same_caller = before.filter(|(_, record)| record.caller == caller && of_kernel(record));
    let is_headline =
        |record: &LogRecord| matches!(Event::parse(first_line(&record.text)), Some(Event { kind: Kind::Oops, .. }));
    // An oops before this one ends the search.
    let mut above = same_caller.take(MAX_DISTANCE).take_while(|(_, record)| oops_number(&record.text).is_none());
    Some(above.find(|(_, record)| is_headline(record)).map_or(last, |(index, _)| index))
}

/// CPU and process id in the line that the caller of this record printed below it.
fn named_cpu_and_pid(log: &[LogRecord], index: usize) -> Option<(u32, i32)> {
    let caller = log.get(index)?.caller;
    let same_caller = log.iter().skip(index).filter(|record| record.caller == caller && of_kernel(record));
    same_caller.take(MAX_DISTANCE).find_map(|record| cpu_and_pid(first_line(&record.text)))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str, caller: i32) -> LogRecord {
        LogRecord {
            seq: 0,
            timestamp_ns: 0,
            level: 0,
            facility: 0,
            caller: Some(Caller::Task(caller)),
            text: text.to_owned(),
            device: None,
            unfinished: false,
        }
    }

    fn text(log: &[LogRecord], index: Option<usize>) -> &str {
        first_line(&log[index.unwrap()].text)
    }

    #[test]
    fn the_first_panic_counts() {
        let log = [
            record("Kernel panic - not syncing: hung tasks\nmore", 1),
            record("Kernel panic - not syncing: again", 1),
            record("---[ end Kernel panic - not syncing: hung tasks ]---", 1),
        ];
        assert_eq!(text(&log, panic_record(&log)), "Kernel panic - not syncing: hung tasks");
        assert_eq!(panic_record(&log[2..]), None);
    }

    #[test]
    fn a_panic_is_of_the_cpu_that_hands_it_to_another() {
        let cpu = |of: fn(&str) -> Option<i32>| dying_cpu(CPU_VARIABLES.map(of), |cpu| cpu < 4);
        let redirected = |name: &str| Some(if name == "panic_redirect_cpu" { 3 } else { 0 });
        assert_eq!(cpu(redirected), Some(3));
        let by_itself = |name: &str| Some(if name == "panic_redirect_cpu" { -1 } else { 2 });
        assert_eq!(cpu(by_itself), Some(2));
        // The one that it was handed to took no interrupt.
        assert_eq!(cpu(|name| Some(if name == "panic_redirect_cpu" { 1 } else { -1 })), Some(1));
        // Before; one that no machine has; none.
        assert_eq!(cpu(|name| (name != "panic_redirect_cpu").then_some(1)), Some(1));
        assert_eq!(cpu(|name| Some(if name == "crashing_cpu" { 1 } else { 4096 })), Some(1));
        assert_eq!(cpu(|_| Some(-1)), None);
    }

    #[test]
    fn what_user_space_wrote_is_no_panic() {
        let forged = LogRecord { facility: 1, ..record("Kernel panic - not syncing: forged", 1) };
        assert_eq!(panic_record(&[forged]), None);
    }

    #[test]
    fn an_oops_is_named_by_the_headline_of_the_same_caller() {
        let mut log = vec![
            record("BUG: kernel NULL pointer dereference, address: 0000000000000000", 7),
            record("watchdog: BUG: soft lockup - CPU#1 stuck for 22s!", 8),
            record("BUG: workqueue lockup", 8),
            record("#PF: supervisor write access in kernel mode", 7),
            record("Oops: 0002 [#1] PREEMPT SMP PTI", 7),
            record("RIP: 0010:sysrq_handle_crash+0x16/0x20", 7),
        ];
        assert_eq!(text(&log, oops_record(&log)), "BUG: kernel NULL pointer dereference, address: 0000000000000000");
        log.push(record("general protection fault, probably for non-canonical address 0x1: 0000 [#2] SMP", 7));
        assert_eq!(text(&log, oops_record(&log)), log[6].text);
        assert_eq!(oops_record(&log[..4]), None);
    }

    #[test]
    fn cpu_and_task_are_named_below() {
        let mut log = vec![
            record("CPU: 3 PID: 4 Comm: another Not tainted 6.1.0", 7),
            record("Kernel panic - not syncing: hung tasks", 7),
            record("CPU: 2 PID: 8 Comm: of another caller", 8),
            record("CPU: 0 UID: 0 PID: 201 Comm: fstat/0 Kdump: loaded", 7),
        ];
        assert_eq!(named_cpu_and_pid(&log, 1), Some((0, 201)));
        log[3].text = "CPU: x PID: 201 Comm:".to_owned();
        assert_eq!(named_cpu_and_pid(&log, 1), None);
    }
}
