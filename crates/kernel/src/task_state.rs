//! Task states, with the letters that `ps` and the kernel's own reports use.

use std::fmt;

const INTERRUPTIBLE: u64 = 0x1;
const UNINTERRUPTIBLE: u64 = 0x2;
const STOPPED: u64 = 0x4;
const TRACED: u64 = 0x8;
const PARKED: u64 = 0x40;
const EXIT_DEAD: u64 = 0x10;
const EXIT_ZOMBIE: u64 = 0x20;
/// `TASK_FROZEN`.
const FROZEN: u64 = 0x8000;
/// `TASK_RTLOCK_WAIT` and `TASK_FROZEN`: shown as uninterruptible by the kernel too (`__task_state_index`).
const AS_UNINTERRUPTIBLE: u64 = 0x1000 | FROZEN;
/// `TASK_WAKEKILL`: with `TASK_UNINTERRUPTIBLE` it makes `TASK_KILLABLE`.
const WAKEKILL: u64 = 0x100;
/// `TASK_WAKING`.
const WAKING: u64 = 0x200;
/// `TASK_NOLOAD`: with `TASK_UNINTERRUPTIBLE` it makes `TASK_IDLE`.
const NOLOAD: u64 = 0x400;

/// `task_struct.__state` and `task_struct.exit_state`. Bits as of 4.14 and later (kernel commits 92c4bc9f9c6f,
/// 8ef9925b02c2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskState {
    /// The raw `__state` (`state` before 5.14).
    pub state: u64,
    /// The raw `exit_state`.
    pub exit_state: u64,
}

impl TaskState {
    /// Whether it is `TASK_RUNNING`: running or waiting for a CPU.
    #[must_use]
    pub const fn is_running(self) -> bool {
        self.state == 0 && self.exit_state == 0
    }

    /// Whether it sleeps and no signal can wake it: `D`, but not an idle kernel thread (`I`).
    #[must_use]
    pub const fn is_uninterruptible(self) -> bool {
        self.exit_state == 0
            && (self.state & (UNINTERRUPTIBLE | NOLOAD) == UNINTERRUPTIBLE || self.state & AS_UNINTERRUPTIBLE != 0)
    }

    /// Whether not even a deadly signal wakes it: of such a sleep the hung-task watchdog complains, of that of a parent
    /// that waits in `vfork()` not.
    #[must_use]
    pub const fn ignores_signals(self) -> bool {
        self.is_uninterruptible() && self.state & WAKEKILL == 0
    }

    /// Whether it sleeps until it is woken or gets any signal: `S`.
    #[must_use]
    pub const fn is_interruptible(self) -> bool {
        self.exit_state == 0 && self.state & INTERRUPTIBLE != 0
    }

    /// Whether somebody has woken it, and the CPU that it is to run on has not put it into its queue yet: `TASK_WAKING`.
    #[must_use]
    pub const fn is_waking(self) -> bool {
        self.exit_state == 0 && self.state & WAKING != 0
    }

    /// Whether it is frozen, for a suspend or by a cgroup: `TASK_FROZEN` since 6.1 (kernel commit f5d39b020809).
    #[must_use]
    pub const fn is_frozen(self) -> bool {
        self.exit_state == 0 && self.state & FROZEN != 0
    }

    /// The letter: `R`, `S`, `D`, `I`, `T`, `t`, `P`, `X`, `Z`, or `?`.
    #[must_use]
    pub const fn letter(self) -> char {
        if self.exit_state & EXIT_ZOMBIE != 0 {
            return 'Z';
        }
        if self.exit_state & EXIT_DEAD != 0 {
            return 'X';
        }
        match self.state {
            0 => 'R',
            state if state & (UNINTERRUPTIBLE | NOLOAD) == UNINTERRUPTIBLE | NOLOAD => 'I',
            state if state & INTERRUPTIBLE != 0 => 'S',
            state if state & (UNINTERRUPTIBLE | AS_UNINTERRUPTIBLE) != 0 => 'D',
            state if state & STOPPED != 0 => 'T',
            state if state & TRACED != 0 => 't',
            state if state & PARKED != 0 => 'P',
            // TASK_DEAD (0x80) without an exit state yet.
            state if state & 0x80 != 0 => 'X',
            _ => '?',
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_woken_is_in_no_queue_yet() {
        assert!(TaskState { state: 0x200, exit_state: 0 }.is_waking());
        assert!(!TaskState { state: 0x2, exit_state: 0 }.is_waking());
    }

    #[test]
    fn letters() {
        let letter = |state, exit_state| TaskState { state, exit_state }.letter();
        assert_eq!(letter(0, 0), 'R');
        assert_eq!(letter(1, 0), 'S');
        assert_eq!(letter(2, 0), 'D');
        // TASK_KILLABLE
        assert_eq!(letter(0x102, 0), 'D');
        assert_eq!(letter(0x402, 0), 'I');
        assert_eq!(letter(0x104, 0), 'T');
        assert_eq!(letter(0x80, 0x20), 'Z');
        assert_eq!(letter(0x40, 0), 'P');
        assert_eq!(letter(0x1000, 0), 'D');
    }

    #[test]
    fn any_signal_wakes_who_sleeps_interruptibly() {
        // TASK_FREEZABLE is no state of its own.
        for state in [0x1, 0x2001] {
            assert!(TaskState { state, exit_state: 0 }.is_interruptible());
        }
        for (state, exit_state) in [(0, 0), (0x2, 0), (0x102, 0), (0x402, 0), (0x4, 0), (0x1, EXIT_ZOMBIE)] {
            assert!(!TaskState { state, exit_state }.is_interruptible());
        }
    }

    #[test]
    fn idle_kernel_threads_are_not_hung() {
        assert!(TaskState { state: 0x2, exit_state: 0 }.is_uninterruptible());
        assert!(!TaskState { state: 0x402, exit_state: 0 }.is_uninterruptible());
        assert!(TaskState { state: 0x2, exit_state: 0 }.ignores_signals());
        for state in [0x102, 0x402, 0x1] {
            assert!(!TaskState { state, exit_state: 0 }.ignores_signals());
        }
    }
}
