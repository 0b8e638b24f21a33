//! Which of a log's reports says what stopped the machine: the cause before its victims, and what is now before what was.
//!
//! Reports that are far apart in time have nothing to do with each other: a lockup that was over ten days before a machine
//! check is history. Of those that are close, some only follow from others: CPUs wait for one that takes no interrupts,
//! or spin for a lock that the task which crashed held.

use vmcore_console::{Event, Kind, Log, Occurrence, PanicReason, Weight, seconds_passed};

use crate::names::{is_workqueue_watchdog, leads_to_call, leads_to_spin_lock};

/// Reports with this much time between them are two stories.
const APART_NS: u64 = 600 * 1_000_000_000;

/// Without times, an exception with this many lines before it since the last report did not come of what was reported there: a
/// machine that outlives a lockup goes on.
const APART_LINES: u64 = 512;

/// An exception this few lines below the report of an error of the processor's is that error.
const BY_ERROR: u64 = 8;

/// What stopped the machine, and what belongs to it.
pub(super) struct Cause<'l> {
    /// The report that says it best.
    pub(super) main: &'l Occurrence,
    /// All reports of the same story, in the order of the lines.
    pub(super) story: Vec<&'l Occurrence>,
    /// Reports of other stories: how many.
    pub(super) others: usize,
    /// The exception that the machine outlived, before what hangs.
    pub(super) oops_before: Option<&'l Occurrence>,
    /// The request for a crash that came after it, or the panic by which the machine was given up from outside.
    pub(super) request: Option<&'l Occurrence>,
}

impl<'l> Cause<'l> {
    /// Those of a kind.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &'l Event> {
        self.story.iter().map(|occurrence| &occurrence.event).filter(move |event| event.kind == kind)
    }

    /// What was reported of the same CPUs, task and pool of workers: it is reported again as long as it lasts.
    pub(super) fn again(&self, event: &Event) -> impl Iterator<Item = &'l Event> {
        let same = |known: &&Event| known.cpus == event.cpus && known.pid == event.pid && pool(known) == pool(event);
        self.of(event.kind).filter(same)
    }

    /// Whether a crash was asked for so long afterwards that it may have been for something else.
    pub(super) fn is_long_before_request(&self) -> bool {
        self.request.is_some_and(|request| are_apart(self.main, request))
    }
}

/// The cause; `None` where nothing is reported that deserves the name.
pub(super) fn cause(log: &Log) -> Option<Cause<'_>> {
    let problems: Vec<&Occurrence> = log.events.iter().filter(|known| known.weight() > Weight::Brief).collect();
    match request(&problems) {
        Some(request) => Some(behind_request(request, &problems)),
        None => by_itself(&problems).map(|cause| long_before(&cause, &problems).unwrap_or(cause)),
    }
}

/// What hung long before an NMI or a watchdog ended the machine, where nothing that was reported at about that time did: the
/// machine was given up for something, and the kernel may have stopped reporting it (see [`behind_request`]).
fn long_before<'l>(cause: &Cause<'l>, problems: &[&'l Occurrence]) -> Option<Cause<'l>> {
    let panic = cause.main;
    let reason = panic.event.panic_reason().filter(|reason| reason.is_from_outside())?;
    let hangs = |known: &&&Occurrence| {
        known.line < panic.line && known.weight() > Weight::Harmless && kinds_behind(reason).contains(&known.event.kind)
    };
    let hangs: Vec<&Occurrence> = problems.iter().filter(hangs).copied().collect();
    Some(Cause { request: Some(panic), ..by_itself(&hangs)? })
}

/// A CPU has two of them: `pool cpus=2 node=0 flags=0x0 nice=-20`.
pub(super) fn pool(event: &Event) -> Option<&str> {
    event.text.split_once(" stuck for ").map(|(pool, _)| pool).filter(|_| event.kind == Kind::WorkqueueLockup)
}

/// What stopped a machine of which nobody asked for a crash.
fn by_itself<'l>(problems: &[&'l Occurrence]) -> Option<Cause<'l>> {
    let stories = stories(problems);
    let story = last_story(&stories)?;
    let panic = story.iter().copied().find(|known| known.event.kind == Kind::Panic);
    let main = match panic {
        Some(panic) => behind_panic(panic, story),
        None => first_cause(story)?,
    };
    let main = behind_exception(main, story).unwrap_or(main);
    let others = problems.len().saturating_sub(story.len());
    Some(Cause { main, story: story.clone(), others, oops_before: oops_before(main, problems), request: None })
}

