//! `waitq`, `workqueue` and `locks`.

use std::collections::HashSet;
use std::io::{self, Write};

use anstyle::Style;
use vmcore_inspect::state::{
    InQueue, Listing, LockHolder, LockSpinner, Locks, Pool, SpunLock, WaitQueue, Waiters, Work, Workqueues,
};

use super::{Gaps, count, count_of, during, or_unknown, who};
use crate::table::Table;
use crate::{Painted, Report, Sanitized, Theme};

fn in_queue<'a>(
    entries: &'a Listing<InQueue>,
    none: &str,
    gaps: &mut Gaps<'a>,
    out: &mut dyn Write,
    theme: &Theme,
) -> io::Result<()> {
    let mut table = Table::new(["TASK", ">LAST RAN", "ENTRY", "QUEUE", "WOKEN BY"]);
    for entry in entries.found() {
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
    gaps.table(entries, (&table, none), 0, out, theme)
}

impl Report for WaitQueue {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let name = self.symbol.as_deref().unwrap_or_default();
        writeln!(out, "QUEUE: {} {}", self.queue, Sanitized::new(name))?;
        let mut gaps = Gaps::new(&self.gaps);
        in_queue(&self.entries, "nobody waits in it", &mut gaps, out, theme)?;
        gaps.rest(out, theme)
    }
}

impl Report for Waiters {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut gaps = Gaps::new(&self.gaps);
        in_queue(&self.waiters, "no task is in a wait queue", &mut gaps, out, theme)?;
        gaps.rest(out, theme)
    }
}

fn work(work: &Work) -> String {
    let queue = work.workqueue.as_ref().map(|queue| format!(" on {queue}")).unwrap_or_default();
    format!("{} {}{queue}", work.work, or_unknown(work.function.as_ref()))
}

impl Report for Workqueues {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut gaps = Gaps::new(&self.gaps);
        let pools = self.pools.found();
        let unknown = pools.iter().filter(|pool| pool.stuck.is_none()).count();
        let waiting: usize = pools.iter().map(|pool| pool.waiting.found().len()).sum();
        let unread = pools.iter().any(|pool| pool.waiting.unread().is_some()) || self.pools.unread().is_some();
        let style = match (unknown, unread) {
            _ if pools.iter().any(is_stuck) => theme.bad,
            (0, false) => Style::new(),
            _ => theme.doubtful,
        };
        let stuck = count_of(&self.pools, is_stuck);
        let unknown = if unknown > 0 { format!(", {unknown} of which it is not known") } else { String::new() };
        let more = if unread { " or more" } else { "" };
        let works = if waiting == 1 && !unread { "work waits" } else { "works wait" };
        let line = format_args!("{} pools, {stuck} stuck{unknown}, {waiting}{more} {works}", count(&self.pools));
        writeln!(out, "{}", Painted(style, line))?;
        gaps.of(&self.pools, "", 0, out, theme)?;
        for pool in pools.iter().filter(|pool| !(pool.busy.has_none() && pool.waiting.has_none())) {
            write_pool(pool, &mut gaps, out, theme)?;
        }
        for queue in self.queues.found() {
            let (active, max) = (or_unknown(queue.active), or_unknown(queue.max_active));
            let name = Sanitized::new(&queue.name);
            writeln!(out, "\nWORKQUEUE: {name}  POOL: {}  ACTIVE: {active} of at most {max}", or_unknown(queue.pool))?;
            for held in queue.held_back.found() {
                writeln!(out, "  held back  {}", Sanitized::new(&work(held)))?;
            }
            gaps.of(&queue.held_back, "", 2, out, theme)?;
        }
        gaps.of(&self.queues, "", 0, out, theme)?;
        gaps.rest(out, theme)
    }
}

fn is_stuck(pool: &Pool) -> bool {
    pool.stuck == Some(true)
}

fn write_pool<'a>(pool: &'a Pool, gaps: &mut Gaps<'a>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let cpu = pool.cpu.map_or_else(|| "unbound".to_owned(), |cpu| format!("CPU {cpu}"));
    let (total, idle) = (or_unknown(pool.workers_total), or_unknown(pool.workers_idle));
    let progress = during(pool.without_progress_ns);
    let is_stuck = is_stuck(pool);
    let line = format_args!(
        "\nPOOL: {}  {cpu}  NICE: {}  WORKERS: {total}, {idle} idle  NO WORK BEGUN FOR: {progress}{}",
        pool.id,
        or_unknown(pool.nice),
        if is_stuck { "  STUCK" } else { "" }
    );
    writeln!(out, "{}", Painted(if is_stuck { theme.bad } else { theme.heading }, line))?;
    for worker in pool.busy.found() {
        let task = who(worker.task.as_ref());
        let since = crate::duration::or_unknown(worker.task.as_ref().and_then(|task| task.since_ns));
        let line = format!("  doing    {}  by pid {task}, last given a CPU {since} ago", work(&worker.work));
        writeln!(out, "{}", Sanitized::new(&line))?;
        for next in worker.scheduled.found() {
            writeln!(out, "           then {}", Sanitized::new(&work(next)))?;
        }
        gaps.of(&worker.scheduled, "", 11, out, theme)?;
    }
    gaps.of(&pool.busy, "", 2, out, theme)?;
    for next in pool.waiting.found() {
        writeln!(out, "  waiting  {}", Sanitized::new(&work(next)))?;
    }
    gaps.of(&pool.waiting, "", 2, out, theme)
}

