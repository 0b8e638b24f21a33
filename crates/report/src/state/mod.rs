//! Lists of kernel state as text. Their models, which JSON is made of, are those of [`vmcore_inspect::state`].

mod memory;
mod storage;
mod time;
mod waiting;

use std::io::{self, Write};

use vmcore_inspect::state::{Missing, Who};

use crate::duration::Duration;
use crate::{Painted, Sanitized, Theme};

/// Gaps that text names: JSON has them all.
const MAX_GAPS: usize = 5;

/// What could not be read, behind the list.
fn write_gaps(gaps: &[Missing], out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    for gap in gaps.iter().take(MAX_GAPS) {
        let line = format_args!("not read: {}: {}", Sanitized::new(&gap.what), Sanitized::new(&gap.why));
        writeln!(out, "{}", Painted(theme.doubtful, line))?;
    }
    match gaps.len().checked_sub(MAX_GAPS) {
        Some(more @ 1..) => writeln!(out, "{}", Painted(theme.doubtful, format_args!("not read: {more} more things"))),
        _ => Ok(()),
    }
}

fn who(who: Option<&Who>) -> String {
    who.map_or_else(|| "?".to_owned(), |who| format!("{} \"{}\" ({})", who.pid, who.comm, who.state))
}

fn or_unknown<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

/// A time that lies in the past, or in the future: `9.943 s ago`, `in 12.259 ms`.
fn ago(ns: Option<i64>) -> String {
    match ns {
        None => "?".to_owned(),
        Some(ns @ 0..) => format!("{} ago", Duration(ns.unsigned_abs())),
        Some(ns) => format!("in {}", Duration(ns.unsigned_abs())),
    }
}

/// How long something has been going on.
fn during(ns: Option<i64>) -> String {
    ns.map_or_else(|| "?".to_owned(), |ns| Duration(u64::try_from(ns).unwrap_or_default()).to_string())
}

/// Bytes in KiB, as the kernel shows them.
fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes / 1024)
}
