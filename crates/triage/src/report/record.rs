//! A row for programs: one JSON object, of the run as it goes, of an export, and in the page.

use std::io::{self, Write};

use serde::Serialize;

use crate::row::{Failure, Row};
use crate::{Confidence, Summary, clock};

/// One dump, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Record<'r> {
    /// Where it was found first.
    path: &'r str,
    /// Everywhere that it was found: equal content.
    paths: &'r [String],
    /// What its content is known by.
    key: &'r str,
    /// The version of the program that analyzed it.
    tool: &'r str,
    /// `dump` or `log`.
    kind: &'static str,
    size: u64,
    host: Option<&'r str>,
    /// When it crashed, in UTC; where that is not known, when its file was last changed.
    crashed: Option<String>,
    elapsed_ns: u64,
    /// Why there is no verdict of the dump.
    error: Option<&'r Failure>,
    /// Whether the verdict is of the log beside the dump.
    from_log: bool,
    /// The verdict's confidence, or `failed`.
    confidence: &'static str,
    #[serde(flatten)]
    summary: Rest<'r>,
    signature: &'r str,
    similar: &'r str,
    group: String,
    /// The same in all dumps of one crash; null where that cannot be told.
    crash: Option<&'r str>,
}

/// What is taken over from the analysis.
#[derive(Clone, Debug, Serialize)]
struct Rest<'r> {
    release: Option<&'r str>,
    build_id: Option<&'r str>,
    panic: Option<&'r str>,
    panic_cpu: Option<u64>,
    issue: Option<&'r str>,
    summary: Option<&'r str>,
    known_issue: Option<&'r str>,
    in_this_kernel: Option<&'r str>,
    remedy: Option<&'r str>,
    incomplete: bool,
}

impl<'r> Record<'r> {
    /// Of a row.
    #[must_use]
    pub fn of(row: &'r Row) -> Self {
        let Summary { release, build_id, panic, issue, text, known_issue, in_this_kernel, remedy, .. } = &row.summary;
        Self {
            path: row.paths.first().map_or("", String::as_str),
            paths: &row.paths,
            key: &row.key,
            tool: &row.tool,
            kind: row.kind.name(),
            size: row.size,
            host: row.host.as_deref(),
            crashed: row.crashed.map(clock::utc),
            elapsed_ns: row.elapsed_ns,
            error: row.failure.as_ref(),
            from_log: row.from_log,
            confidence: Confidence::of(row).name(),
            summary: Rest {
                release: release.as_deref(),
                build_id: build_id.as_deref(),
                panic: panic.as_deref(),
                panic_cpu: row.summary.panic_cpu,
                issue: issue.as_deref(),
                summary: text.as_deref(),
                known_issue: known_issue.as_deref(),
                in_this_kernel: in_this_kernel.as_deref(),
                remedy: remedy.as_deref(),
                incomplete: row.summary.incomplete,
            },
            signature: &row.signature.exact,
            similar: &row.signature.similar,
            group: row.signature.group(),
            crash: row.crash.as_deref(),
        }
    }

    /// Writes it as one line, with the characters escaped that a terminal would act on.
    ///
    /// # Errors
    ///
    /// As `out`.
    pub fn write_line(&self, out: &mut dyn Write) -> io::Result<()> {
        vmcore_report::write_json(self, out)
    }
}
