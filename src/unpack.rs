//! What people see while a compressed dump is unpacked: a note, and how far it is.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vmcore_dump::UnpackProgress;
use vmcore_report::Sanitized;

const BAR: &str = "{bar:30} {percent}% of {msg} ({elapsed}, {eta} to go)";

/// Shows the progress of one file after the other.
pub(crate) struct UnpackView {
    quiet: bool,
    bar: Option<ProgressBar>,
}

impl UnpackView {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, bar: None }
    }

    /// Takes one report. The note comes with the first of each file; the bar only where standard error is a terminal.
    pub(crate) fn show(&mut self, progress: &UnpackProgress<'_>) {
        let UnpackProgress { read, unpacked, done, .. } = *progress;
        if done {
            tracing::info!("unpacked {unpacked} bytes");
            if let Some(bar) = self.bar.take() {
                bar.finish_and_clear();
            }
        } else if let Some(bar) = &self.bar {
            bar.set_position(read);
        } else if unpacked == 0 && !self.quiet {
            note(progress);
            self.bar = io::stderr().is_terminal().then(|| bar(progress));
        }
    }
}

fn note(progress: &UnpackProgress<'_>) {
    let UnpackProgress { path, compression, directory, .. } = progress;
    let text = format!(
        "{} is compressed with {compression}: it is unpacked to a temporary file in {}, each time anew",
        path.display(),
        directory.display()
    );
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(io::stderr().lock(), "note: {}", Sanitized::new(&text));
}

fn bar(progress: &UnpackProgress<'_>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(progress.len), ProgressDrawTarget::stderr());
    let bar = match ProgressStyle::with_template(BAR) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    bar.with_message(progress.compression)
}
