//! The answer of `analyze` and of `log`: the verdict, the known bug behind it, and what to do.

mod evidence;
mod page;
mod phrases;
mod text;

pub use evidence::Evidence;
pub(crate) use evidence::evidence;
pub(crate) use page::{known_issue, remedies};
pub(crate) use phrases::{Quoted, heading, paragraph, row};
use schemars::JsonSchema;
use serde::Serialize;
pub(crate) use text::{write_answer, write_known_issue, write_remedies, write_unknown_count};
use vmcore_diagnose as diagnose;

use crate::{Theme, names};

/// The answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Verdict")]
pub struct Verdict<'a> {
    /// The problem's stable name, such as `thp-split-page-fault-livelock`; null where none was found or it cannot be
    /// told which.
    #[schemars(schema_with = "names::issue_or_null")]
    pub issue: Option<&'static str>,
    /// `confirmed`, `probable`, `possible`, `none` (nothing was found and everything could be read) or `insufficient`
    /// (what would be needed to tell is not in the dump).
    #[schemars(schema_with = "names::confidence")]
    pub confidence: &'static str,
    /// What the gravest of `shapes` is; null where none is shown.
    #[schemars(schema_with = "names::shape_kind_or_null")]
    pub shape: Option<&'static str>,
    /// One sentence.
    pub summary: &'a str,
}

/// A bug that is known upstream or at a vendor.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "KnownIssue")]
pub struct KnownIssue<'a> {
    /// Its identity, such as the fixing commit.
    pub id: &'a str,
    /// How it comes about.
    pub mechanism: &'a str,
    /// Which kernels have it.
    pub affected: &'a str,
    /// What fixes it.
    pub fixed_by: &'a str,
    /// Whether this kernel has it: `yes`, `no` or `unknown`.
    #[schemars(schema_with = "names::yes_no_unknown")]
    pub in_this_kernel: &'static str,
    /// How that is known, or why not.
    pub why: &'a str,
    /// What shows it.
    pub evidence: Vec<Evidence<'a>>,
}

/// Something to do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Remedy")]
pub struct Remedy<'a> {
    /// In words.
    pub action: &'a str,
    /// The exact command, where there is one.
    pub command: Option<&'a str>,
    /// What it achieves.
    pub why: &'a str,
}

/// How an answer is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rating {
    /// Something is wrong.
    Bad,
    /// Something may be.
    Doubtful,
    /// Nothing is.
    Good,
}

impl Rating {
    /// The class of the answer in a page.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Doubtful => "doubtful",
            Self::Good => "good",
        }
    }

    /// The style of the answer in text.
    const fn style(self, theme: &Theme) -> anstyle::Style {
        match self {
            Self::Bad => theme.bad,
            Self::Doubtful => theme.doubtful,
            Self::Good => theme.good,
        }
    }
}

impl Verdict<'_> {
    /// The verdict by name and how sure it is: `soft-lockup (confirmed)`.
    pub(crate) fn answer(&self) -> (String, Rating) {
        match (self.issue, self.confidence) {
            (Some(issue), sure @ ("confirmed" | "probable")) => (format!("{issue} ({sure})"), Rating::Bad),
            (Some(issue), "none") => (format!("nothing wrong found ({issue})"), Rating::Good),
            (Some(issue), confidence) => (format!("{issue} ({confidence})"), Rating::Doubtful),
            (None, "none") => ("nothing wrong found".to_owned(), Rating::Good),
            (None, _) => ("no verdict".to_owned(), Rating::Doubtful),
        }
    }
}

impl<'a> Verdict<'a> {
    pub(crate) fn new(verdict: &'a diagnose::Verdict, shape: Option<&'static str>) -> Self {
        Self {
            issue: verdict.issue.map(diagnose::Issue::id),
            confidence: verdict.confidence.name(),
            shape,
            summary: &verdict.summary,
        }
    }
}

impl<'a> KnownIssue<'a> {
    pub(crate) fn new(known: &'a diagnose::KnownIssue) -> Self {
        Self {
            id: &known.id,
            mechanism: &known.mechanism,
            affected: &known.affected,
            fixed_by: &known.fixed_by,
            in_this_kernel: match known.in_this_kernel {
                Some(true) => "yes",
                Some(false) => "no",
                None => "unknown",
            },
            why: &known.why,
            evidence: evidence(&known.evidence),
        }
    }
}

impl<'a> Remedy<'a> {
    pub(crate) fn new(remedy: &'a diagnose::Remedy) -> Self {
        Self { action: &remedy.action, command: remedy.command.as_deref(), why: &remedy.why }
    }
}
