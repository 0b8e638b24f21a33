//! One line of a log as text: without line ends, terminal escapes and what is no text, and not longer than a bound.
//!
//! Serial captures have `\r\n`, colours (`ESC [ 31 m`) and whatever a noisy line adds; nothing of it is the kernel's.

use std::borrow::Cow;
use std::io::{self, BufRead};

use crate::prefilter::may_report;

/// More bytes of a line than this are not looked at. The kernel's own limit for a record is 1 KiB of text
/// (`CONSOLE_LOG_MAX`, before 5.10 `LOG_LINE_MAX`); lists of modules are printed in one go and may be longer.
pub(crate) const MAX_LINE: usize = 8 << 10;

/// More bytes of what may be a record in JSON are not looked at: clouds give the end of a console as one string, and the whole of
/// it where somebody asks for that.
const MAX_RECORD: usize = 1 << 20;

/// Lines of a reader, in bounded memory.
pub(crate) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
}

/// A line without its end.
pub(crate) struct Line<'b> {
    /// At most [`MAX_LINE`] bytes, or a mebibyte of what may be JSON.
    pub(crate) bytes: &'b [u8],
    /// Whether there was more, and that may be part of a report.
    pub(crate) is_cut: bool,
}

impl<R: BufRead> Lines<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new() }
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let (mut any, mut beyond) = (false, Beyond::default());
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            any = true;
            let end = available.iter().position(|byte| *byte == b'\n');
            let length = end.unwrap_or(available.len());
            let most = if may_be_json(if self.buffer.is_empty() { available } else { &self.buffer }) {
                MAX_RECORD
            } else {
                MAX_LINE
            };
            let (taken, rest) = available.split_at(length.min(most.saturating_sub(self.buffer.len())));
            self.buffer.extend_from_slice(taken);
            beyond.pass(&self.buffer, rest.get(..length - taken.len()).unwrap_or_default());
            self.reader.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                break;
            }
        }
        Ok(any.then_some(Line { bytes: &self.buffer, is_cut: beyond.may_report }))
    }
}

fn may_be_json(line: &[u8]) -> bool {
    matches!(line.trim_ascii_start().first(), Some(b'{' | b'"'))
}

/// The first bytes of a line, as many as are looked at, and whether those behind them may be part of a report.
pub(crate) fn cut(line: &[u8]) -> (&[u8], bool) {
    let (looked_at, rest) = line.split_at(line.len().min(MAX_LINE));
    let mut beyond = Beyond::default();
    beyond.pass(looked_at, rest);
    (looked_at, beyond.may_report)
}

/// What is beyond the end of what is looked at, which comes in pieces.
#[derive(Default)]
struct Beyond {
    /// The end of what was before.
    last: Vec<u8>,
    may_report: bool,
}

impl Beyond {
    /// As many bytes as the longest of the texts that are looked for has, and more.
    const OVERLAP: usize = 64;

    fn pass(&mut self, before: &[u8], bytes: &[u8]) {
        if bytes.is_empty() || self.may_report {
            return;
        }
        if self.last.is_empty() {
            self.last.extend_from_slice(end(before));
        }
        self.last.extend_from_slice(bytes.get(..Self::OVERLAP).unwrap_or(bytes));
        self.may_report = may_report(&self.last) || may_report(bytes);
        self.last = end(if bytes.len() < Self::OVERLAP { &self.last } else { bytes }).to_vec();
    }
}

fn end(bytes: &[u8]) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(Beyond::OVERLAP)..).unwrap_or_default()
}

/// The text of a line: invalid UTF-8 is replaced, control characters and terminal escapes are left out. Tabs stay.
pub(crate) fn clean(line: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(line);
    if !text.chars().any(|character| character.is_control() && character != '\t') {
        return text;
    }
    let mut cleaned = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' if characters.peek() == Some(&'[') => {
                // ECMA-48, 5.4: parameters and intermediates, ended by a byte from 0x40.
                characters.next();
                while characters.peek().is_some_and(|next| ('\x20'..'\x40').contains(next)) {
                    characters.next();
                }
                characters.next_if(|next| ('\x40'..'\x7f').contains(next));
            }
            '\t' => cleaned.push('\t'),
            control if control.is_control() => {}
            shown => cleaned.push(shown),
        }
    }
    Cow::Owned(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_line_ends_go() {
        assert_eq!(clean(b"plain \xc3\xa9\ttext"), "plain \u{e9}\ttext");
        assert_eq!(clean(b"\x1b[1;31m[    1.0] oops\x1b[0m\r"), "[    1.0] oops");
        assert_eq!(clean(b"a\xff\0b\x1b"), "a\u{fffd}b");
        assert_eq!(clean(b"\x1b[12"), "");
    }

    #[test]
    fn long_lines_are_cut_and_the_next_is_found() {
        let mut bytes = vec![b'x'; 3 * MAX_LINE];
        bytes.extend_from_slice(b"\nnext\n\nlast");
        let mut lines = Lines::new(io::BufReader::with_capacity(1000, bytes.as_slice()));
        let mut next = || lines.next().unwrap().map(|line| (line.bytes.to_vec(), line.is_cut));
        assert_eq!(next(), Some((vec![b'x'; MAX_LINE], false)));
        assert_eq!(next(), Some((b"next".to_vec(), false)));
        assert_eq!(next(), Some((Vec::new(), false)));
        assert_eq!(next(), Some((b"last".to_vec(), false)));
        assert_eq!(next(), None);
    }

    /// Wherever the pieces in which it comes end.
    #[test]
    fn what_is_cut_off_matters_where_it_may_be_a_report() {
        let text = b"Kernel panic - not syncing: x";
        for at in [MAX_LINE - 6, MAX_LINE, MAX_LINE + 993, MAX_LINE + 1000, 2 * MAX_LINE + 3] {
            let line = [&vec![b'x'; at][..], text].concat();
            let mut lines = Lines::new(io::BufReader::with_capacity(1000, line.as_slice()));
            assert!(lines.next().unwrap().unwrap().is_cut, "{at}");
            assert_eq!(cut(&line), (&line[..MAX_LINE], true), "{at}");
        }
        let json = [&b"  {"[..], &vec![b'x'; 2 * MAX_LINE], text].concat();
        let mut lines = Lines::new(io::BufReader::with_capacity(1000, json.as_slice()));
        let line = lines.next().unwrap().unwrap();
        assert_eq!((line.bytes.len(), line.is_cut), (json.len(), false));
    }
}
