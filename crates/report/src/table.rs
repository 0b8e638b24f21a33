//! Columns under headings, as wide as what is in them.

use std::io::{self, Write};

use anstyle::Style;

use crate::{Painted, Sanitized, Theme};

/// No column is padded to more than this: what is longer stands out.
const MAX_WIDTH: usize = 48;
/// How much further in a row goes on that is wider than the screen.
const CONTINUATION: usize = 4;

/// A table. Text of its cells may come from a dump.
pub(crate) struct Table<const N: usize> {
    /// A heading that begins with `>` is that of a column of numbers.
    heads: [&'static str; N],
    rows: Vec<(Style, [String; N])>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(crate) const fn new(heads: [&'static str; N]) -> Self {
        Self { heads, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, style: Style, cells: [String; N]) {
        self.rows.push((style, cells));
    }

    /// Writes it, each line behind `indent` columns.
    pub(crate) fn write(&self, indent: usize, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let shown = |cells: &[String; N]| cells.each_ref().map(|cell| Sanitized::new(cell).to_string());
        let rows: Vec<_> = self.rows.iter().map(|(style, cells)| (style, shown(cells))).collect();
        let mut widths = self.heads.map(|head| head.trim_start_matches('>').chars().count());
        for (_, cells) in &rows {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.chars().count()).min(MAX_WIDTH);
            }
        }
        let begins_line = line_starts(widths, theme.table_width.saturating_sub(indent));
        let line = |cells: [&str; N]| {
            let mut line = " ".repeat(indent);
            for (((cell, width), head), begins) in cells.iter().zip(widths).zip(self.heads).zip(begins_line) {
                if begins {
                    line.truncate(line.trim_end().len());
                    line.push('\n');
                    line.push_str(&" ".repeat(indent + CONTINUATION));
                }
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                if head.starts_with('>') {
                    line.push_str(&pad);
                }
                line.push_str(cell);
                if !head.starts_with('>') {
                    line.push_str(&pad);
                }
                line.push_str("  ");
            }
            line.trim_end().to_owned()
        };
        writeln!(out, "{}", Painted(theme.heading, line(self.heads.map(|head| head.trim_start_matches('>')))))?;
        rows.iter().try_for_each(|(style, cells)| {
            writeln!(out, "{}", Painted(**style, line(cells.each_ref().map(String::as_str))))
        })
    }
}

/// Which columns begin a line of their own, so that none is wider than `space` where that can be.
fn line_starts<const N: usize>(widths: [usize; N], space: usize) -> [bool; N] {
    let mut at = 0usize;
    let mut first = true;
    widths.map(|width| {
        let begins = !first && at.saturating_add(width) > space;
        if begins {
            at = CONTINUATION;
        }
        at = at.saturating_add(width).saturating_add(2);
        first = false;
        begins
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_wider_than_the_screen_goes_on_below() {
        let mut table = Table::new(["NAME", ">COUNT", "WHY"]);
        table.row(Style::new(), ["n".repeat(20), "7".to_owned(), "w".repeat(30)]);
        let text = |width| {
            let mut out = Vec::new();
            table.write(2, &mut out, &Theme::plain().tables_within(width)).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(usize::MAX).lines().count(), 2);
        assert_eq!(text(61).lines().count(), 2);
        let narrow = text(60);
        let lines: Vec<_> = narrow.lines().collect();
        let row = (format!("  {}      7", "n".repeat(20)), format!("      {}", "w".repeat(30)));
        let head = format!("  NAME{}COUNT", " ".repeat(18));
        assert_eq!(lines, [head.as_str(), "      WHY", row.0.as_str(), row.1.as_str()]);
        // Whatever the screen, a column is never cut.
        assert!(text(1).contains(&"w".repeat(30)));
    }

    #[test]
    fn columns_are_as_wide_as_their_cells_and_text_is_made_safe() {
        let mut table = Table::new(["NAME", ">COUNT", "WHY"]);
        table.row(Style::new(), ["a\x1b[2J".to_owned(), "7".to_owned(), String::new()]);
        table.row(Style::new(), ["longer name".to_owned(), "1234567".to_owned(), "x".repeat(60)]);
        let mut out = Vec::new();
        table.write(2, &mut out, &Theme::plain()).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "  NAME           COUNT  WHY");
        assert!(lines[1].ends_with("        7") && !lines[1].contains('\x1b'), "{text}");
        assert_eq!(lines[2], format!("  longer name  1234567  {}", "x".repeat(60)));
    }
}
