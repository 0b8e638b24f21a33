//! Locks that CPUs spin for, in words.

use crate::SpunFor;
use crate::graph::LockKind;

/// Its name.
pub(crate) const fn name(word: SpunFor) -> &'static str {
    match word {
        SpunFor::Spin(_) => "spin lock",
        SpunFor::ReadWrite { .. } => "reader-writer lock",
    }
}

/// What it is in the graph.
pub(crate) const fn kind(word: SpunFor) -> LockKind {
    match word {
        SpunFor::Spin(_) => LockKind::Spinlock,
        SpunFor::ReadWrite { .. } => LockKind::RwLock,
    }
}

/// The member with its word.
pub(crate) const fn member(word: SpunFor) -> (&'static str, &'static str) {
    match word {
        SpunFor::Spin(_) => ("qspinlock", "val"),
        SpunFor::ReadWrite { .. } => ("qrwlock", "cnts.counter"),
    }
}

/// The member that records who has it, where the kernel does (`CONFIG_DEBUG_SPINLOCK`).
pub(crate) const fn owner_member(word: SpunFor) -> (&'static str, &'static str) {
    match word {
        SpunFor::Spin(_) => ("raw_spinlock", "owner"),
        SpunFor::ReadWrite { .. } => ("rwlock_t", "owner"),
    }
}

/// Whether readers have it.
pub(crate) const fn is_read(word: SpunFor) -> bool {
    matches!(word, SpunFor::ReadWrite { word, .. } if !word.has_writer())
}

/// Whether more than one task has it.
pub(crate) const fn is_shared(word: SpunFor) -> bool {
    matches!(word, SpunFor::ReadWrite { word, .. } if !word.has_writer() && word.readers() > 1)
}

/// What its word says of who has it and who waits.
pub(crate) fn says(word: SpunFor) -> String {
    match word {
        SpunFor::Spin(word) => {
            let tail = word.tail().map(|(cpu, _)| format!("; CPU {cpu} is the last in its queue")).unwrap_or_default();
            let pending = if word.is_pending() { "; one CPU waits in front of the queue" } else { "" };
            format!("taken{pending}{tail}")
        }
        SpunFor::ReadWrite { word, .. } => {
            let has = match word.readers() {
                _ if word.has_writer() => "a writer has it".to_owned(),
                1 => "1 reader has it".to_owned(),
                readers => format!("{readers} readers have it"),
            };
            let waits = if word.writer_waits() { "; a writer waits" } else { "" };
            format!("{has}{waits}")
        }
    }
}

/// Why nobody can be named.
pub(crate) const fn not_recorded(word: SpunFor) -> &'static str {
    match word {
        SpunFor::Spin(_) => "a spin lock does not record it",
        SpunFor::ReadWrite { .. } => "a reader-writer lock does not record it",
    }
}

/// ` to write`, where it matters.
pub(crate) const fn purpose(word: SpunFor) -> &'static str {
    match word {
        SpunFor::Spin(_) => "",
        SpunFor::ReadWrite { to_write: true, .. } => " to write",
        SpunFor::ReadWrite { to_write: false, .. } => " to read",
    }
}
