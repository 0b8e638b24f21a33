//! Colours: few, and only where the caller asked for them; and how wide the screen is.

use std::fmt;

use anstyle::{AnsiColor, Style};

use crate::wrap::SCREEN;

/// The style of each role that text can have. Without colour every style is empty and writes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// Headings.
    pub heading: Style,
    /// What is wrong.
    pub bad: Style,
    /// What is doubtful.
    pub doubtful: Style,
    /// What is fine.
    pub good: Style,
    /// What is there to be looked up, not read.
    pub dim: Style,
    /// Columns of the screen.
    pub width: usize,
    /// Columns of it that tables have: more than any needs where they are read by a program, a line for each row.
    pub table_width: usize,
}

impl Default for Theme {
    fn default() -> Self {
        let none = Style::new();
        Self { heading: none, bad: none, doubtful: none, good: none, dim: none, width: SCREEN, table_width: usize::MAX }
    }
}

impl Theme {
    /// No colour at all.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// The same for a screen of `width` columns.
    #[must_use]
    pub const fn within(self, width: usize) -> Self {
        Self { width, ..self }
    }

    /// The same with tables of at most `width` columns, as far as their cells allow it.
    #[must_use]
    pub const fn tables_within(self, width: usize) -> Self {
        Self { table_width: width, ..self }
    }

    /// The sixteen colours that every terminal has and its user can choose.
    #[must_use]
    pub fn color() -> Self {
        let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
        Self {
            heading: Style::new().bold(),
            bad: color(AnsiColor::Red).bold(),
            doubtful: color(AnsiColor::Yellow),
            good: color(AnsiColor::Green),
            dim: Style::new().dimmed(),
            width: SCREEN,
            table_width: usize::MAX,
        }
    }
}

/// A value in a style.
pub struct Painted<T>(pub Style, pub T);

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(style, value) = self;
        write!(f, "{style}")?;
        value.fmt(f)?;
        write!(f, "{style:#}")
    }
}
