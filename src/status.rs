//! Exit statuses.

use std::sync::atomic::{AtomicBool, Ordering};

use vmcore_diagnose::Confidence;
use vmcore_os::{CANNOT_RUN, Lack};
use vmcore_remote::RemoteError;
use vmcore_triage::FailureKind;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// 0: nothing wrong was found.
    NothingFound,
    /// 1: a problem was found, confirmed or probable.
    ProblemFound,
    /// 2: could not run: usage, an unreadable file, a vmlinux of another kernel.
    CannotRun,
    /// 2 as well: what failed is not the dump but the way to it, or this machine.
    Hindered(FailureKind),
    /// By the signal that asked the process to end, and it has done so in good order.
    Interrupted,
    /// 3: a problem is only possible, or what was needed is not in the dump.
    Inconclusive,
}

/// Whether whoever started the run wants to know from its status why it could not be carried out.
static TELL_FAILURES: AtomicBool = AtomicBool::new(false);

/// From now on, statuses tell why a run could not be carried out.
pub(crate) fn tell_failures() {
    TELL_FAILURES.store(true, Ordering::Relaxed);
}

/// The status of a run that could not be carried out for this reason.
pub(crate) fn of_failure(kind: FailureKind) -> u8 {
    if TELL_FAILURES.load(Ordering::Relaxed) { kind.status() } else { CANNOT_RUN }
}

impl Status {
    /// The one of two that says more of a run of several commands: that something could not run, was found, could not be
    /// told.
    pub(crate) fn or_worse(self, other: Self) -> Self {
        let rank = |status| match status {
            Self::NothingFound => 0,
            Self::Inconclusive => 1,
            Self::ProblemFound => 2,
            Self::CannotRun | Self::Hindered(_) | Self::Interrupted => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl Status {
    /// Of a verdict. A problem counts as found where it is at least probable. One that is only possible could not be told for want of
    /// data, as one that could not be told at all.
    pub(crate) const fn of_verdict(confidence: Confidence) -> Self {
        match confidence {
            Confidence::Confirmed | Confidence::Probable => Self::ProblemFound,
            Confidence::Possible | Confidence::Insufficient => Self::Inconclusive,
            Confidence::None => Self::NothingFound,
        }
    }

    /// Of a run that failed because of a server.
    pub(crate) fn of_remote(error: &RemoteError) -> Self {
        if error.is_of_the_way() { Self::Hindered(FailureKind::Unreachable) } else { Self::CannotRun }
    }

    /// Of a run that failed because this machine lacked something.
    pub(crate) const fn of_lack(lack: Lack) -> Self {
        Self::Hindered(match lack {
            Lack::Memory => FailureKind::Memory,
            Lack::Files | Lack::Room | Lack::FileSize | Lack::Processes => FailureKind::Resources,
        })
    }

    /// Its number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::NothingFound => 0,
            Self::ProblemFound => 1,
            // Of the second, its end by the signal tells.
            Self::CannotRun | Self::Interrupted => CANNOT_RUN,
            Self::Hindered(kind) => of_failure(kind),
            Self::Inconclusive => 3,
        }
    }
}
