//! The answer for people, in pieces.

use std::io::{self, Write};

use super::{KnownIssue, Remedy, Verdict, heading, paragraph, row};
use crate::wrap::Lines;
use crate::{Painted, Sanitized, Theme};

/// How much could not be determined: a reader of the first screen must know.
pub(crate) fn write_unknown_count(count: usize, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    match count {
        0 => Ok(()),
        1 => row("unknown", "one thing could not be determined: see below", out, theme),
        count => row("unknown", &format!("{count} things could not be determined: see below"), out, theme),
    }
}

/// The verdict by name, how sure it is, and in one sentence.
pub(crate) fn write_answer(verdict: &Verdict<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let (answer, rating) = verdict.answer();
    writeln!(out, "{} {}", Painted(theme.heading, "Verdict:"), Painted(rating.style(theme), answer))?;
    paragraph(2, verdict.summary, out, theme)
}

pub(crate) fn write_known_issue(known: &KnownIssue<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    heading("Known issue", out, theme)?;
    row("id", known.id, out, theme)?;
    row("here", &format!("{}: {}", known.in_this_kernel, known.why), out, theme)?;
    row("affects", known.affected, out, theme)?;
    row("fixed by", known.fixed_by, out, theme)
}

pub(crate) fn write_remedies(remedies: &[Remedy<'_>], out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    if remedies.is_empty() {
        return Ok(());
    }
    heading("What to do", out, theme)?;
    for (index, Remedy { action, command, why }) in remedies.iter().enumerate() {
        write!(out, "  {}. ", index + 1)?;
        write!(out, "{}", Lines::hanging(5, &Sanitized::new(action).to_string()).within(theme.width))?;
        paragraph(5, why, out, theme)?;
        if let Some(command) = command {
            writeln!(out, "     $ {}", Painted(theme.heading, Sanitized::new(command)))?;
        }
    }
    Ok(())
}
