//! What the kernel says of itself when something is wrong: the one place that knows its wording.
//!
//! An [`Event`] is one report. [`Event::parse`] reads the line that it begins with; [`Event::absorb`] adds what the lines
//! below say: the CPUs of a stall, the owner of a lock, the function of an oops.
//!
//! | module | from the kernel's |
//! |---|---|
//! | [`lockup`] | `kernel/watchdog.c`, `arch/powerpc/kernel/watchdog.c`, `kernel/hung_task.c`, `kernel/rcu/tree_stall.h`, `kernel/workqueue.c` |
//! | [`crash`] | `kernel/panic.c`, every architecture's `die()` and `show_fault_oops()` |
//! | [`warning`] | `lib/bug.c`, `kernel/locking/lockdep.c`, `mm/kasan`, `mm/slub.c`, `lib/ubsan.c`, `mm/oom_kill.c`, `mm/page_alloc.c` |
//! | [`init`] | what is no part of the kernel: systemd's `src/core` |
//! | [`device`] | `block`, `fs`, `drivers` and `net`, by its parts: [`storage`], [`filesystem`], [`network`], [`hardware`] |

mod crash;
mod detail;
mod device;
mod filesystem;
mod hardware;
mod init;
mod lockup;
mod message;
mod network;
mod stall;
mod storage;
mod text;
mod warning;
mod weight;

pub use crash::PanicReason;
pub use lockup::{SoftLockup, soft_lockup};
pub use weight::Weight;

use crate::frame::Location;

/// What a report is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `BUG: soft lockup - CPU#7 stuck for 11s! [comm:pid]`: one task has kept a CPU.
    SoftLockup,
    /// `Watchdog detected hard LOCKUP on cpu 3`: a CPU takes no interrupts.
    HardLockup,
    /// `rcu: INFO: rcu_sched detected stalls on CPUs/tasks:`: a grace period does not end.
    RcuStall,
    /// `rcu: rcu_sched kthread starved for 5250 jiffies!`: the thread that ends grace periods gets no CPU.
    RcuStarved,
    /// `INFO: task comm:pid blocked for more than 120 seconds.`
    HungTask,
    /// `BUG: workqueue lockup - pool cpus=2 … stuck for 36s!`: work that is queued is not begun.
    WorkqueueLockup,
    /// `smp: csd: Detected non-responsive CSD lock`: a CPU does not run what another waits for it to run.
    UnansweredCall,
    /// An exception in kernel code, or `kernel BUG at`.
    Oops,
    /// `Kernel panic - not syncing: …`
    Panic,
    /// `sysrq: Trigger a crash`
    CrashRequested,
    /// `WARNING: CPU: 1 PID: 2 at …`, and whatever else the kernel calls a bug of its own.
    Warning,
    /// A lock is used in a way that may deadlock, found by lockdep or the lock itself.
    Lockdep,
    /// Wrong memory accesses and undefined behaviour, found by KASAN, KCSAN, KFENCE, KMSAN and UBSAN.
    Sanitizer,
    /// Memory that holds what it should not: slab poison, list pointers, page tables.
    Corruption,
    /// A process was killed because the machine had no memory left.
    OutOfMemory,
    /// A process was killed because its control group had no memory left.
    CgroupOutOfMemory,
    /// `page allocation failure: order:4`
    AllocationFailure,
    /// A block device failed to read or write.
    IoError,
    /// A file system found itself damaged, shut itself down or went read-only.
    Filesystem,
    /// A disk, controller, path or file server did not answer in time.
    IoTimeout,
    /// `NETDEV WATCHDOG`: a network device does not send, or is not given back.
    NetTimeout,
    /// `systemd[1]: Freezing execution.`: the first process crashed or gave up.
    InitStopped,
    /// Hardware reported an error that it could not correct.
    Hardware,
    /// Hardware reported an error that it corrected.
    CorrectedHardware,
    /// `NMI backtrace for cpu 3`: a CPU was asked for its stack. Part of another report.
    Backtrace,
    /// `task:comm state:D …`: the stack of a task that another prints. Part of another report.
    Task,
    /// `sysrq: Show Blocked State`: somebody asked what the machine does.
    StateShown,
    /// `------------[ cut here ]------------`: another report follows.
    CutHere,
}

