//! What of the machine a reader of a verdict has to know at once: hardware, taint, and what else bears on this verdict.
//!
//! All of it is in the JSON (`machine`) and in `info`; the first screen has what matters here.

use super::Analyze;

/// Words of the command line that change how a machine hangs, is watched, or schedules.
const TELLING: [&str; 22] = [
    "preempt=",
    "transparent_hugepage=",
    "isolcpus=",
    "nohz_full=",
    "rcu_nocbs=",
    "nosoftlockup",
    "nowatchdog",
    "nmi_watchdog=",
    "softlockup_panic=",
    "hardlockup_panic=",
    "hung_task_panic=",
    "watchdog_thresh=",
    "panic_on_",
    "maxcpus=",
    "nr_cpus=",
    "threadirqs",
    "idle=",
    "nosmp",
    "mem=",
    "clocksource=",
    "tsc=",
    "kasan",
];

/// Issues that come of memory, and such that come of too much to do.
const OF_MEMORY: [&str; 2] = ["out-of-memory", "allocation-failure"];
const OF_LOAD: [&str; 5] = ["cpu-starvation", "soft-lockup", "rcu-stall", "hung-task", "thp-split-page-fault-livelock"];

/// The rows, by label.
pub(super) fn rows(report: &Analyze<'_>) -> Vec<(&'static str, String)> {
    let machine = &report.machine;
    let is_of = |issues: &[&str]| report.verdict.issue.is_some_and(|issue| issues.contains(&issue));
    let tainted = machine.taint_text().filter(|text| text != "none");
    let load = machine.load_text().filter(|_| is_of(&OF_LOAD)).map(|load| format!("load {load}"));
    let memory = machine.memory_text().filter(|_| is_of(&OF_MEMORY) || is_scarce(report));
    let booted = telling(machine.command_line.as_deref().unwrap_or_default());
    let parts: Vec<_> = [machine.hardware.clone(), load, memory, booted].into_iter().flatten().collect();
    let parts = (!parts.is_empty()).then(|| parts.join("; "));
    [("machine", parts), ("tainted", tainted)].into_iter().filter_map(|(label, text)| Some((label, text?))).collect()
}

/// Whether less than a fiftieth of the memory was free.
fn is_scarce(report: &Analyze<'_>) -> bool {
    let machine = &report.machine;
    machine.memory_total.zip(machine.memory_free).is_some_and(|(total, free)| free < total / 50)
}

/// The telling words of a command line.
fn telling(command_line: &str) -> Option<String> {
    let is_telling = |word: &&str| TELLING.iter().any(|start| word.starts_with(start));
    let words: Vec<_> = command_line.split_whitespace().filter(is_telling).collect();
    (!words.is_empty()).then(|| format!("booted with {}", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_command_line_only_what_bears_on_hangs() {
        let line = "BOOT_IMAGE=/boot/vmlinuz root=/dev/sda1 ro preempt=none quiet nosoftlockup crashkernel=256M";
        assert_eq!(telling(line).as_deref(), Some("booted with preempt=none nosoftlockup"));
        assert_eq!(telling("root=/dev/sda1 quiet"), None);
    }
}
