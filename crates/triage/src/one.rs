//! One item judged: in a process of its own, and what comes of it as a row.

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use vmcore_remote::{RemoteError, is_address};

use crate::child::Ended;
use crate::document::{Document, Summary};
use crate::input::{Item, ItemKind, is_of_writer};
use crate::row::{Failure, FailureKind, Row};
use crate::servers::Servers;
use crate::signature::Signature;
use crate::worker::Worker;
use crate::{clock, fingerprint, identity, path_text, place};

/// The key of an item's content and its bytes, or the row of one that has no content to judge.
pub(crate) fn content(item: &Item, servers: &Servers, tool: &str) -> Result<(String, u64), Box<Row>> {
    match fingerprint::of_files(item.files(), servers) {
        // All empty files have the same content, and nothing else in common.
        Ok((_, 0)) => Err(Box::new(unread(item, FailureKind::Unreadable, "the file is empty", tool))),
        Ok(known) => Ok(known),
        Err(error) if is_missing(item, &error) => {
            // Not a crash: nothing is known of when one was, but the name of a directory.
            let row = unread(item, FailureKind::Missing, "there is no such file", tool);
            Err(Box::new(Row { crashed: None, ..row }))
        }
        Err(error) => Err(Box::new(unread(item, kind_of(&error), &error.to_string(), tool))),
    }
}

/// Whether no file of an item is there. Of a split dump others may be, and of a dump that is gone its log.
fn is_missing(item: &Item, error: &io::Error) -> bool {
    let is_gone = |path: &PathBuf| is_address(path) || !path.exists();
    error.kind() == io::ErrorKind::NotFound && item.files().chain(&item.log).all(is_gone)
}

/// Whether the way to the content failed, or this machine, or it.
fn kind_of(error: &io::Error) -> FailureKind {
    let of_server = error.get_ref().and_then(|inner| inner.downcast_ref::<RemoteError>());
    match of_server {
        Some(error) if error.is_of_the_way() => FailureKind::Unreachable,
        _ => FailureKind::of_lack(error).unwrap_or(FailureKind::Unreadable),
    }
}

fn unread(item: &Item, kind: FailureKind, message: &str, tool: &str) -> Row {
    let key = without_content(item);
    let failure = Failure { kind, message: message.to_owned() };
    finished(item, Analyzed { failure: Some(failure), document: None }, empty(item, key, tool)).0
}

/// The key of the row that an item has as long as it has no content that can be judged.
pub(crate) fn without_content(item: &Item) -> String {
    // What one directory calls `vmcore` is another file in the next.
    let of_all = if is_address(&item.path) { None } else { std::path::absolute(&item.path).ok() };
    fingerprint::hex(of_all.as_deref().unwrap_or(&item.path).as_os_str().as_encoded_bytes())
}

/// The row of an item with its document; `None` where it was given up.
pub(crate) fn judge(
    item: &Item,
    (key, size): (String, u64),
    worker: &mut Worker<'_>,
    tool: &str,
) -> Option<(Row, Option<String>)> {
    let start = Instant::now();
    let analyzed = analyze(item, worker)?;
    let elapsed_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Some(finished(item, analyzed, Row { size, elapsed_ns, ..empty(item, key, tool) }))
}

/// What came of one item.
struct Analyzed {
    /// Why there is no document of it.
    failure: Option<Failure>,
    /// That of it or, where it failed, of the log beside it.
    document: Option<(String, Value)>,
}

/// What comes of the dump and, failing that, of the log beside it.
fn analyze(item: &Item, worker: &mut Worker<'_>) -> Option<Analyzed> {
    let failure = match worker.run(item) {
        Ended::Document { text, value } => return Some(Analyzed { failure: None, document: Some((text, value)) }),
        Ended::Failed(failure) => failure,
        Ended::GivenUp => return None,
    };
    Some(Analyzed { failure: Some(failure), document: of_log(item, worker)? })
}

/// What the log beside an item says, where there is one; `None` where it was given up.
fn of_log(item: &Item, worker: &mut Worker<'_>) -> Option<Option<(String, Value)>> {
    match item.log.as_ref().map(|log| worker.run(&Item::log(log.clone()))) {
        Some(Ended::Document { text, value }) => Some(Some((text, value))),
        Some(Ended::GivenUp) => None,
        Some(Ended::Failed(_)) | None => Some(None),
    }
}

