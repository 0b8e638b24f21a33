//! Text broken into lines between words.

use std::fmt;

/// Columns of the screen that reports are made for where nobody says how wide it is.
pub(crate) const SCREEN: usize = 100;

/// A text in lines of at most as many columns as the screen has where its words allow it, each indented and ended with a newline.
/// Counts characters: the few that take two columns make a line longer, not wrong.
pub(crate) struct Lines<'a> {
    indent: usize,
    text: &'a str,
    hanging: bool,
    width: usize,
}

impl<'a> Lines<'a> {
    /// Every line indented by `indent` columns.
    pub(crate) const fn new(indent: usize, text: &'a str) -> Self {
        Self { indent, text, hanging: false, width: SCREEN }
    }

    /// Every line but the first indented: the caller has written `indent` columns before it.
    pub(crate) const fn hanging(indent: usize, text: &'a str) -> Self {
        Self { indent, text, hanging: true, width: SCREEN }
    }

    /// The same for a screen of `width` columns.
    pub(crate) const fn within(self, width: usize) -> Self {
        Self { width, ..self }
    }
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { indent, text, hanging, width: screen } = *self;
        if !hanging {
            write!(f, "{:indent$}", "")?;
        }
        let mut column = indent;
        for word in text.split_ascii_whitespace() {
            let width = word.chars().count();
            if column == indent {
                column += width;
            } else if column + 1 + width > screen {
                write!(f, "\n{:indent$}", "")?;
                column = indent + width;
            } else {
                f.write_str(" ")?;
                column += 1 + width;
            }
            f.write_str(word)?;
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        let text = "word ".repeat(40);
        let lines = Lines::new(4, &text).to_string();
        assert!(lines.lines().all(|line| line.len() <= SCREEN && line.starts_with("    word")), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 40);
    }

    #[test]
    fn a_screen_may_be_narrow_or_wide() {
        let text = "word ".repeat(100);
        for width in [60, 80, 200] {
            let lines = Lines::new(2, &text).within(width).to_string();
            assert!(
                lines.lines().all(|line| line.len() <= width && line.len() + 6 > width || line.len() < width),
                "{lines}"
            );
            assert!(lines.lines().next().unwrap().len() > width - 5);
        }
    }

    #[test]
    fn later_lines_are_flush_with_the_first() {
        let text = format!("{0} {0}", "x".repeat(60));
        let expected = format!("{0}\n     {0}\n", "x".repeat(60));
        assert_eq!(Lines::hanging(5, &text).to_string(), expected);
    }

    #[test]
    fn a_long_word_stays_whole() {
        let word = "x".repeat(150);
        assert_eq!(Lines::new(2, &word).to_string(), format!("  {word}\n"));
    }
}
