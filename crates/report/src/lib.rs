//! What a person or a program gets to see: kernel state and verdicts as text, JSON and HTML.
//!
//! Each command has a model, made from plain data of `kernel` and `diagnose`, that derives its JSON and JSON Schema and
//! knows how to write itself as text: see [`Report`]. Nothing here reads a dump or prints; everything goes to the
//! [`io::Write`] that the caller gives.
//!
//! Text from a dump (names of tasks and modules, log lines) is untrusted. In text it is always shown through
//! [`Sanitized`]; [`write_json`] and pages escape the same characters.
//!
//! What a terminal would act on is shown, not obeyed:
//!
//! ```
//! use vmcore_report::Sanitized;
//!
//! // The name of a task that wants to clear your screen.
//! assert_eq!(Sanitized::new("a\x1b[2J").to_string(), "a\\x1b[2J");
//! ```

#![forbid(unsafe_code)]

pub mod analyze;
pub mod bt;
pub mod distill;
pub mod dmesg;
pub mod drgn_script;
mod duration;
pub mod explain;
mod fold;
mod gap;
mod html;
pub mod info;
pub mod inspect;
mod json;
pub mod log;
pub mod machine;
mod names;
pub mod ps;
pub mod runq;
mod state;
mod table;
mod theme;
pub mod verdict;
pub mod vtop;
mod wrap;

use std::io;

pub use duration::Duration;
pub use fold::Folded;
pub use gap::Gap;
pub use json::{SCHEMA_VERSION, json_schema, write_json};
use schemars::JsonSchema;
use serde::Serialize;
pub use theme::{Painted, Theme};
pub use vmcore_console::Sanitized;
pub use vmcore_inspect::Hex;

/// The result of one command.
pub trait Report: Serialize + JsonSchema {
    /// Writes it for people, in the form that `crash` uses where it has the command.
    ///
    /// # Errors
    ///
    /// As `out`.
    fn write_text(&self, out: &mut dyn io::Write, theme: &Theme) -> io::Result<()>;

    /// Whether lines of text that are wider than the screen may go on below: not where each line is a whole for others to read.
    fn may_be_folded(&self) -> bool {
        true
    }

    /// Writes it for programs: see [`write_json`].
    ///
    /// # Errors
    ///
    /// As `out`.
    fn write_json(&self, out: &mut dyn io::Write) -> io::Result<()>
    where
        Self: Sized,
    {
        write_json(self, out)
    }

    /// A page of its own in HTML, complete in one file, for reports that are passed on; `None` for the others.
    fn page(&self) -> Option<String> {
        None
    }
}
