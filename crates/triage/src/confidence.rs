//! How sure a verdict is.

use schemars::JsonSchema;
use serde::Serialize;

use crate::row::Row;

/// How sure a verdict is, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Every link of the proof is there.
    Confirmed,
    /// Some could not be established.
    Probable,
    /// Most could not.
    Possible,
    /// What is needed is not in the dump.
    Insufficient,
    /// Nothing was found, and everything could be read.
    None,
    /// It was not judged at all.
    Failed,
}

impl Confidence {
    /// Of a row.
    #[must_use]
    pub fn of(row: &Row) -> Self {
        Self::of_columns(row.failure.is_some(), row.from_log, row.summary.confidence.as_deref())
    }

    /// The same of a row's columns: whether there is a reason why there is no verdict of the dump, whether there is one of
    /// the log beside it, and how sure the verdict is said to be.
    pub(crate) fn of_columns(failed: bool, from_log: bool, word: Option<&str>) -> Self {
        match word {
            _ if failed && !from_log => Self::Failed,
            Some("confirmed") => Self::Confirmed,
            Some("probable") => Self::Probable,
            Some("possible") => Self::Possible,
            Some("none") => Self::None,
            // A word of a newer version is not taken for health.
            _ => Self::Insufficient,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Probable => "probable",
            Self::Possible => "possible",
            Self::Insufficient => "insufficient",
            Self::None => "none",
            Self::Failed => "failed",
        }
    }

    /// Whether a problem counts as found.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        matches!(self, Self::Confirmed | Self::Probable)
    }

    /// Whether it says anything of the machine: the others lack what is needed, or were not judged at all.
    pub(crate) const fn is_judged(self) -> bool {
        !matches!(self, Self::Failed | Self::Insufficient)
    }
}
