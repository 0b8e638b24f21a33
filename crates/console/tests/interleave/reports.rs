//! Which lines of a log are of a CPU's report about itself.
//!
//! What else a CPU prints in an interrupt is about the machine: a timer that came late, an NMI handler that took long, a
//! grace period that does not end, that NMIs are sent, that `panic()` is done, maybe seconds later. Whether one of those
//! comes is chance, and no trace has them. The stack of a task that does not run is printed by a CPU and is of none.
//!
//! Source: `kernel/watchdog.c`, `lib/dump_stack.c`, `lib/nmi_backtrace.c`; `arch/x86/kernel/process_64.c`,
//! `__show_regs()`; `arch/x86/kernel/dumpstack.c`, `show_trace_log_lvl()`; `kernel/sched/core.c`, `sched_show_task()`.

use std::collections::BTreeSet;

use crate::recorded::Line;

/// The numbers of the lines that a CPU printed of itself, counted from 0.
pub(crate) fn lines(lines: &[Line]) -> BTreeSet<u64> {
    let mut numbers = BTreeSet::new();
    // Those that print the stack of a task.
    let mut shows_task = BTreeSet::new();
    for (number, line) in (0u64..).zip(lines) {
        let Some(cpu) = line.cpu else { continue };
        if line.text.starts_with("task:") {
            shows_task.insert(cpu);
        } else if begins(&line.text) {
            shows_task.remove(&cpu);
        }
        if !shows_task.contains(&cpu) && is_of_report(&line.text) {
            numbers.insert(number);
        }
        if line.text.trim() == "</TASK>" {
            shows_task.remove(&cpu);
        }
    }
    numbers
}

/// The first line of a report.
fn begins(text: &str) -> bool {
    ["watchdog: BUG: ", "Kernel panic - ", "NMI backtrace for cpu ", "CPU: "].iter().any(|head| text.starts_with(head))
}

fn is_of_report(text: &str) -> bool {
    const HEADS: [&str; 7] =
        ["Modules linked in:", "Hardware name: ", "Call Trace:", "Tainted: ", "Sched_ext: ", "Code: ", "EFLAGS: "];
    let stack = matches!(text.trim(), "<TASK>" | "</TASK>" | "<IRQ>" | "</IRQ>" | "<NMI>" | "</NMI>");
    begins(text)
        || stack
        || text.contains("+0x")
        || HEADS.iter().any(|head| text.starts_with(head))
        || is_register(text)
}

/// `RSP: 0018:...`, `CR2: ...`, `PKRU: ...`.
fn is_register(text: &str) -> bool {
    let Some((name, value)) = text.split_once(": ") else { return false };
    let name_fits = (2..=4).contains(&name.len()) && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    name_fits && value.chars().next().is_some_and(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_reports(text: &[&str]) -> Vec<u64> {
        let line = |text: &&str| Line {
            time: String::new(),
            time_ns: 0,
            cpu: Some(2),
            whole: (*text).to_owned(),
            text: (*text).to_owned(),
        };
        lines(&text.iter().map(line).collect::<Vec<_>>()).into_iter().collect()
    }

    #[test]
    fn what_is_about_the_machine_is_of_no_report() {
        let text = [
            "hrtimer: interrupt took 55850350 ns",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "rcu: \t2-....: (1207 ticks this GP) idle=b3bc/1/0x4000000000000000 softirq=148/148 fqs=608",
            "\t(t=1250 jiffies g=-747 q=3 ncpus=4)",
            "CPU: 2 PID: 135 Comm: hog Not tainted 6.1.0 #1",
            "RIP: 0010:spin+0x9/0x20",
            "RSP: 0018:ff7448d240303bc8 EFLAGS: 00000246",
            " <TASK>",
            "INFO: NMI handler (nmi_cpu_backtrace_handler) took too long to run: 154.144 msecs",
            " vfs_write+0xc7/0x3f0",
            " </TASK>",
        ];
        assert_eq!(of_reports(&text), [4, 5, 6, 7, 9, 10]);
    }

    #[test]
    fn the_stack_of_a_task_is_of_no_cpu() {
        let text =
            ["task:rcu_preempt state:R", "Call Trace:", " schedule+0x28/0xa0", " </TASK>", "CPU: 2 PID: 1 Comm: a"];
        assert_eq!(of_reports(&text), [4]);
        let cut = ["task:rcu_preempt state:R", "Call Trace:", "CPU: 2 PID: 1 Comm: a", "Call Trace:"];
        assert_eq!(of_reports(&cut), [2, 3]);
    }
}
