//! One line of a log as text: without line ends, terminal escapes and what is no text, and not longer than a bound.
//!
//! Serial captures have `\r\n`, colours (`ESC [ 31 m`) and whatever a noisy line adds; nothing of it is the kernel's.

use std::borrow::Cow;
use std::io::{self, BufRead};

/// More bytes of a line than this are not looked at. The kernel's own limit for a record is 1 KiB of text
/// (`CONSOLE_LOG_MAX`, before 5.10 `LOG_LINE_MAX`); lists of modules are printed in one go and may be longer.
pub(crate) const MAX_LINE: usize = 8 << 10;

/// Lines of a reader, in bounded memory.
pub(crate) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    /// How many lines were longer than [`MAX_LINE`].
    pub(crate) cut: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), cut: 0 }
    }

    /// The next line, without its end, cut to [`MAX_LINE`] bytes; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.buffer.clear();
        let (mut any, mut too_long) = (false, false);
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
            let room = MAX_LINE.saturating_sub(self.buffer.len());
            too_long |= length > room;
            self.buffer.extend_from_slice(available.get(..length.min(room)).unwrap_or_default());
            self.reader.consume(length + usize::from(end.is_some()));
            if end.is_some() {
                break;
            }
        }
        self.cut += u64::from(too_long);
        Ok(any.then_some(self.buffer.as_slice()))
    }
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
        assert_eq!(lines.next().unwrap().unwrap().len(), MAX_LINE);
        assert_eq!(lines.next().unwrap(), Some(b"next".as_slice()));
        assert_eq!(lines.next().unwrap(), Some(b"".as_slice()));
        assert_eq!(lines.next().unwrap(), Some(b"last".as_slice()));
        assert_eq!(lines.next().unwrap(), None);
        assert_eq!(lines.cut, 1);
    }
}
