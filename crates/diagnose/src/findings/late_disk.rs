//! A disk that does not complete its requests, and the tasks that sleep for input or output meanwhile.
//!
//! That a task waits for this very request is not shown: file systems and the page cache are in between. So it is probable. Of a
//! task that waits for the disk itself the hung-task watchdog never complains, however long (`submit_bio_wait()`).
//!
//! Who waits so that a signal would wake it (`io_getevents()`, `io_uring`) is not known to wait for a disk: where nobody else does, it is possible.
//!
//! Control: a disk that is slow, and has no request for twice its timeout.

use vmcore_kernel::Task;

use super::{Context, Found};
use crate::clock::{off_cpu_evidence, off_cpu_ns, patience_ns};
use crate::evidence::read_from;
use crate::names::{begins_anew, waits_for_io};
use crate::text::seconds;
use crate::{Confidence, Facts, Finding, Issue, LateDisk, Reader, describe};

/// One finding for each disk.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let waiting = waiting(facts);
    let late = facts.state.late_disks.iter().filter(|disk| disk.age_ns >= patience_ns(facts));
    late.map(|disk| finding(facts, reader, disk, &waiting)).collect::<Vec<_>>().into()
}

/// Who has been sleeping for input or output for too long, or may have, the longest first.
fn waiting<'f>(facts: &'f Facts<'_>) -> Vec<&'f Task> {
    let asleep = facts.blocked.iter().filter(|stack| waits_for_io(stack)).filter_map(|stack| {
        let task = facts.task(stack)?;
        let waited = off_cpu_ns(facts, task)?;
        (waited >= patience_ns(facts) || begins_anew(stack)).then_some((waited, task))
    });
    let mut asleep: Vec<_> = asleep.collect();
    asleep.sort_by_key(|(waited, task)| (std::cmp::Reverse(*waited), task.pid));
    asleep.into_iter().map(|(_, task)| task).collect()
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, disk: &LateDisk, waiting: &[&Task]) -> Finding {
    let LateDisk { name, requests, operation, sector, age_ns, timeout_ns, since, timeout } = disk;
    let late = match requests {
        1 => format!("a request, a {operation}"),
        requests => format!("{requests} requests, of which the oldest is a {operation}"),
    };
    let who = match waiting {
        [] => {
            "no task is known to sleep for it, as programs do that ask for more than they wait for (libaio, io_uring)"
                .to_owned()
        }
        tasks => format!("sleeping for input or output: {}", describe::pids(tasks.iter().copied())),
    };
    let summary = format!(
        "disk {name} has not completed {late} at sector {sector}, for {}: its driver is told after {}; {who}",
        seconds(*age_ns),
        seconds(*timeout_ns),
    );
    let had = format!("disk {name} has had this request for {}", seconds(*age_ns));
    let told = format!("ticks after which its driver is told, and again: {}", seconds(*timeout_ns));
    let mut evidence = vec![read_from(&since.0, since.1, had), read_from(&timeout.0, timeout.1, told)];
    evidence.extend(waiting.first().and_then(|first| off_cpu_evidence(facts, reader, first)));
    let tasks = waiting.iter().map(|task| task.address);
    let confidence = if waiting.is_empty() { Confidence::Possible } else { Confidence::Probable };
    Finding::new(Issue::IoError, confidence, summary, evidence).about(tasks)
}
