//! The scenarios that come with this crate: `scenarios/*.toml`.

use super::Scenario;
use crate::SynthError;

macro_rules! catalog {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

const CATALOG: &[(&str, &str)] = catalog![
    "thp-livelock",
    "pte-tail",
    "pte-head",
    "pmd-migration",
    "pmd-invalidated",
    "splitter-in-no-queue",
    "splitter-not-counted",
    "splitter-elsewhere",
    "clock-ahead",
    "arrival-to-come",
    "few-faults",
    "pinned",
    "not-allowed",
    "futex-lookup",
    "two-splitters",
    "two-livelocks",
    "after-fork",
    "reclaim",
    "preempted-start",
    "preempted-unmap",
    "preempted-tail",
    "preempted-pmd",
    "splitter-blocked",
    "splitter-behind-lock",
    "splitter-running",
    "splitter-fresh",
    "no-splitter",
    "user-mode",
    "file-fault",
    "swapped-out",
    "put-back",
    "unlocked",
    "table-missing",
    "page-missing",
    "note-missing",
    "note-missing-elsewhere",
    "stack-missing",
    "log-missing",
    "offline-cpu",
    "real-time",
    "real-time-break",
    "real-time-splitter",
    "deadline-splitter",
    "between-faults",
    "under-nmi",
    "waiters",
    "crowd",
    "five-levels",
    "large-pages",
    "narrow-addresses",
    "idle",
    "busy",
    "soft-lockup",
    "soft-lockup-over",
    "preemptible",
    "real-time-preemptible",
    "real-time-ordinary-split",
    "real-time-equals",
    "real-time-user-code",
    "moment-splitter",
    "moment-lone-spinner",
    "moment-elsewhere",
    "moment-ordinary-split",
    "moment-long-lives",
    "other-page",
    "page-below",
    "page-moved",
    "other-process",
    "outranked",
    "behind-user-code",
    "behind-loop",
    "custom-stack",
    "qemu",
    "qemu-five-levels",
    "real-time-hog",
    "real-time-hog-broken",
    "real-time-hog-contended",
    "real-time-hog-server",
    "idle-though-queued",
    "woken-not-queued",
    "dead-tick",
    "dead-tick-call",
    "user-fault-hog",
    "stuck-on-idle",
    "no-times",
    "no-times-idle",
    "on-idle-unwatched",
    "interrupt-on-idle",
    "busy-kernel",
    "busy-kernel-briefly",
    "busy-kernel-patient",
    "busy-kernel-preemptible",
    "busy-user",
    "short-fault",
    "other-names",
    "hard-lockup",
    "old-report-call",
    "old-report-spin",
    "old-stall-spin",
    "busy-call",
    "spinlock-hung-task",
    "lock-held-old-oops",
    "lock-held-old-hard-lockup",
    "deadlock-nmi",
    "deadlock-softdog",
    "nmi-hang",
    "nmi-alone",
    "rcu-stall",
    "hung-task",
    "killable",
    "silent-loop",
    "silent-loops",
    "guest",
    "guest-exit",
    "kvm-loop",
    "sysrq-on-a-hang",
    "deadlock",
    "deadlock-interruptible",
    "deadlock-half-interruptible",
    "terminal-readers",
    "mutex-handed-over",
    "lock-held",
    "page-locked",
    "work-not-done",
    "spinlock-held",
    "spinlock-circle",
    "rwlock-held",
    "mutex-spin",
    "unanswered-call",
    "kernel-oops",
    "kernel-oops-arm64",
    "out-of-memory",
    "kernel-panic",
    "crash-requested",
    "kernel-warning",
    "in-a-module",
    "far-memory",
    "hostile-text",
];

/// The names of all scenarios.
pub fn names() -> impl Iterator<Item = &'static str> {
    CATALOG.iter().map(|(name, _)| *name)
}

/// The scenario with this name.
///
/// # Errors
///
/// [`SynthError::Scenario`] where there is none.
pub fn named(name: &str) -> Result<Scenario, SynthError> {
    let found = CATALOG.iter().find(|(known, _)| *known == name);
    let (_, text) = found.ok_or_else(|| SynthError::scenario(format!("there is no scenario '{name}'")))?;
    Scenario::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_read_and_says_what_it_shows() {
        for name in names() {
            let scenario = named(name).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!scenario.about.is_empty() && scenario.cpus > 0, "{name}");
        }
    }
}