/// The last exception before a report of something that hangs.
fn oops_before<'l>(main: &Occurrence, problems: &[&'l Occurrence]) -> Option<&'l Occurrence> {
    let is_oops = |known: &&&Occurrence| known.event.kind == Kind::Oops && known.line < main.line;
    problems.iter().rev().filter(|_| hangs(main.event.kind)).find(is_oops).copied()
}

/// The report that says best that somebody asked for a crash.
fn request<'l>(problems: &[&'l Occurrence]) -> Option<&'l Occurrence> {
    let asked = || problems.iter().copied().filter(|known| known.is_asked_for);
    let says_so = |known: &&Occurrence| known.event.panic_reason() == Some(PanicReason::Requested);
    let asks = |known: &&Occurrence| known.event.kind == Kind::CrashRequested;
    asked().find(says_so).or_else(|| asked().find(asks)).or_else(|| asked().next())
}

/// Who asks for a crash has seen trouble: what was reported before it is that, however long before, since the kernel reports
/// hung tasks but ten times (`hung_task_warnings`) and once that a file system went read-only.
fn behind_request<'l>(request: &'l Occurrence, problems: &[&'l Occurrence]) -> Cause<'l> {
    let asked = |kind: Kind| problems.iter().find(|known| known.is_asked_for && known.event.kind == kind);
    let (oops, panic) = (asked(Kind::Oops), asked(Kind::Panic));
    // The crash itself may be warned of. A kernel that outlived the exception goes on, and has trouble of its own.
    let follows = |known: &Occurrence| {
        let after = |crash: Option<&&Occurrence>| crash.is_some_and(|crash| known.line > crash.line);
        known.event.kind != Kind::Panic && (after(panic) || after(oops) && known.weight() < Weight::Failure)
    };
    let is_trouble = |known: &&&Occurrence| known.weight() > Weight::Harmless && !follows(known);
    let trouble: Vec<&Occurrence> = problems.iter().filter(is_trouble).copied().collect();
    match by_itself(&trouble) {
        Some(cause) => Cause { request: Some(request), ..cause },
        None => Cause { main: request, story: problems.to_vec(), others: 0, oops_before: None, request: None },
    }
}

/// Whether two reports are so far apart that they need have nothing to do with each other: by the kernel's own time, or else by
/// the dates before their lines.
fn are_apart(before: &Occurrence, after: &Occurrence) -> bool {
    passed_ns(time_of(before), time_of(after)).is_some_and(|passed| passed > APART_NS)
}

/// A time since boot in nanoseconds, and a date as the second of its year.
pub(super) type Time = (Option<u64>, Option<u32>);

pub(super) const fn time_of(known: &Occurrence) -> Time {
    (known.timestamp_ns, known.second_of_year)
}

/// The nanoseconds between two times, by the kernel's clock, or else by the dates.
pub(super) fn passed_ns(before: Time, after: Time) -> Option<u64> {
    let by_kernel = before.0.zip(after.0).map(|(before, after)| after.saturating_sub(before));
    by_kernel.or_else(|| before.1.zip(after.1).map(|(before, after)| dates_apart(before, after)))
}

/// In nanoseconds.
fn dates_apart(before: u32, after: u32) -> u64 {
    u64::from(seconds_passed(before, after)) * 1_000_000_000
}

/// Reports that are close in time, in the order of the lines.
fn stories<'l>(problems: &[&'l Occurrence]) -> Vec<Vec<&'l Occurrence>> {
    let mut stories: Vec<Vec<&Occurrence>> = Vec::new();
    let mut latest: Option<&Occurrence> = None;
    for &known in problems {
        let is_later = |before: &&Occurrence| known.timestamp_ns >= before.timestamp_ns;
        match stories.last_mut() {
            Some(story) if !latest.is_some_and(|before| are_apart(before, known)) && !is_later_oops(story, known) => {
                story.push(known);
            }
            _ => stories.push(vec![known]),
        }
        // CPUs that print at once may have clocks that differ.
        if known.timestamp_ns.or(known.second_of_year.map(u64::from)).is_some() && latest.is_none_or(|l| is_later(&l)) {
            latest = Some(known);
        }
    }
    stories
}

/// The `1` of `Oops: 0000 [#1] SMP`, in the report's first line or in those below.
fn oops_number(event: &Event) -> Option<u32> {
    std::iter::once(&event.text).chain(&event.details).find_map(|line| vmcore_console::oops_number(line))
}

