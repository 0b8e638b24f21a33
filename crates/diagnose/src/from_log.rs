//! What a kernel log alone tells of a hang.
//!
//! A log has no page tables and no run queues: it shows CPUs that copy to or from user memory, fault, and never come
//! back, but neither what the page-table entry is nor who should have run instead. So nothing here is more than probable.

#[cfg(test)]
mod tests;

use vmcore_console::{Event, Interrupted, Kind, Log, PanicReason, RegisterDump, Trace};
use vmcore_memory::VirtAddr;

use crate::names::{base_name, is_page_fault_entry};
use crate::{Confidence, KnownIssue, Remedy, Verdict, issue, known_issues};

/// A huge page on x86-64, in bytes.
const HUGE_PAGE: u64 = 2 << 20;

/// A CPU whose report shows that a copy between kernel and user memory faulted.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultingCopy {
    /// The CPU; `None` where the lines that name it are missing.
    pub cpu: Option<u32>,
    /// The task's thread id.
    pub pid: Option<i32>,
    /// Its name: untrusted.
    pub comm: Option<String>,
    /// The function that copies, such as `copy_user_enhanced_fast_string`.
    pub function: String,
    /// The user address that it had come to.
    pub address: VirtAddr,
    /// The system call's function, such as `__se_sys_newfstat`: untrusted.
    pub syscall_function: Option<String>,
    /// How sure it is that the lines of this report belong together, 0 to 1.
    pub attribution: f32,
}

/// What a log tells.
#[derive(Clone, Debug, PartialEq)]
pub struct LogDiagnosis {
    /// The answer: at most probable.
    pub verdict: Verdict,
    /// The copies that fault, one for each CPU, in the order of the log.
    pub copies: Vec<FaultingCopy>,
    /// What a log cannot show, and what of this one could not be told.
    pub unknown: Vec<String>,
    /// The known bug that it looks like.
    pub known_issue: Option<KnownIssue>,
    /// What to do, most effective first.
    pub remedy: Vec<Remedy>,
}

/// Judges a log.
#[must_use]
pub fn from_log(log: &Log) -> LogDiagnosis {
    let copies = copies(log);
    let verdict = verdict(log, &copies);
    let is_livelock = verdict.issue == Some(issue::THP_LIVELOCK);
    let release = log.machine.release.as_deref();
    let name = verdict.issue.unwrap_or_default();
    LogDiagnosis {
        unknown: unknown(log, is_livelock),
        known_issue: known_issues::known_issue(name, release, None),
        remedy: known_issues::remedies(name, release, None),
        verdict,
        copies,
    }
}

/// One for each CPU, or report where the CPU is not known: a CPU that reports a lockup and then panics shows the same
/// copy twice.
fn copies(log: &Log) -> Vec<FaultingCopy> {
    let mut copies: Vec<FaultingCopy> = Vec::new();
    for copy in log.traces.iter().filter_map(copy) {
        let same = |known: &FaultingCopy| known.cpu.is_some() && known.cpu == copy.cpu;
        if !copies.iter().any(same) {
            copies.push(copy);
        }
    }
    copies
}

/// The copy that a report shows: under a page fault, between two of them, or with the lines above it missing.
fn copy(trace: &Trace) -> Option<FaultingCopy> {
    if trace.is_of_another_task() {
        return None;
    }
    let found = copy_under_fault(trace).or_else(|| copy_between_faults(trace)).or_else(|| copy_below_registers(trace));
    let (function, address) = found?;
    Some(FaultingCopy {
        cpu: trace.cpu,
        pid: trace.pid,
        comm: trace.comm.clone(),
        function,
        address,
        syscall_function: syscall_function(trace),
        attribution: trace.attribution,
    })
}

/// The registers that follow the fault's entry code are those of the copy.
fn copy_under_fault(trace: &Trace) -> Option<(String, VirtAddr)> {
    trace.interrupted.iter().filter(|interrupted| is_under_fault(trace, interrupted)).find_map(|interrupted| {
        let registers = &interrupted.registers;
        Some((copy_function(registers)?, user_side(registers)?))
    })
}

