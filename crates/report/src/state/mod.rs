//! Lists of kernel state as text. Their models, which JSON is made of, are those of [`vmcore_inspect::state`].

mod memory;
mod modules;
mod storage;
mod time;
mod waiting;

use std::io::{self, Write};

use vmcore_inspect::state::{Listing, Missing, Unread, Who};

use crate::duration::Duration;
use crate::table::Table;
use crate::wrap::Lines;
use crate::{Painted, Sanitized, Theme};

/// Gaps that text names: JSON has them all.
const MAX_GAPS: usize = 5;

/// What could not be read. Each is shown once: in its list's place where that has one, and all others at the end.
struct Gaps<'a> {
    all: &'a [Missing],
    shown: Vec<&'a Missing>,
}

impl<'a> Gaps<'a> {
    const fn new(all: &'a [Missing]) -> Self {
        Self { all, shown: Vec::new() }
    }

    /// A list as a table; in place of one that is empty why it is, or `none`.
    fn table<T, const N: usize>(
        &mut self,
        list: &'a Listing<T>,
        (table, none): (&Table<N>, &str),
        indent: usize,
        out: &mut dyn Write,
        theme: &Theme,
    ) -> io::Result<()> {
        if !list.found().is_empty() {
            table.write(indent, out, theme)?;
        }
        self.of(list, none, indent, out, theme)
    }

    /// What is missing of a list that was shown; `none` where there is nothing in it for certain.
    fn of<T>(
        &mut self,
        list: &'a Listing<T>,
        none: &str,
        indent: usize,
        out: &mut dyn Write,
        theme: &Theme,
    ) -> io::Result<()> {
        if list.has_none() && !none.is_empty() {
            write!(out, "{}", Lines::new(indent, none).within(theme.width))?;
        }
        let Some(Unread { first, others }) = list.unread() else { return Ok(()) };
        if self.shown.contains(&first) {
            return Ok(());
        }
        self.shown.push(first);
        write_gap(first, indent, out, theme)?;
        match others {
            0 => Ok(()),
            others => {
                writeln!(out, "{:indent$}{}", "", Painted(theme.doubtful, format_args!("not read: {others} more")))
            }
        }
    }

    /// Those that stand nowhere yet.
    fn rest(self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let rest: Vec<_> = self.all.iter().filter(|gap| !self.shown.contains(gap)).collect();
        rest.iter().take(MAX_GAPS).try_for_each(|gap| write_gap(gap, 0, out, theme))?;
        match rest.len().checked_sub(MAX_GAPS) {
            Some(more @ 1..) => {
                writeln!(
                    out,
                    "{}",
                    Painted(theme.doubtful, format_args!("not read: {more} more: --format json has them"))
                )
            }
            _ => Ok(()),
        }
    }
}

fn write_gap(gap: &Missing, indent: usize, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let line = format!("not read: {}: {}", Sanitized::new(&gap.what), Sanitized::new(&gap.why));
    write!(out, "{}", Painted(theme.doubtful, Lines::new(indent, &line).within(theme.width)))
}

/// How many are in a list: `3`, `3 or more`, `?`.
fn count<T>(list: &Listing<T>) -> String {
    count_of(list, |_| true)
}

/// How many of a list are as `is`, of which there may be more in the part of it that was not read: `3`, `3 or more`, `?`.
fn count_of<T>(list: &Listing<T>, is: impl Fn(&T) -> bool) -> String {
    match (list.found().iter().filter(|entry| is(entry)).count(), list.unread()) {
        (of_all, None) => of_all.to_string(),
        (0, Some(_)) => "?".to_owned(),
        (found, Some(_)) => format!("{found} or more"),
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