/// Whether it is an exception long after all that a story has, which only hangs, where nothing tells when any of them was.
fn is_later_oops(story: &[&Occurrence], known: &Occurrence) -> bool {
    let Some(before) = story.iter().map(|before| before.last_line).max() else { return false };
    let is_timed = |known: &Occurrence| known.timestamp_ns.is_some() || known.second_of_year.is_some();
    let is_apart = known.line.saturating_sub(before) > APART_LINES;
    let untimed = !is_timed(known) && !story.iter().any(|before| is_timed(before));
    // What died later of the same trouble is a second exception, or dies in a task that hung.
    let is_first = known.event.kind == Kind::Oops && oops_number(&known.event) == Some(1);
    let is_of_none = |before: &&Occurrence| {
        hangs(before.event.kind) && known.event.pid.is_some() && known.event.pid != before.event.pid
    };
    is_first && is_apart && untimed && story.iter().all(is_of_none)
}

/// The story that ended the machine: the one with the panic, or else the last of those that are worst.
fn last_story<'s, 'l>(stories: &'s [Vec<&'l Occurrence>]) -> Option<&'s Vec<&'l Occurrence>> {
    let has_panic = |story: &&Vec<&Occurrence>| story.iter().any(|known| known.event.kind == Kind::Panic);
    let worst = |story: &Vec<&Occurrence>| story.iter().map(|known| known.weight()).max();
    let highest = stories.iter().filter_map(worst).max()?;
    stories.iter().find(has_panic).or_else(|| stories.iter().rev().find(|story| worst(story) == Some(highest)))
}

/// Kinds that a reason to panic speaks of.
const fn kinds_behind(reason: PanicReason) -> &'static [Kind] {
    match reason {
        PanicReason::SoftLockup => &[Kind::SoftLockup, Kind::HardLockup, Kind::Oops, Kind::UnansweredCall],
        PanicReason::HardLockup => &[Kind::HardLockup, Kind::Oops],
        PanicReason::RcuStall => {
            &[Kind::RcuStall, Kind::RcuStarved, Kind::SoftLockup, Kind::HardLockup, Kind::Oops, Kind::WorkqueueLockup]
        }
        // A machine is stopped from outside because it hangs, and a watchdog that nobody resets is the victim of a hang.
        PanicReason::HungTask | PanicReason::Nmi | PanicReason::Watchdog => &[
            Kind::HungTask,
            Kind::SoftLockup,
            Kind::HardLockup,
            Kind::Oops,
            Kind::WorkqueueLockup,
            Kind::RcuStall,
            Kind::RcuStarved,
        ],
        PanicReason::WorkqueueStall => {
            &[Kind::WorkqueueLockup, Kind::HungTask, Kind::SoftLockup, Kind::HardLockup, Kind::RcuStall, Kind::Oops]
        }
        PanicReason::OutOfMemory => &[Kind::OutOfMemory],
        PanicReason::Oops => &[Kind::Oops],
        PanicReason::Warning | PanicReason::Hardware => &[],
        // "Attempted to kill init!" may be what is left of an exception.
        PanicReason::Other => &[Kind::Oops],
        // See `behind_request`.
        PanicReason::Requested => &[],
    }
}

/// What an exception only passes on: older arm64 kernels call the processor's asynchronous error a `bad mode`.
fn behind_exception<'l>(oops: &Occurrence, story: &[&'l Occurrence]) -> Option<&'l Occurrence> {
    let is_bad_mode = oops.event.kind == Kind::Oops && oops.event.text.contains("bad mode");
    let reports = |known: &&&Occurrence| {
        let above = oops.line.checked_sub(known.line).is_some_and(|lines| lines <= BY_ERROR);
        above && known.event.kind == Kind::Hardware
    };
    story.iter().filter(|_| is_bad_mode).find(reports).copied()
}

/// Whether it is the `BUG_ON()` of the watchdog of work queues (`workqueue.panic_on_stall`), which reports what it
/// found above.
fn is_by_watchdog(known: &Occurrence) -> bool {
    let symbol = known.event.function.as_ref().and_then(|function| function.symbol.as_deref());
    known.event.kind == Kind::Oops && symbol.is_some_and(is_workqueue_watchdog)
}