/// The interrupt found the CPU in the copy itself, at the address of its last fault (CR2).
fn copy_between_faults(trace: &Trace) -> Option<(String, VirtAddr)> {
    let registers = trace.registers.as_ref()?;
    let function = copy_function(registers)?;
    let fault = registers.user_address("cr2")?;
    let ends = ["rdi", "rsi", "rcx", "rax"];
    ends.iter().any(|register| registers.user_address(register) == Some(fault)).then_some((function, fault))
}

/// Where the log begins below the line that names the copy's function: registers of kernel code, right above its caller,
/// which does nothing but copy.
fn copy_below_registers(trace: &Trace) -> Option<(String, VirtAddr)> {
    trace.interrupted.iter().find_map(|interrupted| {
        let registers = &interrupted.registers;
        let caller =
            trace.frames.get(interrupted.before_frame).map(|frame| &frame.frame).filter(|frame| frame.reliable)?;
        let caller = caller.location.symbol.as_deref().filter(|symbol| copies_user(symbol))?;
        let in_kernel = registers.location.is_none() && registers.user_mode == Some(false);
        Some((caller.to_owned(), user_side(registers).filter(|_| in_kernel)?))
    })
}

/// The function, where it is kernel code that copies to or from user memory.
fn copy_function(registers: &RegisterDump) -> Option<String> {
    let symbol = registers.location.as_ref()?.symbol.as_deref()?;
    (registers.user_mode == Some(false) && copies_user(symbol)).then(|| symbol.to_owned())
}

fn is_under_fault(trace: &Trace, interrupted: &Interrupted) -> bool {
    let before = trace.frames.iter().take(interrupted.before_frame).rev();
    let entry = before.map(|frame| &frame.frame).find(|frame| frame.reliable);
    entry.and_then(|frame| frame.location.symbol.as_deref()).is_some_and(is_page_fault_entry)
}

/// Copies to and from user memory by their names over time: `arch/x86/lib/copy_user_64.S`, `usercopy_64.c`,
/// `getuser.S`, `putuser.S`.
fn copies_user(symbol: &str) -> bool {
    const STARTS: [&str; 9] = [
        "copy_user_",
        "rep_movs_alternative",
        "rep_stos_alternative",
        "__copy_user_",
        "_copy_to_user",
        "_copy_from_user",
        "clear_user_",
        "__get_user_",
        "__put_user_",
    ];
    let base = base_name(symbol);
    STARTS.iter().any(|start| base.starts_with(start)) || base == "strncpy_from_user" || base == "strnlen_user"
}

/// Of a copy's two ends the one in user memory: it goes from RSI to RDI. The single accesses of `__get_user_*` and
/// `__put_user_*` have their address in RAX and RCX.
fn user_side(registers: &RegisterDump) -> Option<VirtAddr> {
    ["rdi", "rsi", "rcx", "rax"].iter().find_map(|register| registers.user_address(register))
}

/// The function right under the dispatch of system calls.
fn syscall_function(trace: &Trace) -> Option<String> {
    let symbols: Vec<&str> = trace
        .frames
        .iter()
        .filter(|frame| frame.frame.reliable)
        .filter_map(|frame| frame.frame.location.symbol.as_deref())
        .collect();
    let dispatch = symbols.iter().position(|symbol| matches!(base_name(symbol), "do_syscall_64" | "x64_sys_call"))?;
    symbols.get(dispatch.checked_sub(1)?).map(|symbol| (*symbol).to_owned())
}

