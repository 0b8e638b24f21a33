//! A log of several boots: a serial capture goes on after the crash, and journals are kept for weeks.
//!
//! A kernel says `Linux version …` when it starts. What is known of a machine, above all its release, is of one boot: a
//! crash and the newer kernel that was started after it must not be taken for one. Of several boots the last one counts in
//! which the kernel reported a problem; where there is none, the last.

use crate::log::Log;

/// The boots before the one that is being read.
#[derive(Default)]
pub(crate) struct Boots {
    /// The last that had a problem, and its lines.
    worst: Option<(Log, u64)>,
    starts: u64,
    /// The line with which the current boot begins.
    begin: u64,
}

impl Boots {
    /// Whether no kernel has started so far.
    pub(crate) const fn is_first(&self) -> bool {
        self.starts == 0
    }

    /// A boot has ended before `line`.
    pub(crate) fn end(&mut self, log: Log, line: u64) {
        self.starts += 1;
        let lines = line.saturating_sub(std::mem::replace(&mut self.begin, line));
        if has_problem(&log) {
            self.worst = Some((log, lines));
        }
    }

    /// The boot that counts, `last` being the one that the log ends with.
    pub(crate) fn choose(self, last: Log) -> Log {
        let extent = last.extent;
        let lines_of_last = extent.lines.saturating_sub(self.begin);
        let (mut log, lines) = match self.worst {
            Some(worst) if !has_problem(&last) => worst,
            _ => (last, lines_of_last),
        };
        log.extent.lines = extent.lines;
        log.extent.kernel_lines = extent.kernel_lines;
        log.extent.starts = self.starts;
        log.extent.lines_of_other_boots = extent.lines.saturating_sub(lines);
        log
    }
}

/// Stacks that were asked for are no problem that a boot would be remembered for.
fn has_problem(log: &Log) -> bool {
    log.events.iter().any(|occurrence| occurrence.event.kind.is_problem())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: &str = "watchdog: BUG: soft lockup - CPU#7 stuck for 11s! [a:1]\n\
        CPU: 7 PID: 1 Comm: a Not tainted 4.19.91 #1\nCall Trace:\n f+0x1/0x2\n";

    fn read(parts: &[&str]) -> Log {
        Log::read(parts.concat().as_bytes()).unwrap()
    }

    fn release(log: &Log) -> Option<&str> {
        log.machine.release.as_deref()
    }

    #[test]
    fn the_boot_with_the_problem_counts() {
        let (old, new) = ("Linux version 4.19.91 (a@b) #1 x\n", "Linux version 5.10.1 (a@b) #1 x\nusb: hello\n");
        let log = read(&[old, CRASH, new]);
        assert_eq!((release(&log), log.events.len(), log.traces.len()), (Some("4.19.91"), 1, 1));
        assert_eq!((log.extent.lines, log.extent.starts, log.extent.lines_of_other_boots), (7, 2, 2));
        // A capture that begins in the middle of the first boot.
        let log = read(&[CRASH, new]);
        assert_eq!((release(&log), log.extent.starts), (Some("4.19.91"), 1));
        // Of two the last.
        let later = CRASH.replace("4.19.91", "5.10.1").replace("CPU#7", "CPU#3");
        let log = read(&[old, CRASH, new, &later]);
        assert_eq!((release(&log), log.lockups()[0].cpus[0], log.extent.lines_of_other_boots), (Some("5.10.1"), 3, 5));
    }

    #[test]
    fn without_a_problem_the_last_boot_counts() {
        let log = read(&["Linux version 4.19.91 (a@b) #1 x\n", "Linux version 5.10.1 (a@b) #1 x\n"]);
        assert_eq!((release(&log), log.extent.lines_of_other_boots), (Some("5.10.1"), 1));
    }

    #[test]
    fn reports_of_two_boots_are_not_put_together() {
        let log = read(&[CRASH, "Linux version 5.10.1 (a@b) #1 x\n", CRASH]);
        assert_eq!((log.events.len(), log.traces.len()), (1, 1));
    }
}
