//! Stalls of RCU: whom a grace period waits for.
//!
//! Source: `kernel/rcu/tree_stall.h`, `kernel/rcu/tree_exp.h`, `kernel/rcu/tasks.h`.

use super::text::{between, number, number_after};
use super::{Event, Kind};

/// Begins a line with tasks: `Tasks blocked on level-0 rcu_node (CPUs 0-3): P4321/1:b..l P5555/1:b..l`
/// (`rcu_print_task_stall()`).
const BLOCKED: &str = "Tasks blocked on ";

pub(super) fn parse(text: &str) -> Option<Event> {
    let rcu = text.strip_prefix("rcu: ").unwrap_or(text);
    if let Some((_, rest)) = rcu.split_once(" kthread starved for ").filter(|(flavour, _)| flavour.starts_with("rcu_"))
    {
        let mut event = Event::new(Kind::RcuStarved, rcu).on_cpu(number_after(rcu, "->cpu="));
        event.jiffies = number(rest);
        return Some(event);
    }
    let rest = rcu.strip_prefix("INFO: rcu")?;
    let is_stall =
        rest.contains("detected stall") || rest.contains("detected expedited stall") || rest.contains("self-detected");
    let mut event = Event::new(Kind::RcuStall, rcu.trim_end_matches(['.', ':', ' ']));
    event.stalled_line(rest);
    is_stall.then_some(event)
}

impl Event {
    /// Whether it is a stall of a grace period that the state of ordinary RCU says nothing of: an expedited one, or one of RCU-tasks
    /// (`kernel/rcu/tree_exp.h`, `tasks.h`).
    #[must_use]
    pub fn is_of_other_grace_period(&self) -> bool {
        self.kind == Kind::RcuStall && (self.text.contains("expedited") || self.text.starts_with("INFO: rcu_tasks"))
    }

    /// Takes what a line of a stall's report says: whom it waits for, and for how long. Whether it said anything.
    pub(super) fn stalled_line(&mut self, text: &str) -> bool {
        let known = (self.cpus.len(), self.details.len(), self.jiffies);
        // `9-...!: (0 ticks this GP) idle=…`: a CPU, and what is odd about it.
        if let Some((cpu, after)) = text.trim_start().split_once('-')
            && (after.starts_with(['.', '?', '!', 'O', 'o', 'N', 'D']) && after.contains(": ("))
        {
            self.cpu_stalls(cpu);
        }
        // Before 3.19 `0: (1 GPs behind) idle=…`.
        if let Some((cpu, after)) = text.trim_start().split_once(": (")
            && after.contains(" idle=")
        {
            self.cpu_stalls(cpu);
        }
        if let Some(cpu) = number_after(text, "stall on CPU ") {
            self.cpus.push(cpu);
        }
        // `{ 3 5}`, expedited `{ 3-.... P392 }`.
        for word in between(text, "{ ", "}").unwrap_or_default().split_whitespace() {
            match word.strip_prefix('P') {
                Some(task) => self.pid = self.pid.or_else(|| number(task)),
                None => self.cpu_stalls(word.split('-').next().unwrap_or_default()),
            }
        }
        if let Some(by) = number_after::<u32>(text, "(detected by ") {
            self.details.push(format!("detected by CPU {by}"));
        }
        if text.trim_start().starts_with(BLOCKED) {
            self.details.push(text.trim().to_owned());
            self.pid = self.pid.or_else(|| text.rsplit_once(": P").and_then(|(_, pid)| number(pid)));
        }
        let passed = number_after(text, "(t=").or_else(|| number_after(text, ", t="));
        let passed = passed.or_else(|| number_before(text, " jiffies s: "));
        self.jiffies = self.jiffies.or(passed);
        known != (self.cpus.len(), self.details.len(), self.jiffies)
    }

    /// The tasks that a stall waits for: they were preempted in a critical section, and are on no CPU. At most as many as a line
    /// names, in its order.
    #[must_use]
    pub fn blocked_tasks(&self) -> Vec<i32> {
        let details =
            self.details.iter().filter_map(|line| line.strip_prefix(BLOCKED)).filter_map(|line| line.split_once("): "));
        let listed = details.map(|(_, tasks)| tasks).chain(between(&self.text, "{ ", "}"));
        let words = listed.filter(|_| self.kind == Kind::RcuStall).flat_map(str::split_whitespace);
        let mut tasks: Vec<i32> = words.filter_map(|word| number(word.strip_prefix('P')?)).collect();
        tasks.dedup();
        tasks
    }

    fn cpu_stalls(&mut self, cpu: &str) {
        if let Ok(cpu) = cpu.trim().parse()
            && !self.cpus.contains(&cpu)
            && self.cpus.len() < 1024
        {
            self.cpus.push(cpu);
        }
    }
}

fn number_before(text: &str, after: &str) -> Option<u64> {
    text.split_once(after)?.0.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::event;
    use super::*;

    #[test]
    fn stalls_name_whom_they_wait_for() {
        for (line, on, jiffies) in [
            ("rcu: INFO: rcu_sched self-detected stall on CPU", vec![], None),
            ("INFO: rcu_sched self-detected stall on CPU { 2}  (t=15000 jiffies g=38 c=37 q=11)", vec![2], Some(15000)),
            ("INFO: rcu_sched_state detected stall on CPU 0 (t=60000 jiffies)", vec![0], Some(60000)),
            (
                "INFO: rcu_sched detected stalls on CPUs/tasks: { 3 5} (detected by 1, t=15002 jiffies, g=1)",
                vec![3, 5],
                Some(15002),
            ),
            (
                "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... } 6 jiffies s: 85 root: 0x1/.",
                vec![0],
                Some(6),
            ),
        ] {
            let stall = event(line);
            assert_eq!((stall.kind, stall.cpus, stall.jiffies), (Kind::RcuStall, on, jiffies), "{line}");
        }
        let starved =
            event("rcu: rcu_sched kthread starved for 5250 jiffies! g-319 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=3");
        assert_eq!((starved.kind, starved.cpus, starved.jiffies), (Kind::RcuStarved, vec![3], Some(5250)));
        let mut stall = event("rcu: INFO: rcu_sched detected stalls on CPUs/tasks:");
        for line in [
            "\t9-...!: (0 ticks this GP) idle=850/0/0x0",
            "\t11-...0: (17 GPs behind) idle=dd0/1/0x4 fqs=1",
            "\t(detected by 2, t=663225 jiffies, g=890229, q=72)",
            "\tTasks blocked on level-0 rcu_node (CPUs 0-15): P392",
        ] {
            assert!(stall.absorb(line), "{line}");
        }
        assert_eq!((&stall.cpus[..], stall.jiffies, stall.pid), (&[9, 11][..], Some(663_225), Some(392)));
        assert_eq!(stall.blocked_tasks(), [392]);
        assert!(stall.absorb("\tTasks blocked on level-1 rcu_node (CPUs 0-15): P4321/1:b..l P5555/2:b..l"));
        assert_eq!(stall.blocked_tasks(), [392, 4321, 5555]);
        let expedited = "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 3-.... P12 P13 } 6 jiffies s: 85 root: 0x1/.";
        assert_eq!(event(expedited).blocked_tasks(), [12, 13]);
        assert!(event("rcu: INFO: rcu_sched self-detected stall on CPU").blocked_tasks().is_empty());
    }
}
