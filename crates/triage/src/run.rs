//! The work: workers take items from one queue, each analyzes one dump after the other in a process of its own.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{Analyzer, Ended};
use crate::document::{Document, Summary};
use crate::input::{Item, ItemKind};
use crate::row::{Failure, FailureKind, Row};
use crate::signature::Signature;
use crate::store::{Claim, Store};
use crate::{TriageError, clock, fingerprint, identity, place};

/// How often it is looked whether somebody else is done with what they analyze.
const WAIT: Duration = Duration::from_millis(50);

/// How to work.
#[derive(Clone, Debug)]
pub struct Options {
    /// How one dump is analyzed.
    pub analyzer: Analyzer,
    /// How many at a time, at least 1.
    pub jobs: usize,
    /// The version of the program.
    pub tool: String,
    /// Analyze what has a row again.
    pub again: bool,
    /// Analyze again what has a row without a verdict.
    pub retry: bool,
}

/// What became of one item.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its row.
    pub row: Row,
    /// The document, where it was analyzed now and has one.
    pub document: Option<String>,
    /// Whether it was analyzed now; else the row was there before.
    pub fresh: bool,
    /// Whether no row of the store was in its group before.
    pub new_group: bool,
}

/// What happens on the way.
#[derive(Debug)]
pub enum Event<'e> {
    /// Work on an item begins.
    Started(&'e Item),
    /// It is done.
    Done(&'e Item, &'e Outcome),
}

enum Message {
    Started(usize),
    Done(usize, Box<Outcome>),
    Failed(TriageError),
}

/// Analyzes the items and keeps each in the store as soon as it is done. `watch` is called in this thread, and ends the
/// run early by returning `false`: what is being analyzed then is still waited for and kept. [`Analyzer::give_up`] ends it
/// at once, and what is being analyzed then is lost.
///
/// # Errors
///
/// [`TriageError`] where the store fails. What is wrong with an item is in its row.
pub fn run(
    items: &[Item],
    store: &Store,
    options: &Options,
    mut watch: impl FnMut(Event<'_>) -> bool,
) -> Result<(), TriageError> {
    let queue = Mutex::new((0..items.len()).collect::<VecDeque<_>>());
    let judged = Mutex::new(BTreeSet::new());
    let stop = AtomicBool::new(false);
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, items.len().max(1)) {
            let send = send.clone();
            let work = Work { items, options, queue: &queue, judged: &judged, stop: &stop, send };
            let store = store.again()?;
            scope.spawn(move || work.all(store));
        }
        drop(send);
        let mut failure = None;
        for message in receive {
            let go_on = match message {
                Message::Started(index) => items.get(index).is_none_or(|item| watch(Event::Started(item))),
                Message::Done(index, outcome) => items.get(index).is_none_or(|item| watch(Event::Done(item, &outcome))),
                Message::Failed(error) => {
                    failure.get_or_insert(error);
                    false
                }
            };
            if !go_on {
                stop.store(true, Ordering::Relaxed);
            }
        }
        failure.map_or(Ok(()), Err)
    })
}

struct Work<'w> {
    items: &'w [Item],
    options: &'w Options,
    queue: &'w Mutex<VecDeque<usize>>,
    /// Keys of the rows that this run has written.
    judged: &'w Mutex<BTreeSet<String>>,
    stop: &'w AtomicBool,
    send: mpsc::Sender<Message>,
}

