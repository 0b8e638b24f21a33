//! `waitq`, `workqueue` and `locks`.

use std::io::{self, Write};

use anstyle::Style;
use vmcore_inspect::state::{InQueue, Locks, WaitQueue, Waiters, Work, Workqueues};

use super::{during, or_unknown, who, write_gaps};
use crate::table::Table;
use crate::{Painted, Report, Sanitized, Theme};

fn in_queue(entries: &[InQueue], out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let mut table = Table::new(["TASK", ">LAST RAN", "ENTRY", "QUEUE", "WOKEN BY"]);
    for entry in entries {
        let queue = or_unknown(entry.queue);
        let since = entry.waiter.as_ref().and_then(|who| who.since_ns);
        table.row(
            Style::new(),
            [
                entry.waiter.as_ref().map_or_else(|| "(no task)".to_owned(), |waiter| who(Some(waiter))),
                crate::duration::or_unknown(since),
                format!("{:016x}", entry.entry.0),
                entry.symbol.as_ref().map_or(queue.clone(), |symbol| format!("{queue} {symbol}")),
                entry.wakes_by.clone().unwrap_or_else(|| "swake_up".to_owned()),
            ],
        );
    }
    table.write(0, out, theme)
}

impl Report for WaitQueue {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let name = self.symbol.as_deref().unwrap_or_default();
        writeln!(out, "QUEUE: {} {}", self.queue, Sanitized::new(name))?;
        if self.entries.is_empty() && self.gaps.is_empty() {
            writeln!(out, "nobody waits in it")?;
        } else {
            in_queue(&self.entries, out, theme)?;
        }
        write_gaps(&self.gaps, out, theme)
    }
}

impl Report for Waiters {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        in_queue(&self.waiters, out, theme)?;
        write_gaps(&self.gaps, out, theme)
    }
}

fn work(work: &Work) -> String {
    let queue = work.workqueue.as_ref().map(|queue| format!(" on {queue}")).unwrap_or_default();
    format!("{} {}{queue}", work.work, or_unknown(work.function.as_ref()))
}

impl Report for Workqueues {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let stuck = self.pools.iter().filter(|pool| pool.stuck).count();
        let waiting: usize = self.pools.iter().map(|pool| pool.waiting.len()).sum();
        let style = if stuck > 0 { theme.bad } else { Style::new() };
        let line = format_args!("{} pools, {stuck} stuck, {waiting} works wait", self.pools.len());
        writeln!(out, "{}", Painted(style, line))?;
        let is_idle = |pool: &&vmcore_inspect::state::Pool| pool.busy.is_empty() && pool.waiting.is_empty();
        for pool in self.pools.iter().filter(|pool| !is_idle(pool)) {
            let cpu = pool.cpu.map_or_else(|| "unbound".to_owned(), |cpu| format!("CPU {cpu}"));
            let (total, idle) = (or_unknown(pool.workers_total), or_unknown(pool.workers_idle));
            let progress = during(pool.without_progress_ns);
            let line = format_args!(
                "\nPOOL: {}  {cpu}  NICE: {}  WORKERS: {total}, {idle} idle  NO WORK BEGUN FOR: {progress}{}",
                pool.id,
                or_unknown(pool.nice),
                if pool.stuck { "  STUCK" } else { "" }
            );
            writeln!(out, "{}", Painted(if pool.stuck { theme.bad } else { theme.heading }, line))?;
            for worker in &pool.busy {
                let task = who(worker.task.as_ref());
                let since = crate::duration::or_unknown(worker.task.as_ref().and_then(|task| task.since_ns));
                let line = format!("  doing    {}  by pid {task}, last ran {since} ago", work(&worker.work));
                writeln!(out, "{}", Sanitized::new(&line))?;
                for next in &worker.scheduled {
                    writeln!(out, "           then {}", Sanitized::new(&work(next)))?;
                }
            }
            for next in &pool.waiting {
                writeln!(out, "  waiting  {}", Sanitized::new(&work(next)))?;
            }
        }
        for queue in &self.queues {
            let (active, max) = (or_unknown(queue.active), or_unknown(queue.max_active));
            let name = Sanitized::new(&queue.name);
            writeln!(out, "\nWORKQUEUE: {name}  POOL: {}  ACTIVE: {active} of at most {max}", or_unknown(queue.pool))?;
            for held in &queue.held_back {
                writeln!(out, "  held back  {}", Sanitized::new(&work(held)))?;
            }
        }
        write_gaps(&self.gaps, out, theme)
    }
}

impl Report for Locks {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        if self.locks.is_empty() && self.pages.is_empty() && self.works.is_empty() && self.spinners.is_empty() {
            writeln!(out, "no task was found to wait for a lock, a page or a work")?;
        }
        for lock in &self.locks {
            let line = format!("{} {} {}", lock.kind, lock.lock, lock.symbol.as_deref().unwrap_or_default());
            writeln!(out, "{}", Painted(theme.heading, Sanitized::new(line.trim_end())))?;
            write!(out, "  held by    {}", Sanitized::new(&lock.held_by))?;
            if let Some(owner) = &lock.owner {
                let since = crate::duration::or_unknown(owner.since_ns);
                write!(out, ", in state {}, last ran {since} ago", owner.state)?;
            }
            writeln!(out)?;
            for waiter in &lock.waiters {
                let since = crate::duration::or_unknown(waiter.since_ns);
                writeln!(out, "  waited for by {}, last ran {since} ago", Sanitized::new(&who(Some(waiter))))?;
            }
        }
        for page in &self.pages {
            let line = format!("page {} ({}): waited for by {}", page.page, page.bit, who(Some(&page.waiter)));
            writeln!(out, "{}", Sanitized::new(&line))?;
        }
        for waited in &self.works {
            let by = waited
                .worker
                .as_ref()
                .map_or_else(|| "not begun".to_owned(), |worker| format!("done by {}", who(Some(worker))));
            let name = or_unknown(waited.function.as_ref());
            let line =
                format!("work {} {name}, {by}: waited for by {}", or_unknown(waited.work), who(Some(&waited.waiter)));
            writeln!(out, "{}", Sanitized::new(&line))?;
        }
        for spinner in &self.spinners {
            let place = if spinner.first { "first" } else { "not the first" };
            writeln!(out, "CPU {} spins in the queue of a spin lock, {place}; node {}", spinner.cpu, spinner.node)?;
        }
        let note = "A lock that nobody waits for leaves no trace in a kernel without lockdep: it is not listed.";
        writeln!(out, "{}", Painted(theme.dim, note))?;
        write_gaps(&self.gaps, out, theme)
    }
}
