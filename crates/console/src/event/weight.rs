//! How much a report says of a machine that stopped: of several boots, of several reports, what says most counts.

use super::{Event, Kind, PanicReason};

/// Stalls of fewer ticks were none: a kernel may be built to report an expedited grace period after 20 ms.
const SHORT_STALL: u64 = 300;

/// How much a report says: more is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is none: a stack that somebody asked for.
    #[default]
    Nothing,
    /// A stall that was over before anybody could notice.
    Brief,
    /// Nobody has to mend anything: a crash that somebody asked for, a plain `WARNING:`.
    Harmless,
    /// What healthy machines report as well: a control group came to its limit and lost a process, a part corrected an error, a
    /// driver got no pages next to each other.
    Routine,
    /// The machine goes on, but a bug or a bad part showed itself.
    Warning,
    /// Something does not work.
    Failure,
    /// The machine hangs or crashed.
    Stopped,
}

impl Event {
    /// How much it says, taken by itself.
    #[must_use]
    pub fn weight(&self) -> Weight {
        match self.kind {
            _ if self.is_short_stall() => Weight::Brief,
            Kind::CrashRequested => Weight::Harmless,
            Kind::Panic if self.panic_reason() == Some(PanicReason::Requested) => Weight::Harmless,
            // Whatever else begins with `BUG:` is worse: list pointers, scheduling while atomic.
            Kind::Warning if self.text.starts_with("WARNING: ") => Weight::Harmless,
            kind if kind.is_hang_or_crash() => Weight::Stopped,
            Kind::Hardware | Kind::IoError | Kind::Filesystem | Kind::IoTimeout | Kind::NetTimeout => Weight::Failure,
            Kind::OutOfMemory | Kind::Corruption | Kind::Sanitizer | Kind::InitStopped => Weight::Failure,
            Kind::CgroupOutOfMemory => Weight::Routine,
            Kind::AllocationFailure if !self.is_allocation_loop() => Weight::Routine,
            Kind::CorrectedHardware if !self.is_threshold() => Weight::Routine,
            kind if kind.is_problem() => Weight::Warning,
            _ => Weight::Nothing,
        }
    }

    /// Whether it is a stall that was over before anybody could notice.
    #[must_use]
    pub fn is_short_stall(&self) -> bool {
        self.kind == Kind::RcuStall && self.jiffies.is_some_and(|jiffies| jiffies < SHORT_STALL)
    }

    /// Whether the kernel says that a part corrects more errors than it takes for ordinary.
    #[must_use]
    pub fn is_threshold(&self) -> bool {
        self.kind == Kind::CorrectedHardware && super::hardware::is_threshold(&self.text)
    }

    /// Whether it is about memory that is asked for again and again, for ever, and not about a request that failed once.
    #[must_use]
    pub fn is_allocation_loop(&self) -> bool {
        self.kind == Kind::AllocationFailure && super::warning::allocation_loop(&self.text).is_some()
    }

    /// Whether it is the exception by which sysrq-c crashed a kernel up to 5.9 (commit 8341f2f222d7).
    #[must_use]
    pub fn is_sysrq_oops(&self) -> bool {
        let symbol = self.function.as_ref().and_then(|function| function.symbol.as_deref());
        self.kind == Kind::Oops && symbol == Some("sysrq_handle_crash")
    }
}
