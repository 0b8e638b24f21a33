//! Lines that are wider than the screen go on below: at a gap between columns where one is near, else between words.

use std::io::{self, Write};

/// How much further in a line goes on.
const CONTINUATION: usize = 4;

/// A writer that folds the lines that are written to it. Nothing is cut off: what has no gap stays as wide as it is.
pub struct Folded<W> {
    out: W,
    width: usize,
    line: Vec<u8>,
}

impl<W: Write> Folded<W> {
    /// Folds lines of more than `width` columns on their way to `out`.
    pub const fn new(out: W, width: usize) -> Self {
        Self { out, width, line: Vec::new() }
    }

    /// Writes what has no end of line yet.
    ///
    /// # Errors
    ///
    /// As the writer behind it.
    pub fn finish(mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.line);
        self.write_line(&rest)?;
        self.out.flush()
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let indent = line.iter().take_while(|byte| **byte == b' ').count().min(self.width / 3);
        let (mut rest, mut room) = (line, self.width);
        while let Some((end, next)) = fold_at(rest, room) {
            let (head, tail) = (rest.get(..end).unwrap_or(rest), rest.get(next..).unwrap_or_default());
            self.out.write_all(head)?;
            write!(self.out, "\n{:width$}", "", width = indent + CONTINUATION)?;
            (rest, room) = (tail, self.width.saturating_sub(indent + CONTINUATION));
        }
        self.out.write_all(rest)
    }
}

impl<W: Write> Write for Folded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.write_line(&line)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Where the first part of a line ends, and where the rest begins; `None` where it is not wider than `room`, or has no gap.
fn fold_at(line: &[u8], room: usize) -> Option<(usize, usize)> {
    let mut column = 0;
    let mut in_escape = false;
    let mut begun = false;
    let mut gap_from = None;
    // The last gap of two spaces or more, and the last of one; in bytes.
    let (mut wide, mut narrow) = (None, None);
    for (at, byte) in line.iter().enumerate() {
        // Colours have no width.
        match (in_escape, byte) {
            (true, _) => {
                in_escape = !byte.is_ascii_alphabetic();
                continue;
            }
            (false, 0x1b) => {
                in_escape = true;
                continue;
            }
            _ => {}
        }
        if *byte == b'\n' {
            break;
        }
        let is_space = *byte == b' ';
        if is_space && begun {
            gap_from.get_or_insert((at, column));
        } else if !is_space {
            if let Some((from, before)) = gap_from.take() {
                let place = (from, at, before);
                if column - before > 1 && before * 2 >= room { wide = Some(place) } else { narrow = Some(place) }
            }
            begun = true;
        }
        // The bytes behind the first of a character are part of it.
        column += usize::from(byte & 0xc0 != 0x80);
        if column > room && !is_space && wide.or(narrow).is_some() {
            let (end, next, _) = wide.or(narrow)?;
            return Some((end, next));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str, width: usize) -> String {
        let mut out = Vec::new();
        let mut folded = Folded::new(&mut out, width);
        folded.write_all(text.as_bytes()).unwrap();
        folded.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_go_on_at_a_gap_between_columns_or_between_words() {
        assert_eq!(folded("short\n", 20), "short\n");
        assert_eq!(folded("PID: 1  TASK: two words\n", 20), "PID: 1  TASK: two\n    words\n");
        assert_eq!(folded("first column  second one\n", 20), "first column\n    second one\n");
        assert_eq!(folded("  in by two and so on\n", 16), "  in by two and\n      so on\n");
        assert_eq!(folded("no end of line here", 10), "no end of\n    line\n    here");
    }

    #[test]
    fn nothing_is_cut_off() {
        let long = "x".repeat(50);
        assert_eq!(folded(&format!("{long}\n"), 20), format!("{long}\n"));
        assert_eq!(folded(&format!("a {long} b\n"), 20), format!("a\n    {long}\n    b\n"));
    }

    #[test]
    fn colours_have_no_width_and_characters_one() {
        assert_eq!(folded("\x1b[1mfour five\x1b[0m\n", 9), "\x1b[1mfour five\x1b[0m\n");
        assert_eq!(folded("äöüß äöü\n", 8), "äöüß äöü\n");
    }

    #[test]
    fn parts_of_a_line_are_one_line() {
        let mut out = Vec::new();
        let mut folded = Folded::new(&mut out, 8);
        for part in ["one ", "two ", "three\nfo", "ur\n"] {
            folded.write_all(part.as_bytes()).unwrap();
        }
        folded.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "one two\n    three\nfour\n");
    }
}
