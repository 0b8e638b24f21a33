//! The verdict for people. The answer comes first and fits one screen; its proof, what speaks against it, what is not
//! known and the stacks follow.

use std::io::{self, Write};

use anstyle::Style;

use super::circumstances;
use super::drawing::draw;
use super::phrases::{kernel_line, panic_line};
use super::proof::write_proof;
use super::{Analyze, Spinner, Splitter};
use crate::bt::write_stacks;
use crate::duration::or_unknown;
use crate::verdict::{Quoted, heading, row, write_answer, write_known_issue, write_remedies, write_unknown_count};
use crate::wrap::Lines;
use crate::{Painted, Report, Sanitized, Theme};

/// More CPUs or tasks than this are only counted in the answer; the proof has all.
const MAX_ROWS: usize = 5;

impl Report for Analyze<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        write_verdict(self, out, theme)?;
        write_who(self, out, theme)?;
        write_why(self, out, theme)?;
        write_remedies(&self.remedy, out, theme)?;
        if !self.has_details() {
            return Ok(());
        }
        writeln!(out, "\n{}", Painted(theme.dim, "-".repeat(theme.width)))?;
        write_proof(self, out, theme)?;
        if self.stacks.is_empty() {
            return Ok(());
        }
        heading("Stacks", out, theme)?;
        writeln!(out)?;
        write_stacks(&self.stacks, out, theme)
    }

    fn page(&self) -> Option<String> {
        Some(super::page::page(self))
    }
}

impl Analyze<'_> {
    /// Whether there is anything below the answer.
    fn has_details(&self) -> bool {
        let Self { spinners, splitters, edges, findings, refutations, unknown, stacks, .. } = self;
        let no_proof = spinners.is_empty() && splitters.is_empty() && edges.is_empty() && findings.is_empty();
        !(no_proof && refutations.is_empty() && unknown.is_empty() && stacks.is_empty())
    }
}

fn write_verdict(report: &Analyze<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    write_answer(&report.verdict, out, theme)?;
    writeln!(out)?;
    row("kernel", &kernel_line(report), out, theme)?;
    if let Some(message) = &report.panic.message {
        row("panic", &panic_line(report, message), out, theme)?;
    }
    for (label, text) in circumstances::rows(report) {
        row(label, &text, out, theme)?;
    }
    write_unknown_count(report.unknown.len(), out, theme)
}

fn write_who(report: &Analyze<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    if report.spinners.is_empty() && report.splitters.is_empty() {
        return Ok(());
    }
    heading("Who", out, theme)?;
    let width = name_width(report);
    rows(&report.spinners, |spinner| write_spinner(spinner, width, out, (theme, theme.bad)))?;
    more(report.spinners.len(), "CPUs spin", out)?;
    rows(&report.splitters, |splitter| write_splitter(splitter, width, out, (theme, theme.doubtful)))?;
    more(report.splitters.len(), "tasks starve", out)
}

/// The width of the longest name that is shown.
fn name_width(report: &Analyze<'_>) -> usize {
    let spinners = report.spinners.iter().take(MAX_ROWS).map(|spinner| spinner.comm);
    let splitters = report.splitters.iter().take(MAX_ROWS).map(|splitter| splitter.comm);
    spinners.chain(splitters).map(|comm| Quoted(comm).to_string().chars().count()).max().unwrap_or_default()
}

fn rows<T>(items: &[T], write: impl FnMut(&T) -> io::Result<()>) -> io::Result<()> {
    items.iter().take(MAX_ROWS).try_for_each(write)
}

fn more(count: usize, what: &str, out: &mut dyn Write) -> io::Result<()> {
    match count.checked_sub(MAX_ROWS) {
        Some(more @ 1..) => writeln!(out, "  ... and {more} more {what}: see the proof"),
        _ => Ok(()),
    }
}

/// `spins   CPU 0    pid 146      "fstat/0"    9.943 s  at 0x7f3b64603140 (__do_sys_newfstat)`
fn write_spinner(
    spinner: &Spinner<'_>,
    width: usize,
    out: &mut dyn Write,
    (theme, style): (&Theme, Style),
) -> io::Result<()> {
    let Spinner { cpu, pid, comm, .. } = spinner;
    let address = spinner.address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
    let function = spinner.syscall_function.or(spinner.fault_function);
    let function = function.map(|function| format!(" ({})", Sanitized::new(function))).unwrap_or_default();
    let who = format!(" CPU {cpu:<4} pid {pid:<8} {:<width$} {:>9}", Quoted(comm), or_unknown(spinner.kept_ns));
    write!(out, "  {}", Painted(style, "spins  "))?;
    write_place(&who, &format!("at {address}{function}"), out, theme)
}

/// `starves CPU 3    pid 143      "splitter"   9.943 s  in split_huge_page_to_list (state R)`
fn write_splitter(
    splitter: &Splitter<'_>,
    width: usize,
    out: &mut dyn Write,
    (theme, style): (&Theme, Style),
) -> io::Result<()> {
    let Splitter { cpu, pid, comm, state, split_function, .. } = splitter;
    let who = format!(" CPU {cpu:<4} pid {pid:<8} {:<width$} {:>9}", Quoted(comm), or_unknown(splitter.waiting_ns));
    write!(out, "  {}", Painted(style, "starves"))?;
    write_place(&who, &format!("in {} (state {state})", Sanitized::new(split_function)), out, theme)
}

/// Where somebody is, behind who it is, or below where the line would be too long.
fn write_place(who: &str, place: &str, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    /// Columns of `  spins  `, and of what stands below it.
    const INDENT: usize = 10;
    let length = INDENT + who.chars().count() + 1 + place.chars().count();
    if length <= theme.width {
        return writeln!(out, "{who}  {place}");
    }
    writeln!(out, "{who}")?;
    write!(out, "{}", Lines::new(INDENT, place).within(theme.width))
}

fn write_why(report: &Analyze<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    draw(report, out, theme)?;
    report.known_issue.as_ref().map_or(Ok(()), |known| write_known_issue(known, out, theme))
}
