//! Exit statuses.

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

impl Status {
    /// The one of two that says more of a run of several commands: that something could not run, was found, could not be
    /// told.
    pub(crate) fn or_worse(self, other: Self) -> Self {
        let rank = |status| match status {
            Self::NothingFound => 0,
            Self::Inconclusive => 1,
            Self::ProblemFound => 2,
            Self::CannotRun => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl Status {
    /// Its number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::NothingFound => 0,
            Self::ProblemFound => 1,
            Self::CannotRun => 2,
            Self::Inconclusive => 3,
        }
    }
}