impl Kind {
    /// All of them, as they are declared.
    pub const ALL: [Self; 28] = [
        Self::SoftLockup,
        Self::HardLockup,
        Self::RcuStall,
        Self::RcuStarved,
        Self::HungTask,
        Self::WorkqueueLockup,
        Self::UnansweredCall,
        Self::Oops,
        Self::Panic,
        Self::CrashRequested,
        Self::Warning,
        Self::Lockdep,
        Self::Sanitizer,
        Self::Corruption,
        Self::OutOfMemory,
        Self::CgroupOutOfMemory,
        Self::AllocationFailure,
        Self::IoError,
        Self::Filesystem,
        Self::IoTimeout,
        Self::NetTimeout,
        Self::InitStopped,
        Self::Hardware,
        Self::CorrectedHardware,
        Self::Backtrace,
        Self::Task,
        Self::StateShown,
        Self::CutHere,
    ];

    /// The name used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SoftLockup => "soft-lockup",
            Self::HardLockup => "hard-lockup",
            Self::RcuStall => "rcu-stall",
            Self::RcuStarved => "rcu-starved",
            Self::HungTask => "hung-task",
            Self::WorkqueueLockup => "workqueue-lockup",
            Self::UnansweredCall => "unanswered-call",
            Self::Oops => "oops",
            Self::Panic => "panic",
            Self::CrashRequested => "crash-requested",
            Self::Warning => "warning",
            Self::Lockdep => "lockdep",
            Self::Sanitizer => "sanitizer",
            Self::Corruption => "corruption",
            Self::OutOfMemory => "out-of-memory",
            Self::CgroupOutOfMemory => "cgroup-out-of-memory",
            Self::AllocationFailure => "allocation-failure",
            Self::IoError => "io-error",
            Self::Filesystem => "filesystem",
            Self::IoTimeout => "io-timeout",
            Self::NetTimeout => "net-timeout",
            Self::InitStopped => "init-stopped",
            Self::Hardware => "hardware",
            Self::CorrectedHardware => "corrected-hardware",
            Self::Backtrace => "backtrace",
            Self::Task => "task",
            Self::StateShown => "state-shown",
            Self::CutHere => "cut-here",
        }
    }

    /// Whether it says that something is wrong; the others only say what lines below them are.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        !matches!(self, Self::Backtrace | Self::Task | Self::StateShown | Self::CutHere)
    }

    /// Whether the machine, or a part of it, stood still or died.
    #[must_use]
    pub const fn is_hang_or_crash(self) -> bool {
        matches!(
            self,
            Self::SoftLockup
                | Self::HardLockup
                | Self::RcuStall
                | Self::RcuStarved
                | Self::HungTask
                | Self::WorkqueueLockup
                | Self::UnansweredCall
                | Self::Oops
                | Self::Panic
                | Self::CrashRequested
        )
    }

    /// Whether the kernel prints one line of it, and no stack below: there may be thousands of them.
    pub(crate) const fn stands_alone(self) -> bool {
        matches!(
            self,
            Self::IoError
                | Self::IoTimeout
                | Self::Filesystem
                | Self::InitStopped
                | Self::CorrectedHardware
                | Self::CrashRequested
                | Self::StateShown
        )
    }

    /// Whether the stack below it is of another task than the one that prints it.
    #[must_use]
    pub const fn is_of_another_task(self) -> bool {
        matches!(self, Self::Task | Self::HungTask)
    }
}

