//! What `-v` shows: events of all crates, on standard error.

use std::io::{self, Write};

use tracing::level_filters::LevelFilter;

use crate::secrets::without_secrets;

/// Starts showing events; `verbose` is how often `-v` was given.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let ansi =
        std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt()
        .with_timer(tracing_subscriber::fmt::time::uptime())
        .with_max_level(level)
        .with_writer(|| WithoutSecrets)
        .with_ansi(ansi)
        .with_target(false)
        .init();
}

/// Standard error. Each event comes as a whole.
struct WithoutSecrets;

impl Write for WithoutSecrets {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        io::stderr().lock().write_all(without_secrets(&text).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
