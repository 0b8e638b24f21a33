//! How a log is read: as text, line by line, or as the records of a kernel.

use std::io::{self, BufRead};

use crate::clean::Lines;
use crate::collector::Collector;
use crate::log::Log;
use crate::prefix::{Caller, Prefix};

/// One record of a kernel's log, without the form that a file would give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was printed, in nanoseconds since boot.
    pub timestamp_ns: Option<u64>,
    /// Who printed it.
    pub caller: Option<Caller>,
    /// The text: one line, or several.
    pub text: &'a str,
}

impl Log {
    /// Reads a log to its end: in memory that does not depend on its length, in time that grows with it.
    ///
    /// # Errors
    ///
    /// As `reader`. Nothing in the text is an error.
    pub fn read(reader: impl BufRead) -> io::Result<Self> {
        let mut lines = Lines::new(reader);
        let mut collector = Collector::default();
        while let Some(line) = lines.next()? {
            collector.line(&line);
        }
        Ok(collector.finish())
    }

    /// Reads the records of one boot: all of them the kernel's own, in its order.
    #[must_use]
    pub fn of_records<'r>(records: impl IntoIterator<Item = Record<'r>>) -> Self {
        let mut collector = Collector::default();
        for record in records {
            let Record { timestamp_ns, caller, text } = record;
            for line in text.lines() {
                let prefix = Prefix { timestamp_ns, second_of_year: None, caller, level: None, is_kernel: true };
                collector.record(prefix, line);
            }
        }
        collector.finish()
    }
}
