//! A pile as text: groups first, then what is inconclusive, then what could not be judged.

use std::io::{self, Write};

use vmcore_report::{Painted, Sanitized, Theme};

use crate::pile::{Group, LeftOut, Pile, why};
use crate::row::Row;
use crate::{Confidence, Outcome, clock};

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
    writeln!(
        out,
        "{} of {}: {}; {}{}",
        count(pile.rows, "dump or log", "dumps and logs"),
        count(pile.crashes, "crash", "crashes"),
        count(pile.all_groups(), "group", "groups"),
        pile.without_verdict(),
        match pile.duplicates {
            0 => String::new(),
            duplicates => format!("; {duplicates} of crashes that are there in another form"),
        }
    )?;
    for group in &pile.groups {
        write_group(group, out, theme)?;
    }
    for (heading, groups) in pile.unjudged_by_kind().iter().filter(|(_, groups)| !groups.is_empty()) {
        writeln!(out, "\n{}", Painted(theme.heading, heading))?;
        for group in groups {
            write_unjudged(group, out)?;
        }
    }
    match left_out(pile) {
        Some(left_out) => writeln!(out, "\n{left_out}"),
        None => Ok(()),
    }
}

/// That there are more groups than are shown.
pub(super) fn left_out(pile: &Pile) -> Option<String> {
    let LeftOut { groups, unjudged, crashes } = pile.left_out;
    (groups + unjudged > 0).then(|| {
        format!(
            "Not shown: {} with a verdict and {} without, of {} in all: the smallest, those without a problem \
             before others. `vmcore-thp triage export` has all rows.",
            count(groups, "group", "groups"),
            count(unjudged, "group", "groups"),
            count(crashes, "crash", "crashes"),
        )
    })
}

fn write_group(group: &Group, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let Some(row) = group.exemplar() else { return Ok(()) };
    let confidence = Confidence::of(row);
    let name = row.summary.issue.as_deref().unwrap_or(&group.signature);
    let also = if group.duplicates == 0 { String::new() } else { format!(" in {} dumps", group.rows()) };
    writeln!(
        out,
        "\n{} {}  {}{also}  [{}]",
        Painted(theme.heading, Sanitized::new(name)),
        Painted(style(confidence, theme), format!("({})", confidence.name())),
        count(group.crashes, "crash", "crashes"),
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
        line("known as", &format!("{issue}; in these kernels: {}", group.in_these_kernels()))?;
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

fn write_unjudged(group: &Group, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {}  {}", count(group.rows(), "dump", "dumps"), Sanitized::new(&group.signature))?;
    for row in group.listed().take(SHOWN) {
        let why = why(row).unwrap_or_else(|| "what is needed is not in the dump".to_owned());
        writeln!(out, "    {}  {}", Sanitized::new(path(row)), Sanitized::new(&why))?;
    }
    if let Some(more @ 1..) = group.rows().checked_sub(SHOWN) {
        writeln!(out, "    and {more} more")?;
    }
    Ok(())
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