/// The row of an item that has no content to judge, by the log beside it where there is one: a disk that is full leaves an empty
/// dump beside a whole log. `None` where it was given up.
pub(crate) fn by_log(item: &Item, row: Row, worker: &mut Worker<'_>) -> Option<(Row, Option<String>)> {
    let start = Instant::now();
    let document = of_log(item, worker)?;
    let elapsed_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Some(match document {
        Some(document) => {
            let (judged, document) = of_doubtful(document, &why_not_the_dump(row.failure.as_ref()), row);
            (Row { from_log: true, elapsed_ns, ..judged }, Some(document))
        }
        None => (row, None),
    })
}

fn empty(item: &Item, key: String, tool: &str) -> Row {
    let (host, time) = place::of(&item.path);
    Row {
        key,
        tool: tool.to_owned(),
        kind: item.kind,
        paths: vec![path_text::shown(&item.path)],
        size: 0,
        host,
        crashed: time.or_else(|| changed(item)),
        finished: clock::now(),
        elapsed_ns: 0,
        failure: None,
        from_log: false,
        summary: Summary::default(),
        signature: Signature::default(),
        crash: None,
    }
}

fn changed(item: &Item) -> Option<i64> {
    let of_file = || item.path.metadata().and_then(|metadata| metadata.modified()).ok().map(clock::seconds);
    item.known.as_ref().map_or_else(of_file, |known| known.changed)
}

/// Fills the row with what the analysis came to.
fn finished(item: &Item, Analyzed { failure, document }: Analyzed, row: Row) -> (Row, Option<String>) {
    match (failure, document) {
        (None, Some(document)) if is_of_writer(&item.path) => {
            let (row, document) = of_doubtful(document, OF_THE_WRITER, row);
            (row, Some(document))
        }
        (None, Some((text, value))) => {
            let from_log = Document(&value).own_log().is_some();
            (Row { from_log, ..judged(&value, row) }, Some(text))
        }
        (failure, Some(document)) => {
            let (row, document) = of_doubtful(document, &why_not_the_dump(failure.as_ref()), row);
            (Row { from_log: true, failure, ..row }, Some(document))
        }
        (None, None) => (row, None),
        (Some(failure), None) => {
            // The message names the file, whose name is in the row already, and differs for each.
            let own = item.path.display().to_string();
            let message = failure.message.replace(&own, "the file");
            let signature = Signature::of_failure(failure.kind.name(), &message);
            (Row { signature, failure: Some(Failure { message, ..failure }), ..row }, None)
        }
    }
}

const OF_THE_WRITER: &str = "this log is that of the kernel that wrote the dump, not of the one that crashed";

fn why_not_the_dump(failure: Option<&Failure>) -> String {
    let why = failure.map(|failure| format!(": {failure}")).unwrap_or_default();
    format!("the dump beside this log, which could not be judged{why}")
}

/// The row by a document, and the document, of a log that does not show the machine well where it shows nothing: the dump could
/// not be read, or the log is another kernel's. `why` says which.
fn of_doubtful((text, mut value): (String, Value), why: &str, row: Row) -> (Row, String) {
    let Some(confidence) = value.pointer_mut("/verdict/confidence").filter(|word| **word == "none") else {
        return (judged(&value, row), text);
    };
    *confidence = "insufficient".into();
    if let Some(unknown) = value.pointer_mut("/unknown").and_then(Value::as_array_mut) {
        unknown.push(why.into());
    }
    (judged(&value, row), format!("{value}\n"))
}

fn judged(value: &Value, row: Row) -> Row {
    let document = Document(value);
    let summary = document.summary();
    Row {
        host: summary.nodename.clone().or(row.host.clone()),
        crashed: document.crashed().or(row.crashed),
        signature: Signature::of(document),
        crash: identity::crash(document),
        summary,
        ..row
    }
}

impl ItemKind {
    /// Whether it is one of many forms of the same crash that count more: a dump tells more than a log.
    pub(crate) const fn is_dump(self) -> bool {
        matches!(self, Self::Dump)
    }
}
