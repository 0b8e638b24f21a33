//! A report in words: who, where, for how long.

use vmcore_console::{Event, Kind, Location, PanicReason};

use super::cause::{Cause, waits_for_cpu, waits_for_lock};
use crate::describe::OF_NMI;

/// More CPUs than these are only counted.
const MAX_NAMED: usize = 4;

/// ` "comm"` and the like of a task: `pid 12 "name"`.
pub(super) fn task(event: &Event) -> Option<String> {
    match (event.pid, &event.comm) {
        (Some(pid), Some(comm)) => Some(format!("pid {pid} \"{comm}\"")),
        (Some(pid), None) => Some(format!("pid {pid}")),
        (None, Some(comm)) => Some(format!("\"{comm}\"")),
        (None, None) => None,
    }
}

/// `function [module]`, or whose callee it was.
pub(super) fn place(event: &Event) -> Option<String> {
    let called =
        || event.caller.as_deref().and_then(named).map(|caller| format!("an unknown function that {caller} called"));
    event.function.as_ref().and_then(named).or_else(called)
}

fn named(function: &Location) -> Option<String> {
    let symbol = function.symbol.as_deref()?;
    Some(match &function.module {
        Some(module) => format!("{symbol} [{module}]"),
        None => symbol.to_owned(),
    })
}

/// `CPU 3`, `CPUs 9 and 11`.
pub(super) fn cpus(event: &Event) -> Option<String> {
    match event.cpus.as_slice() {
        [] => None,
        [cpu] => Some(format!("CPU {cpu}")),
        [named @ .., last] if named.len() < MAX_NAMED => {
            let named: Vec<String> = named.iter().map(u32::to_string).collect();
            Some(format!("CPUs {} and {last}", named.join(", ")))
        }
        many => {
            let named: Vec<String> = many.iter().take(MAX_NAMED).map(u32::to_string).collect();
            Some(format!("CPUs {} and {} more", named.join(", "), many.len().saturating_sub(MAX_NAMED)))
        }
    }
}

/// ` on CPU 2 in pid 1411 "nfsd", in cache_put [demo]`, as far as it is known.
fn who_and_where(event: &Event) -> String {
    let cpu = cpus(event).map(|cpu| format!(" on {cpu}")).unwrap_or_default();
    let task = task(event).map(|task| format!(" in {task}")).unwrap_or_default();
    let place = place(event).map(|place| format!(", in {place}")).unwrap_or_default();
    format!("{cpu}{task}{place}")
}

/// One report, shortly: for the time line.
pub(super) fn short(event: &Event) -> String {
    let text = &event.text;
    match event.kind {
        Kind::SoftLockup => {
            let cpu = cpus(event).unwrap_or_else(|| "a CPU".to_owned());
            let seconds = event.seconds.map(|seconds| format!(" for {seconds} s")).unwrap_or_default();
            let task = task(event).map(|task| format!(" in {task}")).unwrap_or_default();
            let place = place(event).map(|place| format!(", {place}")).unwrap_or_default();
            format!("{cpu} stuck{seconds}{task}{place}")
        }
        Kind::HardLockup => {
            let cpu = cpus(event).unwrap_or_else(|| "a CPU".to_owned());
            let task = task(event).map(|task| format!(" in {task}")).unwrap_or_default();
            let place = place(event).map(|place| format!(", {place}")).unwrap_or_default();
            format!("{cpu} takes no interrupts{task}{place}")
        }
        Kind::RcuStall | Kind::RcuStarved => stall(event),
        Kind::HungTask => hung(event),
        Kind::UnansweredCall => unanswered(event),
        Kind::Panic => format!("panic: {text}{}", who_and_where(event)),
        Kind::Task | Kind::Backtrace | Kind::StateShown | Kind::CutHere => text.clone(),
        Kind::Oops => {
            // An address in the text says enough; the number of the oops does not.
            format!("{text}{}", who_and_where(event))
        }
        _ => format!("{text}{}", who_and_where(event)),
    }
}

