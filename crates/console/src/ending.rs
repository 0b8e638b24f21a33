//! How a boot came to its end: what the kernel said of it, and what the next kernel's start tells.
//!
//! A kernel that is shut down says so on its console. One that was reset, or lost its power, says nothing. Where a crash
//! kernel starts, the one before it has died: `kexec` starts it only from `panic()` and `oops_end()`, by `crash_kexec()`.
//! Its own report may be missing: the crash kernel takes the serial line over before the last lines have left it.
//!
//! Source: `kernel/reboot.c`, `kernel/kexec_core.c`, `kernel_kexec()`, `drivers/tty/sysrq.c`; a crash kernel knows itself by
//! `elfcorehdr=` on its command line, on machines with a device tree by `linux,elfcorehdr`, of which `drivers/of/fdt.c`
//! prints the reservation.

use crate::date::second_of_year;

/// How a boot ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// No other kernel starts after it: the log ends with it.
    #[default]
    Open,
    /// It said that it restarts, powers off, or starts another kernel.
    ShutDown,
    /// It said that it resets the machine at once: nothing was shut down before.
    Reset,
    /// Another kernel starts. The log was stored by a service, which ends before the kernel: it cannot show why.
    NotShown,
    /// Another kernel starts on a console that shows everything, and nothing was said before.
    Unsaid,
    /// Another kernel starts in the middle of a line.
    CutOff,
    /// A crash kernel starts: this one died.
    CrashKernel,
}

impl Ending {
    /// Every way.
    pub const ALL: [Self; 7] =
        [Self::Open, Self::ShutDown, Self::Reset, Self::NotShown, Self::Unsaid, Self::CutOff, Self::CrashKernel];

    /// The machine neither was shut down nor runs on.
    #[must_use]
    pub const fn is_abrupt(self) -> bool {
        matches!(self, Self::Reset | Self::Unsaid | Self::CutOff | Self::CrashKernel)
    }

    /// The term for it in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::ShutDown => "shut-down",
            Self::Reset => "reset",
            Self::NotShown => "not-shown",
            Self::Unsaid => "unsaid",
            Self::CutOff => "cut-off",
            Self::CrashKernel => "crash-kernel",
        }
    }
}

/// What is known of how the boot that is being read ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastWords {
    /// It said that it goes down.
    said: bool,
    /// It said that it resets the machine at once.
    resets: bool,
    /// How the line with the next kernel's start looks.
    next: Ending,
    /// The latest time of its own.
    clock: Option<u64>,
    /// The date of the last line that has one in place of that.
    date: Option<u32>,
    /// How the last line after it begins, which may have one.
    head: Option<[u8; MAX_DATE]>,
    /// It is a crash kernel itself.
    is_crash_kernel: bool,
}

/// Twenty years: no machine is up for longer, and seconds since 1970 are more.
const MAX_UPTIME_NS: u64 = 20 * 366 * 24 * 3600 * 1_000_000_000;

/// A date ends within as many bytes.
const MAX_DATE: usize = 32;

/// A console that is registered later than the first prints from the beginning, so that a kernel seems to start anew. It is
/// registered within this time.
const MAX_REPLAYED_NS: u64 = 10 * 1_000_000_000;

/// Texts after which a kernel goes down in order. `reboot: ` alone is not enough: quirks of a board are reported like that when
/// it starts.
const SHUT_DOWN: [&str; 9] = [
    "reboot: Restarting system",
    "reboot: machine restart",
    "reboot: Power down",
    "reboot: Power off not available",
    "reboot: System halted",
    "Restarting system",
    "Power down.",
    "System halted.",
    "Starting new kernel",
];

/// Texts after which `emergency_restart()` is called: by sysrq-b, and by a cluster's node that excludes itself
/// (`fs/ocfs2/cluster/quorum.c`).
const RESETS: [&str; 4] = [
    "sysrq: Resetting",
    "sysrq: SysRq : Resetting",
    "SysRq : Resetting",
    "*** ocfs2 is very sorry to be fencing this system by restarting",
];

impl LastWords {
    /// Takes a line, without its time.
    pub(crate) fn learn(&mut self, text: &str) {
        self.said |= SHUT_DOWN.iter().any(|words| text.starts_with(words)) || text.contains("kexec_core: Starting new");
        self.resets |= RESETS.iter().any(|words| text.starts_with(words));
        self.is_crash_kernel |= text.contains("ommand line: ") && text.contains(" elfcorehdr=")
            || text.contains("eserving ") && text.ends_with(" for elfcorehdr");
    }