fn verdict(log: &Log, copies: &[FaultingCopy]) -> Verdict {
    let locked_up = is_locked_up(log);
    let together = most_on_one_page(copies);
    if locked_up && together.len() >= 2 {
        return livelock(&together, Confidence::Probable);
    }
    if let Some((summary, name)) = worst(log) {
        let also = if locked_up && !copies.is_empty() {
            " It was copying to or from user memory and faulting: it may be the huge-page livelock, which one CPU's \
             report does not show."
        } else {
            ""
        };
        let summary = format!("{summary}.{also}");
        return Verdict { issue: Some(name), confidence: Confidence::Probable, summary };
    }
    // A report that nothing in the log explains is no sign of health: its first lines are missing.
    if together.len() >= 2 {
        return livelock(&together, Confidence::Possible);
    }
    let reports = log.traces.iter().filter(|trace| trace.has_state()).count();
    if reports > 0 {
        return Verdict { issue: None, confidence: Confidence::Insufficient, summary: headless(reports, copies) };
    }
    if log.extent.kernel_lines == 0 {
        let summary = "This is no kernel log: no line of it looks like one of the kernel's.".to_owned();
        return Verdict { issue: None, confidence: Confidence::Insufficient, summary };
    }
    let summary = format!(
        "No lockup, panic, oops, hung task, stall or warning is reported in {} lines. A machine can hang without a word in \
         its log.",
        log.extent.lines
    );
    Verdict { issue: None, confidence: Confidence::None, summary }
}

/// Reports without the lines that say what they are about.
fn headless(reports: usize, copies: &[FaultingCopy]) -> String {
    let what = if reports == 1 { "is 1 report of a CPU".to_owned() } else { format!("are {reports} reports of CPUs") };
    let copy = copies.first().map(|copy| {
        format!(
            " One shows a CPU that faults in a copy at the user address {:#x}: it may be the huge-page livelock.",
            copy.address
        )
    });
    format!(
        "There {what} here, but the lines that say why the kernel printed them are missing.{}",
        copy.unwrap_or_default()
    )
}

/// Whether the watchdog said that a CPU is locked up.
fn is_locked_up(log: &Log) -> bool {
    let says = |event: &Event| event.kind == Kind::SoftLockup || event.panic_reason() == Some(PanicReason::SoftLockup);
    log.events.iter().any(|occurrence| says(&occurrence.event))
}

/// The largest group of copies that fault within one huge page.
fn most_on_one_page(copies: &[FaultingCopy]) -> Vec<&FaultingCopy> {
    let page = |copy: &FaultingCopy| copy.address.get() / HUGE_PAGE;
    let groups = copies.iter().map(|first| copies.iter().filter(|copy| page(copy) == page(first)).collect::<Vec<_>>());
    // The first of the largest.
    groups.fold(Vec::new(), |largest, group| if group.len() > largest.len() { group } else { largest })
}

fn livelock(copies: &[&FaultingCopy], confidence: Confidence) -> Verdict {
    let first = copies.first().map_or(VirtAddr::new(0), |copy| copy.address);
    let same = copies.iter().all(|copy| copy.address == first);
    let place = match same {
        true => format!("at the same user address {first:#x}"),
        false => {
            let start = VirtAddr::new(first.get() / HUGE_PAGE * HUGE_PAGE);
            format!("in the same 2 MiB of user memory at {start:#x}")
        }
    };
    let lockup = if confidence >= Confidence::Probable {
        "and the watchdog found a CPU locked up"
    } else {
        "and why they were reported is not in the log"
    };
    let summary = format!(
        "{} CPUs fault again and again in copies {place}, {lockup}: that is how CPUs look that wait for a huge page whose \
         splitter cannot run. Who splits it, a log does not show.",
        copies.len()
    );
    Verdict { issue: Some(issue::THP_LIVELOCK), confidence, summary }
}

