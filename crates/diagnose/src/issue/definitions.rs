//! The table of issues: what is said of each.

use vmcore_console::PanicReason;

use super::{Definition, Issue};
use crate::Severity;

const BY_LOCK: &[PanicReason] = &[PanicReason::HungTask, PanicReason::WorkqueueStall];
/// A CPU that is kept from all else.
const BY_BUSY: &[PanicReason] =
    &[PanicReason::SoftLockup, PanicReason::RcuStall, PanicReason::HungTask, PanicReason::WorkqueueStall];
/// A CPU that does nothing else keeps grace periods from ending, works from being done and lock holders from running, so that
/// others sleep for it; where it has its interrupts off as well, the NMI watchdog tells.
const BY_SPIN: &[PanicReason] = &[
    PanicReason::SoftLockup,
    PanicReason::HardLockup,
    PanicReason::RcuStall,
    PanicReason::HungTask,
    PanicReason::WorkqueueStall,
];

impl Issue {
    /// Its row.
    #[must_use]
    pub const fn definition(self) -> Definition {
        match self {
            Self::ThpLivelock => Definition {
                id: "thp-split-page-fault-livelock",
                severity: Severity::Critical,
                explains: BY_BUSY,
                summary: "CPUs fault again and again on a huge page whose splitter is runnable and gets no CPU",
                remedy: None,
            },
            Self::Deadlock => Definition {
                id: "deadlock",
                severity: Severity::Critical,
                explains: BY_LOCK,
                summary: "tasks wait for each other in a circle",
                remedy: Some((
                    "restart the machine, and report the stacks of these tasks to the maintainers of the code that takes \
                     the locks",
                    "a circle of locks never opens by itself; it is a bug of the code on these stacks, not of load or \
                     settings",
                )),
            },
            Self::SpinlockHeld => Definition {
                id: "spinlock-held",
                severity: Severity::Critical,
                explains: BY_SPIN,
                summary: "a spin lock is not released while CPUs spin for it",
                remedy: Some((
                    "look at the stack of the CPU that has the lock: why does it not release it?",
                    "the CPUs that spin are its victims, and so is the one that the watchdog names",
                )),
            },
            Self::UnansweredCall => Definition {
                id: "unanswered-call",
                severity: Severity::Critical,
                explains: BY_BUSY,
                summary: "a CPU does not run what another one waits for it to run",
                remedy: Some((
                    "look at the stack of the CPU that does not answer: why are its interrupts off?",
                    "the caller, which the watchdog names, is its victim",
                )),
            },
            Self::HardLockup => Definition {
                id: "hard-lockup",
                severity: Severity::Critical,
                explains: &[
                    PanicReason::HardLockup,
                    PanicReason::RcuStall,
                    PanicReason::HungTask,
                    PanicReason::WorkqueueStall,
                ],
                summary: "a CPU takes no interrupts for longer than the watchdog allows",
                remedy: Some((
                    "look at the stack of the CPU: where were interrupts disabled? On a virtual machine, check the host's \
                     log for that time",
                    "a CPU that the host did not run, or that firmware took, looks the same from inside",
                )),
            },
            Self::Starvation => Definition {
                id: "cpu-starvation",
                severity: Severity::Critical,
                explains: BY_BUSY,
                summary: "tasks that could run get no CPU",
                remedy: Some((
                    "look at the stack of the task that keeps the CPU: what does it do? Give a real-time task a lower \
                     priority or a CPU of its own",
                    "a loop in the kernel has to offer the CPU itself where kernel code is not preempted; beside \
                     real-time tasks, kernel.sched_rt_runtime_us leaves time for others",
                )),
            },
            Self::SoftLockup => Definition {
                id: "soft-lockup",
                severity: Severity::Critical,
                explains: BY_BUSY,
                summary: "a CPU ran kernel code for longer than the watchdog allows",
                remedy: Some((
                    "look at the stack of the CPU: which loop is it in, and what does that loop wait for?",
                    "the watchdog names the task that had the CPU; what kept it there is on the stack",
                )),
            },
            Self::Oops => Definition {
                id: "kernel-oops",
                severity: Severity::Critical,
                // "Attempted to kill init!" may be what is left of an exception.
                explains: &[PanicReason::Oops, PanicReason::Other],
                summary: "kernel code ran into an exception",
                remedy: Some((
                    "report the function, the address and the stack to the maintainers of that code; try a newer kernel \
                     or module",
                    "the bug is in that function, or in what handed it the pointer",
                )),
            },
            Self::RcuStall => Definition {
                id: "rcu-stall",
                severity: Severity::Critical,
                explains: &[PanicReason::RcuStall, PanicReason::HungTask, PanicReason::WorkqueueStall],
                summary: "an RCU grace period does not end",
                remedy: Some((
                    "look at the stack of what the grace period waits for: why does it not pass through a quiescent state?",
                    "memory that waits for the grace period is not freed, so a machine that goes on like this runs out of \
                     it",
                )),
            },
            Self::ThrottledOwner => Definition {
                id: "lock-owner-throttled",
                severity: Severity::Critical,
                explains: BY_LOCK,
                summary: "a lock is held by a task whose cgroup has no CPU time left",
                remedy: Some((
                    "give the cgroup of the owner more CPU time (cpu.max), or weights (cpu.weight) in place of a quota",
                    "whoever waits for the lock waits until that cgroup may run again, in whatever cgroup it is itself",
                )),
            },
            Self::LockHeld => Definition {
                id: "lock-held",
                severity: Severity::Critical,
                explains: BY_LOCK,
                summary: "a lock is held for longer than tasks may be kept waiting",
                remedy: Some((
                    "look at the stack of the holder: what does it do instead of releasing the lock?",
                    "those who wait for the lock are its victims: what has to be explained is where the holder is",
                )),
            },
            Self::WorkNotDone => Definition {
                id: "work-not-done",
                severity: Severity::Critical,
                explains: BY_LOCK,
                summary: "a piece of work is not done while tasks wait for it",
                remedy: Some((
                    "look at the stack of the worker: what does it do instead of finishing the work?",
                    "those who wait for the work are its victims",
                )),
            },
            Self::PageLocked => Definition {
                id: "page-locked",
                severity: Severity::Critical,
                explains: BY_LOCK,
                summary: "a page stays locked, or under writeback, while tasks wait for it",
                remedy: Some((
                    "look in the log for a disk, network or file system that stopped answering",
                    "a page stays locked while it is read, written back or moved; the kernel does not record who has it",
                )),
            },
            Self::HungTask => Definition {
                id: "hung-task",
                severity: Severity::Critical,
                explains: BY_LOCK,
                summary: "tasks sleep uninterruptibly for longer than the kernel's limit",
                remedy: Some((
                    "look at the stacks of these tasks, the one that has slept longest first: what do they sleep for?",
                    "mostly it is a disk or a network file system that stopped answering, or a lock whose holder sleeps",
                )),
            },
            Self::OutOfMemory => Definition {
                id: "out-of-memory",
                severity: Severity::Critical,
                explains: &[PanicReason::OutOfMemory],
                summary: "no memory was left",
                remedy: Some((
                    "find out why the process that had most of the memory grew, and limit it",
                    "the kernel's report lists what each process had; memory that no process has is the kernel's own (slab, page \
                     tables)",
                )),
            },
            Self::WorkqueueLockup => Definition {
                id: "workqueue-lockup",
                severity: Severity::Critical,
                explains: BY_LOCK,
                summary: "work is queued and no worker begins it",
                remedy: Some((
                    "find out which work the pool's workers run, and what it waits for: the log lists the busy queues below \
                     the report",
                    "everything that is queued behind it waits, also work that has nothing to do with it",
                )),
            },
            Self::HardwareError => Definition {
                id: "hardware-error",
                severity: Severity::Critical,
                explains: &[PanicReason::Hardware],
                summary: "the hardware reports errors",
                remedy: Some((
                    "check the hardware: the part that is named, its slot, power and temperature, and the event log of the \
                     board's own controller (`ipmitool sel list`)",
                    "the processor, memory or bus reported the error; the kernel only says so",
                )),
            },
            Self::FilesystemError => Definition {
                id: "filesystem-error",
                severity: Severity::Critical,
                explains: BY_LOCK,
                summary: "a file system is damaged, was shut down or went read-only",
                remedy: Some((
                    "check the device below it first, then the file system: unmount it and run its fsck or repair",
                    "a file system that found damage stops writing so as not to make it worse",
                )),
            },
            Self::IoError => Definition {
                id: "io-error",
                severity: Severity::Critical,
                explains: BY_LOCK,
                summary: "a block device or file server fails, or does not answer",
                remedy: Some((
                    "check the device or server that is named: its cables, its own log, `smartctl -a`, `nvme smart-log`, the \
                     storage array or the file server",
                    "the kernel only passes on what the device answered, or that it did not answer",
                )),
            },
            Self::NetworkTimeout => Definition {
                id: "network-timeout",
                severity: Severity::Critical,
                explains: &[],
                summary: "a network device does not send",
                remedy: Some((
                    "check the network device, its firmware and its driver's version; `ethtool -S` shows which queue stands \
                     still",
                    "the driver took packets and the device did not send them; on a virtual machine the host may have \
                     stopped it",
                )),
            },
            Self::AllocationFailure => Definition {
                id: "allocation-failure",
                severity: Severity::Critical,
                explains: &[],
                summary: "a page allocation failed",
                remedy: Some((
                    "see whether the memory was full or only in small pieces; raise vm.min_free_kbytes, or look for what \
                     grew",
                    "requests of order 1 and more need pages next to each other, and many callers do well without",
                )),
            },
            Self::InitStopped => Definition {
                id: "init-stopped",
                severity: Severity::Critical,
                explains: &[],
                summary: "the first process crashed or gave up, and starts, stops and reaps nothing any more",
                remedy: Some((
                    "read what it said above that in the log, and look at its core dump with gdb (`coredumpctl info 1`); only a \
                     forced restart ends this (`reboot -ff`, sysrq-b)",
                    "the machine answers to pings while logins, services and an ordinary reboot hang: all of them ask process 1",
                )),
            },
            Self::Panic => Definition {
                id: "kernel-panic",
                severity: Severity::Critical,
                explains: &[PanicReason::Other, PanicReason::Warning],
                summary: "the kernel panicked for a reason of its own",
                remedy: Some((
                    "look up the reason that the kernel gave, and read the log above it",
                    "it panicked deliberately",
                )),
            },
            Self::Warning => Definition {
                id: "kernel-warning",
                severity: Severity::Info,
                explains: &[PanicReason::Warning],
                summary: "the kernel found itself in a state that it did not expect, and went on",
                remedy: Some((
                    "report the message, the function and the stack to the maintainers of that code; try a newer kernel or \
                     module",
                    "the kernel found a bug of its own there; damaged memory and incorrect locking may hang or crash it later",
                )),
            },
            Self::CrashRequested => Definition {
                id: "crash-requested",
                severity: Severity::Info,
                explains: &[],
                summary: "somebody asked for the crash",
                remedy: None,
            },
        }
    }
}
