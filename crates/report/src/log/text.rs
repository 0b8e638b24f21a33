//! A log for people: the answer and what to do on the first screen, then the trace of each CPU.

use std::io::{self, Write};

use super::{Copy, CpuReport, Event, Frame, Lockup, Log, Registers, TimelineEntry};
use crate::verdict::{Quoted, heading, row, write_answer, write_known_issue, write_remedies, write_unknown_count};
use crate::{Painted, Report, Sanitized, Theme};

/// More CPUs than this are only counted in the answer.
const MAX_ROWS: usize = 8;

/// Below this, a report may have lines of other CPUs.
const DOUBTFUL: f32 = 0.8;

/// General registers in the kernel's own order, four to a line.
const SHOWN: [&str; 16] =
    ["rsp", "eflags", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r12", "r13", "r14", "cr2"];

impl Report for Log<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        write_answer(&self.verdict, out, theme)?;
        write_machine(self, out, theme)?;
        write_who(self, out, theme)?;
        write_timeline(&self.timeline, out, theme)?;
        if let Some(known) = &self.known_issue {
            write_known_issue(known, out, theme)?;
        }
        write_remedies(&self.remedy, out, theme)?;
        let reports: Vec<_> = self.cpus.iter().filter(|report| report.has_state()).collect();
        if reports.is_empty() && self.unknown.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{}", Painted(theme.dim, "-".repeat(theme.width)))?;
        reports.iter().try_for_each(|report| write_report(report, out, theme))?;
        if self.unknown.is_empty() {
            return Ok(());
        }
        heading("Not known", out, theme)?;
        self.unknown.iter().try_for_each(|what| {
            write!(out, "  - ")?;
            write!(out, "{}", crate::wrap::Lines::hanging(4, &Sanitized::new(what).to_string()).within(theme.width))
        })
    }
    fn page(&self) -> Option<String> {
        Some(super::page::page(self))
    }
}

impl CpuReport<'_> {
    /// Whether it shows where the CPU was.
    pub(super) fn has_state(&self) -> bool {
        !self.frames.is_empty() || self.registers.is_some() || !self.interrupted.is_empty()
    }
}

fn write_machine(log: &Log<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    writeln!(out)?;
    let release = log.kernel.release.unwrap_or("(the log does not name its release)");
    let taint = match log.kernel.taint {
        None => String::new(),
        Some("") => ", not tainted".to_owned(),
        Some(flags) => format!(", tainted {flags}"),
    };
    row("kernel", &format!("{release}{taint}"), out, theme)?;
    if let Some(hardware) = log.kernel.hardware {
        row("hardware", hardware, out, theme)?;
    }
    if let Some(modules) = log.kernel.modules {
        row("modules", &modules_in_short(modules), out, theme)?;
    }
    if let Some(panic) = &log.panic {
        let who = match (panic.cpu, panic.pid) {
            (Some(cpu), Some(pid)) => format!("CPU {cpu}, pid {pid}: "),
            (Some(cpu), None) => format!("CPU {cpu}: "),
            _ => String::new(),
        };
        row("panic", &format!("{who}{}", panic.message), out, theme)?;
    }
    row("log", &log.how_much(), out, theme)?;
    write_unknown_count(log.unknown.len(), out, theme)
}

/// How many modules there are, and which taint the kernel.
fn modules_in_short(modules: &[String]) -> String {
    let tainting: Vec<&str> = modules.iter().map(String::as_str).filter(|name| name.ends_with(')')).collect();
    let shown = tainting.iter().take(MAX_ROWS).copied().collect::<Vec<_>>().join(" ");
    let more = tainting.len().saturating_sub(MAX_ROWS);
    match (tainting.len(), more) {
        (0, _) => format!("{} listed, none that taints the kernel", modules.len()),
        (_, 0) => format!("{} listed, tainting the kernel: {shown}", modules.len()),
        (_, more) => format!("{} listed, tainting the kernel: {shown} and {more} more", modules.len()),
    }
}

