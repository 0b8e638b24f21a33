//! A line on standard error for steps that take long enough to wonder.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter steps are not shown.
const DELAY: Duration = Duration::from_millis(200);

/// Shows `message` with a spinner while `work` runs, from [`DELAY`] on, where standard error is a terminal.
pub(crate) fn during<T>(message: &'static str, quiet: bool, work: impl FnOnce() -> T) -> T {
    if quiet || !io::stderr().is_terminal() {
        return work();
    }
    std::thread::scope(|scope| {
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            // Disconnected when the work is done.
            if is_done.recv_timeout(DELAY) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let bar = match style {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            };
            bar.set_message(message);
            bar.enable_steady_tick(DELAY / 2);
            let _ = is_done.recv();
            bar.finish_and_clear();
        });
        let result = work();
        drop(done);
        result
    })
}
