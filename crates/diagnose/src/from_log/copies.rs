//! CPUs that fault in a copy between kernel and user memory: what the log shows of the huge-page livelock.
//!
//! In the livelock the fault is retried: the interrupted function is the fault's own code, or the one that looks at the
//! migration entry. What stands between the entry of the fault and the interrupted function decides: a CPU that waits there
//! for a lock or for other CPUs, or that makes room for a huge page, faults once and waits.

use std::collections::BTreeSet;

use vmcore_console::{Interrupted, Log, RegisterDump, Trace};
use vmcore_memory::{PhysAddr, VirtAddr};

use crate::arch::x86_64::is_page_fault;
use crate::names::base_name;
use crate::within_fault;

/// A huge page on x86-64, in bytes.
pub(super) const HUGE_PAGE: u64 = 2 << 20;

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
    /// What it waits for within the fault, which speaks against the fault being retried: a function, untrusted.
    pub waits_in: Option<String>,
    /// What it does within the fault that a retried one does not, so that the fault may only take long: a function, untrusted.
    pub works_in: Option<String>,
    /// The physical address of the page tables that the CPU used (CR3); `None` where the report does not show it.
    pub page_tables: Option<PhysAddr>,
    /// How sure it is that the lines of this report belong together, 0 to 1.
    pub attribution: f32,
}

/// One for each CPU, or report where the CPU is not known: a CPU that reports a lockup and then panics shows the same
/// copy twice.
pub(super) fn copies(log: &Log) -> Vec<FaultingCopy> {
    let mut copies: Vec<FaultingCopy> = Vec::new();
    for copy in log.traces.iter().filter_map(copy) {
        let same = |known: &FaultingCopy| known.cpu.is_some() && known.cpu == copy.cpu;
        if !copies.iter().any(same) {
            copies.push(copy);
        }
    }
    copies
}

/// The largest group of copies that are retried within one huge page.
pub(super) fn most_on_one_page(copies: &[FaultingCopy]) -> Vec<&FaultingCopy> {
    let page = |copy: &FaultingCopy| copy.address.get() / HUGE_PAGE;
    let retried = || copies.iter().filter(|copy| copy.waits_in.is_none());
    let groups = retried().map(|first| retried().filter(|copy| page(copy) == page(first)).collect::<Vec<_>>());
    // The first of the largest.
    groups.fold(Vec::new(), |largest, group| if group.len() > largest.len() { group } else { largest })
}

/// Whether two of them may be of one process: others need not have a page in common.
pub(super) fn may_share_process(copies: &[&FaultingCopy]) -> bool {
    let known: BTreeSet<_> = copies.iter().filter_map(|copy| copy.page_tables).map(PhysAddr::get).collect();
    known.len() < copies.len()
}

/// CR3 without the address space's number (PCID) and the flag beside it.
fn page_tables(registers: &RegisterDump) -> Option<PhysAddr> {
    const TABLES: u64 = 0x000f_ffff_ffff_f000;
    registers.values.get("cr3").map(|cr3| PhysAddr::new(cr3 & TABLES))
}

/// The copy that a report shows: under a page fault, between two of them, or with the lines above it missing.
fn copy(trace: &Trace) -> Option<FaultingCopy> {
    if trace.is_of_another_task() {
        return None;
    }
    let found = copy_under_fault(trace).or_else(|| copy_between_faults(trace)).or_else(|| copy_below_registers(trace));
    let (function, address) = found?;
    let within = within_fault(trace);
    let owned = |function: Option<&str>| function.map(str::to_owned);
    Some(FaultingCopy {
        cpu: trace.cpu,
        pid: trace.pid,
        comm: trace.comm.clone(),
        function,
        address,
        syscall_function: syscall_function(trace),
        waits_in: owned(within_fault::waits_in(within.iter().copied())),
        works_in: owned(within_fault::other_work(within.iter().copied())),
        page_tables: trace.registers.as_ref().and_then(page_tables),
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
    begins_with_fault(trace, interrupted.before_frame)
}

/// Whether the outermost of the frames before this one is the entry of a page fault.
fn begins_with_fault(trace: &Trace, before: usize) -> bool {
    let reliable = trace.frames.iter().take(before).rev().map(|frame| &frame.frame).filter(|frame| frame.reliable);
    let mut symbols = reliable.map(|frame| frame.location.symbol.as_deref());
    let entry = symbols.next().flatten();
    entry.is_some_and(|entry| is_page_fault(entry, symbols.flatten()))
}

/// What runs within the fault, from its entry inwards; nothing where the copy is not under one.
fn within_fault(trace: &Trace) -> Vec<&str> {
    let is_entry = |index: &usize| {
        let frame = trace.frames.get(*index).filter(|frame| frame.frame.reliable);
        frame.is_some_and(|_| begins_with_fault(trace, index + 1))
    };
    let Some(entry) = (0..trace.frames.len()).find(is_entry) else { return Vec::new() };
    let of_task = |stack: Option<&str>| !matches!(stack, Some("IRQ" | "NMI" | "SOFTIRQ"));
    let inside = trace.frames.iter().take(entry).rev();
    let inside = inside.filter(|frame| frame.frame.reliable && of_task(frame.stack.as_deref()));
    let inside = inside.filter_map(|frame| frame.frame.location.symbol.as_deref());
    let registers = trace.registers.as_ref().and_then(|registers| registers.location.as_ref()?.symbol.as_deref());
    inside.chain(registers).collect()
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
