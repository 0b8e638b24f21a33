//! The terminal: how wide it is, and the program that shows long text on it page by page.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Columns of reports where nobody says how wide the screen is.
const WIDTH: usize = 100;
/// Fewer cannot be read, and in more the eye loses the line.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=200;

/// Columns of the screen, or of reports where nobody says how wide it is.
pub(crate) fn width() -> usize {
    known_width().unwrap_or(WIDTH)
}

/// Columns of the screen: `COLUMNS`, or those of the terminal.
pub(crate) fn known_width() -> Option<usize> {
    let named = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    let measured = || {
        let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(io::stdout())?;
        Some(usize::from(columns)).filter(|_| io::stdout().is_terminal())
    };
    named.or_else(measured).map(|columns| columns.clamp(*WIDTHS.start(), *WIDTHS.end()))
}

/// The program that shows long output page by page, as git chooses it: one that ends at once where all fits the screen.
pub(crate) fn pager() -> Option<String> {
    let named = ["VMCORE_THP_PAGER", "PAGER"].iter().find_map(std::env::var_os);
    let named = named.map_or_else(|| "less".to_owned(), |pager| pager.to_string_lossy().into_owned());
    match named.as_str() {
        "" | "cat" => None,
        "less" if std::env::var_os("LESS").is_none() => Some("less -FRX".to_owned()),
        _ => Some(named),
    }
}

/// Starts a pager; `None` where its program is not installed: then the text is shown all the same.
pub(crate) fn start(pager: &str) -> Option<Child> {
    let program = pager.split_whitespace().next()?;
    let directories = std::env::var_os("PATH")?;
    let is_in_path = || std::env::split_paths(&directories).any(|at| at.join(program).is_file());
    let installed = if program.contains('/') { Path::new(program).is_file() } else { is_in_path() };
    if !installed {
        return None;
    }
    Command::new("sh").arg("-c").arg(pager).stdin(Stdio::piped()).spawn().ok()
}