/// One report of the kernel. All text is untrusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub kind: Kind,
    /// The line that it begins with, without what the carrier put before it. Of a panic what follows
    /// `Kernel panic - not syncing: `.
    pub text: String,
    /// The CPUs that it is about, in the kernel's order: only those that a line names.
    pub cpus: Vec<u32>,
    /// The thread id of the task that it is about.
    pub pid: Option<i32>,
    /// That task's name.
    pub comm: Option<String>,
    /// For how long, as the kernel says it: of lockups in units of 2^30 ns.
    pub seconds: Option<u64>,
    /// For how long, where the kernel says it in ticks of its own clock (100 to 1000 a second).
    pub jiffies: Option<u64>,
    /// The device, file system or server.
    pub device: Option<String>,
    /// Where in the code.
    pub function: Option<Location>,
    /// Who called the function in which it was, where only that is known: the line with the instruction is missing, or no
    /// function is at its address.
    pub caller: Option<Box<Location>>,
    /// What other lines of the report say: the owner of a lock, the tasks of a stall, which access was wrong.
    pub details: Vec<String>,
    /// Whether its line ends before it should.
    pub is_cut: bool,
}

impl Event {
    /// Reads a line without prefix and indentation.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // Of iSCSI's devices, which have no name, a blank is left.
        let text = text.strip_prefix(' ').filter(|rest| rest.starts_with("session")).unwrap_or(text);
        // Nearly every line of a log ends here.
        if !text.bytes().next()?.is_ascii_graphic() {
            return None;
        }
        lockup::parse(text)
            .or_else(|| crash::parse(text))
            .or_else(|| warning::parse(text))
            .or_else(|| device::parse(text))
            .or_else(|| init::parse(text))
    }

    fn new(kind: Kind, text: &str) -> Self {
        Self {
            kind,
            text: text.to_owned(),
            cpus: Vec::new(),
            pid: None,
            comm: None,
            seconds: None,
            jiffies: None,
            device: None,
            function: None,
            caller: None,
            details: Vec::new(),
            is_cut: false,
        }
    }

    fn on_cpu(mut self, cpu: Option<u32>) -> Self {
        self.cpus.extend(cpu);
        self
    }

    fn of_task(mut self, comm: &str, pid: Option<i32>) -> Self {
        self.comm = Some(comm.to_owned());
        self.pid = pid;
        self
    }

    fn of_device(mut self, device: Option<&str>) -> Self {
        self.device = device.map(str::to_owned);
        self
    }

    fn for_seconds(mut self, seconds: Option<u64>) -> Self {
        self.seconds = seconds;
        self
    }

    /// The CPU that it is about first.
    #[must_use]
    pub fn cpu(&self) -> Option<u32> {
        self.cpus.first().copied()
    }

    /// The whole line of a soft lockup; `None` for anything else, and where its end is missing.
    #[must_use]
    pub fn soft_lockup(&self) -> Option<SoftLockup> {
        let is_whole = self.kind == Kind::SoftLockup && !self.is_cut;
        let lockup =
            || Some(SoftLockup { cpu: self.cpu()?, seconds: self.seconds?, comm: self.comm.clone()?, pid: self.pid? });
        if is_whole { lockup() } else { None }
    }

    /// Whether hardware reported its error by a machine check.
    #[must_use]
    pub fn is_machine_check(&self) -> bool {
        ["Machine Check", "Machine check"].iter().any(|words| self.text.contains(words))
    }

    /// Whether an NMI came for which nobody gave a reason: hardware does that, and so do people who want a dump.
    #[must_use]
    pub fn is_unknown_nmi(&self) -> bool {
        self.kind == Kind::Hardware && self.text.starts_with("Uhhuh. ")
    }

    /// Why the kernel panicked; `None` for what is no panic.
    #[must_use]
    pub fn panic_reason(&self) -> Option<PanicReason> {
        (self.kind == Kind::Panic).then(|| PanicReason::of(&self.text))
    }

    /// The CPU that prints the report, where its line says so.
    pub(crate) fn printer(&self) -> Option<u32> {
        let prints = match self.kind {
            Kind::SoftLockup | Kind::Backtrace => true,
            // Another one may have noticed.
            Kind::HardLockup => self.cpus.len() == 1 && !lockup::is_seen_from_outside(&self.text),
            _ => false,
        };
        self.cpu().filter(|_| prints)
    }
}

/// What a line means that means something.
#[cfg(test)]
fn event(text: &str) -> Event {
    Event::parse(text).unwrap_or_else(|| panic!("{text}"))
}
