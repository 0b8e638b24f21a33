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
    /// Whether that, or another item of this run with the same content was.
    pub of_this_run: bool,
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
        let is_to_be_retried = |row| may_pass(row) || self.options.retry && is_unjudged(row);
        let again = self.options.again || old.as_ref().is_some_and(is_to_be_retried);
        match store.claim(&key, tool, again && !self.is_of_this_run(&key))? {
            Claim::Taken => return Ok(None),
            Claim::Done => {
                store.put_path(&key, &path)?;
                let Some(row) = store.row(&key, tool)? else { return Ok(None) };
                let of_this_run = self.is_of_this_run(&key);
                return Ok(Some(Outcome { row, document: None, fresh: false, of_this_run, new_group: false }));
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
        // Whoever finds the row in the store finds that it is of this run.
        self.judged.lock().unwrap_or_else(PoisonError::into_inner).insert(row.key.clone());
        store.put(&row, document.as_deref())?;
        let row = store.row(&row.key, &row.tool)?.unwrap_or(row);
        Ok(Outcome { row, document, fresh: true, of_this_run: true, new_group })
    }
}

/// Whether there is no verdict for a reason that is none of the dump's.
fn may_pass(row: &Row) -> bool {
    row.failure.as_ref().is_some_and(|failure| failure.kind.may_pass())
}

/// Without a verdict that anybody could act on.
fn is_unjudged(row: &Row) -> bool {
    row.failure.is_some() || row.summary.confidence.as_deref() == Some("insufficient")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::FailureKind;
    use crate::test_program;

    /// A program that cannot reach its server the first time, has no room the second, and judges the third.
    const SCRIPT: &str = r#"#!/bin/sh
[ "$1" = triage ] && exit 2
if [ -e "$0.twice" ]; then echo '{"verdict":{"confidence":"none"}}'; exit 0; fi
if [ -e "$0.once" ]; then : >"$0.twice"; echo 'error: no space left' >&2; exit 75; fi
: >"$0.once"; echo 'error: nobody answers' >&2; exit 69
"#;

    #[test]
    fn what_failed_for_another_reason_than_the_dump_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        test_program::write(SCRIPT, &path("program"));
        fs::write(path("vmcore-dmesg.txt"), "a log").unwrap();
        let analyzer = test_program::analyzer(path("program"), Duration::from_secs(60));
        let options = Options { analyzer, jobs: 1, tool: "1".to_owned(), again: false, retry: false };
        let store = Store::open(&path("store.db")).unwrap();
        let outcome = || {
            let mut done = None;
            let items = [Item::log(path("vmcore-dmesg.txt"))];
            run(&items, &store, &options, |event| {
                if let Event::Done(_, outcome) = event {
                    done = Some((outcome.row.failure.clone().map(|failure| failure.kind), outcome.fresh));
                }
                true
            })
            .unwrap();
            done
        };
        assert_eq!(outcome(), Some((Some(FailureKind::Unreachable), true)));
        assert_eq!(outcome(), Some((Some(FailureKind::Resources), true)));
        assert_eq!(outcome(), Some((None, true)));
        assert_eq!(outcome(), Some((None, false)));
    }
}
