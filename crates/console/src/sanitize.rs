//! Untrusted text made safe to show: the one place where control characters and their kin are escaped.
//!
//! A process chooses its own name, and anybody may write to the kernel's log. Without care a name could move the
//! cursor, hide a line, or turn the reading direction around (`U+202E`), and so forge what a report says.

use std::fmt::{self, Write};

/// Shows untrusted text with every character escaped that a terminal would act on instead of showing: `\x1b`,
/// `\u{202e}`. Everything else, backslashes too, stays as it is. Honours width and alignment.
#[derive(Clone, Copy, Debug)]
pub struct Sanitized<'a> {
    text: &'a str,
    keep_tabs: bool,
}

impl<'a> Sanitized<'a> {
    /// For names and other short text: tabs are escaped, too.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, keep_tabs: false }
    }

    /// For lines of text, in which tabs are usual.
    #[must_use]
    pub const fn line(text: &'a str) -> Self {
        Self { text, keep_tabs: true }
    }

    fn is_clean(self) -> bool {
        first_unsafe(self.text).is_none() || self.text.chars().all(|character| self.is_shown(character))
    }

    fn is_shown(self, character: char) -> bool {
        !is_unsafe(character) || (self.keep_tabs && character == '\t')
    }

    fn write_to(self, out: &mut impl Write) -> fmt::Result {
        for character in self.text.chars() {
            match character {
                shown if self.is_shown(shown) => out.write_char(shown)?,
                '\n' => out.write_str("\\n")?,
                '\r' => out.write_str("\\r")?,
                '\t' => out.write_str("\\t")?,
                low if u32::from(low) < 0x100 => write!(out, "\\x{:02x}", u32::from(low))?,
                high => write!(out, "\\u{{{:x}}}", u32::from(high))?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Sanitized<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.pad(self.text);
        }
        if f.width().is_none() && f.precision().is_none() {
            return self.write_to(f);
        }
        let mut escaped = String::with_capacity(self.text.len() * 2);
        self.write_to(&mut escaped)?;
        f.pad(&escaped)
    }
}

/// The first character of `text` that [`Sanitized::new`] escapes, and at which byte it is.
#[must_use]
pub fn first_unsafe(text: &str) -> Option<(usize, char)> {
    // Nearly all text is this.
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return None;
    }
    text.char_indices().find(|(_, character)| is_unsafe(*character))
}

/// Whether a terminal, editor or browser acts on this character or hides it: control characters (C0, DEL, C1) and the
/// format characters of Unicode (general category Cf: bidirectional overrides, zero-width and tag characters), with the
/// line and paragraph separators.
const fn is_unsafe(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f'
        | '\x7f'..='\u{9f}'
        | '\u{ad}'
        | '\u{600}'..='\u{605}'
        | '\u{61c}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{890}'..='\u{891}'
        | '\u{8e2}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}'
        | '\u{110cd}'
        | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_untouched() {
        assert_eq!(Sanitized::new("kworker/0:1-events_\u{e9}\\x").to_string(), "kworker/0:1-events_\u{e9}\\x");
    }

    #[test]
    fn terminal_escapes_are_shown() {
        assert_eq!(Sanitized::new("\x1b[2Jok\x07\r\n\t").to_string(), "\\x1b[2Jok\\x07\\r\\n\\t");
        // C1 controls: U+009B alone starts an escape sequence on some terminals.
        assert_eq!(Sanitized::new("\u{9b}31m\u{7f}").to_string(), "\\x9b31m\\x7f");
    }

    #[test]
    fn the_reading_direction_cannot_be_turned() {
        assert_eq!(Sanitized::new("a\u{202e}b\u{2066}c\u{200b}").to_string(), "a\\u{202e}b\\u{2066}c\\u{200b}");
        assert_eq!(Sanitized::new("\u{e0041}\u{feff}").to_string(), "\\u{e0041}\\u{feff}");
    }

    #[test]
    fn lines_keep_their_tabs() {
        assert_eq!(Sanitized::line("a\tb\x1b").to_string(), "a\tb\\x1b");
    }

    #[test]
    fn width_counts_what_is_shown() {
        assert_eq!(format!("{:8}|", Sanitized::new("a\x1b")), "a\\x1b   |");
        assert_eq!(format!("{:>4}|", Sanitized::new("ab")), "  ab|");
    }
}
