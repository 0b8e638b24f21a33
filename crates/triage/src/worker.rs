//! A process that analyzes one dump after the other, each in a copy of itself.
//!
//! The worker never looks at a dump. It keeps debug information open and, for each dump, makes a copy of itself (`fork(2)`) that
//! analyzes it and ends: what a process of its own for each dump promises is true of the copies as well, without what it
//! costs to start one and to open the same files again. What one dump does to its copy, no other sees. A worker that ends
//! itself (the system may choose it where memory runs out) is replaced, and the dump that it was asked for is analyzed in a
//! process that has nothing to do with any worker.

use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use vmcore_os::is_readable;

use crate::child::{Analyzer, Ended, GRACE, gave_up_waiting};
use crate::document::Document;
use crate::input::Item;
use crate::protocol::{Answer, Request};

/// How often it is looked whether to give up.
const POLL: Duration = Duration::from_millis(20);
/// How long it may take to open debug information that is in the cache.
const OPENING: Duration = Duration::from_secs(20);

/// Analyzes one item after the other.
#[derive(Debug)]
pub struct Worker<'a> {
    analyzer: &'a Analyzer,
    process: Option<Process>,
    /// Whether there is no use in starting another.
    useless: bool,
    /// The kernel whose debug information was asked to be open last.
    open: Option<Vec<u8>>,
    /// Those of which the worker ended when it was asked.
    refused: Vec<Vec<u8>>,
}

impl<'a> Worker<'a> {
    /// One that starts its process when it is first needed.
    #[must_use]
    pub fn new(analyzer: &'a Analyzer) -> Self {
        Self { analyzer, process: None, useless: false, open: None, refused: Vec::new() }
    }

    /// Analyzes a dump, or judges a log.
    #[must_use]
    pub fn run(&mut self, item: &Item) -> Ended {
        let words = self.analyzer.words(item);
        let request = Request::Run(words);
        let limit = self.analyzer.timeout + GRACE;
        let ended = match self.ask(&request, limit) {
            Asked::Answered(answer) => {
                let status = ExitStatus::from_raw(answer.status);
                self.analyzer.judge(status, answer.output, &String::from_utf8_lossy(&answer.messages))
            }
            Asked::GivenUp => Ended::GivenUp,
            Asked::Late => gave_up_waiting(limit),
            Asked::Lost => self.analyzer.run(item),
        };
        if let Ended::Document { value, .. } = &ended
            && let Some(build_id) = Document(value).build_id()
        {
            self.keep_open(build_id);
        }
        ended
    }

    /// Has the debug information of a kernel open for the dumps to come.
    fn keep_open(&mut self, build_id: Vec<u8>) {
        // Not for a log, nor where another dump of the same kernel was the last.
        if self.process.is_none() || self.open.as_ref() == Some(&build_id) || self.refused.contains(&build_id) {
            return;
        }
        match self.ask(&Request::Open(build_id.clone()), OPENING) {
            Asked::Answered(_) => self.open = Some(build_id),
            Asked::GivenUp => {}
            Asked::Late | Asked::Lost => self.refused.push(build_id),
        }
    }

    fn ask(&mut self, request: &Request, limit: Duration) -> Asked {
        if self.process.is_none() && !self.useless {
            self.process = Process::start(self.analyzer).ok();
            self.open = None;
        }
        let Some(process) = &mut self.process else { return Asked::Lost };
        let asked = process.ask(request, limit, self.analyzer.give_up);
        if matches!(asked, Asked::Answered(_)) {
            process.has_answered = true;
        } else {
            // A program that never answers is none that can.
            self.useless = matches!(asked, Asked::Lost) && !process.has_answered;
            self.process = None;
        }
        asked
    }
}

/// What became of a request.
enum Asked {
    Answered(Answer),
    GivenUp,
    /// There was no answer in time.
    Late,
    /// The worker has ended.
    Lost,
}

#[derive(Debug)]
struct Process {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
    has_answered: bool,
}

impl Process {
    fn start(analyzer: &Analyzer) -> std::io::Result<Self> {
        let mut command = Command::new(&analyzer.program);
        command.args(["triage", "worker"]).args(&analyzer.worker_arguments);
        // Ctrl-C on a terminal is for the run, which then ends the worker: else its end would be taken for a dump's fault.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(answers)) => Ok(Self { child, requests, answers, has_answered: false }),
            _ => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn ask(&mut self, request: &Request, limit: Duration, give_up: fn() -> bool) -> Asked {
        if request.write(&mut self.requests).is_err() {
            return Asked::Lost;
        }
        let began = Instant::now();
        while !is_readable(self.answers.as_fd(), POLL) {
            if give_up() {
                return Asked::GivenUp;
            }
            if began.elapsed() >= limit {
                return Asked::Late;
            }
        }
        // All of it follows at once: it is written when it is whole.
        Answer::read(&mut self.answers).map_or(Asked::Lost, Asked::Answered)
    }
}

impl Drop for Process {
    /// The copy that it may be waiting for is killed with it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
