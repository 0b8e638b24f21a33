//! `timer`, `irq` and `rcu`.

use std::io::{self, Write};

use vmcore_inspect::state::{Interrupts, Rcu, Timer, TimerKind, Timers};

use super::{Gaps, ago, count, count_of, or_unknown, who};
use crate::duration::{self, Duration};
use crate::table::Table;
use crate::{Painted, Report, Theme};

impl Report for Timers {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let now = duration::or_unknown(self.monotonic_ns);
        writeln!(out, "JIFFIES: {}  MONOTONIC: {now}", or_unknown(self.jiffies))?;
        if let Some(stalled) = self.stalled_ns.filter(|stalled| *stalled > 0) {
            let line = format_args!("no tick was counted for the last {}", Duration(stalled));
            writeln!(out, "{}", Painted(theme.bad, line))?;
        }
        let mut gaps = Gaps::new(&self.gaps);
        let is_overdue = |timer: &Timer| timer.overdue == Some(true);
        let unknown = self.timers.found().iter().filter(|timer| timer.overdue.is_none()).count();
        let style = match (unknown, self.timers.unread()) {
            _ if self.timers.found().iter().any(is_overdue) => theme.bad,
            (0, None) => theme.good,
            _ => theme.doubtful,
        };
        let unknown = if unknown > 0 { format!(", {unknown} of which it is not known") } else { String::new() };
        let overdue = count_of(&self.timers, is_overdue);
        let line = format_args!("{} timers, {overdue} overdue{unknown}", count(&self.timers));
        writeln!(out, "{}\n", Painted(style, line))?;
        let mut table = Table::new([">CPU", "KIND", "TIMER", "DUE", "", "FUNCTION"]);
        for timer in self.timers.found() {
            let kind = match timer.kind {
                TimerKind::Local => "local",
                TimerKind::Global => "timer",
                TimerKind::Deferrable => "deferrable",
                TimerKind::HighResolution => "hrtimer",
            };
            table.row(
                if is_overdue(timer) { theme.bad } else { anstyle::Style::new() },
                [
                    timer.cpu.to_string(),
                    kind.to_owned(),
                    format!("{:016x}", timer.timer.0),
                    ago(timer.late_ns),
                    if is_overdue(timer) { "OVERDUE" } else { "" }.to_owned(),
                    or_unknown(timer.function.as_ref()),
                ],
            );
        }
        gaps.table(&self.timers, (&table, ""), 0, out, theme)?;
        gaps.rest(out, theme)
    }
}

impl Report for Interrupts {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new([">IRQ", ">COUNT", "CHIP", "STATE", ">THREADS", "NAMES", "HANDLERS"]);
        let mut gaps = Gaps::new(&self.gaps);
        for line in self.lines.found() {
            let busy = line.flags.iter().any(|flag| ["in progress", "pending"].contains(flag));
            let names: Vec<_> = line.handlers.iter().map(|name| name.as_deref().unwrap_or("?")).collect();
            table.row(
                if busy { theme.doubtful } else { anstyle::Style::new() },
                [
                    line.irq.to_string(),
                    or_unknown(line.count),
                    line.chip.clone().unwrap_or_default(),
                    line.flags.join(", "),
                    line.threads_active
                        .filter(|active| *active > 0)
                        .map(|active| active.to_string())
                        .unwrap_or_default(),
                    line.names.join(", "),
                    names.join(", "),
                ],
            );
        }
        gaps.table(&self.lines, (&table, "no interrupt line has a handler"), 0, out, theme)?;
        writeln!(out)?;
        let mut table = Table::new([">CPU", "MASK", "SOFT INTERRUPTS PENDING", "SERVED BY, BESIDES INTERRUPTS"]);
        for soft in self.soft.found() {
            let none = if soft.pending.has_none() { "none" } else { "?" };
            table.row(
                if soft.pending.has_none() { theme.dim } else { theme.doubtful },
                [
                    soft.cpu.to_string(),
                    or_unknown(soft.mask),
                    match soft.pending.found() {
                        [] => none.to_owned(),
                        pending => pending.join(" "),
                    },
                    who(soft.thread.as_ref()),
                ],
            );
        }
        gaps.table(&self.soft, (&table, "no CPUs"), 0, out, theme)?;
        gaps.rest(out, theme)
    }
}

impl Report for Rcu {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let name = self.flavour.as_deref().unwrap_or("rcu");
        let state = match self.running {
            None => "what its grace period does could not be read".to_owned(),
            Some(false) => "no grace period is going on".to_owned(),
            Some(true) => format!("a grace period has been going on for {}", duration::or_unknown(self.age_ns)),
        };
        let mut gaps = Gaps::new(&self.gaps);
        let waits = !self.waits_for_cpus.has_none() || !self.waits_for_readers.has_none();
        let style = if waits { theme.doubtful } else { anstyle::Style::new() };
        writeln!(out, "{}", Painted(style, format_args!("{}: {state}", crate::Sanitized::new(name))))?;
        writeln!(out, "gp_seq {}, run by pid {}", or_unknown(self.gp_seq), who(self.gp_kthread.as_ref()))?;
        for cpu in self.waits_for_cpus.found() {
            writeln!(
                out,
                "waits for CPU {}, which was executing pid {}",
                cpu.cpu,
                crate::Sanitized::new(&who(cpu.current.as_ref()))
            )?;
        }
        gaps.of(&self.waits_for_cpus, "", 0, out, theme)?;
        for reader in self.waits_for_readers.found() {
            writeln!(out, "waits for pid {}, in a read-side section", crate::Sanitized::new(&who(Some(reader))))?;
        }
        gaps.of(&self.waits_for_readers, "", 0, out, theme)?;
        writeln!(out)?;
        let mut table = Table::new([">CPU", "RCU_DATA", ">CALLBACKS", "CURRENT"]);
        for cpu in self.cpus.found() {
            table.row(
                anstyle::Style::new(),
                [cpu.cpu.to_string(), or_unknown(cpu.data), or_unknown(cpu.callbacks), who(cpu.current.as_ref())],
            );
        }
        gaps.table(&self.cpus, (&table, "no CPUs"), 0, out, theme)?;
        gaps.rest(out, theme)
    }
}
