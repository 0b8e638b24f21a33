//! Which of a log's reports says what stopped the machine: the cause before its victims, and what is now before what was.
//!
//! Reports that are far apart in time have nothing to do with each other: a lockup that was over ten days before a machine
//! check is history. Of those that are close, some only follow from others: CPUs wait for one that takes no interrupts,
//! or spin for a lock that the task which crashed held.

use vmcore_console::{Event, Kind, Log, Occurrence, PanicReason};

/// Reports with this much time between them are two stories.
const APART_NS: u64 = 600 * 1_000_000_000;
/// Stalls of fewer ticks were none: a kernel may be built to report an expedited grace period after 20 ms.
pub(super) const SHORT_STALL: u64 = 300;

/// How much a kind of report says of a machine that stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    /// Of no machine that stopped.
    Nothing,
    /// It goes on, but a bug or a bad part showed itself.
    Warning,
    /// Something does not work.
    Failure,
    /// It hangs or crashed.
    Stopped,
}

fn tier(event: &Event) -> Tier {
    match event.kind {
        _ if is_short_stall(event) => Tier::Nothing,
        kind if kind.is_hang_or_crash() => Tier::Stopped,
        Kind::Hardware | Kind::IoError | Kind::Filesystem | Kind::IoTimeout | Kind::NetTimeout => Tier::Failure,
        Kind::OutOfMemory | Kind::Corruption | Kind::Sanitizer => Tier::Failure,
        kind if kind.is_problem() => Tier::Warning,
        _ => Tier::Nothing,
    }
}

/// Whether a stall is over before anybody could notice.
pub(super) fn is_short_stall(event: &Event) -> bool {
    event.kind == Kind::RcuStall && event.jiffies.is_some_and(|jiffies| jiffies < SHORT_STALL)
}

/// An oops this few lines below the request for a crash is the crash.
const BY_SYSRQ: u64 = 4;

/// What stopped the machine, and what belongs to it.
pub(super) struct Cause<'l> {
    /// The report that says it best.
    pub(super) main: &'l Occurrence,
    /// All reports of the same story, in the order of the lines.
    pub(super) story: Vec<&'l Occurrence>,
    /// Reports of other stories: how many.
    pub(super) others: usize,
}

impl<'l> Cause<'l> {
    /// Those of a kind.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = &'l Event> {
        self.story.iter().map(|occurrence| &occurrence.event).filter(move |event| event.kind == kind)
    }
}

/// The cause; `None` where nothing is reported that deserves the name.
pub(super) fn cause(log: &Log) -> Option<Cause<'_>> {
    let problems: Vec<&Occurrence> = log.events.iter().filter(|known| tier(&known.event) > Tier::Nothing).collect();
    let stories = stories(&problems);
    let story = last_story(&stories)?;
    let panic = story.iter().copied().find(|known| known.event.kind == Kind::Panic);
    let main = match panic {
        Some(panic) => behind_panic(panic, story),
        None => first_cause(story)?,
    };
    let others = problems.len().saturating_sub(story.len());
    Some(Cause { main, story: story.clone(), others })
}

/// Reports that are close in time, in the order of the lines.
fn stories<'l>(problems: &[&'l Occurrence]) -> Vec<Vec<&'l Occurrence>> {
    let mut stories: Vec<Vec<&Occurrence>> = Vec::new();
    let mut latest: Option<u64> = None;
    for &known in problems {
        let apart = |now: u64| latest.is_some_and(|before| now.saturating_sub(before) > APART_NS);
        match stories.last_mut() {
            Some(story) if !known.timestamp_ns.is_some_and(apart) => story.push(known),
            _ => stories.push(vec![known]),
        }
        latest = latest.max(known.timestamp_ns);
    }
    stories
}

/// The story that ended the machine: the one with the panic, or else the last of those that are worst.
fn last_story<'s, 'l>(stories: &'s [Vec<&'l Occurrence>]) -> Option<&'s Vec<&'l Occurrence>> {
    let has_panic = |story: &&Vec<&Occurrence>| story.iter().any(|known| known.event.kind == Kind::Panic);
    let worst = |story: &Vec<&Occurrence>| story.iter().map(|known| tier(&known.event)).max();
    let highest = stories.iter().filter_map(worst).max()?;
    stories.iter().find(has_panic).or_else(|| stories.iter().rev().find(|story| worst(story) == Some(highest)))
}

