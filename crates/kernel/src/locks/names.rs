//! Which functions sleep for a lock: the one list of them.

use super::LockKind;

/// By the beginnings of their names. Symbols of the innermost frames are matched, so the function itself, its slow path, and
/// the callers that the compiler may have merged it into are all here. The first that fits counts: `__down_read` is no
/// `__down`.
const SLEEPERS: [(LockKind, &[&str]); 4] = [
    (LockKind::Mutex, &["__mutex_lock", "mutex_lock", "__ww_mutex_lock", "ww_mutex_lock"]),
    (
        LockKind::RwSemaphore,
        &[
            "rwsem_down_",
            "__rwsem_down_",
            "call_rwsem_down_",
            "down_read",
            "down_write",
            "__down_read",
            "__down_write",
            // On PREEMPT_RT.
            "rwbase_",
        ],
    ),
    (LockKind::Semaphore, &["___down", "__down", "down_interruptible", "down_killable", "down_timeout"]),
    // On `PREEMPT_RT` spin locks and reader-writer locks sleep, too: kernel/locking/spinlock_rt.c, and on 4.19-rt and 5.10-rt
    // kernel/locking/rtmutex.c (`rt_spin_lock_slowlock`).
    (
        LockKind::RtMutex,
        &[
            "rt_mutex",
            "__rt_mutex",
            "rtlock_",
            "__rtlock_",
            "rt_spin_lock",
            "__rt_spin_lock",
            "rt_read_lock",
            "rt_write_lock",
        ],
    ),
];

impl LockKind {
    /// The kind of lock that a function sleeps for; `None` for a function that does not.
    #[must_use]
    pub fn of_sleeper(function: &str) -> Option<Self> {
        let fits = |names: &[&str]| names.iter().any(|name| function.starts_with(name));
        let found = SLEEPERS.iter().find(|(_, names)| fits(names)).map(|(kind, _)| *kind);
        found.or_else(|| (function == "down").then_some(Self::Semaphore))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_paths_are_of_the_lock_that_they_are_for() {
        let kinds = [
            ("__mutex_lock.constprop.0", Some(LockKind::Mutex)),
            ("__down_read", Some(LockKind::RwSemaphore)),
            ("rwsem_down_write_slowpath", Some(LockKind::RwSemaphore)),
            ("___down_common", Some(LockKind::Semaphore)),
            ("__down", Some(LockKind::Semaphore)),
            ("down", Some(LockKind::Semaphore)),
            ("rt_mutex_slowlock", Some(LockKind::RtMutex)),
            ("rtlock_slowlock_locked", Some(LockKind::RtMutex)),
            ("rt_spin_lock_slowlock_locked", Some(LockKind::RtMutex)),
            ("rt_spin_unlock", None),
            ("downgrade_write", None),
            ("schedule", None),
        ];
        for (function, kind) in kinds {
            assert_eq!(LockKind::of_sleeper(function), kind, "{function}");
        }
    }
}
