//! A log of several boots: a serial capture goes on after the crash, and journals are kept for weeks.
//!
//! A kernel says `Linux version …` when it starts. What is known of a machine, above all its release, is of one boot: a
//! crash and the newer kernel that was started after it must not be taken for one. Of several boots the one counts whose
//! worst report is worst, of equals one that ended by that, and of equals again the last: what hangs for a while on the machine
//! that runs again says nothing of the crash before. A boot that ended abruptly without a report comes before one that warned of
//! nothing that has to be mended. Where there is neither, the last counts.
//! A crash kernel is another one's end: its own problems, of which want of memory is the commonest, do not count beside it.

use crate::ending::{Ending, LastWords};
use crate::event::{Kind, Weight};
use crate::log::{Log, Occurrence};

/// A boot that was read to its end.
#[derive(Default)]
struct Boot {
    log: Log,
    lines: u64,
    ending: Ending,
}

/// How much is to be told of a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    #[default]
    Ordinary,
    /// It reported nothing that has to be mended.
    Harmless(Weight),
    /// It ended abruptly, and reported no more than that; or it says so of one that is not in the log, or whose end is not.
    Silent,
    /// It reported worse. Of equals one that ended by that counts more: the other may still run.
    Told { worst: Weight, has_died: bool },
}

impl Boot {
    fn rank(&self) -> Rank {
        match self.log.events.iter().map(Occurrence::weight).max().unwrap_or_default() {
            worst if worst > Weight::Routine => Rank::Told { worst, has_died: self.has_died() },
            _ if self.ending.is_abrupt() && !self.is_asked_for() => Rank::Silent,
            _ if self.log.reset_before.is_some() => Rank::Silent,
            Weight::Nothing => Rank::Ordinary,
            harmless => Rank::Harmless(harmless),
        }
    }

    /// Not of every crash there is a line of a panic: an oops may start the crash kernel by itself (`oops_end()`).
    fn has_died(&self) -> bool {
        let panics = |known: &Occurrence| known.event.kind == Kind::Panic && known.weight() == Weight::Stopped;
        self.log.events.iter().any(panics) || self.ending.is_abrupt()
    }

    /// Whether it says why it ended: somebody asked for that.
    fn is_asked_for(&self) -> bool {
        self.log.events.iter().any(|known| known.is_asked_for)
    }
}

/// The boots before the one that is being read.
#[derive(Default)]
pub(crate) struct Boots {
    /// The last, as long as nobody knows what kind of kernel follows it.
    latest: Option<(Boot, LastWords)>,
    /// The last of those of which most is to be told.
    best: Option<(Rank, Boot)>,
    /// Whether that is the one that was filed last.
    best_is_latest: bool,
    /// How many ended abruptly, of which no report says why.
    ended_silently: u64,
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
    pub(crate) fn end(&mut self, mut log: Log, words: LastWords, line: u64) {
        self.starts += 1;
        let lines = line.saturating_sub(std::mem::replace(&mut self.begin, line));
        // What is printed before the version is of the kernel that says it.
        if lines == 0 && problem(&log).is_none() {
            return;
        }
        let ending = if words.has_run() { words.ending() } else { Ending::NotShown };
        self.hand_back(&mut log);
        self.file_latest(&words);
        self.latest = Some((Boot { log, lines, ending }, words));
    }

    /// Gives the boot before what the next one says of it.
    fn hand_back(&mut self, next: &mut Log) {
        // A reset that its own lines show.
        if self.latest.as_ref().is_some_and(|(boot, _)| boot.ending.is_abrupt()) {
            next.reset_before = None;
        }
        // A crash kernel is not what the firmware's record is about.
        let Some((before, _)) = self.latest.as_mut().filter(|(_, words)| !words.is_crash_kernel()) else { return };
        let of_before = next.events.extract_if(.., |known| known.is_of_boot_before);
        before.log.events.extend(of_before.map(|known| Occurrence { timestamp_ns: None, ..known }));
    }

    /// Files the boot before one of which `next` is known.
    fn file_latest(&mut self, next: &LastWords) {
        let Some((mut boot, words)) = self.latest.take() else { return };
        if next.is_crash_kernel() {
            boot.ending = Ending::CrashKernel;
        }
        if words.is_crash_kernel() {
            self.file_crash_kernel(&boot);
        } else {
            self.file(boot);
        }
    }

    fn file(&mut self, boot: Boot) {
        let rank = boot.rank();
        self.ended_silently += u64::from(rank == Rank::Silent);
        self.best_is_latest = self.best.as_ref().is_none_or(|(best, _)| rank >= *best);
        if self.best_is_latest {
            self.best = Some((rank, boot));
        }
    }

    /// A crash kernel belongs to the boot before it.
    fn file_crash_kernel(&mut self, crash_kernel: &Boot) {
        match &mut self.best {
            Some((_, before)) if self.best_is_latest => {
                before.log.of_crash_kernel = problem(&crash_kernel.log).cloned();
            }
            Some(_) => {}
            // It died before the log begins.
            None => self.ended_silently += 1,
        }
    }