impl Report for Locks {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        let mut gaps = Gaps::new(&self.gaps);
        let none = [
            self.locks.has_none(),
            self.pages.has_none(),
            self.works.has_none(),
            self.spin_locks.has_none(),
            self.spinners.has_none(),
        ];
        if none.iter().all(|none| *none) {
            writeln!(out, "no task or CPU was found to wait for a lock, a page or a work item")?;
        }
        for lock in self.locks.found() {
            let line = format!("{} {} {}", lock.kind, lock.lock, lock.symbol.as_deref().unwrap_or_default());
            writeln!(out, "{}", Painted(theme.heading, Sanitized::new(line.trim_end())))?;
            write!(out, "  held by    {}", Sanitized::new(&lock.held_by))?;
            if let Some(owner) = &lock.owner {
                let since = crate::duration::or_unknown(owner.since_ns);
                write!(out, ", in state {}, last given a CPU {since} ago", owner.state)?;
            }
            writeln!(out)?;
            for waiter in &lock.waiters {
                let since = crate::duration::or_unknown(waiter.since_ns);
                writeln!(
                    out,
                    "  waited for by pid {}, last given a CPU {since} ago",
                    Sanitized::new(&who(Some(waiter)))
                )?;
            }
        }
        gaps.of(&self.locks, "", 0, out, theme)?;
        for page in self.pages.found() {
            let line = format!("page {} ({}): waited for by pid {}", page.page, page.bit, who(Some(&page.waiter)));
            writeln!(out, "{}", Sanitized::new(&line))?;
        }
        gaps.of(&self.pages, "", 0, out, theme)?;
        for waited in self.works.found() {
            let by = waited
                .worker
                .as_ref()
                .map_or_else(|| "not begun".to_owned(), |worker| format!("done by pid {}", who(Some(worker))));
            let name = or_unknown(waited.function.as_ref());
            let line = format!(
                "work {} {name}, {by}: waited for by pid {}",
                or_unknown(waited.work),
                who(Some(&waited.waiter))
            );
            writeln!(out, "{}", Sanitized::new(&line))?;
        }
        gaps.of(&self.works, "", 0, out, theme)?;
        self.spin_locks.found().iter().try_for_each(|lock| write_spun(lock, out, theme))?;
        gaps.of(&self.spin_locks, "", 0, out, theme)?;
        let named: HashSet<_> =
            self.spin_locks.found().iter().flat_map(|lock| &lock.spinners).map(|spinner| spinner.cpu).collect();
        for spinner in self.spinners.found().iter().filter(|spinner| !named.contains(&spinner.cpu)) {
            let place = if spinner.first { "first" } else { "not the first" };
            writeln!(out, "CPU {} spins in the queue of a spin lock, {place}; node {}", spinner.cpu, spinner.node)?;
        }
        gaps.of(&self.spinners, "", 0, out, theme)?;
        let note = "A lock that nobody waits for leaves no trace in a kernel without lockdep: it is not listed.";
        writeln!(out, "{}", Painted(theme.dim, note))?;
        gaps.rest(out, theme)
    }
}

/// A lock that CPUs spin for.
fn write_spun(lock: &SpunLock, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let line = format!("{} {} {}", lock.kind, lock.lock, lock.symbol.as_deref().unwrap_or_default());
    writeln!(out, "{}", Painted(theme.heading, Sanitized::new(line.trim_end())))?;
    writeln!(out, "  word       {}: {}", lock.word, lock.state)?;
    if lock.holders.is_none() {
        writeln!(out, "  held by    unknown: a {} does not record it", lock.kind)?;
    }
    for LockHolder { cpu, task, recorded, found } in lock.holders.iter().flatten() {
        let perhaps = if *recorded { "" } else { "perhaps " };
        let line = format!("  held by    {perhaps}CPU {cpu}, pid {}: {found}", who(task.as_ref()));
        writeln!(out, "{}", Sanitized::new(&line))?;
    }
    for LockSpinner { cpu, task, to_write, behind } in &lock.spinners {
        let purpose = to_write.map_or("", |to_write| if to_write { " to write" } else { " to read" });
        let behind = behind.map(|cpu| format!(", behind CPU {cpu}")).unwrap_or_default();
        let line = format!("  spun for by CPU {cpu}{purpose}{behind}: pid {}", who(task.as_ref()));
        writeln!(out, "{}", Sanitized::new(&line))?;
    }
    Ok(())
}