fn stall(event: &Event) -> String {
    let blocked = event.blocked_tasks();
    let is_blocked = |pid: i32| blocked.contains(&pid);
    // What runs on the CPU, and those that were preempted and run on none.
    let running = task(event).filter(|_| !event.pid.is_some_and(is_blocked));
    let on_cpus = match (cpus(event), running) {
        (Some(cpus), Some(task)) => Some(format!("{cpus}, {task},")),
        (cpus, task) => cpus.or(task),
    };
    let named = |pid: &i32| task(event).filter(|_| event.pid == Some(*pid)).unwrap_or_else(|| format!("pid {pid}"));
    let mut who: Vec<String> = on_cpus.into_iter().chain(blocked.iter().take(MAX_NAMED).map(named)).collect();
    let unnamed = blocked.len().saturating_sub(MAX_NAMED);
    if unnamed > 0 {
        who.push(format!("{unnamed} other tasks"));
    }
    let is_plural = event.cpus.len() > 1 || who.len() > 1;
    let who = match who.as_slice() {
        [] => return format!("a CPU or task holds up RCU: {}", event.text),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ").trim_end_matches(',')),
    };
    let verb = if is_plural { "hold" } else { "holds" };
    let verb = if event.kind == Kind::RcuStarved {
        "keeps the thread waiting that ends the grace periods of".to_owned()
    } else {
        format!("{verb} up")
    };
    let passed = match event.jiffies {
        Some(jiffies) if event.is_short_stall() => {
            format!(" for {jiffies} jiffies (at most {} ms)", jiffies.saturating_mul(10))
        }
        Some(jiffies) => format!(" for {jiffies} jiffies"),
        None => String::new(),
    };
    let place = place(event).map(|place| format!(", in {place}")).unwrap_or_default();
    let by = event.details.iter().find(|detail| detail.starts_with("detected by ")).map(|by| format!(" ({by})"));
    format!("{who} {verb} RCU{passed}{place}{}", by.unwrap_or_default())
}

fn unanswered(event: &Event) -> String {
    let cpu = cpus(event).unwrap_or_else(|| "a CPU".to_owned());
    let by = event.details.first().map_or("another CPU", String::as_str);
    let seconds = event.seconds.map(|seconds| format!(" for {seconds} s")).unwrap_or_default();
    format!("{cpu} does not run what {by} has waited{seconds} for it to run")
}

fn hung(event: &Event) -> String {
    let task = task(event).unwrap_or_else(|| "a task".to_owned());
    let seconds = event.seconds.unwrap_or_default();
    let place = place(event).map(|place| format!(", in {place}")).unwrap_or_default();
    let owner = event.details.first().map(|owner| format!(", for what is {owner}")).unwrap_or_default();
    format!("{task} was blocked for more than {seconds} s{place}{owner}")
}

/// The answer in a sentence or two.
pub(super) fn summary(cause: &Cause<'_>) -> String {
    let event = &cause.main.event;
    match event.kind {
        Kind::SoftLockup => soft_lockup(cause, event),
        Kind::HardLockup => hard_lockup(cause, event),
        Kind::HungTask => hung_tasks(cause, event),
        Kind::RcuStall | Kind::RcuStarved => {
            // It is reported again and again as long as it lasts.
            let jiffies = cause.again(event).filter_map(|known| known.jiffies).max();
            capital(&stall(&Event { jiffies, ..event.clone() }))
        }
        _ if cause.main.is_asked_for => capital(request(&cause.main.event)),
        Kind::Oops => format!("The kernel crashed{}: {}", who_and_where(event), event.text),
        Kind::Panic => panic(cause, event),
        Kind::UnansweredCall => {
            let latest = cause.of(event.kind).filter(|known| known.cpus == event.cpus).last();
            capital(&unanswered(latest.unwrap_or(event)))
        }
        Kind::WorkqueueLockup => {
            let pool = cpus(event).map(|cpus| format!(" of {cpus}")).unwrap_or_default();
            let busy = place(event).map(|place| format!("; a worker of it is in {place}")).unwrap_or_default();
            format!(
                "Work is queued and not begun: a pool of workers{pool} was stuck for {} s{busy}",
                longest(cause, event).unwrap_or_default()
            )
        }
        Kind::OutOfMemory => format!("Memory ran out: {}", event.text),
        Kind::CgroupOutOfMemory => format!("The memory of a control group ran out: {}", event.text),
        Kind::AllocationFailure if event.is_allocation_loop() => {
            format!(
                "A file system asks for memory again and again and gets none{}: {}",
                who_and_where(event),
                event.text
            )
        }
        Kind::AllocationFailure => {
            format!("A page allocation failed{}: {}", who_and_where(event), event.text)
        }
        Kind::IoError | Kind::Filesystem | Kind::IoTimeout | Kind::NetTimeout => devices(cause, event),
        Kind::InitStopped => format!("The first process crashed or gave up, and does nothing any more: {}", event.text),
        Kind::Hardware if cause.main.is_of_boot_before && event.is_polled_machine_check() => {
            format!("A bank of the processor held an error from before the kernel started: {}", event.text)
        }
        Kind::Hardware if cause.main.is_of_boot_before => {
            format!(
                "Hardware had reported an error, by the firmware's record that the next boot printed: {}",
                event.text
            )
        }
        Kind::Hardware if event.is_unknown_nmi() => {
            format!("An NMI of unknown reason came, from hardware or from somebody who asked for it: {}", event.text)
        }
        Kind::Hardware => format!("Hardware reports an error{}: {}", hardware(event), event.text),
        Kind::CorrectedHardware => {
            format!("Hardware reports errors that it corrected{}: {}", hardware(event), event.text)
        }
        Kind::Corruption => format!("The kernel found damaged memory{}: {}", who_and_where(event), event.text),
        Kind::Sanitizer => {
            format!("The kernel detected an invalid memory access{}: {}", who_and_where(event), event.text)
        }
        Kind::Lockdep => format!("The kernel detected incorrect locking{}: {}", who_and_where(event), event.text),
        _ => format!("The kernel issued a warning{}: {}", who_and_where(event), event.text),
    }
}

