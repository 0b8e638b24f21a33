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
        // The same content with debug information beside it, which the one before did not have.
        let is_described = old.as_ref().is_some_and(is_by_own_log) && has_vmlinux(item);
        match store.claim(&key, tool, is_described || again && !self.is_of_this_run(&key))? {
            Claim::Taken => return Ok(None),
            Claim::Done => {
                store.put_path(&key, &path)?;
                let Some(mut row) = store.row(&key, tool)? else { return Ok(None) };
                of_path_first(&mut row, Some(&path));
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
        let path = row.paths.first().cloned();
        let mut row = store.row(&row.key, &row.tool)?.unwrap_or(row);
        of_path_first(&mut row, path.as_ref());
        Ok(Outcome { row, document, fresh: true, of_this_run: true, new_group })
    }
}

/// What is told of a content is told of one of its paths.
fn of_path_first(row: &mut Row, path: Option<&String>) {
    row.paths.sort_by_key(|known| Some(known) != path);
}

/// Whether there is no verdict for a reason that is none of the dump's.
fn may_pass(row: &Row) -> bool {
    row.failure.as_ref().is_some_and(|failure| failure.kind.may_pass())
}

/// Without a verdict that anybody could act on.
fn is_unjudged(row: &Row) -> bool {
    row.failure.is_some() || is_by_own_log(row) || row.summary.confidence.as_deref() == Some("insufficient")
}

/// Whether a dump was judged by its own log, because nothing described its kernel.
fn is_by_own_log(row: &Row) -> bool {
    row.from_log && row.failure.is_none() && row.kind.is_dump()
}

/// Whether a vmlinux is named for a dump, or lies beside it.
fn has_vmlinux(item: &Item) -> bool {
    let beside = || {
        let files = item.path.parent().and_then(|directory| directory.read_dir().ok());
        files.into_iter().flatten().flatten().any(|file| file.file_name().as_encoded_bytes().starts_with(b"vmlinux"))
    };
    item.vmlinux.is_some() || beside()
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

    /// By its own log where no vmlinux is beside it.
    const BY_LOG: &str = r#"#!/bin/sh
for word; do case "$word" in */vmcore) dump="$word" ;; esac; done
if [ -e "${dump%/*}/vmlinux" ]; then echo '{"verdict":{"confidence":"confirmed"}}'; exit 1; fi
echo '{"verdict":{"confidence":"probable"},"log":{}}'
exit 1
"#;

    #[test]
    fn what_was_judged_by_its_own_log_is_judged_again_where_there_is_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        test_program::write(BY_LOG, &path("program"));
        for place in ["a", "b"] {
            fs::create_dir(path(place)).unwrap();
            fs::write(path(place).join("vmcore"), "one content").unwrap();
        }
        fs::write(path("b/vmlinux"), "").unwrap();
        let analyzer = test_program::analyzer(path("program"), Duration::from_secs(60));
        let options = Options { analyzer, jobs: 1, tool: "1".to_owned(), again: false, retry: false };
        let judged = |places: &[&str], options: &Options, store: &Store| {
            let mut done = Vec::new();
            let items: Vec<_> = places.iter().map(|place| Item::dump(path(place).join("vmcore"))).collect();
            run(&items, store, options, |event| {
                if let Event::Done(_, outcome) = event {
                    let row = &outcome.row;
                    let place = row.paths.first().and_then(|path| path.rsplit('/').nth(1)).unwrap_or_default();
                    done.push((place.to_owned(), row.summary.confidence.clone().unwrap_or_default(), row.from_log));
                }
                true
            })
            .unwrap();
            done
        };
        let by_log = |place: &str| (place.to_owned(), "probable".to_owned(), true);
        let by_dump = |place: &str| (place.to_owned(), "confirmed".to_owned(), false);
        let store = Store::open(&path("store.db")).unwrap();
        assert_eq!(judged(&["a", "b"], &options, &store), [by_log("a"), by_dump("b")]);
        // Each line is told of its own path.
        assert_eq!(judged(&["a", "b"], &options, &store), [by_dump("a"), by_dump("b")]);
        let store = Store::open(&path("other.db")).unwrap();
        assert_eq!(judged(&["b", "a"], &options, &store), [by_dump("b"), by_dump("a")]);
        // Debug information that came later.
        let store = Store::open(&path("later.db")).unwrap();
        assert_eq!(judged(&["a"], &options, &store), [by_log("a")]);
        assert_eq!(judged(&["a"], &options, &store), [by_log("a")]);
        fs::write(path("a/vmlinux"), "").unwrap();
        let retry = Options { retry: true, ..options };
        assert_eq!(judged(&["a"], &retry, &store), [by_dump("a")]);
    }
}
