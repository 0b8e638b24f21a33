//! Running a tool, and keeping its answer within bounds.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use clap::CommandFactory;
use serde_json::{Map, Value};

use super::{Dispatch, tools};
use crate::arguments;
use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::secrets::without_secrets;

/// What came of a call.
pub(super) enum Answer {
    /// The command's JSON.
    Json(Value),
    /// Why there is none.
    Error(String),
}

/// Runs a tool.
pub(super) fn to(
    tool: &str,
    given: &Map<String, Value>,
    (context, dispatch): (&Context, Dispatch),
    max: u64,
) -> Answer {
    let words = match tools::words(&Cli::command(), tool, given) {
        Ok(words) => words,
        Err(why) => return Answer::Error(why),
    };
    let cli = match arguments::parse_line(words) {
        Ok(cli) => cli,
        Err(usage) => return Answer::Error(without_secrets(&usage.to_string()).into_owned()),
    };
    // None of the tools is one of these, whatever a table says one day.
    if matches!(cli.command, Command::Shell(_) | Command::Mcp(_)) {
        return Answer::Error(format!("there is no tool '{tool}'"));
    }
    let kept =
        Rc::new(RefCell::new(Kept { bytes: Vec::new(), max: usize::try_from(max).unwrap_or(usize::MAX), more: 0 }));
    context.redirect(Some(Box::new(Pipe(Rc::clone(&kept)))), false);
    let done = dispatch(&cli, context);
    context.redirect(None, false);
    if let Err(failure) = done {
        let hint = failure.hint_text().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
        return Answer::Error(format!("{}{hint}", failure.message()));
    }
    let kept = kept.borrow();
    if kept.more > 0 {
        let size = kept.bytes.len().saturating_add(kept.more);
        return Answer::Error(format!(
            "the answer has {size} bytes, and {} are allowed; ask for less: one task, one CPU, a filter, or a range",
            kept.max
        ));
    }
    serde_json::from_slice(&kept.bytes)
        .map_or_else(|_| Answer::Error("the answer is not JSON".to_owned()), Answer::Json)
}

/// Output as far as it may be.
struct Kept {
    bytes: Vec<u8>,
    max: usize,
    /// So many bytes more were written.
    more: usize,
}

struct Pipe(Rc<RefCell<Kept>>);

impl Write for Pipe {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.borrow_mut();
        if kept.more > 0 || kept.bytes.len().saturating_add(buf.len()) > kept.max {
            kept.more = kept.more.saturating_add(buf.len());
        } else {
            kept.bytes.extend_from_slice(buf);
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
