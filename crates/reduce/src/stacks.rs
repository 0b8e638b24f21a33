//! What a task is in the middle of, by its stack.

use std::collections::{BTreeMap, BTreeSet};

use vmcore_diagnose::{is_exception_entry, is_fred_entry};
use vmcore_kernel::{LockKind, Stack, StackEnd, StackFrame};
use vmcore_synth::scenario::{Doing, Under};

/// How code of the kernel is entered and left for another task: a synthetic stack has its own.
const FRAME_OF_ALL: [&str; 22] = [
    "entry_SYSCALL_64_after_hwframe",
    "entry_SYSCALL_64",
    "do_syscall_64",
    "ret_from_fork_asm",
    "ret_from_fork",
    "kthread",
    "schedule",
    "__schedule",
    "__switch_to",
    "__switch_to_asm",
    "secondary_startup_64",
    "common_startup_64",
    "entry_INT80_compat",
    "entry_SYSENTER_compat_after_hwframe",
    "el0t_64_sync",
    "el0t_64_sync_handler",
    "el0_svc",
    "do_el0_svc",
    "el0_svc_common",
    "el0_svc_common.constprop.0",
    "invoke_syscall",
    "__secondary_switched",
];
/// More functions than fit on a synthetic stack.
const MAX_CALLS: usize = 60;

/// A stack in pieces: the task's own code, then each interruption of it, outermost first. In each the functions are
/// outermost first.
pub(crate) struct Pieces {
    pub(crate) own: Vec<String>,
    pub(crate) interruptions: Vec<Vec<String>>,
    /// Whether it was user code that was interrupted.
    pub(crate) user: bool,
}

impl Pieces {
    pub(crate) fn of(stack: &Stack) -> Self {
        let mut cuts: Vec<usize> = stack
            .interrupts
            .iter()
            .filter(|interrupt| !interrupt.registers.user_mode())
            .map(|interrupt| interrupt.frame)
            .filter(|frame| *frame > 0)
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut pieces: Vec<Vec<String>> = Vec::new();
        let mut end = stack.frames.len();
        for start in cuts.into_iter().rev().chain([0]) {
            pieces.push(functions(stack.frames.get(start..end).unwrap_or_default()));
            end = start;
        }
        let own = if pieces.is_empty() { Vec::new() } else { pieces.remove(0) };
        let user = stack.end == StackEnd::UserMode && stack.frames.is_empty();
        Self { own, interruptions: pieces, user }
    }

    /// The functions of the task's own code without the entry into the kernel and the way out of the CPU.
    pub(crate) fn calls(&self) -> Vec<String> {
        plain(&self.own)
    }
}

/// What a task that does not run was in the middle of: all that is on its stack, as if no exception were between.
pub(crate) fn asleep(pieces: &Pieces, page: Option<String>) -> Doing {
    let calls = plain(&[pieces.own.clone(), pieces.interruptions.concat()].concat());
    if calls.is_empty() { Doing::Sleep } else { Doing::Stack { calls, page } }
}

/// The functions of frames, outermost first, without names where there are none.
fn functions(frames: &[StackFrame]) -> Vec<String> {
    frames.iter().rev().filter_map(StackFrame::function).map(str::to_owned).collect()
}

/// Without what a synthetic stack has by itself, and cut to what fits on one.
fn plain(functions: &[String]) -> Vec<String> {
    let is_own = |name: &&String| !FRAME_OF_ALL.contains(&name.as_str()) && !is_entry(name);
    let calls: Vec<_> = functions.iter().filter(is_own).cloned().collect();
    // Each function is made once, and a call of itself is one that its code must have: the innermost matter.
    let skip = calls.len().saturating_sub(MAX_CALLS);
    calls.into_iter().skip(skip).collect()
}

/// Entry code of exceptions, interrupts and NMIs.
pub(crate) fn is_entry(name: &str) -> bool {
    const OTHERS: [&str; 3] = ["asm_exc_nmi", "end_repeat_nmi", "apic_timer_interrupt"];
    // Of arm64: since 5.13, and before.
    const INTERRUPTS: [&str; 5] = ["el1h_64_irq", "el1h_64_fiq", "el1h_64_error", "el1_irq", "el1_fiq"];
    is_exception_entry(name)
        || is_fred_entry(name)
        || ["asm_sysvec_", "asm_common_interrupt"].iter().any(|begin| name.starts_with(begin))
        || OTHERS.contains(&name)
        || INTERRUPTS.contains(&name)
}

/// The modules that functions on a stack are in.
pub(crate) fn note_modules(stack: &Stack, modules: &mut BTreeMap<String, BTreeSet<String>>) {
    for symbol in stack.frames.iter().filter_map(|frame| frame.location.symbol.as_ref()) {
        if let Some(module) = &symbol.module {
            modules.entry(module.clone()).or_default().insert(symbol.name.clone());
        }
    }
}

/// What interrupted a running task, as far as it tells: the watchdog that panics, an NMI.
pub(crate) fn under(pieces: &Pieces) -> Under {
    // `watchdog_timer_fn.cold` is a part of it.
    let has = |name: &str| {
        let is = |function: &String| function.split('.').next() == Some(name);
        pieces.interruptions.iter().flatten().any(is)
    };
    let tick = has("watchdog_timer_fn") && has("panic");
    let nmi = ["asm_exc_nmi", "fred_exc_nmi", "end_repeat_nmi"].into_iter().any(has);
    match (tick, nmi) {
        (true, true) => Under::TickAndNmi,
        (true, false) => Under::Tick,
        (false, true) => Under::Nmi,
        (false, false) => Under::Nothing,
    }
}

/// What runs or sleeps there, where nothing else is known of it.
pub(crate) fn doing(pieces: &Pieces, page: Option<String>) -> Doing {
    let calls = pieces.calls();
    if pieces.user {
        return Doing::User;
    }
    if calls.is_empty() {
        return Doing::Sleep;
    }
    Doing::Stack { calls, page }
}

/// An exception in kernel code that the kernel dies of.
pub(crate) fn exception(pieces: &Pieces) -> Option<Doing> {
    let is_exception = |piece: &&Vec<String>| {
        let entry = piece.first().filter(|entry| is_entry(entry));
        entry.is_some_and(|entry| !entry.contains("nmi") && !entry.contains("timer") && !entry.contains("interrupt"))
    };
    let handler = pieces.interruptions.iter().find(is_exception)?.clone();
    let calls = pieces.calls();
    (!calls.is_empty()).then_some(Doing::Exception { calls, handler })
}

/// The innermost function that sleeps for a lock.
pub(crate) fn sleeper(stack: &Stack) -> Option<&str> {
    stack.frames.iter().filter_map(StackFrame::function).find(|name| LockKind::of_sleeper(name).is_some())
}
