//! The work: workers take items from one queue, each analyzes one dump after the other, in processes of their own.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::child::Analyzer;
use crate::input::Item;
use crate::row::Row;
use crate::store::{Claim, Store};
use crate::worker::Worker;
use crate::{TriageError, one, path_text};

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
        let mut worker = Worker::new(&self.options.analyzer);
        while !self.stop.load(Ordering::Relaxed) && !(self.options.analyzer.give_up)() {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(index) = next else { return };
            let Some(item) = self.items.get(index) else { return };
            if taken.contains(&index) {
                thread::sleep(WAIT);
            }
            // Nobody to tell: the run is over.
            let sent = match self.one(index, item, &mut store, &mut worker) {
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
    fn one(
        &self,
        index: usize,
        item: &Item,
        store: &mut Store,
        worker: &mut Worker<'_>,
    ) -> Result<Option<Outcome>, TriageError> {
        let Options { tool, .. } = self.options;
        let path = path_text::shown(&item.path);
        let (key, size) = match one::content(item, &self.options.analyzer.servers, tool) {
            Ok(known) => known,
            Err(row) => {
                let judged = one::by_log(item, *row, worker);
                return judged.map(|(row, document)| self.keep(row, document, store)).transpose();
            }
        };
        // It may have been empty, or not for this user, when it was looked at before.
        store.forget(&one::without_content(item))?;
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
        let judged = one::judge(item, (key, size), worker, tool);
        judged.map(|(row, document)| self.keep(row, document, store)).transpose()
    }

    /// Whether this run has judged it already: two names of one content are judged once.
    fn is_of_this_run(&self, key: &str) -> bool {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn keep(&self, row: Row, document: Option<String>, store: &mut Store) -> Result<Outcome, TriageError> {
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