    /// Takes the time of a line.
    pub(crate) fn pass(&mut self, timestamp_ns: Option<u64>) {
        // A program's line may have the time of day in the place of the kernel's.
        self.clock = self.clock.max(timestamp_ns.filter(|time| *time < MAX_UPTIME_NS));
    }

    /// Takes the date of a line without a time of the kernel's.
    pub(crate) fn pass_date(&mut self, second_of_year: Option<u32>) {
        if second_of_year.is_some() {
            (self.date, self.head) = (second_of_year, None);
        }
    }

    /// Takes a line that may begin with a date, which is not read before it turns out to be the last.
    pub(crate) fn pass_head(&mut self, line: &[u8]) {
        if let Some(head) = line.first_chunk().filter(|head| head.contains(&b':')) {
            self.head = Some(*head);
        }
    }

    /// The latest time.
    pub(crate) const fn last_ns(&self) -> Option<u64> {
        self.clock
    }

    /// The date of the last line that has one in place of that.
    pub(crate) fn last_second_of_year(&self) -> Option<u32> {
        let head = self.head.as_ref().map(|head| String::from_utf8_lossy(head));
        head.and_then(|head| second_of_year(&head)).or(self.date)
    }

    /// Takes the line with which a kernel starts: `before` is what a kernel printed on it so far.
    pub(crate) fn starts(&mut self, line: &str, before: bool) {
        self.next = match (before, crate::prefix::is_time(line)) {
            (true, _) => Ending::CutOff,
            (false, true) => Ending::Unsaid,
            (false, false) => Ending::NotShown,
        };
    }

    /// Whether a kernel has run for some time: a few lines are printed before it says its version.
    pub(crate) fn has_run(&self) -> bool {
        self.clock.is_some_and(|clock| clock > 0)
    }

    pub(crate) const fn is_crash_kernel(&self) -> bool {
        self.is_crash_kernel
    }

    /// How it ended, where no other kernel starts after it.
    pub(crate) const fn last(&self) -> Ending {
        if self.resets { Ending::Reset } else { Ending::Open }
    }