    /// The boot that counts, `last` being the one that the log ends with.
    pub(crate) fn choose(mut self, mut last: Log, words: LastWords) -> Log {
        let extent = last.extent;
        self.hand_back(&mut last);
        self.file_latest(&words);
        let lines = extent.lines.saturating_sub(self.begin);
        let mut last = Boot { log: last, lines, ending: words.last() };
        last.log.is_crash_kernel = words.is_crash_kernel();
        if words.is_crash_kernel() && self.best.is_some() {
            self.file_crash_kernel(&last);
        } else {
            self.file(last);
        }
        let (rank, Boot { mut log, lines, ending }) = self.best.unwrap_or_default();
        log.ending = ending;
        log.extent.lines = extent.lines;
        log.extent.kernel_lines = extent.kernel_lines;
        log.extent.starts = self.starts;
        log.extent.lines_of_other_boots = extent.lines.saturating_sub(lines);
        // The one that this is about says it itself.
        log.extent.silent_ends = self.ended_silently.saturating_sub(u64::from(rank == Rank::Silent));
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
    fn what_is_worse_than_what_a_later_boot_reports_counts() {
        let (old, new) = ("Linux version 4.19.91 (a@b) #1 x\n", "Linux version 5.10.1 (a@b) #1 x\n");
        for later in [
            "WARNING: CPU: 1 PID: 200 at drivers/demo.c:12 demo_init+0x1/0x2 [demo]\n",
            "EDAC MC0: 1 CE memory read error on DIMM#0\n",
            "nfs: server filer not responding, still trying\n",
            "Memory cgroup out of memory: Killed process 12 (java) total-vm:1kB\n",
            "sysrq: Trigger a crash\nKernel panic - not syncing: sysrq triggered crash\n",
        ] {
            let log = read(&[old, CRASH, new, later]);
            assert_eq!((release(&log), log.lockups().len()), (Some("4.19.91"), 1), "{later}");
        }
    }

    #[test]
    fn a_panic_is_not_hidden_by_what_only_hangs_later() {
        let (old, new) = ("Linux version 4.19.91 (a@b) #1 x\n", "Linux version 5.10.1 (a@b) #1 x\n");
        let panic = "Kernel panic - not syncing: softlockup: hung tasks\n";
        let later = CRASH.replace("4.19.91", "5.10.1");
        assert_eq!(release(&read(&[old, CRASH, panic, new, &later])), Some("4.19.91"));
        assert_eq!(release(&read(&[old, CRASH, panic, new, &later, panic])), Some("5.10.1"));
    }

    #[test]
    fn the_firmwares_record_is_of_the_boot_before() {
        let (old, new) = ("Linux version 4.19.91 (a@b) #1 x\n", "Linux version 5.10.1 (a@b) #1 x\n");
        let record = "BERT: Error records from previous boot:\n[Hardware Error]: event severity: fatal\n\
            [Hardware Error]:  Error 0, type: fatal\n";
        let log = read(&[old, CRASH, new, record]);
        assert_eq!((release(&log), log.events.len()), (Some("4.19.91"), 2));
        assert!(log.events[1].is_of_boot_before);
        let log = read(&[old, "usb: hello\n", new, record]);
        assert_eq!((release(&log), log.events.len()), (Some("4.19.91"), 1));
        let reset = "x86/amd: Previous system reset reason [0x08000800]: an uncorrected error caused a data fabric sync flood event\n";
        let log = read(&[old, "usb: hello\n", new, reset]);
        assert_eq!((release(&log), log.events.len()), (Some("4.19.91"), 1));
        let asked =
            "x86/amd: Previous system reset reason [0x00080800]: software wrote 0x6 to reset control register 0xCF9\n";
        assert!(read(&[new, asked]).events.is_empty());
        let log = read(&[new, record]);
        assert_eq!((release(&log), log.events[0].is_of_boot_before), (Some("5.10.1"), true));
    }

    #[test]
    fn how_a_boot_ended_that_is_not_there_the_next_may_say() {
        let (old, new) = ("Linux version 6.15.1 (a@b) #1 x\nusb: hello\n", "Linux version 6.16.1 (a@b) #1 x\n");
        let reset = "x86/amd: Previous system reset reason [0x02000800]: hardware watchdog timer expired\n";
        assert_eq!(read(&[new, reset]).reset_before.as_deref(), Some("hardware watchdog timer expired"));
        // The end of the boot before is not shown, or is that reset.
        assert!(read(&[old, new, reset]).reset_before.is_some());
        let serial = "[    0.000000] Linux version 6.15.1 (a@b) #1 x\n[ 5000.000000] usb: hello\n";
        let later = ["[    0.000000] ", new, "[    0.500000] ", reset].concat();
        let log = read(&[serial, &later]);
        assert_eq!((release(&log), log.ending, log.reset_before.as_deref()), (Some("6.15.1"), Ending::Unsaid, None));
        // A healthy boot after that hides it no more.
        assert!(read(&[old, new, reset, new]).reset_before.is_some());
        let button = reset.replace("hardware watchdog timer expired", "power button was pressed for 4 seconds");
        assert_eq!(read(&[new, &button]).reset_before, None);
    }

    /// A console that a cloud gives as one string is read like the text that it is.
    #[test]
    fn a_console_in_one_line_has_the_lines_of_its_text() {
        let text = "[    0.000000] Linux version 6.1.1 (a@b) #1 x\n[  500.000000] usb: hello\n\
            [    0.000000] Linux version 6.1.1 (a@b) #1 x\n[    1.000000] usb: hello\n";
        let json = format!("{{\"Output\": {}}}\n", serde_json::to_string(text).unwrap());
        let (plain, wrapped) = (read(&[text]), read(&[&json]));
        assert_eq!(plain.ending, Ending::Unsaid);
        assert_eq!((wrapped.ending, wrapped.extent.lines), (plain.ending, plain.extent.lines));
    }

    #[test]
    fn reports_of_two_boots_are_not_put_together() {
        let log = read(&[CRASH, "Linux version 5.10.1 (a@b) #1 x\n", CRASH]);
        assert_eq!((log.events.len(), log.traces.len()), (1, 1));
    }
}