fn write_who(log: &Log<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let hard = log.hard_lockups();
    if hard.is_empty() && log.lockups.is_empty() && log.copies.is_empty() {
        return Ok(());
    }
    heading("Who", out, theme)?;
    let comms = log.lockups.iter().map(|lockup| lockup.comm).chain(log.copies.iter().filter_map(|copy| copy.comm));
    let comms = comms.chain(hard.iter().filter_map(|event| event.comm));
    let width = comms.map(|comm| Quoted(comm).to_string().chars().count()).max().unwrap_or_default().max(1);
    hard.iter().take(MAX_ROWS).try_for_each(|event| write_hard_lockup(event, width, out, theme))?;
    more(hard.len(), "CPUs take no interrupts", out)?;
    log.lockups.iter().take(MAX_ROWS).try_for_each(|lockup| write_lockup(lockup, width, out, theme))?;
    more(log.lockups.len(), "CPUs are locked up", out)?;
    log.copies.iter().take(MAX_ROWS).try_for_each(|copy| write_copy(copy, width, out, theme))?;
    more(log.copies.len(), "CPUs fault", out)
}

/// What happened, in order. A single report is already the answer.
fn write_timeline(timeline: &[TimelineEntry<'_>], out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    if timeline.len() < 2 {
        return Ok(());
    }
    heading("Time line", out, theme)?;
    // Of many the first, the last, and the one that counts.
    let first_of_last = timeline.len().saturating_sub(MAX_ROWS);
    let mut left_out = 0usize;
    for (index, entry) in timeline.iter().enumerate() {
        if index >= MAX_ROWS && index < first_of_last && !entry.is_verdict {
            left_out += 1;
            continue;
        }
        if left_out > 0 {
            writeln!(out, "  ... {left_out} more reports")?;
            left_out = 0;
        }
        write_entry(entry, out, theme)?;
    }
    Ok(())
}

/// `     812.100  soft-lockup    CPU 3 stuck for 22 s in pid 412 "worker", 3 times`
fn write_entry(entry: &TimelineEntry<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let time = match entry.timestamp_ns {
        Some(ns) => format!("{:>7}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1000),
        None => format!("{:>11}", format!("line {}", entry.line)),
    };
    let style = if entry.is_verdict { theme.bad } else { anstyle::Style::new() };
    let times = if entry.count > 1 { format!(", {} times", entry.count) } else { String::new() };
    let text = format!("{}{times}", Sanitized::new(entry.summary));
    write!(out, "  {time}  {:<16}", Painted(style, entry.kind))?;
    write!(out, "{}", crate::wrap::Lines::hanging(31, &text).within(theme.width))
}

fn more(count: usize, what: &str, out: &mut dyn Write) -> io::Result<()> {
    match count.checked_sub(MAX_ROWS) {
        Some(more @ 1..) => writeln!(out, "  ... and {more} more {what}"),
        _ => Ok(()),
    }
}

/// `no irqs CPU 5    pid 118823   "worker"    in _write_lock_irq`
fn write_hard_lockup(event: &Event<'_>, width: usize, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let cpu = event.cpu.unwrap_or_default();
    let pid = or_unknown(event.pid);
    let comm = event.comm.map_or_else(|| "?".to_owned(), |comm| Quoted(comm).to_string());
    let place = event.symbol.map(|symbol| format!(" in {}", Sanitized::new(symbol))).unwrap_or_default();
    let line = format!("CPU {cpu:<4} pid {pid:<8} {comm:<width$}{place}");
    writeln!(out, "  {} {}", Painted(theme.bad, "no irqs"), line.trim_end())
}

/// `stuck   CPU 7    pid 28356    "split_v2"  for 11 s`
fn write_lockup(lockup: &Lockup<'_>, width: usize, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let Lockup { cpu, seconds, comm, pid } = lockup;
    let comm = Quoted(comm);
    writeln!(out, "  {} CPU {cpu:<4} pid {pid:<8} {comm:<width$} for {seconds} s", Painted(theme.bad, "stuck  "))
}

/// `faults  CPU 6    pid 28355    "split_v2"  at 0xc000100000 (__se_sys_newfstat), 45 % sure`
fn write_copy(copy: &Copy<'_>, width: usize, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let (cpu, pid) = (or_unknown(copy.cpu), or_unknown(copy.pid));
    let comm = copy.comm.map_or_else(|| "?".to_owned(), |comm| Quoted(comm).to_string());
    let function = Sanitized::new(copy.syscall_function.unwrap_or(copy.function));
    let address = copy.address;
    write!(
        out,
        "  {} CPU {cpu:<4} pid {pid:<8} {comm:<width$} at {address} ({function})",
        Painted(theme.bad, "faults ")
    )?;
    writeln!(out, ", {}", Painted(sureness_style(copy.attribution, theme), Sure(copy.attribution)))
}

fn or_unknown(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "?".to_owned(), |number| number.to_string())
}