    /// How it ended, where the next kernel is an ordinary one.
    pub(crate) fn ending(&self) -> Ending {
        match self.next {
            _ if self.resets => Ending::Reset,
            _ if self.said => Ending::ShutDown,
            // A second console may get all of the log once more.
            Ending::Unsaid if self.clock < Some(MAX_REPLAYED_NS) => Ending::NotShown,
            next => next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Log;

    const START: &str = "[    0.000000] Linux version 6.1.0 (a@b) (gcc 12) #1 SMP x\n";
    const RUN: &str = "[    1.000000] usb: hello\n[   95.000000] net: link is up\n";
    const CRASH_KERNEL: &str = "[    0.000000] Command line: console=ttyS0 reset_devices elfcorehdr=1015156K\n";
    const ORDINARY: &str = "[    0.000000] Command line: console=ttyS0 crashkernel=256M\n";

    fn read(parts: &[&str]) -> Log {
        Log::read(parts.concat().as_bytes()).unwrap()
    }

    #[test]
    fn each_way_to_end() {
        for (parts, ending) in [
            (&[START, ORDINARY, RUN][..], Ending::Open),
            (&[START, RUN, "[   96.000000] reboot: Restarting system\n", START, ORDINARY], Ending::Open),
            (&[START, RUN, "SeaBIOS (version 1)\n", START, ORDINARY], Ending::Unsaid),
            (&[RUN, START, ORDINARY], Ending::Unsaid),
            (&[START, RUN, "[   96.000000] watch", START, ORDINARY], Ending::CutOff),
            (&[START, RUN, "[   96.000000] watch", START, CRASH_KERNEL], Ending::CrashKernel),
            (&[START, RUN, START, CRASH_KERNEL, RUN], Ending::CrashKernel),
            // The machine runs again; what it died of is asked.
            (&[START, RUN, START, CRASH_KERNEL, RUN, START, ORDINARY, RUN], Ending::CrashKernel),
            (
                &[
                    START,
                    "[    0.180000] reboot: Dell OptiPlex 990 series board detected. Selecting x\n",
                    RUN,
                    START,
                    ORDINARY,
                ],
                Ending::Unsaid,
            ),
            (&[START, RUN, "[   96.000000] sysrq: Resetting\n"], Ending::Reset),
            (&[START, RUN, "[   96.000000] SysRq : Resetting\n", START, ORDINARY], Ending::Reset),
            // Another serial line gets all of the log once more.
            (&[START, "[    0.700000] console [ttyS1] enabled\n", START, ORDINARY, RUN], Ending::Open),
        ] {
            assert_eq!(read(parts).ending, ending, "{parts:?}");
        }
    }

    #[test]
    fn a_journal_ends_before_its_kernel() {
        let stored = |text: &str| text.lines().map(|line| format!("Nov 22 10:00:00 host kernel: {line}\n")).collect();
        let text: String = stored(&[START, RUN, START, ORDINARY, RUN].concat());
        assert_eq!((read(&[&text]).ending, read(&[&text]).extent.silent_ends), (Ending::Open, 0));
        let text: String = stored(&[START, RUN, START, CRASH_KERNEL, RUN].concat());
        assert_eq!(read(&[&text]).ending, Ending::CrashKernel);
    }

    #[test]
    fn a_crash_kernel_without_times() {
        let bare = |text: &str| {
            let texts = text.lines().map(|line| line.split_once("] ").unwrap().1);
            texts.map(|text| format!("Nov 22 10:00:00 host kernel: {text}\n")).collect()
        };
        let text: String = bare(&[START, ORDINARY, RUN, START, CRASH_KERNEL].concat());
        assert_eq!(read(&[&text]).ending, Ending::CrashKernel);
        let text: String = bare(&[START, ORDINARY, RUN, START, ORDINARY].concat());
        assert_eq!(read(&[&text]).ending, Ending::Open);
    }

    #[test]
    fn a_log_that_begins_with_a_crash_kernel() {
        let log = read(&[START, CRASH_KERNEL, RUN, "[   96.000000] reboot: Restarting system\n", START, ORDINARY, RUN]);
        assert_eq!((log.ending, log.extent.silent_ends, log.is_crash_kernel), (Ending::Open, 1, false));
    }

    #[test]
    fn a_crash_kernel_belongs_to_the_boot_before_it() {
        let oom =
            "[    9.000000] Out of memory: Killed process 77 (makedumpfile) total-vm:1kB, anon-rss:1kB, file-rss:0kB\n";
        let panic = "[   96.000000] Kernel panic - not syncing: Fatal exception\n";
        let log = read(&[START, RUN, START, CRASH_KERNEL, oom, START, ORDINARY, RUN, panic]);
        assert_eq!((log.events.len(), log.of_crash_kernel), (1, None));
        let log = read(&[START, RUN, panic, START, ORDINARY, RUN, START, CRASH_KERNEL, oom]);
        assert_eq!((log.events.len(), log.of_crash_kernel, log.extent.silent_ends), (1, None, 1));
    }

    #[test]
    fn a_crash_kernel_by_itself() {
        assert!(read(&[START, CRASH_KERNEL, RUN]).is_crash_kernel);
        let of_device_tree = "[    0.000000] OF: fdt: Reserving 4 KiB of memory at 0x59fff000 for elfcorehdr\n";
        assert!(read(&[START, of_device_tree, RUN]).is_crash_kernel);
        assert!(!read(&[START, ORDINARY, RUN]).is_crash_kernel);
    }

    #[test]
    fn a_problem_of_the_crash_kernel_is_not_the_crash() {
        let oom =
            "[    9.000000] Out of memory: Killed process 77 (makedumpfile) total-vm:1kB, anon-rss:1kB, file-rss:0kB\n";
        let panic = "[   96.000000] Kernel panic - not syncing: Fatal exception\n";
        let log = read(&[START, RUN, panic, START, CRASH_KERNEL, oom]);
        assert_eq!((log.events.len(), log.ending), (1, Ending::CrashKernel));
        assert!(log.of_crash_kernel.is_some_and(|event| event.event.text.contains("makedumpfile")));
        // It is all there is.
        let log = read(&[START, CRASH_KERNEL, oom]);
        assert!(log.is_crash_kernel && log.events.len() == 1);
    }

    #[test]
    fn other_boots_that_ended_silently_are_counted() {
        let panic = "[   96.000000] Kernel panic - not syncing: Fatal exception\n";
        let log = read(&[START, RUN, panic, START, ORDINARY, RUN, START, CRASH_KERNEL, RUN]);
        assert_eq!((log.events.len(), log.extent.silent_ends), (1, 1));
        let log = read(&[START, RUN, START, ORDINARY, RUN, START, CRASH_KERNEL]);
        assert_eq!((log.ending, log.extent.silent_ends), (Ending::CrashKernel, 1));
    }
}
