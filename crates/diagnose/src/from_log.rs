//! What a kernel log alone tells of a hang.
//!
//! A log has no page tables and no run queues: it shows CPUs that copy to or from user memory, fault, and never come
//! back, but neither what the page-table entry is nor who should have run instead. So nothing here is more than probable.

use vmcore_console::{Event, Interrupted, Log, RegisterDump, Trace};
use vmcore_memory::VirtAddr;

use crate::names::{base_name, is_page_fault_entry};
use crate::neighbours::Death;
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
        "The kernel reported no problem in these {} lines. A machine can hang without a word in its log.",
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
    let cut = |event: &Event| matches!(event, Event::CutLockup { .. });
    !log.lockups().is_empty()
        || log.events.iter().any(|occurrence| cut(&occurrence.event))
        || log.panic().is_some_and(|(message, _)| Death::by_reason(message) == Death::SoftLockup)
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
            first.cpu, first.seconds, first.pid, first.comm
        );
        return Some((summary, issue::SOFT_LOCKUP));
    }
    let kinds: [fn(&Event) -> Option<Named>; 7] = [cut_lockup, hard_lockup, oops, stall, panic, hung, lesser];
    kinds.iter().find_map(|kind| events().find_map(kind))
}

fn cut_lockup(event: &Event) -> Option<Named> {
    let Event::CutLockup { cpu } = event else { return None };
    Some((
        format!("CPU {cpu} was stuck; the line that says for how long and in which task is cut off"),
        issue::SOFT_LOCKUP,
    ))
}

fn hard_lockup(event: &Event) -> Option<Named> {
    let Event::HardLockup { cpu } = event else { return None };
    Some((format!("CPU {cpu} took no interrupts any more"), issue::HARD_LOCKUP))
}

fn oops(event: &Event) -> Option<Named> {
    let Event::Oops(message) = event else { return None };
    Some((format!("The kernel crashed: {message}"), issue::OOPS))
}

fn stall(event: &Event) -> Option<Named> {
    let Event::RcuStall(message) = event else { return None };
    Some((format!("A CPU or task held up RCU: {message}"), issue::RCU_STALL))
}

/// By the watchdog that panicked, where one did: the lines in which it said more come first.
fn panic(event: &Event) -> Option<Named> {
    let Event::Panic(message) = event else { return None };
    let name = match Death::by_reason(message) {
        Death::Requested => {
            return Some(("Somebody asked for the crash, by sysrq-c".to_owned(), issue::CRASH_REQUESTED));
        }
        Death::SoftLockup => issue::SOFT_LOCKUP,
        Death::HardLockup => issue::HARD_LOCKUP,
        Death::RcuStall => issue::RCU_STALL,
        Death::OutOfMemory => issue::OUT_OF_MEMORY,
        Death::Oops => issue::OOPS,
        // Whose task it was, its own line says.
        Death::HungTask => return None,
        Death::None | Death::Other => issue::PANIC,
    };
    Some((format!("The kernel panicked: {message}"), name))
}

fn hung(event: &Event) -> Option<Named> {
    let Event::HungTask { comm, pid, seconds } = event else { return None };
    Some((format!("Task {pid} \"{comm}\" was blocked for more than {seconds} s"), issue::HUNG_TASK))
}

