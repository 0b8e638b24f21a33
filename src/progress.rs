//! A line on standard error for steps that take long enough to wonder.

use std::io::{self, IsTerminal, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter steps are not shown.
const DELAY: Duration = Duration::from_millis(200);

/// How far a step is of which the length is known.
pub(crate) struct Extent {
    len: u64,
    done: Arc<AtomicU64>,
}

impl Extent {
    /// Of a step over `len` bytes.
    pub(crate) fn of_bytes(len: u64) -> Self {
        Self { len, done: Arc::default() }
    }

    /// A reader whose bytes count as done.
    pub(crate) fn read<R: Read>(&self, reader: R) -> impl Read + use<R> {
        Counted { reader, done: Arc::clone(&self.done) }
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

struct Counted<R> {
    reader: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.done.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Shows `message` while `work` runs, from [`DELAY`] on, where standard error is a terminal: with how far it is where
/// that is known, else with a spinner.
pub(crate) fn during<T>(message: &'static str, quiet: bool, extent: Option<&Extent>, work: impl FnOnce() -> T) -> T {
    if quiet || !io::stderr().is_terminal() {
        return work();
    }
    std::thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        scope.spawn(move || {
            // Disconnected when the work is done.
            if is_done.recv_timeout(DELAY) == Err(RecvTimeoutError::Timeout) {
                show(message, extent, &is_done);
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn show(message: &'static str, extent: Option<&Extent>, is_done: &Receiver<()>) {
    let template = match extent {
        Some(_) => "{bar:30} {percent}% {msg} ({elapsed}, {eta} to go)",
        None => "{spinner} {msg} ({elapsed})",
    };
    let bar = ProgressBar::with_draw_target(extent.map(|extent| extent.len), ProgressDrawTarget::stderr());
    let bar = match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    bar.set_message(message);
    while is_done.recv_timeout(DELAY / 2) == Err(RecvTimeoutError::Timeout) {
        match extent {
            // A file that grows is longer than it was.
            Some(extent) => bar.set_position(extent.done().min(extent.len)),
            None => bar.tick(),
        }
    }
    bar.finish_and_clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_done() {
        let extent = Extent::of_bytes(5);
        let mut text = String::new();
        extent.read("three".as_bytes()).read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), extent.done()), ("three", 5));
        assert_eq!(during("counting", true, Some(&extent), || 7), 7);
    }
}