fn soft_lockup(cause: &Cause<'_>, event: &Event) -> String {
    let cpu = cpus(event).unwrap_or_else(|| "A CPU".to_owned());
    let Some(seconds) = longest(cause, event) else {
        return format!("{cpu} was stuck; the line that says for how long and in which task is cut off");
    };
    if event.pid == Some(0) {
        return format!(
            "{cpu} was stuck for {seconds} s in its idle task: nothing kept it. It was not run, by the host if this is a \
             virtual machine, or by firmware"
        );
    }
    let mut others: Vec<u32> = cause.of(Kind::SoftLockup).filter_map(Event::cpu).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|other| Some(*other) != event.cpu());
    let more = match others.len() {
        0 => String::new(),
        1 => " (and 1 more CPU)".to_owned(),
        count => format!(" (and {count} more CPUs)"),
    };
    let task = task(event).unwrap_or_else(|| "a task that the line does not name".to_owned());
    let place = place(event).map(|place| format!(", in {place}")).unwrap_or_default();
    let waits = if waits_for_cpu(event) { ": it is waiting there for another CPU to respond" } else { "" };
    if let Some(interrupts) = event.details.first() {
        return format!("{cpu} was stuck for {seconds} s{more}: {interrupts}; {task} had it{place}{waits}");
    }
    format!("{cpu} was stuck for {seconds} s{more}: {task} would not give it up{place}{waits}")
}

/// In seconds: the watchdog repeats itself as long as it lasts.
fn longest(cause: &Cause<'_>, event: &Event) -> Option<u64> {
    cause.again(event).filter_map(|known| known.seconds).max()
}

fn hard_lockup(cause: &Cause<'_>, event: &Event) -> String {
    let cpu = cpus(event).unwrap_or_else(|| "A CPU".to_owned());
    let are = if event.cpus.len() > 1 { "are" } else { "is" };
    let task = task(event).map(|task| format!(": {task}")).unwrap_or_default();
    let place = place(event).map(|place| format!(", in {place}")).unwrap_or_default();
    let waits = match event.cpus.len() {
        _ if !waits_for_lock(event) => "",
        0 | 1 => ". It seems to be waiting for a lock itself; who holds that lock, the log does not say",
        _ => ". They seem to be waiting for a lock themselves; who holds that lock, the log does not say",
    };
    let victims = match cause.of(Kind::SoftLockup).count() {
        0 => "",
        _ => ". The CPUs with soft lockups may just be waiting for it",
    };
    format!("{cpu} {are} no longer taking interrupts{task}{place}{waits}{victims}")
}