/// Kinds that a reason to panic speaks of.
const fn kinds_behind(reason: PanicReason) -> &'static [Kind] {
    match reason {
        PanicReason::SoftLockup => &[Kind::SoftLockup, Kind::HardLockup, Kind::Oops],
        PanicReason::HardLockup => &[Kind::HardLockup, Kind::Oops],
        PanicReason::RcuStall => {
            &[Kind::RcuStall, Kind::RcuStarved, Kind::SoftLockup, Kind::HardLockup, Kind::Oops, Kind::WorkqueueLockup]
        }
        PanicReason::HungTask => &[
            Kind::HungTask,
            Kind::SoftLockup,
            Kind::HardLockup,
            Kind::Oops,
            Kind::WorkqueueLockup,
            Kind::RcuStall,
            Kind::RcuStarved,
        ],
        PanicReason::OutOfMemory => &[Kind::OutOfMemory],
        PanicReason::Oops => &[Kind::Oops, Kind::CrashRequested],
        PanicReason::Warning | PanicReason::Hardware => &[],
        // "Attempted to kill init!" may be what is left of an exception.
        PanicReason::Other => &[Kind::Oops],
        // Who asks for a crash saw a hang.
        PanicReason::Requested => &[
            Kind::SoftLockup,
            Kind::HardLockup,
            Kind::Oops,
            Kind::RcuStall,
            Kind::RcuStarved,
            Kind::HungTask,
            Kind::WorkqueueLockup,
        ],
    }
}

/// The report that says what the panic does not, or the panic.
fn behind_panic<'l>(panic: &'l Occurrence, story: &[&'l Occurrence]) -> &'l Occurrence {
    let Some(reason) = panic.event.panic_reason() else { return panic };
    let kinds = kinds_behind(reason);
    // The watchdog says what it found before it panics; others may only notice afterwards.
    let before: Vec<&Occurrence> = story
        .iter()
        .copied()
        .filter(|known| kinds.contains(&known.event.kind) && known.line <= panic.line.saturating_add(1))
        .collect();
    first_cause(&before).unwrap_or(panic)
}

/// Of reports that are close in time the one that the others follow from.
fn first_cause<'l>(story: &[&'l Occurrence]) -> Option<&'l Occurrence> {
    const ORDER: [Kind; 7] = [
        Kind::HardLockup,
        Kind::SoftLockup,
        Kind::RcuStall,
        Kind::RcuStarved,
        Kind::WorkqueueLockup,
        Kind::HungTask,
        Kind::CrashRequested,
    ];
    let find = |kind: Kind| story.iter().copied().find(|known| known.event.kind == kind);
    let hang = ORDER.iter().find_map(|kind| find(*kind));
    // Up to 5.9 sysrq-c wrote to address 0.
    let requested = find(Kind::CrashRequested);
    let by_request =
        |oops: &&Occurrence| requested.is_some_and(|asked| (asked.line..=asked.line + BY_SYSRQ).contains(&oops.line));
    let oops = find(Kind::Oops).filter(|oops| !by_request(oops));
    match (oops, hang) {
        // What spins after it may spin for what the task held that crashed. A hang that was there before is no victim.
        (Some(oops), Some(hang)) if first_hang(story).is_some_and(|first| first.line < oops.line) => Some(hang),
        (Some(oops), _) => Some(oops),
        (None, Some(hang)) if hang.event.kind == Kind::SoftLockup => Some(not_waiting(story).unwrap_or(hang)),
        (None, Some(hang)) => Some(hang),
        (None, None) => {
            let worst = story.iter().map(|known| tier(&known.event)).max()?;
            story.iter().copied().find(|known| tier(&known.event) == worst)
        }
    }
}

fn first_hang<'l>(story: &[&'l Occurrence]) -> Option<&'l Occurrence> {
    let hangs =
        |kind: Kind| kind.is_hang_or_crash() && !matches!(kind, Kind::Oops | Kind::Panic | Kind::CrashRequested);
    story.iter().copied().find(|known| hangs(known.event.kind))
}

/// The first soft lockup of a CPU that does not itself wait for another one; `None` where all do.
fn not_waiting<'l>(story: &[&'l Occurrence]) -> Option<&'l Occurrence> {
    let lockups = || story.iter().copied().filter(|known| known.event.kind == Kind::SoftLockup);
    lockups().find(|known| known.event.function.is_some() && !waits_for_cpu(&known.event)).filter(|_| {
        // Where the first says nothing of where it is, the first it stays.
        lockups().next().is_some_and(|first| waits_for_cpu(&first.event))
    })
}

/// Whether the CPU waits for another one to answer.
pub(super) fn waits_for_cpu(event: &Event) -> bool {
    const WAITS: [&str; 6] =
        ["smp_call_function", "on_each_cpu", "flush_tlb", "native_flush_tlb", "csd_lock_wait", "native_send_call_func"];
    let symbol = event.function.as_ref().and_then(|function| function.symbol.as_deref());
    symbol.is_some_and(|symbol| WAITS.iter().any(|start| symbol.starts_with(start)))
}

/// What went wrong before the cause, and may be behind it: hardware, disks, damaged memory.
pub(super) fn before<'l>(cause: &Cause<'l>) -> Option<&'l Occurrence> {
    // Of these panics the reason is named already.
    if matches!(cause.main.event.panic_reason(), Some(PanicReason::Hardware | PanicReason::Warning)) {
        return None;
    }
    let may_cause = |known: &&&Occurrence| {
        matches!(tier(&known.event), Tier::Failure)
            && known.line < cause.main.line
            && known.event.kind != cause.main.event.kind
    };
    cause.story.iter().find(may_cause).copied()
}
