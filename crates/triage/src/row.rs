//! What is kept of one dump.

use std::{fmt, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmcore_os::Lack;

use crate::document::Summary;
use crate::input::ItemKind;
use crate::signature::Signature;

/// The option of `analyze` and `log` that has them tell by their exit status why there is no verdict.
pub const TELL_FAILURE: &str = "--tell-failure";

/// Why there is no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The analyzer said that it cannot: the file is no dump, damaged, or of another kernel than its vmlinux.
    Refused,
    /// It was not finished in time.
    Timeout,
    /// It needed more memory than it may.
    Memory,
    /// The machine that it ran on lacked something else, such as room for what was unpacked, which says nothing of the dump.
    Resources,
    /// A signal ended it.
    Signal,
    /// It could not be started, or its output makes no sense.
    Broken,
    /// The file could not be read.
    Unreadable,
    /// There is no such file: a list names what is not there, or is not there any more. That is no crash.
    Missing,
    /// Its server could not be reached, or does not let this user in, which says nothing of the dump.
    Unreachable,
}

impl FailureKind {
    /// All of them.
    const ALL: [Self; 9] = [
        Self::Refused,
        Self::Timeout,
        Self::Memory,
        Self::Resources,
        Self::Signal,
        Self::Broken,
        Self::Unreadable,
        Self::Missing,
        Self::Unreachable,
    ];

    /// Its name in the store and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Resources => "resources",
            Self::Signal => "signal",
            Self::Broken => "broken",
            Self::Unreadable => "unreadable",
            Self::Missing => "missing",
            Self::Unreachable => "unreachable",
        }
    }

    /// What `analyze` and `log` exit with for this reason when they are started with [`TELL_FAILURE`]; people get 2 for all.
    /// As `timeout(1)` has it, and `sysexits.h`.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Timeout => 124,
            Self::Memory => 71,
            Self::Resources => 75,
            Self::Unreachable => 69,
            Self::Refused | Self::Signal | Self::Broken | Self::Unreadable | Self::Missing => 2,
        }
    }

    /// The reason that such a status tells. 3 without a document is one as well: the dump does not have what is needed to begin.
    pub(crate) fn of_status(status: i32) -> Self {
        let told = [Self::Timeout, Self::Memory, Self::Resources, Self::Unreachable];
        told.into_iter().find(|kind| i32::from(kind.status()) == status).unwrap_or(Self::Refused)
    }

    /// Where this process itself lacked something: files that it may have open, or other processes. Nothing was asked of a dump
    /// yet, so that it is not the dump that needs too much.
    pub(crate) fn of_lack(error: &io::Error) -> Option<Self> {
        Lack::of(error).map(|_| Self::Resources)
    }

    /// Whether what failed is not the dump but the way to it, or what its analysis runs on: another time it may be judged.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Resources | Self::Unreachable)
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or(Self::Broken)
    }
}

/// Why there is no verdict, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// One line. May quote the dump: untrusted.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What is kept of one dump, but for the analyzer's whole document. Texts may come from the dump: untrusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What its content is known by.
    pub key: String,
    /// The version of the program that analyzed it.
    pub tool: String,
    /// A dump or a log.
    pub kind: ItemKind,
    /// Where it was found, every path.
    pub paths: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// The machine, where the dump or its directory names it.
    pub host: Option<String>,
    /// When it crashed, or where that is not known when its file was last changed; seconds since 1970.
    pub crashed: Option<i64>,
    /// When it was analyzed; seconds since 1970.
    pub finished: i64,
    /// How long that took.
    pub elapsed_ns: u64,
    /// Why there is no verdict of the dump. There may still be one of the log beside it.
    pub failure: Option<Failure>,
    /// Whether the verdict is of a log that was beside the dump.
    pub from_log: bool,
    /// What the analysis came to; nothing where it failed.
    pub summary: Summary,
    /// What is the same in dumps of the same problem.
    pub signature: Signature,
    /// What is the same in all dumps of the same crash, where that can be told.
    pub crash: Option<String>,
}

impl Row {
    /// Whether there is nothing of which it could tell.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        !self.from_log && self.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_lacks_says_nothing_of_a_dump() {
        // EMFILE, ENFILE, ENOMEM, EAGAIN.
        for number in [24, 23, 12, 11] {
            let kind = FailureKind::of_lack(&io::Error::from_raw_os_error(number));
            assert_eq!(kind.map(FailureKind::may_pass), Some(true), "{number}");
        }
        assert_eq!(FailureKind::of_lack(&io::Error::from_raw_os_error(13)), None);
        assert_eq!(FailureKind::of_lack(&io::ErrorKind::OutOfMemory.into()), None);
    }
}
