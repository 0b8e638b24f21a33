//! A row for programs: one JSON object, of the run as it goes, of an export, and in the page.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;

use crate::input::ItemKind;
use crate::row::{Failure, Row};
use crate::{Confidence, Summary, clock};

/// One dump, and what became of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Triage")]
pub struct Record<'r> {
    /// Where it was found first.
    path: &'r str,
    /// Everywhere that it was found: equal content.
    paths: &'r [String],
    /// What its content is known by.
    key: &'r str,
    /// The version of the program that analyzed it.
    tool: &'r str,
    /// Whether it is a dump or a log.
    kind: ItemKind,
    /// Of the file, in bytes.
    size: u64,
    /// The machine's name.
    host: Option<&'r str>,
    /// When it crashed, in UTC; where that is not known, when its file was last changed.
    crashed: Option<String>,
    /// How long the analysis took.
    elapsed_ns: u64,
    /// Why there is no verdict of the dump.
    error: Option<&'r Failure>,
    /// Whether the verdict is of a log: of the one beside the dump where there is an `error`, else of the one in it, because nothing
    /// describes its kernel.
    from_log: bool,
    /// How sure the verdict is; `failed` where there is none.
    confidence: Confidence,
    #[serde(flatten)]
    summary: Rest<'r>,
    /// The same in all dumps of the same problem.
    signature: &'r str,
    /// The same in dumps of similar problems.
    similar: &'r str,
    /// The short name of the signature, by which reports group dumps.
    group: String,
    /// The same in all dumps of one crash; null where that cannot be told.
    crash: Option<&'r str>,
}

/// What is taken over from the analysis.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Rest<'r> {
    /// `uname -r` of the crashed kernel.
    release: Option<&'r str>,
    /// The kernel's build-id.
    build_id: Option<&'r str>,
    /// The panic's message.
    panic: Option<&'r str>,
    /// The CPU that panicked.
    panic_cpu: Option<u64>,
    /// The verdict's issue, as `vmcore-thp explain` lists them; null where nothing was found.
    issue: Option<&'r str>,
    /// The verdict in one sentence.
    summary: Option<&'r str>,
    /// The known bug behind it.
    known_issue: Option<&'r str>,
    /// Whether this kernel has that bug: `yes`, `no` or `unknown`.
    in_this_kernel: Option<&'r str>,
    /// What to do first.
    remedy: Option<&'r str>,
    /// Whether the dump is known to be incomplete.
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
            kind: row.kind,
            size: row.size,
            host: row.host.as_deref(),
            crashed: row.crashed.map(clock::utc),
            elapsed_ns: row.elapsed_ns,
            error: row.failure.as_ref(),
            from_log: row.from_log,
            confidence: Confidence::of(row),
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
