//! What the kernel's watchdogs said in the log about CPUs.
//!
//! ```text
//! watchdog: BUG: soft lockup - CPU#7 stuck for 11s! [name:123]
//! NMI watchdog: Watchdog detected hard LOCKUP on cpu 3
//! rcu: INFO: rcu_preempt self-detected stall on CPU
//! rcu:     2-....: (5249 ticks this GP) idle=...
//! ```
//!
//! Source: `kernel/watchdog.c`, `kernel/rcu/tree_stall.h`.

use crate::{Facts, LogLine};

/// Whether a watchdog said that this CPU is stuck.
pub(crate) fn reported_stuck(facts: &Facts<'_>, cpu: u32) -> bool {
    let soft = format!("BUG: soft lockup - CPU#{cpu} stuck for ");
    let said = |line: &LogLine| line.text.contains(&soft) || hard_lockup(&line.text) == Some(cpu);
    facts.log.iter().any(said) || stalled_cpus(facts).contains(&cpu)
}

/// The CPU of a hard lockup.
pub(crate) fn hard_lockup(text: &str) -> Option<u32> {
    let (before, rest) = text.split_once("Watchdog detected hard LOCKUP on cpu ")?;
    let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    ["", "NMI watchdog: ", "watchdog: "].contains(&before).then_some(())?;
    number.parse().ok()
}

/// The line with which RCU's stall warning begins.
pub(crate) fn stall<'f>(facts: &'f Facts<'_>) -> Option<(usize, &'f LogLine)> {
    let is_one = |text: &str| {
        text.contains("INFO: rcu_") && (text.contains("self-detected stall") || text.contains("detected stalls on CPU"))
    };
    let index = facts.log.iter().rposition(|line| is_one(&line.text))?;
    Some((index, facts.log.get(index)?))
}

/// The CPUs that the last stall warning names, in the lines below its first.
pub(crate) fn stalled_cpus(facts: &Facts<'_>) -> Vec<u32> {
    const MAX_LINES: usize = 64;
    let Some((index, _)) = stall(facts) else { return Vec::new() };
    let below = facts.log.iter().skip(index.saturating_add(1)).take(MAX_LINES);
    below.filter_map(|line| stalled_cpu(&line.text)).collect()
}

/// `rcu: <tab>2-....: (5249 ticks this GP) ...`
fn stalled_cpu(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("rcu:").unwrap_or(text).trim_start();
    let (number, rest) = rest.split_once('-')?;
    (rest.contains(" ticks this GP)") || rest.contains(" GPs behind)")).then_some(())?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_watchdogs() {
        assert_eq!(hard_lockup("NMI watchdog: Watchdog detected hard LOCKUP on cpu 3"), Some(3));
        assert_eq!(hard_lockup("watchdog: Watchdog detected hard LOCKUP on cpu 12dModules linked in:"), Some(12));
        assert_eq!(hard_lockup("someone said: Watchdog detected hard LOCKUP on cpu 3"), None);
        assert_eq!(stalled_cpu("rcu: \t2-....: (5249 ticks this GP) idle=79f/1/0x4 softirq=1/1 fqs=2"), Some(2));
        assert_eq!(stalled_cpu("rcu: \t11-...!: (0 ticks this GP) idle=9e4/0/0x0"), Some(11));
        assert_eq!(stalled_cpu("rcu: \tTasks blocked on level-0 rcu_node (CPUs 0-3): P123"), None);
    }
}
