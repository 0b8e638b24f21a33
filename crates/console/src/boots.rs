//! A log of several boots: a serial capture goes on after the crash, and journals are kept for weeks.
//!
//! A kernel says `Linux version …` when it starts. What is known of a machine, above all its release, is of one boot: a
//! crash and the newer kernel that was started after it must not be taken for one. Of several boots the last one counts in
//! which the kernel reported a problem; where there is none, the last that ended abruptly; where there is none, the last.
//! A crash kernel is another one's end: its own problems, of which want of memory is the commonest, do not count beside it.

use crate::ending::{Ending, LastWords};
use crate::log::{Log, Occurrence};

/// A boot that was read to its end.
#[derive(Default)]
struct Boot {
    log: Log,
    lines: u64,
    ending: Ending,
}

/// Where a boot was filed.
#[derive(Clone, Copy)]
enum Filed {
    Told,
    Silent,
    Ordinary,
}

/// The boots before the one that is being read.
#[derive(Default)]
pub(crate) struct Boots {
    /// The last, as long as nobody knows what kind of kernel follows it.
    latest: Option<(Boot, LastWords)>,
    /// The last that had a problem.
    told: Option<Boot>,
    /// The last that ended abruptly without one.
    silent: Option<Boot>,
    /// How many of those there are.
    ended_silently: u64,
    /// The last of the others.
    ordinary: Option<Boot>,
    /// Which of the three was filed last.
    filed: Option<Filed>,
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
    pub(crate) fn end(&mut self, log: Log, words: LastWords, line: u64) {
        self.starts += 1;
        let lines = line.saturating_sub(std::mem::replace(&mut self.begin, line));
        // What is printed before the version is of the kernel that says it.
        if lines == 0 && problem(&log).is_none() {
            return;
        }
        let ending = if words.has_run() { words.ending() } else { Ending::NotShown };
        self.file_latest(&words);
        self.latest = Some((Boot { log, lines, ending }, words));
    }

    /// Files the boot before one of which `next` is known.
    fn file_latest(&mut self, next: &LastWords) {
        let Some((mut boot, words)) = self.latest.take() else { return };
        if next.is_crash_kernel() {
            boot.ending = Ending::CrashKernel;
        }
        self.file(boot, words);
    }

    fn file(&mut self, boot: Boot, words: LastWords) {
        if words.is_crash_kernel() {
            self.file_crash_kernel(&boot);
            return;
        }
        let (filed, place) = if problem(&boot.log).is_some() {
            (Filed::Told, &mut self.told)
        } else if boot.ending.is_abrupt() {
            self.ended_silently += 1;
            (Filed::Silent, &mut self.silent)
        } else {
            (Filed::Ordinary, &mut self.ordinary)
        };
        *place = Some(boot);
        self.filed = Some(filed);
    }

    /// A crash kernel belongs to the boot before it.
    fn file_crash_kernel(&mut self, crash_kernel: &Boot) {
        let before = match self.filed {
            Some(Filed::Told) => self.told.as_mut(),
            Some(Filed::Silent) => self.silent.as_mut(),
            Some(Filed::Ordinary) => self.ordinary.as_mut(),
            // It died before the log begins.
            None => {
                self.ended_silently += 1;
                None
            }
        };
        if let Some(before) = before {
            before.log.of_crash_kernel = problem(&crash_kernel.log).cloned();
        }
    }

    /// The boot that counts, `last` being the one that the log ends with.
    pub(crate) fn choose(mut self, last: Log, words: LastWords) -> Log {
        let extent = last.extent;
        self.file_latest(&words);
        let lines = extent.lines.saturating_sub(self.begin);
        let mut last = Boot { log: last, lines, ending: Ending::Open };
        last.log.is_crash_kernel = words.is_crash_kernel();
        let counts = if words.is_crash_kernel() && self.filed.is_some() {
            self.file(last, words);
            None
        } else {
            Some(last)
        };
        let told = counts.as_ref().is_some_and(|last| problem(&last.log).is_some());
        let is_told = told || self.told.is_some();
        let chosen = if told { counts } else { self.told.or(self.silent).or(counts).or(self.ordinary) };
        let Boot { mut log, lines, ending } = chosen.unwrap_or_default();
        log.ending = ending;
        log.extent.lines = extent.lines;
        log.extent.kernel_lines = extent.kernel_lines;
        log.extent.starts = self.starts;
        log.extent.lines_of_other_boots = extent.lines.saturating_sub(lines);
        // The one that this is about says it itself.
        log.extent.silent_ends = self.ended_silently.saturating_sub(u64::from(!is_told && ending.is_abrupt()));
        log
    }
}

/// Stacks that were asked for are no problem that a boot would be remembered for.
fn problem(log: &Log) -> Option<&Occurrence> {
    log.events.iter().find(|occurrence| occurrence.event.kind.is_problem())
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
