//! Exit statuses.

use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// 0: nothing wrong was found.
    NothingFound,
    /// 1: a problem was found, confirmed or probable.
    ProblemFound,
    /// 2: could not run: usage, an unreadable file, a vmlinux of another kernel.
    CannotRun,
    /// 3: what was needed is not in the dump.
    Inconclusive,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::NothingFound => 0,
            Status::ProblemFound => 1,
            Status::CannotRun => 2,
            Status::Inconclusive => 3,
        })
    }
}
