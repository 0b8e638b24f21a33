//! The events of a log, each put together from its lines and from the trace below it.

use std::collections::BTreeSet;

use crate::completion::{REACH, complete};
use crate::event::{Event, Kind};
use crate::log::Occurrence;
use crate::prefix::Prefix;
use crate::trace::Trace;

/// Until this time since boot the banks of machine checks are looked at for the first time.
const FIRST_LOOK_NS: u64 = 1_000_000_000;
/// Events that are kept: the first and the latest, and of those between the gravest.
const MAX_EVENTS: usize = 4096;
/// The first of them, and as many of the latest.
const MAX_FIRST: usize = 1024;
/// As many lines that say nothing of it are looked at for it one by one.
const NEAR: u64 = 24;
/// An oops's lines follow each other within this many.
const OOPS_REACH: u64 = 16;
/// Between `invoked oom-killer` and the line that names the victim stand tables of memory and all processes.
const OOM_REACH: u64 = 20_000;
/// The firmware's records of the boot before follow each other within this many lines.
const RECORD_REACH: u64 = 64;
/// As many lines after a device was taken out its driver may say that it does not answer.
const TAKEN_OUT_REACH: u64 = 32;
/// Events that lines below may still complete.
const MAX_OPEN: usize = 4;

/// Events as they are read.
#[derive(Default)]
pub(crate) struct Reports {
    pub(crate) events: Vec<Occurrence>,
    /// Events beyond those that are kept.
    pub(crate) dropped: u64,
    /// The latest, with who printed them: lines below may add to them.
    open: Vec<(usize, Prefix)>,
    /// The last line that is known to belong to the firmware's records of the boot before.
    record: Option<u64>,
    /// The last line that says that a device was taken out.
    taken_out: Option<u64>,
}

impl Reports {
    /// A line that a report begins with, or goes on with.
    pub(crate) fn event(&mut self, event: &Event, line: u64, prefix: &Prefix) {
        if event.kind == Kind::CutHere || self.goes_on(event, line, prefix) {
            return;
        }
        if self.events.len() >= 2 * MAX_EVENTS {
            self.keep_no_more();
        }
        self.open.push((self.events.len(), *prefix));
        let excess = self.open.len().saturating_sub(MAX_OPEN);
        self.open.drain(..excess);
        let is_of_boot_before = self.is_of_boot_before(event, line, prefix);
        let occurrence = Occurrence {
            event: event.clone(),
            line,
            last_line: line,
            timestamp_ns: prefix.timestamp_ns,
            second_of_year: prefix.second_of_year,
            is_asked_for: false,
            is_over: event.is_of_pluggable_usb_controller()
                && self.taken_out.is_some_and(|before| line.saturating_sub(before) <= TAKEN_OUT_REACH),
            is_of_boot_before,
        };
        self.events.push(occurrence);
    }

    /// Passes over what is more than is kept.
    pub(crate) fn keep_no_more(&mut self) {
        let excess = self.events.len().saturating_sub(MAX_EVENTS);
        if excess == 0 {
            return;
        }
        let mut between: Vec<usize> = (MAX_FIRST..self.events.len().saturating_sub(MAX_FIRST)).collect();
        // Stable: of equals the later ones stay.
        between.sort_by_key(|index| self.events.get(*index).map(Occurrence::weight));
        let passed_over: BTreeSet<usize> = between.into_iter().take(excess).collect();
        let mut index = 0;
        self.events.retain(|_| {
            index += 1;
            !passed_over.contains(&(index - 1))
        });
        for (open, _) in &mut self.open {
            *open -= passed_over.range(..*open).count();
        }
        self.dropped += passed_over.len() as u64;
    }

    /// A dock that is pulled takes its USB controller along, which does not answer then: `drivers/pci/hotplug/pciehp_ctrl.c`.
    pub(crate) fn slot_empties(&mut self, text: &str, line: u64) {
        let is_slot = text.contains("pciehp: Slot(")
            && [": Link Down", ": Card not present"].iter().any(|end| text.ends_with(end));
        if is_slot {
            self.taken_out = Some(line);
        }
    }

    /// `BERT: Error records from previous boot:`, `drivers/acpi/apei/bert.c`.
    pub(crate) fn records_begin(&mut self, text: &str, line: u64) {
        if text.starts_with("BERT: Error records from previous boot") {
            self.record = Some(line);
        }
    }

    fn is_of_boot_before(&mut self, event: &Event, line: u64, prefix: &Prefix) -> bool {
        let near = self.record.is_some_and(|record| line.saturating_sub(record) <= RECORD_REACH);
        let of_record = near && event.text.starts_with("[Hardware Error]: ");
        if of_record {
            self.record = Some(line);
        }
        // What the banks hold when the kernel looks at them first (`arch/x86/kernel/cpu/mce/core.c`, `__mcheck_cpu_init_generic()`).
        let is_first_look = prefix.timestamp_ns.is_some_and(|at| at < FIRST_LOOK_NS) && event.is_polled_machine_check();
        of_record || is_first_look || event.is_of_boot_before()
    }