impl Work<'_> {
    fn all(&self, mut store: Store) {
        // What was taken by others when this worker last asked: there may be nothing else left to do.
        let mut taken = BTreeSet::new();
        while !self.stop.load(Ordering::Relaxed) && !(self.options.analyzer.give_up)() {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(index) = next else { return };
            let Some(item) = self.items.get(index) else { return };
            if taken.contains(&index) {
                thread::sleep(WAIT);
            }
            // Nobody to tell: the run is over.
            let sent = match self.one(index, item, &mut store) {
                Ok(Some(outcome)) => self.send.send(Message::Done(index, Box::new(outcome))),
                Ok(None) => {
                    taken.insert(index);
                    self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(index);
                    Ok(())
                }
                Err(error) => self.send.send(Message::Failed(error)),
            };
            if sent.is_err() {
                return;
            }
        }
    }

    /// The outcome of one item; `None` where somebody else is analyzing it.
    fn one(&self, index: usize, item: &Item, store: &mut Store) -> Result<Option<Outcome>, TriageError> {
        let Options { tool, .. } = self.options;
        let path = item.path.display().to_string();
        let (key, size) = match fingerprint::of_files(item.files()) {
            // All empty files have the same content, and nothing else in common.
            Ok((_, 0)) => return self.unreadable(item, "the file is empty", store).map(Some),
            Ok(known) => known,
            Err(error) => return self.unreadable(item, &error.to_string(), store).map(Some),
        };
        let old = store.row(&key, tool)?;
        let again = self.options.again || self.options.retry && old.as_ref().is_some_and(is_unjudged);
        match store.claim(&key, tool, again && !self.is_of_this_run(&key))? {
            Claim::Taken => return Ok(None),
            Claim::Done => {
                store.put_path(&key, &path)?;
                let Some(row) = store.row(&key, tool)? else { return Ok(None) };
                return Ok(Some(Outcome { row, document: None, fresh: false, new_group: false }));
            }
            Claim::Mine => {}
        }
        let _ = self.send.send(Message::Started(index));
        let start = Instant::now();
        let Some(analyzed) = self.analyze(item) else { return Ok(None) };
        let elapsed_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let outcome = finished(item, analyzed, Row { size, elapsed_ns, ..empty(item, key, tool) });
        self.keep(outcome, store).map(Some)
    }

    /// Whether this run has judged it already: two names of one content are judged once.
    fn is_of_this_run(&self, key: &str) -> bool {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// What comes of the dump and, failing that, of the log beside it; `None` where it was given up.
    fn analyze(&self, item: &Item) -> Option<Analyzed> {
        let analyzer = &self.options.analyzer;
        let failure = match analyzer.run(item) {
            Ended::Document { text, value } => return Some(Analyzed { failure: None, document: Some((text, value)) }),
            Ended::Failed(failure) => failure,
            Ended::GivenUp => return None,
        };
        let document = match item.log.as_ref().map(|log| analyzer.run(&Item::log(log.clone()))) {
            Some(Ended::Document { text, value }) => Some((text, value)),
            Some(Ended::GivenUp) => return None,
            Some(Ended::Failed(_)) | None => None,
        };
        Some(Analyzed { failure: Some(failure), document })
    }

    fn unreadable(&self, item: &Item, message: &str, store: &mut Store) -> Result<Outcome, TriageError> {
        let key = fingerprint::hex(item.path.as_os_str().as_encoded_bytes());
        let failure = Failure { kind: FailureKind::Unreadable, message: message.to_owned() };
        let row = empty(item, key, &self.options.tool);
        self.keep(finished(item, Analyzed { failure: Some(failure), document: None }, row), store)
    }

    fn keep(&self, (row, document): (Row, Option<String>), store: &mut Store) -> Result<Outcome, TriageError> {
        let new_group = !store.has_group(&row.signature.group())?;
        store.put(&row, document.as_deref())?;
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).insert(row.key.clone());
        let row = store.row(&row.key, &row.tool)?.unwrap_or(row);
        Ok(Outcome { row, document, fresh: true, new_group })
    }
}

/// Without a verdict that anybody could act on.
fn is_unjudged(row: &Row) -> bool {
    row.failure.is_some() || row.summary.confidence.as_deref() == Some("insufficient")
}

fn empty(item: &Item, key: String, tool: &str) -> Row {
    let (host, time) = place::of(&item.path);
    Row {
        key,
        tool: tool.to_owned(),
        kind: item.kind,
        paths: vec![item.path.display().to_string()],
        size: 0,
        host,
        crashed: time.or_else(|| changed(&item.path)),
        finished: clock::now(),
        elapsed_ns: 0,
        failure: None,
        from_log: false,
        summary: Summary::default(),
        signature: Signature::default(),
        crash: None,
    }
}

fn changed(path: &Path) -> Option<i64> {
    path.metadata().and_then(|metadata| metadata.modified()).ok().map(clock::seconds)
}

/// What came of one item.
struct Analyzed {
    /// Why there is no document of it.
    failure: Option<Failure>,
    /// That of it or, where it failed, of the log beside it.
    document: Option<(String, serde_json::Value)>,
}

/// Fills the row with what the analysis came to.
fn finished(item: &Item, Analyzed { failure, document }: Analyzed, row: Row) -> (Row, Option<String>) {
    match (failure, document) {
        (failure, Some((text, value))) => {
            (Row { from_log: failure.is_some(), failure, ..judged(&value, row) }, Some(text))
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

fn judged(value: &serde_json::Value, row: Row) -> Row {
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
