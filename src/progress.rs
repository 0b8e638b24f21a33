//! A line on standard error for steps that take long enough to wonder.

use std::io::{self, IsTerminal, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::servers;

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

    /// How much is done, from 0 to 1. A file that grows is longer than it was.
    pub(crate) fn share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "it is shown in percent")]
        let share = self.done().min(self.len) as f64 / self.len.max(1) as f64;
        share
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

/// Says how much of a step is done, from 0 to 1; `None` where that is not known yet.
pub(crate) type Share<'a> = &'a (dyn Fn() -> Option<f64> + Sync);

/// Shows `message` while `work` runs, from [`DELAY`] on, where standard error is a terminal: with how far it is where
/// that is known, else with a spinner.
pub(crate) fn during<T>(message: &'static str, quiet: bool, share: Option<Share<'_>>, work: impl FnOnce() -> T) -> T {
    if quiet || !io::stderr().is_terminal() {
        return work();
    }
    std::thread::scope(|scope| {
        let (done, is_done) = channel::<()>();
        scope.spawn(move || {
            // Disconnected when the work is done.
            if is_done.recv_timeout(DELAY) == Err(RecvTimeoutError::Timeout) {
                show(message, share, &is_done);
            }
        });
        let result = work();
        drop(done);
        result
    })
}

fn show(message: &'static str, share: Option<Share<'_>>, is_done: &Receiver<()>) {
    /// Steps of the bar.
    const STEPS: u64 = 1000;
    let template = match share {
        Some(_) => "{bar:30} {percent}% {msg} ({elapsed}, {eta} to go)",
        None => "{spinner} {msg} ({elapsed})",
    };
    let bar = ProgressBar::with_draw_target(share.map(|_| STEPS), ProgressDrawTarget::stderr());
    let bar = match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    bar.set_message(message);
    while is_done.recv_timeout(DELAY / 2) == Err(RecvTimeoutError::Timeout) {
        if let fetched @ 1.. = servers::received() {
            bar.set_message(format!("{message}, {} fetched", HumanBytes(fetched)));
        }
        match share.and_then(|share| share()) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 0 to 1")]
            Some(share) => bar.set_position((share.clamp(0.0, 1.0) * STEPS as f64) as u64),
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
        assert_eq!(during("counting", true, Some(&|| Some(extent.share())), || 7), 7);
        assert!((extent.share() - 1.0).abs() < f64::EPSILON);
    }
}