    /// Any other line: it may say more of a report above.
    pub(crate) fn line(&mut self, text: &str, line: u64, prefix: &Prefix) {
        for (index, by) in self.open.iter().rev() {
            let Some(known) = self.events.get_mut(*index) else { continue };
            if line.saturating_sub(known.last_line) <= REACH && same_printer(by, prefix) && known.event.absorb(text) {
                known.last_line = line;
                return;
            }
        }
    }

    /// Whether lines below may still say more.
    pub(crate) fn is_open(&self, line: u64) -> bool {
        let last = self.open.last().and_then(|(index, _)| self.events.get(*index));
        last.is_some_and(|known| line.saturating_sub(known.last_line) <= NEAR)
    }

    /// Whether the line is another of a report that has begun.
    fn goes_on(&mut self, event: &Event, line: u64, prefix: &Prefix) -> bool {
        match event.kind {
            Kind::Oops => self.oops_goes_on(event, line, prefix),
            // The end of the panic repeats what it was.
            Kind::Panic if event.is_cut => {
                self.events.iter().any(|known| known.event.kind == Kind::Panic && known.event.text == event.text)
            }
            Kind::OutOfMemory | Kind::CgroupOutOfMemory => self.victim(event, line),
            _ => false,
        }
    }

    fn oops_goes_on(&mut self, event: &Event, line: u64, prefix: &Prefix) -> bool {
        let last = self.open.iter().rev().find(|(_, by)| same_printer(by, prefix));
        let Some(known) = last.and_then(|(index, _)| self.events.get_mut(*index)) else { return false };
        let near = line.saturating_sub(known.last_line) <= OOPS_REACH && known.event.kind == Kind::Oops;
        let again = known.event.text == event.text;
        if near && !again {
            known.last_line = line;
            known.event.details.push(event.text.clone());
        }
        near && !again
    }

    /// The victim completes the report that began with who asked for memory.
    fn victim(&mut self, event: &Event, line: u64) -> bool {
        let Some(known) = self.without_victim(line).filter(|_| event.pid.is_some()) else { return false };
        // What was found to be of a control group is of one, however the victim's line begins.
        let completes = known.event.kind == Kind::OutOfMemory || event.kind == Kind::CgroupOutOfMemory;
        if completes {
            let details = std::mem::take(&mut known.event.details);
            known.event = Event { details, ..event.clone() };
            known.last_line = line;
        }
        completes
    }

    /// The last report of memory that ran out, if nobody is known so far who was killed for it.
    fn without_victim(&mut self, line: u64) -> Option<&mut Occurrence> {
        let of_memory = |kind: Kind| matches!(kind, Kind::OutOfMemory | Kind::CgroupOutOfMemory);
        let last = self.events.iter_mut().rev().find(|known| of_memory(known.event.kind));
        last.filter(|known| known.event.pid.is_none() && line.saturating_sub(known.line) <= OOM_REACH)
    }

    /// `memory: usage 524288kB, limit 524288kB, failcnt 777`, before 4.19 below `Task in /a killed as a result of limit of /b`:
    /// the memory was that of a control group. The line with the victim, which says so too, is not printed where nobody can be
    /// killed (`mm/oom_kill.c`, `dump_header()`; `mm/memcontrol.c`).
    pub(crate) fn limit_is_named(&mut self, text: &str, line: u64) {
        let names = text.starts_with("memory: usage ") && text.contains(", limit ")
            || text.starts_with("Task in ") && text.contains(" killed as a result of limit of ");
        if names && let Some(known) = self.without_victim(line) {
            known.event.kind = Kind::CgroupOutOfMemory;
        }
    }

    /// What the traces of an episode say of its reports.
    pub(crate) fn complete(&mut self, traces: &[Trace]) {
        complete(&mut self.events, traces);
    }
}

