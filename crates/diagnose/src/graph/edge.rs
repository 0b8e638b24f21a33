//! Why one node waits for another.

use crate::Evidence;
use crate::graph::Node;

/// What an edge does to whoever waits along it. The shape of a hang follows from these alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nature {
    /// The waiter keeps its CPU while it waits.
    Spins,
    /// The waiter has given up its CPU until it is woken.
    Sleeps,
    /// The waiter could go on and is not given a CPU.
    Scheduler,
    /// A thing is in the hands of another: no waiting of its own.
    Holds,
}

/// The kind of an edge: which nodes it joins, and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EdgeKind {
    /// Task to user address: it takes the same page fault again and again, and never leaves its CPU.
    FaultsOn,
    /// User address to page: its page-table entry is a migration entry that names this page.
    EntryOf,
    /// Page to task: the task has it locked, and what waits for the page waits for that task.
    LockedBy,
    /// Task to run queue: runnable, and for longer than the threshold without a CPU.
    QueuedOn,
    /// Run queue to task: that task has the CPU and neither gives it up nor has it taken away.
    RunBy,
    /// Task to page: it sleeps until the page is unlocked or written back.
    WaitsForPage,
    /// Task to lock: it sleeps until it gets it.
    SleepsOn,
    /// Task to lock: it spins for it.
    SpinsOn,
    /// Task to task: it spins behind that one in the queue of a spinlock (MCS).
    QueuedBehind,
    /// Lock to task: that task has it, alone.
    OwnedBy,
    /// Lock to task: that task has it for reading; there may be more.
    ReadBy,
    /// Task to CPU: it spins until that CPU has answered an inter-processor call.
    WaitsForIpi,
    /// CPU to task: what the CPU is busy with, so that it does not act.
    Runs,
    /// Task to grace period: it sleeps until that has ended.
    WaitsForGracePeriod,
    /// Grace period to CPU or task: who has not passed a quiescent state yet.
    HeldUpBy,
    /// Task to work: it sleeps until that work is done.
    WaitsForWork,
    /// Work to task: the worker that does it.
    DoneBy,
}

impl EdgeKind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::FaultsOn,
        Self::EntryOf,
        Self::LockedBy,
        Self::QueuedOn,
        Self::RunBy,
        Self::WaitsForPage,
        Self::SleepsOn,
        Self::SpinsOn,
        Self::QueuedBehind,
        Self::OwnedBy,
        Self::ReadBy,
        Self::WaitsForIpi,
        Self::Runs,
        Self::WaitsForGracePeriod,
        Self::HeldUpBy,
        Self::WaitsForWork,
        Self::DoneBy,
    ];

    /// The name used in output. Stable: other programs compare it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FaultsOn => "faults_on",
            Self::EntryOf => "entry_of",
            Self::LockedBy => "locked_by",
            Self::QueuedOn => "queued_on",
            Self::RunBy => "run_by",
            Self::WaitsForPage => "waits_for_page",
            Self::SleepsOn => "sleeps_on",
            Self::SpinsOn => "spins_on",
            Self::QueuedBehind => "queued_behind",
            Self::OwnedBy => "owned_by",
            Self::ReadBy => "read_by",
            Self::WaitsForIpi => "waits_for_ipi",
            Self::Runs => "runs",
            Self::WaitsForGracePeriod => "waits_for_grace_period",
            Self::HeldUpBy => "held_up_by",
            Self::WaitsForWork => "waits_for_work",
            Self::DoneBy => "done_by",
        }
    }

    /// What it does to the waiter.
    #[must_use]
    pub const fn nature(self) -> Nature {
        match self {
            Self::FaultsOn | Self::SpinsOn | Self::QueuedBehind | Self::WaitsForIpi => Nature::Spins,
            Self::WaitsForPage | Self::SleepsOn | Self::WaitsForGracePeriod | Self::WaitsForWork => Nature::Sleeps,
            Self::QueuedOn | Self::RunBy => Nature::Scheduler,
            Self::EntryOf
            | Self::LockedBy
            | Self::OwnedBy
            | Self::ReadBy
            | Self::Runs
            | Self::HeldUpBy
            | Self::DoneBy => Nature::Holds,
        }
    }
}

/// One step of who waits for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who waits, or what is held up.
    pub from: Node,
    /// For what.
    pub to: Node,
    /// How.
    pub kind: EdgeKind,
    /// Why, in words.
    pub why: String,
    /// What shows it. Only an edge to [`Node::Unknown`] may have none.
    pub evidence: Vec<Evidence>,
}

impl Edge {
    /// An edge without evidence yet.
    #[must_use]
    pub fn new(from: Node, kind: EdgeKind, to: Node, why: impl Into<String>) -> Self {
        Self { from, to, kind, why: why.into(), evidence: Vec::new() }
    }

    /// Adds what shows it.
    #[must_use]
    pub fn shown_by(self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        Self { evidence: evidence.into_iter().collect(), ..self }
    }

    /// What makes two edges the same.
    pub(crate) fn key(&self) -> (&Node, EdgeKind, &Node) {
        (&self.from, self.kind, &self.to)
    }
}
