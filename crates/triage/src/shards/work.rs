//! A share of a plan, done.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::plan::{Plan, Planned};
use super::row_file::Rows;
use crate::worker::Worker;
use crate::{Analyzer, Item, Row, TriageError, one};

/// Which share of how many, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which.
    pub number: u64,
    /// Of how many.
    pub of: u64,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Share {
    /// The plan.
    pub plan: PathBuf,
    /// Where rows are written.
    pub directory: PathBuf,
    /// Which part of the plan.
    pub shard: Shard,
    /// How one item is analyzed.
    pub analyzer: Analyzer,
    /// How many at a time, at least 1.
    pub jobs: usize,
    /// The version of the program.
    pub tool: String,
    /// Analyze what has a row again.
    pub again: bool,
}

/// What happens on the way.
#[derive(Debug)]
pub enum ShardDone<'s> {
    /// The share has so many items.
    Begins(usize),
    /// One of them has its row now.
    Judged(&'s Item, &'s Row),
    /// One of them had its row before.
    Skipped(&'s Item),
    /// One of them could not be reached, which says nothing of it: there is no row.
    Lost(&'s Item, &'s str),
}

enum Message {
    Judged(usize, Box<Row>),
    Skipped(usize),
    Lost(usize, String),
    Failed(TriageError),
}

/// Does a share: every item that has no row by this version of the program gets one. Whether all have one now.
///
/// # Errors
///
/// [`TriageError`] where the plan cannot be read or a row not be written. What is wrong with an item is in its row.
pub fn work(share: &Share, mut watch: impl FnMut(ShardDone<'_>)) -> Result<bool, TriageError> {
    let Shard { number, of } = share.shard;
    let servers = &share.analyzer.servers;
    let items = Plan::open(&share.plan, servers)?.share(number, of)?;
    let rows = Rows::of(&share.directory, servers)?;
    rows.keep_plan(&share.plan, servers)?;
    watch(ShardDone::Begins(items.len()));
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..share.jobs.clamp(1, items.len().max(1)) {
            let hand = Hand { share, rows: rows.clone(), items: &items, next: &next, send: send.clone() };
            scope.spawn(move || hand.all());
        }
        drop(send);
        let (mut failure, mut done) = (None, 0);
        for message in receive {
            let item = |at: usize| items.get(at).map(Planned::item);
            match message {
                Message::Judged(at, row) => item(at).iter().for_each(|item| watch(ShardDone::Judged(item, &row))),
                Message::Skipped(at) => item(at).iter().for_each(|item| watch(ShardDone::Skipped(item))),
                Message::Lost(at, why) => {
                    item(at).iter().for_each(|item| watch(ShardDone::Lost(item, &why)));
                    continue;
                }
                Message::Failed(error) => {
                    failure.get_or_insert(error);
                    next.store(items.len(), Ordering::Relaxed);
                    continue;
                }
            }
            done += 1;
        }
        failure.map_or(Ok(done == items.len()), Err)
    })
}

struct Hand<'w> {
    share: &'w Share,
    rows: Rows,
    items: &'w [Planned],
    next: &'w AtomicUsize,
    send: mpsc::Sender<Message>,
}

impl Hand<'_> {
    fn all(&self) {
        let mut worker = Worker::new(&self.share.analyzer);
        while !(self.share.analyzer.give_up)() {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(planned) = self.items.get(at) else { return };
            let message = match self.one(at, planned, &mut worker) {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(error) => Message::Failed(error),
            };
            // Nobody to tell: the run is over.
            if self.send.send(message).is_err() {
                return;
            }
        }
    }

    /// One item; `None` where it was given up.
    fn one(&self, at: usize, planned: &Planned, worker: &mut Worker<'_>) -> Result<Option<Message>, TriageError> {
        let Share { tool, analyzer, again, .. } = self.share;
        let old = self.rows.get(&planned.key)?;
        if !again && old.as_ref().is_some_and(|(row, _)| row.tool == *tool) {
            return Ok(Some(Message::Skipped(at)));
        }
        let item = planned.item();
        let judged = match one::content(&item, &analyzer.servers, tool) {
            Ok(content) => one::judge(&item, content, worker, tool),
            Err(row) => one::by_log(&item, *row, worker),
        };
        let Some((row, document)) = judged else { return Ok(None) };
        if let Some(why) = lost(&row) {
            return Ok(Some(Message::Lost(at, why)));
        }
        self.rows.put(&planned.key, row.clone(), document, old.is_some())?;
        Ok(Some(Message::Judged(at, Box::new(row))))
    }
}

/// Why an item could not be judged that may well be another time: what failed is the way to it, or this machine.
fn lost(row: &Row) -> Option<String> {
    let failure = row.failure.as_ref().filter(|failure| failure.kind.may_pass())?;
    Some(failure.message.clone())
}
