//! What people see while a pile of dumps is worked on: a bar on a terminal, else a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vmcore_report::Sanitized;
use vmcore_triage::{Confidence, Item, Row};

const BAR: &str = "{bar:30} {pos}/{len} ({per_sec}, {eta} to go) {msg}";
/// Between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(10);

/// Follows one run.
pub(crate) struct PileView {
    bar: Option<ProgressBar>,
    /// Whether lines are written where there is no bar.
    lines: bool,
    total: usize,
    done: usize,
    inconclusive: usize,
    failed: usize,
    began: Instant,
    said: Instant,
    running: Vec<String>,
}

impl PileView {
    pub(crate) fn new(total: usize, quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            match ProgressStyle::with_template(BAR) {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        let now = Instant::now();
        let lines = !quiet && !terminal;
        Self { bar, lines, total, done: 0, inconclusive: 0, failed: 0, began: now, said: now, running: Vec::new() }
    }

    pub(crate) fn started(&mut self, item: &Item) {
        self.running.push(name(item));
        self.show();
    }

    /// With one line about it, for the terminal.
    pub(crate) fn done(&mut self, item: &Item, row: &Row, line: Option<impl FnOnce(&mut dyn Write) -> io::Result<()>>) {
        let name = name(item);
        if let Some(at) = self.running.iter().position(|running| *running == name) {
            self.running.swap_remove(at);
        }
        self.done += 1;
        // As the report counts.
        match Confidence::of(row) {
            Confidence::Insufficient => self.inconclusive += 1,
            Confidence::Failed => self.failed += 1,
            _ => {}
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
            let mut text = Vec::new();
            if line.is_some_and(|line| line(&mut text).is_ok()) {
                bar.println(String::from_utf8_lossy(&text).trim_end());
            }
        }
        self.show();
    }

    /// Passed over: it was done before.
    pub(crate) fn skipped(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
        }
        self.show();
    }

    fn show(&mut self) {
        let failed = if self.failed == 0 { String::new() } else { format!("{} failed  ", self.failed) };
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{failed}{}", self.running.join("  ")));
        } else if self.lines && self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            self.say();
        }
    }

    fn say(&self) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let rate = self.done as f64 / seconds;
        let left = if self.done == 0 {
            String::new()
        } else {
            format!(", {:.0} s to go", (self.total - self.done.min(self.total)) as f64 / rate)
        };
        // Nobody is left to be told when standard error is closed.
        let _ = writeln!(
            io::stderr().lock(),
            "note: {} of {} done, {} inconclusive, {} failed, {rate:.1}/s{left}",
            self.done,
            self.total,
            self.inconclusive,
            self.failed
        );
    }

    /// Clears the bar, or says the last line.
    pub(crate) fn end(&self) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            None if self.lines => self.say(),
            None => {}
        }
    }
}

/// The directory and file of an item: the directory is what tells one crash from the next.
fn name(item: &Item) -> String {
    let parts: Vec<_> = item.path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    let text = parts.iter().rev().map(ToString::to_string).collect::<Vec<_>>().join("/");
    Sanitized::new(&text).to_string()
}