fn hung_tasks(cause: &Cause<'_>, event: &Event) -> String {
    let mut others: Vec<Option<i32>> =
        cause.of(Kind::HungTask).map(|known| known.pid).filter(|pid| *pid != event.pid).collect();
    others.sort_unstable();
    others.dedup();
    let more = match others.len() {
        0 => String::new(),
        1 => " (and 1 more task)".to_owned(),
        count => format!(" (and {count} more tasks)"),
    };
    let task = match (event.pid, &event.comm) {
        (Some(pid), Some(comm)) => format!("Task {pid} \"{comm}\""),
        _ => "A task".to_owned(),
    };
    let place = place(event).map(|place| format!(", in {place}")).unwrap_or_default();
    let owner = event.details.first().map(|owner| format!(", for what is {owner}")).unwrap_or_default();
    format!("{task} was blocked for more than {} s{more}{place}{owner}", longest(cause, event).unwrap_or_default())
}

fn panic(cause: &Cause<'_>, event: &Event) -> String {
    let who = who_and_where(event);
    let text = &event.text;
    let near = |kinds: &[Kind]| {
        let before = cause.story.iter().rev().filter(|known| known.line <= cause.main.line);
        before.map(|known| &known.event).find(|known| kinds.contains(&known.kind)).cloned()
    };
    match event.panic_reason() {
        Some(PanicReason::Nmi) => format!("The kernel panicked{who} {OF_NMI} ({text})"),
        Some(PanicReason::Watchdog) => {
            format!("The kernel panicked{who}, as no program had reset a watchdog in time: {text}")
        }
        Some(PanicReason::Warning) => {
            let warning = near(&[Kind::Warning, Kind::Sanitizer, Kind::Lockdep, Kind::Corruption]);
            match warning {
                Some(warning) => {
                    format!("The kernel panicked because it issued a warning ({text}): {}", short(&warning))
                }
                None => format!("The kernel panicked because it issued a warning: {text}{who}"),
            }
        }
        Some(PanicReason::Hardware) => {
            let error = near(&[Kind::Hardware, Kind::CorrectedHardware]);
            let which = error.map(|error| hardware(&error)).unwrap_or_default();
            format!("The kernel panicked because of the hardware{which} ({text})")
        }
        _ => format!("The kernel panicked{who}: {text}"),
    }
}

/// `: machine check on CPU 7, bank 0`.
fn hardware(event: &Event) -> String {
    let what = if event.is_machine_check() { "machine check" } else { "error" };
    match (cpus(event), &event.device) {
        (Some(cpu), Some(device)) => format!(": {what} on {cpu}, {device}"),
        (Some(cpu), None) => format!(": {what} on {cpu}"),
        (None, Some(device)) => format!(" ({device})"),
        (None, None) => String::new(),
    }
}

fn devices(cause: &Cause<'_>, event: &Event) -> String {
    // Others may fail for good.
    let worse = cause.of(event.kind).find(|known| event.is_aborted_command() && !known.is_aborted_command());
    let event = worse.unwrap_or(event);
    let what = match event.kind {
        Kind::IoError if event.is_aborted_command() => "A drive answers that it aborted a command",
        Kind::IoError => "Reads or writes fail",
        Kind::Filesystem => "A file system is damaged or was shut down",
        Kind::IoTimeout => "A disk, path, controller or file server does not answer",
        _ => "A network device fails",
    };
    let mut names: Vec<&str> = Vec::new();
    for known in cause.story.iter().filter(|known| known.event.kind == event.kind) {
        names.extend(known.event.device.as_deref().filter(|device| !names.contains(device)));
    }
    let shown = names.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(MAX_NAMED);
    let on = match (names.len(), more) {
        (0, _) => String::new(),
        (_, 0) => format!(" ({shown})"),
        _ => format!(" ({shown} and {more} more)"),
    };
    let file_system = cause.of(Kind::Filesystem).next().filter(|_| event.kind != Kind::Filesystem);
    let then = file_system.map(|known| format!("; then {}", known.text)).unwrap_or_default();
    format!("{what}{on}: {}{then}", event.text)
}

/// That somebody asked for the crash, or what else ended the machine from outside.
pub(super) fn request(event: &Event) -> &'static str {
    match event.panic_reason() {
        Some(PanicReason::Nmi) => "an NMI of unknown origin made the kernel panic",
        Some(PanicReason::Watchdog) => "the kernel panicked, as no program had reset a watchdog in time",
        _ => "somebody asked for the crash, by sysrq-c",
    }
}

pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