/// The report that says what the panic does not, or the panic.
fn behind_panic<'l>(panic: &'l Occurrence, story: &[&'l Occurrence]) -> &'l Occurrence {
    let Some(reason) = panic.event.panic_reason() else { return panic };
    let kinds = match reason {
        PanicReason::Oops if story.iter().any(|known| is_by_watchdog(known)) => &[Kind::Oops, Kind::WorkqueueLockup],
        reason => kinds_behind(reason),
    };
    // The watchdog says what it found before it panics; others may only notice afterwards.
    let before: Vec<&Occurrence> = story
        .iter()
        .copied()
        .filter(|known| kinds.contains(&known.event.kind) && known.line <= panic.line.saturating_add(1))
        .filter(|known| known.weight() > Weight::Harmless)
        .collect();
    first_cause(&before).unwrap_or(panic)
}

/// Of reports that are close in time the one that the others follow from.
fn first_cause<'l>(story: &[&'l Occurrence]) -> Option<&'l Occurrence> {
    const ORDER: [Kind; 7] = [
        Kind::HardLockup,
        Kind::UnansweredCall,
        Kind::SoftLockup,
        Kind::RcuStall,
        Kind::RcuStarved,
        Kind::WorkqueueLockup,
        Kind::HungTask,
    ];
    // What was over explains nothing that was not.
    let lasting: Vec<&Occurrence> = story.iter().copied().filter(|known| known.weight() > Weight::Harmless).collect();
    let story = if lasting.is_empty() { story } else { lasting.as_slice() };
    let find = |kind: Kind| story.iter().copied().find(|known| known.event.kind == kind);
    let hang = ORDER.iter().find_map(|kind| find(*kind));
    match (find(Kind::Oops), hang) {
        // What spins after it may spin for what the task held that crashed. A hang that was there before is no victim.
        (Some(oops), Some(hang)) if first_hang(story).is_some_and(|first| first.line < oops.line) => Some(hang),
        (Some(oops), _) => Some(oops),
        (None, Some(hang)) if hang.event.kind == Kind::SoftLockup => Some(not_waiting(story).unwrap_or(hang)),
        (None, Some(hang)) => Some(hang),
        (None, None) => {
            let worst = story.iter().map(|known| known.weight()).max()?;
            let mut of_worst = story.iter().copied().filter(|known| known.weight() == worst);
            // Of what is routine counts how long ago it was last.
            if worst == Weight::Routine { of_worst.next_back() } else { of_worst.next() }
        }
    }
}

fn first_hang<'l>(story: &[&'l Occurrence]) -> Option<&'l Occurrence> {
    story.iter().copied().find(|known| hangs(known.event.kind))
}

const fn hangs(kind: Kind) -> bool {
    kind.is_hang_or_crash() && !matches!(kind, Kind::Oops | Kind::Panic | Kind::CrashRequested)
}

/// The first soft lockup of a CPU that does not itself wait for another one; `None` where all do.
fn not_waiting<'l>(story: &[&'l Occurrence]) -> Option<&'l Occurrence> {
    let lockups = || story.iter().copied().filter(|known| known.event.kind == Kind::SoftLockup);
    let is_placed = |event: &Event| event.function.is_some() || event.caller.is_some();
    lockups().find(|known| is_placed(&known.event) && !waits_for_cpu(&known.event)).filter(|_| {
        // Where the first says nothing of where it is, the first it stays.
        lockups().next().is_some_and(|first| waits_for_cpu(&first.event))
    })
}

/// Whether the CPU waits for another one to answer.
pub(super) fn waits_for_cpu(event: &Event) -> bool {
    symbol(event).is_some_and(leads_to_call)
}

/// Whether the CPU takes no interrupts while it waits for a lock that spins: somebody else does not give that back.
pub(super) fn waits_for_lock(event: &Event) -> bool {
    event.kind == Kind::HardLockup && symbol(event).is_some_and(leads_to_spin_lock)
}

/// The function where a report found a CPU, or else whose callee it was in.
fn symbol(event: &Event) -> Option<&str> {
    event.function.as_ref().or(event.caller.as_deref())?.symbol.as_deref()
}

/// What went wrong before the cause, and may be behind it: hardware, disks, damaged memory; where none of these failed, a
/// control group whose memory ran out, errors that were corrected, and whatever else the kernel warned of. Of what hangs also a
/// task that died in the kernel, however long ago: locks that it held are held for ever.
pub(super) fn before<'l>(cause: &Cause<'l>) -> Option<&'l Occurrence> {
    if cause.oops_before.is_some() {
        return cause.oops_before;
    }
    // Of these panics the reason is named already.
    if matches!(cause.main.event.panic_reason(), Some(PanicReason::Hardware | PanicReason::Warning)) {
        return None;
    }
    let may_cause = |known: &&Occurrence| {
        (Weight::Routine..=Weight::Failure).contains(&known.weight())
            && known.line < cause.main.line
            && known.event.kind != cause.main.event.kind
            && !(cause.main.event.kind == Kind::Hardware && known.event.text.contains("Machine check events logged"))
    };
    let before = cause.story.iter().copied().filter(may_cause);
    // Of equals the first: `max_by_key` takes the last.
    before.rev().max_by_key(|known| known.weight())
}
