//! What is known of the bug, and what to do about it.

use crate::{KnownIssue, Remedy};

/// The upstream bug behind the livelock on kernels that do not preempt kernel code.
pub(crate) fn livelock_issue() -> KnownIssue {
    KnownIssue {
        id: "ffc90cbb2970".to_owned(),
        affected: "kernels before 5.13 without a backport, where kernel code is not preempted".to_owned(),
        fixed_by: "mainline commit ffc90cbb2970 (\"mm, thp: use head page in __migration_entry_wait()\")".to_owned(),
        // A distribution's release string does not say which fixes were backported; the code would.
        in_this_kernel: None,
    }
}

/// What helps against the livelock, most effective first.
pub(crate) fn livelock_remedies() -> Vec<Remedy> {
    let remedy = |action: &str, command: Option<&str>, why: &str| Remedy {
        action: action.to_owned(),
        command: command.map(str::to_owned),
        why: why.to_owned(),
    };
    vec![
        remedy(
            "install a kernel that waits on the head page (mainline commit ffc90cbb2970 or its backport), then reboot",
            None,
            "a fault on a tail page of a huge page under split then sleeps instead of retrying at once",
        ),
        remedy(
            "until then, use huge pages only where a program asks for them",
            Some("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"),
            "without huge pages in these processes there is nothing to split",
        ),
    ]
}
