//! Pieces of text that answers are made of.

use std::fmt;
use std::io::{self, Write};

use crate::wrap::Lines;
use crate::{Painted, Sanitized, Theme};

/// A line of its own with an empty one before it.
pub(crate) fn heading(text: &str, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    writeln!(out, "\n{}", Painted(theme.heading, text))
}

/// Untrusted text, wrapped and indented.
pub(crate) fn paragraph(indent: usize, text: &str, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    write!(out, "{}", Lines::new(indent, &Sanitized::new(text).to_string()).within(theme.width))
}

/// A label and its text, aligned.
pub(crate) fn row(label: &str, text: &str, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    write!(out, "  {} ", Painted(theme.dim, format_args!("{label:<9}")))?;
    write!(out, "{}", Lines::hanging(12, &Sanitized::new(text).to_string()).within(theme.width))
}

/// A name in quotes, padded as a whole.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("\"{}\"", Sanitized::new(self.0)))
    }
}
