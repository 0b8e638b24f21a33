//! A pile as text: groups first, then what could not be judged.

use std::io::{self, Write};

use vmcore_report::{Painted, Sanitized, Theme};

use crate::pile::{Confidence, Group, Pile};
use crate::row::Row;
use crate::{Outcome, clock};

/// Names of a list that are shown before it is cut.
const SHOWN: usize = 4;

/// Writes one line for a dump that is done.
///
/// # Errors
///
/// As `out`.
pub fn write_row(outcome: &Outcome, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let row = &outcome.row;
    let confidence = Confidence::of(row);
    let what = match &row.failure {
        Some(failure) if !row.from_log => failure.message.as_str(),
        _ => row.summary.issue.as_deref().unwrap_or_default(),
    };
    let known = if outcome.fresh { "" } else { "  (known)" };
    let path = row.paths.first().map_or("", String::as_str);
    let word = Painted(style(confidence, theme), format!("{:<12}", confidence.name()));
    writeln!(out, "{word} {}  {}{known}", Sanitized::new(path), Sanitized::new(what))
}

/// Writes the report of a pile.
///
/// # Errors
///
/// As `out`.
pub fn write_text(pile: &Pile, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let failed = pile.rows.iter().filter(|row| Confidence::of(row) == Confidence::Failed).count();
    let duplicates = pile.duplicates().len();
    writeln!(
        out,
        "{}: {} of {}; {failed} not judged{}",
        count(pile.rows.len(), "dump or log", "dumps and logs"),
        count(pile.groups.len(), "group", "groups"),
        count(pile.crashes(), "crash", "crashes"),
        match duplicates {
            0 => String::new(),
            _ => format!("; {duplicates} of crashes that are there in another form"),
        }
    )?;
    for group in &pile.groups {
        write_group(pile, group, out, theme)?;
    }
    if !pile.unjudged.is_empty() {
        writeln!(out, "\n{}", Painted(theme.heading, "Could not be judged"))?;
        for group in &pile.unjudged {
            write_unjudged(pile, group, out)?;
        }
    }
    Ok(())
}

fn write_group(pile: &Pile, group: &Group, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let Some(row) = pile.exemplar(group) else { return Ok(()) };
    let confidence = Confidence::of(row);
    let name = row.summary.issue.as_deref().unwrap_or(&group.signature);
    let also = if group.duplicates.is_empty() {
        String::new()
    } else {
        format!(" in {} dumps", group.rows.len() + group.duplicates.len())
    };
    writeln!(
        out,
        "\n{} {}  {}{also}  [{}]",
        Painted(theme.heading, Sanitized::new(name)),
        Painted(style(confidence, theme), format!("({})", confidence.name())),
        count(group.rows.len(), "crash", "crashes"),
        group.id,
    )?;
    let mut line = |label: &str, text: &str| writeln!(out, "  {label:<10} {}", Sanitized::new(text));
    line("verdict", row.summary.text.as_deref().unwrap_or("nothing was found"))?;
    line("signature", &group.signature)?;
    if let Some((first, last)) = group.seen {
        line("seen", &format!("{} to {}", clock::utc(first), clock::utc(last)))?;
    }
    if !group.hosts.is_empty() {
        line("hosts", &list(group.hosts.iter().cloned()))?;
    }
    line("kernels", &list(group.kernels.iter().map(|(kernel, count)| format!("{kernel} ({count})"))))?;
    if let Some(issue) = &row.summary.known_issue {
        line("known as", &format!("{issue}; in these kernels: {}", pile.in_these_kernels(group)))?;
    }
    if let Some(remedy) = &row.summary.remedy {
        line("remedy", remedy)?;
    }
    if !group.next.is_empty() {
        line("next", &format!("{} in the pile: the same bug, no such crash yet", list(group.next.iter().cloned())))?;
    }
    if !group.like.is_empty() {
        line("similar", &list(group.like.iter().cloned()))?;
    }
    line("exemplar", row.paths.first().map_or("", String::as_str))
}

fn write_unjudged(pile: &Pile, group: &Group, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "  {}  {}",
        count(group.rows.len() + group.duplicates.len(), "dump", "dumps"),
        Sanitized::new(&group.signature)
    )?;
    let members = group.rows.iter().chain(&group.duplicates).filter_map(|&at| pile.rows.get(at));
    for row in members.clone().take(SHOWN) {
        writeln!(out, "    {}  {}", Sanitized::new(path(row)), Sanitized::new(&why(row)))?;
    }
    if let Some(more @ 1..) = members.count().checked_sub(SHOWN) {
        writeln!(out, "    and {more} more")?;
    }
    Ok(())
}

fn why(row: &Row) -> String {
    let said = row.failure.as_ref().map(ToString::to_string).or_else(|| row.summary.text.clone());
    said.unwrap_or_else(|| "what is needed is not in the dump".to_owned())
}

fn path(row: &Row) -> &str {
    row.paths.first().map_or("", String::as_str)
}

fn style(confidence: Confidence, theme: &Theme) -> anstyle::Style {
    match confidence {
        Confidence::Confirmed | Confidence::Probable => theme.bad,
        Confidence::None => theme.good,
        Confidence::Possible | Confidence::Insufficient | Confidence::Failed => theme.doubtful,
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn list(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{shown} and {more} more"),
        _ => shown,
    }
}