/// A problem in words, and its stable name.
type Named = (String, &'static str);

/// The most serious thing that the kernel reported, in words, with its stable name. Of equals the first.
fn worst(log: &Log) -> Option<Named> {
    let events = || log.events.iter().map(|occurrence| &occurrence.event);
    let lockups = log.lockups();
    if let Some(first) = lockups.first() {
        let more = if lockups.len() > 1 { format!(" (and {} more CPUs)", lockups.len() - 1) } else { String::new() };
        let summary = format!(
            "CPU {} was stuck for {} s{more}: pid {} \"{}\" would not give it up",
            first.cpu().unwrap_or_default(),
            first.seconds.unwrap_or_default(),
            first.pid.unwrap_or_default(),
            first.comm.as_deref().unwrap_or_default()
        );
        return Some((summary, issue::SOFT_LOCKUP));
    }
    let kinds = [Kind::SoftLockup, Kind::HardLockup, Kind::Oops, Kind::RcuStall, Kind::Panic, Kind::HungTask];
    let serious = kinds.iter().find_map(|kind| {
        events().find(|event| event.kind == *kind && event.panic_reason() != Some(PanicReason::HungTask))
    });
    serious.or_else(|| events().find(|event| event.kind.is_problem())).map(named)
}

fn named(event: &Event) -> Named {
    let text = &event.text;
    match event.kind {
        Kind::SoftLockup => (
            format!(
                "CPU {} was stuck; the line that says for how long and in which task is cut off",
                event.cpu().unwrap_or_default()
            ),
            issue::SOFT_LOCKUP,
        ),
        Kind::HardLockup => {
            (format!("CPU {} took no interrupts any more", event.cpu().unwrap_or_default()), issue::HARD_LOCKUP)
        }
        Kind::Oops => (format!("The kernel crashed: {text}"), issue::OOPS),
        Kind::RcuStall | Kind::RcuStarved => (format!("A CPU or task held up RCU: {text}"), issue::RCU_STALL),
        Kind::Panic => match event.panic_reason() {
            Some(PanicReason::Requested) => {
                ("Somebody asked for the crash, by sysrq-c".to_owned(), issue::CRASH_REQUESTED)
            }
            reason => (format!("The kernel panicked: {text}"), panic_issue(reason)),
        },
        Kind::CrashRequested => ("Somebody asked for the crash, by sysrq-c".to_owned(), issue::CRASH_REQUESTED),
        Kind::HungTask => {
            let comm = event.comm.as_deref().unwrap_or_default();
            let (pid, seconds) = (event.pid.unwrap_or_default(), event.seconds.unwrap_or_default());
            (format!("Task {pid} \"{comm}\" was blocked for more than {seconds} s"), issue::HUNG_TASK)
        }
        Kind::OutOfMemory | Kind::CgroupOutOfMemory => (format!("Memory ran out: {text}"), issue::OUT_OF_MEMORY),
        _ => (format!("The kernel warned of itself: {text}"), issue::WARNING),
    }
}

fn panic_issue(reason: Option<PanicReason>) -> &'static str {
    match reason {
        Some(PanicReason::SoftLockup) => issue::SOFT_LOCKUP,
        Some(PanicReason::HardLockup) => issue::HARD_LOCKUP,
        Some(PanicReason::RcuStall) => issue::RCU_STALL,
        Some(PanicReason::OutOfMemory) => issue::OUT_OF_MEMORY,
        Some(PanicReason::Oops) => issue::OOPS,
        Some(PanicReason::HungTask) => issue::HUNG_TASK,
        _ => issue::PANIC,
    }
}

fn unknown(log: &Log, is_livelock: bool) -> Vec<String> {
    let mut unknown = Vec::new();
    if is_livelock {
        unknown.push(
            "who splits the huge page and why it cannot run: that needs the run queues and page tables of a dump \
             (`vmcore-thp analyze`)"
                .to_owned(),
        );
    }
    let unnamed = log.traces.iter().filter(|trace| trace.cpu.is_none() && trace.has_state()).count();
    let mut count = |number: u64, what: &str| {
        if number > 0 {
            unknown.push(format!("{number} {what}"));
        }
    };
    count(
        log.extent.lines_of_other_boots,
        "lines of other boots than the one that this is about: the last with a problem, or else the last",
    );
    count(unnamed as u64, "reports whose CPU is not known: the lines that name it are missing");
    count(log.extent.unattributed_lines, "lines of reports that fit no CPU's report");
    count(log.extent.cut_lines, "lines that were too long and were cut");
    count(log.extent.dropped_traces, "reports beyond the first 4096");
    count(log.extent.dropped_events, "events beyond the first 4096");
    unknown
}
