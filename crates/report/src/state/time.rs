//! `timer`, `irq` and `rcu`.

use std::io::{self, Write};

use vmcore_inspect::state::{Interrupts, Rcu, TimerKind, Timers};

use super::{ago, or_unknown, who, write_gaps};
use crate::duration::{self, Duration};
use crate::table::Table;
use crate::{Painted, Report, Theme};

impl Report for Timers {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let now = duration::or_unknown(self.monotonic_ns);
        writeln!(out, "JIFFIES: {}  MONOTONIC: {now}", or_unknown(self.jiffies))?;
        if self.stalled_ns > 0 {
            let line = format_args!("no tick was counted for the last {}", Duration(self.stalled_ns));
            writeln!(out, "{}", Painted(theme.bad, line))?;
        }
        let overdue = self.timers.iter().filter(|timer| timer.overdue).count();
        let style = if overdue > 0 { theme.bad } else { theme.good };
        let line = format_args!("{} timers, {overdue} overdue", self.timers.len());
        writeln!(out, "{}\n", Painted(style, line))?;
        let mut table = Table::new([">CPU", "KIND", "TIMER", "DUE", "", "FUNCTION"]);
        for timer in &self.timers {
            let kind = match timer.kind {
                TimerKind::Local => "local",
                TimerKind::Global => "timer",
                TimerKind::Deferrable => "deferrable",
                TimerKind::HighResolution => "hrtimer",
            };
            table.row(
                if timer.overdue { theme.bad } else { anstyle::Style::new() },
                [
                    timer.cpu.to_string(),
                    kind.to_owned(),
                    format!("{:016x}", timer.timer.0),
                    ago(timer.late_ns),
                    if timer.overdue { "OVERDUE" } else { "" }.to_owned(),
                    or_unknown(timer.function.as_ref()),
                ],
            );
        }
        table.write(0, out, theme)?;
        write_gaps(&self.gaps, out, theme)
    }
}

impl Report for Interrupts {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut table = Table::new([">IRQ", ">COUNT", "CHIP", "STATE", ">THREADS", "NAMES", "HANDLERS"]);
        for line in &self.lines {
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
        table.write(0, out, theme)?;
        writeln!(out)?;
        let mut table = Table::new([">CPU", "MASK", "SOFT INTERRUPTS PENDING", "SERVED BY, BESIDES INTERRUPTS"]);
        for soft in &self.soft {
            let none = soft.mask.map_or("?", |_| "none").to_owned();
            table.row(
                if soft.pending.is_empty() { theme.dim } else { theme.doubtful },
                [
                    soft.cpu.to_string(),
                    or_unknown(soft.mask),
                    if soft.pending.is_empty() { none } else { soft.pending.join(" ") },
                    who(soft.thread.as_ref()),
                ],
            );
        }
        table.write(0, out, theme)?;
        write_gaps(&self.gaps, out, theme)
    }
}

impl Report for Rcu {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let name = self.flavour.as_deref().unwrap_or("rcu");
        let state = match self.running {
            None => "is not known".to_owned(),
            Some(false) => "no grace period is going on".to_owned(),
            Some(true) => format!("a grace period has been going on for {}", duration::or_unknown(self.age_ns)),
        };
        let waits = !self.waits_for_cpus.is_empty() || !self.waits_for_readers.is_empty();
        let style = if waits { theme.doubtful } else { anstyle::Style::new() };
        writeln!(out, "{}", Painted(style, format_args!("{}: {state}", crate::Sanitized::new(name))))?;
        writeln!(out, "gp_seq {}, run by pid {}", or_unknown(self.gp_seq), who(self.gp_kthread.as_ref()))?;
        for cpu in &self.waits_for_cpus {
            writeln!(
                out,
                "waits for CPU {}, which was executing pid {}",
                cpu.cpu,
                crate::Sanitized::new(&who(cpu.current.as_ref()))
            )?;
        }
        for reader in &self.waits_for_readers {
            writeln!(out, "waits for pid {}, in a read-side section", crate::Sanitized::new(&who(Some(reader))))?;
        }
        writeln!(out)?;
        let mut table = Table::new([">CPU", "RCU_DATA", ">CALLBACKS", "CURRENT"]);
        for cpu in &self.cpus {
            table.row(
                anstyle::Style::new(),
                [cpu.cpu.to_string(), or_unknown(cpu.data), or_unknown(cpu.callbacks), who(cpu.current.as_ref())],
            );
        }
        table.write(0, out, theme)?;
        write_gaps(&self.gaps, out, theme)
    }
}