/// A confidence in words.
struct Sure(f32);

impl std::fmt::Display for Sure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0} % sure", self.0 * 100.0)
    }
}

fn sureness_style(attribution: f32, theme: &Theme) -> anstyle::Style {
    if attribution < DOUBTFUL { theme.doubtful } else { theme.dim }
}

pub(super) fn write_report(report: &CpuReport<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    heading(&title(report), out, theme)?;
    let sure = Painted(sureness_style(report.attribution, theme), Sure(report.attribution));
    writeln!(out, "  {} {sure} that these lines belong together", Painted(theme.dim, extent(report)))?;
    if let Some(registers) = &report.registers {
        write_registers("at", registers, out, theme)?;
    }
    let mut stack = None;
    for (number, frame) in report.frames.iter().enumerate() {
        write_interrupted(report, number, out, theme)?;
        if frame.stack.is_some() && frame.stack != stack {
            stack = frame.stack;
            let name = Sanitized::new(stack.unwrap_or_default());
            writeln!(out, "  {}", Painted(theme.dim, format_args!("<{name}>")))?;
        }
        write_frame(frame, out, theme)?;
    }
    write_interrupted(report, report.frames.len(), out, theme)
}

/// `CPU 6, pid 28355 "split_v2": panic`
pub(super) fn title(report: &CpuReport<'_>) -> String {
    let cpu = report.cpu.map_or_else(|| "CPU not known".to_owned(), |cpu| format!("CPU {cpu}"));
    let task = match (report.pid, report.comm) {
        (Some(pid), Some(comm)) => format!(", pid {pid} {}", Quoted(comm)),
        _ => String::new(),
    };
    let mut about = report.about.clone();
    about.dedup();
    let about = if about.is_empty() { String::new() } else { format!(": {}", about.join(", ")) };
    format!("{cpu}{task}{about}")
}

fn extent(report: &CpuReport<'_>) -> String {
    match (report.lines.first(), report.lines.last()) {
        (Some(first), Some(last)) => format!("{} lines from {first} to {last},", report.lines.len()),
        _ => String::new(),
    }
}

fn write_interrupted(report: &CpuReport<'_>, frame: usize, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    report.interrupted.iter().filter(|at| at.before_frame == frame).try_for_each(|at| {
        let label = if at.registers.user_mode == Some(true) { "from user code" } else { "interrupted" };
        write_registers(label, &at.registers, out, theme)
    })
}

fn write_registers(label: &str, registers: &Registers<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let place = match (registers.symbol, registers.offset) {
        (Some(symbol), Some(offset)) => format!(" {}+{offset:#x}", Sanitized::new(symbol)),
        (Some(symbol), None) => format!(" {}", Sanitized::new(symbol)),
        _ => String::new(),
    };
    writeln!(out, "    [{label}{place}]")?;
    let known: Vec<String> =
        SHOWN.iter().filter_map(|name| Some(format!("{name:>6} {:016x}", registers.values.get(name)?.0))).collect();
    known.chunks(4).try_for_each(|line| writeln!(out, "     {}", Painted(theme.dim, line.join(" "))))
}

fn write_frame(frame: &Frame<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let mark = if frame.reliable { ' ' } else { '?' };
    let name = match (frame.symbol, frame.address) {
        (Some(symbol), _) => Sanitized::new(symbol).to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => "?".to_owned(),
    };
    let offset = match (frame.offset, frame.size) {
        (Some(offset), Some(size)) => format!("+{offset:#x}/{size:#x}"),
        _ => String::new(),
    };
    let module = frame.module.map(|module| format!(" [{}]", Sanitized::new(module))).unwrap_or_default();
    let style = if frame.reliable { anstyle::Style::new() } else { theme.dim };
    writeln!(out, "  {}", Painted(style, format_args!("{mark} {name}{offset}{module}")))
}