/// Where nobody says who printed, anybody may have.
fn same_printer(one: &Prefix, other: &Prefix) -> bool {
    one.caller.is_none() || other.caller.is_none() || one.caller == other.caller
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::{Event, Kind, Log};

    /// The problems that a log reports.
    pub(crate) fn events(text: &str) -> Vec<Event> {
        let log = Log::read(text.as_bytes()).unwrap();
        log.events.into_iter().map(|occurrence| occurrence.event).filter(|event| event.kind.is_problem()).collect()
    }

    #[test]
    fn an_oops_is_one_event_with_who_and_where() {
        let found = events(
            "[  500.000000] BUG: kernel NULL pointer dereference, address: 0000000000000048
[  500.000020] Oops: 0000 [#1] PREEMPT SMP PTI
[  500.000030] CPU: 2 PID: 1411 Comm: nfsd Not tainted 5.15.0-91-generic #1
[  500.000040] RIP: 0010:cache_put+0x21/0x90 [demo]
[  500.000140] Call Trace:
[  500.000160]  cache_purge+0x5b/0x80 [demo]
",
        );
        let [oops] = found.as_slice() else { panic!("{found:?}") };
        let function = oops.function.as_ref().unwrap();
        assert_eq!(
            (oops.kind, oops.cpus.as_slice(), oops.pid, oops.comm.as_deref()),
            (Kind::Oops, &[2][..], Some(1411), Some("nfsd"))
        );
        assert_eq!((function.symbol.as_deref(), function.module.as_deref()), (Some("cache_put"), Some("demo")));
    }

    #[test]
    fn the_victim_completes_the_report_of_the_memory_that_ran_out() {
        let found = events(
            "[ 1.000000] web invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
[ 1.000001] Mem-Info:
[ 1.000002] Memory cgroup out of memory: Killed process 12 (db) total-vm:1kB
",
        );
        let [oom] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((oom.kind, oom.pid, oom.comm.as_deref()), (Kind::CgroupOutOfMemory, Some(12), Some("db")));
        assert_eq!(oom.details, ["web asked for the memory"]);
    }

    #[test]
    fn memory_of_a_control_group_where_nobody_can_be_killed() {
        let asks = "[ 1.000000] web invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n";
        let nobody = "[ 1.000003] Out of memory and no killable processes...\n";
        for limit in [
            "[ 1.000001] memory: usage 524288kB, limit 524288kB, failcnt 777\n",
            "[ 1.000001] Task in /kubepods/a killed as a result of limit of /kubepods\n",
        ] {
            let [oom] = &events(&format!("{asks}{limit}{nobody}"))[..] else { panic!("{limit}") };
            assert_eq!((oom.kind, oom.pid), (Kind::CgroupOutOfMemory, None));
            let victim = "[ 1.000003] Memory cgroup out of memory: Killed process 12 (db) total-vm:1kB\n";
            let [oom] = &events(&format!("{asks}{limit}{victim}"))[..] else { panic!("{limit}") };
            assert_eq!((oom.kind, oom.pid), (Kind::CgroupOutOfMemory, Some(12)));
            // The machine's memory runs out as well.
            let found =
                events(&format!("{asks}{limit}{asks}[ 1.000003] Out of memory: Killed process 12 (db) total-vm:1kB\n"));
            let kinds: Vec<Kind> = found.iter().map(|oom| oom.kind).collect();
            assert_eq!(kinds, [Kind::CgroupOutOfMemory, Kind::OutOfMemory]);
        }
        assert_eq!(events(&format!("{asks}{nobody}"))[0].kind, Kind::OutOfMemory);
    }

    #[test]
    fn a_caller_is_not_taken_for_the_function_whose_line_is_missing() {
        let lockup = "[  500.000000] watchdog: BUG: soft lockup - CPU#2 stuck for 22s! [fio:1411]
[  500.000010] CPU: 2 PID: 1411 Comm: fio Not tainted 5.15.0-91-generic #1
";
        let rows = "[  500.000020] RSP: 0018:ffffc90000a01000 EFLAGS: 00000246
[  500.000030] RAX: 0000000000000000 RBX: ffff888100000000 RCX: 0000000000000000
";
        let trace = "[  500.000040] Call Trace:
[  500.000050]  <TASK>
[  500.000060]  submit_one+0x5b/0x80 [demo]
[  500.000070]  do_syscall_64+0x5b/0x80
";
        let symbol = |at: Option<&crate::Location>| at.and_then(|at| at.symbol.clone());
        let named = |middle: &str| {
            let found = events(&format!("{lockup}{middle}{trace}"));
            let [lockup] = found.as_slice() else { panic!("{found:?}") };
            (symbol(lockup.function.as_ref()), symbol(lockup.caller.as_deref()))
        };
        let caller = Some("submit_one".to_owned());
        assert_eq!(named(rows), (None, caller.clone()));
        assert_eq!(named(&format!("[  500.000015] RIP: 0010:0xffffffffc0a01234\n{rows}")), (None, caller.clone()));
        let whole = format!("[  500.000015] RIP: 0010:spin+0x1/0x20 [demo]\n{rows}");
        assert_eq!(named(&whole), (Some("spin".to_owned()), None));
        // Without registers the first of the stack is where it was.
        assert_eq!(named(""), (caller, None));
    }
}