fn lesser(event: &Event) -> Option<Named> {
    match event {
        Event::OutOfMemory(message) => Some((format!("Memory ran out: {message}"), issue::OUT_OF_MEMORY)),
        Event::Panic(message) => Some((format!("The kernel panicked: {message}"), issue::HUNG_TASK)),
        Event::Warning(message) => Some((format!("The kernel warned of itself: {message}"), issue::WARNING)),
        _ => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> LogDiagnosis {
        from_log(&Log::read(text.as_bytes()).unwrap())
    }

    fn report(cpu: u32, address: &str) -> String {
        format!(
            "watchdog: BUG: soft lockup - CPU#{cpu} stuck for 11s! [reader:{pid}]
CPU: {cpu} PID: {pid} Comm: reader Not tainted 4.19.91-19.1.al7.x86_64 #1
Hardware name: a machine
RIP: 0010:__do_page_fault+0x227/0x470
Call Trace:
 do_page_fault+0x32/0x140
 async_page_fault+0x1e/0x30
RIP: 0010:copy_user_enhanced_fast_string+0xe/0x20
RSP: 0018:ffffa38988{cpu}efde8 EFLAGS: 00050206
RAX: 0000000000000090 RBX: ffffa38988{cpu}efea8 RCX: 0000000000000090
RDX: 0000000000000090 RSI: ffffa38988{cpu}efdf8 RDI: {address}
RBP: 0000000000000000 R08: 0000000000000000 R09: 0000000000000000
R10: 0000000000000000 R11: 0000000000000000 R12: 0000000000000000
R13: 0000000000000000 R14: 0000000000000000 R15: 0000000000000000
 _copy_to_user+0x22/0x30
 cp_new_stat+0x13d/0x160
 __se_sys_newfstat+0x2e/0x40
 do_syscall_64+0x5b/0x1b0
 entry_SYSCALL_64_after_hwframe+0x44/0xa9
",
            pid = cpu + 100
        )
    }

    #[test]
    fn two_cpus_that_fault_on_one_huge_page() {
        let found = judge(&(report(1, "000000c000100000") + &report(2, "000000c000100000")));
        assert_eq!(found.verdict.issue, Some(issue::THP_LIVELOCK));
        assert_eq!(found.verdict.confidence, Confidence::Probable);
        assert!(found.verdict.summary.contains("0xc000100000"), "{}", found.verdict.summary);
        let [first, _] = found.copies.as_slice() else { panic!("{:?}", found.copies) };
        assert_eq!((first.cpu, first.pid), (Some(1), Some(101)));
        assert_eq!(first.syscall_function.as_deref(), Some("__se_sys_newfstat"));
        let command = found.remedy.first().and_then(|remedy| remedy.command.as_deref());
        assert_eq!(command, Some("yum install -y kernel-hotfix-5902278-19.1.al7.x86_64"));
    }

    #[test]
    fn each_link_that_is_missing_takes_the_verdict_away() {
        let one = judge(&report(1, "000000c000100000"));
        assert_eq!(one.verdict.issue, Some(issue::SOFT_LOCKUP));
        let apart = judge(&(report(1, "000000c000100000") + &report(2, "000000c000300000")));
        assert_eq!(apart.verdict.issue, Some(issue::SOFT_LOCKUP));
        let both = report(1, "000000c000100000") + &report(2, "000000c000100000");
        let no_lockup = judge(&both.replace("BUG: soft lockup", "something else"));
        assert_eq!(no_lockup.verdict.confidence, Confidence::Possible);
        assert!(no_lockup.verdict.summary.contains("why they were reported is not in the log"));
        let no_fault = judge(&both.replace("async_page_fault", "other_function"));
        assert_eq!(no_fault.verdict.issue, Some(issue::SOFT_LOCKUP));
        let no_copy = judge(&both.replace("copy_user_enhanced_fast_string", "memcpy"));
        assert_eq!(no_copy.verdict.issue, Some(issue::SOFT_LOCKUP));
    }

    #[test]
    fn a_copy_is_known_by_its_caller_where_its_own_line_is_missing() {
        let (rip, code) = ("RIP: 0010:copy_user_enhanced_fast_string+0xe/0x20\n", "000000c000100000");
        let cut = report(1, code).replace(rip, "");
        let found = judge(&(cut.clone() + &report(2, code)));
        assert_eq!(found.verdict.issue, Some(issue::THP_LIVELOCK), "{}", found.verdict.summary);
        assert_eq!(found.copies[0].function, "_copy_to_user");
        let other = judge(&(cut.replace(" _copy_to_user+0x22/0x30", " memcpy+0x22/0x30") + &report(2, code)));
        assert_eq!(other.verdict.issue, Some(issue::SOFT_LOCKUP));
    }

    #[test]
    fn a_log_that_begins_in_the_middle_of_a_report_is_not_healthy() {
        let whole = report(1, "000000c000100000");
        let (_, trace) = whole.split_once("Call Trace:").unwrap();
        let found = judge(&format!("Call Trace:{trace}"));
        assert_eq!((found.verdict.issue, found.verdict.confidence), (None, Confidence::Insufficient));
        assert!(found.verdict.summary.contains("0xc000100000"), "{}", found.verdict.summary);
        let plain = judge("Call Trace:\n f+0x1/0x2\n g+0x1/0x2\n");
        assert_eq!((plain.verdict.issue, plain.verdict.confidence), (None, Confidence::Insufficient));
    }

    #[test]
    fn what_is_no_log_is_not_healthy() {
        assert_eq!(judge("").verdict.confidence, Confidence::Insufficient);
        assert_eq!(judge("hello\nworld\n").verdict.confidence, Confidence::Insufficient);
        assert_eq!(judge("[    1.000000] usb 1-1: new device\n").verdict.confidence, Confidence::None);
    }

    #[test]
    fn other_problems_by_name() {
        let issue = |text: &str| judge(text).verdict.issue;
        assert_eq!(issue("Kernel panic - not syncing: Attempted to kill init!"), Some(issue::PANIC));
        assert_eq!(issue("Kernel panic - not syncing: sysrq triggered crash"), Some(issue::CRASH_REQUESTED));
        for (reason, expected) in [
            ("softlockup: hung tasks", issue::SOFT_LOCKUP),
            ("hung_task: blocked tasks", issue::HUNG_TASK),
            ("RCU Stall", issue::RCU_STALL),
            ("Hard LOCKUP", issue::HARD_LOCKUP),
            ("Fatal exception in interrupt", issue::OOPS),
            ("Out of memory: system-wide panic_on_oom is enabled", issue::OUT_OF_MEMORY),
        ] {
            assert_eq!(issue(&format!("Kernel panic - not syncing: {reason}")), Some(expected), "{reason}");
        }
        assert_eq!(issue("watchdog: BUG: soft lockup - CPU#7 stuck for "), Some(issue::SOFT_LOCKUP));
        assert_eq!(issue("BUG: workqueue lockup - pool cpus=1 stuck for 40s!"), Some(issue::WARNING));
        let hung =
            "INFO: task a:1 blocked for more than 120 seconds.\nKernel panic - not syncing: hung_task: blocked tasks";
        assert!(judge(hung).verdict.summary.starts_with("Task 1 \"a\""));
        assert_eq!(issue("INFO: task a:1 blocked for more than 120 seconds."), Some(issue::HUNG_TASK));
        assert_eq!(issue("rcu: INFO: rcu_sched self-detected stall on CPU"), Some(issue::RCU_STALL));
        assert_eq!(
            issue("BUG: kernel NULL pointer dereference, address: 0\nKernel panic - not syncing: Fatal"),
            Some(issue::OOPS)
        );
        assert_eq!(issue("NMI watchdog: Watchdog detected hard LOCKUP on cpu 3"), Some(issue::HARD_LOCKUP));
        assert_eq!(issue("WARNING: CPU: 1 PID: 2 at mm/x.c:1 f+0x1/0x2"), Some(issue::WARNING));
    }
}
