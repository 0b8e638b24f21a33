//! What to do where no known bug explains a verdict: the first thing, and why.

use super::Remedy;
use crate::issue;

/// Verdict, what to do, and why.
type Step = (&'static str, &'static str, &'static str);

const STEPS: [Step; 21] = [
    (
        issue::DEADLOCK,
        "restart the machine, and report the stacks of these tasks to who maintains the code that takes the locks",
        "a circle of locks never opens by itself; it is a bug of the code on these stacks, not of load or settings",
    ),
    (
        issue::LOCK_HELD,
        "see by its stack what the holder does instead of giving the lock back",
        "those who wait for the lock are its victims: what has to be explained is where the holder is",
    ),
    (
        issue::PAGE_LOCKED,
        "look in the log for a disk, network or file system that stopped answering",
        "a page stays locked while it is read, written back or moved; the kernel does not record who has it",
    ),
    (
        issue::WORK_NOT_DONE,
        "see by its stack what the worker does instead of ending the work",
        "those who wait for the work are its victims",
    ),
    (
        issue::SOFT_LOCKUP,
        "see by its stack which loop the CPU is in, and what that loop waits for",
        "the watchdog names the task that had the CPU; what kept it there is on the stack",
    ),
    (
        issue::SPINLOCK_HELD,
        "see by its stack why the CPU that has the lock does not give it back",
        "the CPUs that spin are its victims, also those that the watchdog names",
    ),
    (
        issue::UNANSWERED_CALL,
        "see by its stack why the CPU that does not answer has its interrupts off",
        "the caller, whom the watchdog names, is its victim",
    ),
    (
        issue::HARD_LOCKUP,
        "see by its stack where the CPU has its interrupts off; on a virtual machine, ask its host about that time",
        "a CPU that the host did not run, or that firmware took, looks the same from inside",
    ),
    (
        issue::RCU_STALL,
        "see by its stack what keeps the CPU from passing a quiescent state",
        "memory that waits for the grace period is not freed, so a machine that goes on like this runs out of it",
    ),
    (
        issue::STARVATION,
        "see by its stack what the task that keeps the CPU does; give a real-time task a lower priority or a CPU of its own",
        "a loop in the kernel has to offer the CPU by itself where kernel code is not preempted; beside real-time tasks, \
         kernel.sched_rt_runtime_us leaves time for others",
    ),
    (
        issue::HUNG_TASK,
        "see by their stacks what these tasks sleep for, the one that has slept longest first",
        "mostly it is a disk or a network file system that stopped answering, or a lock whose holder sleeps",
    ),
    (
        issue::OOPS,
        "report the function, the address and the stack to who maintains that code; try a newer kernel or module",
        "the exception is in that function or in what handed it the pointer",
    ),
    (
        issue::OUT_OF_MEMORY,
        "find out why the process that had most of the memory grew, and limit it",
        "with vm.panic_on_oom=0 the kernel would have ended a process instead of the machine",
    ),
    (
        issue::PANIC,
        "look for the reason that the kernel gave, and read the log above it",
        "it stopped itself on purpose",
    ),
    (
        issue::WORKQUEUE_LOCKUP,
        "see which work the pool's workers run, and what it waits for: the log lists the busy queues below the report",
        "everything that is queued behind it waits, also work that has nothing to do with it",
    ),
    (
        issue::IO_ERROR,
        "check the device or server that is named: its cables, its own log, `smartctl -a`, `nvme smart-log`, the storage \
         array or the file server",
        "the kernel only passes on what the device answered, or that it did not answer",
    ),
    (
        issue::FILESYSTEM_ERROR,
        "check the device below it first, then the file system: unmount it and run its fsck or repair",
        "a file system that found damage stops writing so as not to make it worse",
    ),
    (
        issue::NETWORK_TIMEOUT,
        "check the network device, its firmware and its driver's version; `ethtool -S` shows which queue stands still",
        "the driver took packets and the device did not send them; on a virtual machine the host may have stopped it",
    ),
    (
        issue::HARDWARE_ERROR,
        "check the hardware: the part that is named, its slot, power and temperature, and the event log of the board's own \
         controller (`ipmitool sel list`)",
        "the processor, memory or bus reported the error; the kernel only says so",
    ),
    (
        issue::ALLOCATION_FAILURE,
        "see whether the memory was full or only in small pieces; raise vm.min_free_kbytes, or look for what grew",
        "requests of order 1 and more need pages next to each other, and many callers do well without",
    ),
    (
        issue::WARNING,
        "report the message, the function and the stack to the maintainers of that code; try a newer kernel or module",
        "the kernel found a bug of its own there; damaged memory and locks used wrongly may hang or crash it later",
    ),
];

/// What to do about a verdict that is no known bug; nothing where nothing is wrong.
pub(super) fn next_steps(verdict: &str) -> Vec<Remedy> {
    let step = STEPS.iter().find(|(issue, ..)| *issue == verdict);
    let remedy =
        |(_, action, why): &Step| Remedy { action: (*action).to_owned(), command: None, why: (*why).to_owned() };
    step.map(remedy).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_one_step_and_known_bugs_have_their_own() {
        for (issue, ..) in STEPS {
            assert_eq!(next_steps(issue).len(), 1, "{issue}");
        }
        for other in [issue::THP_LIVELOCK, issue::CRASH_REQUESTED, "no such issue"] {
            assert_eq!(next_steps(other), [], "{other}");
        }
    }
}
