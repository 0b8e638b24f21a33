//! What a CPU prints next: the order of the lines of a report, as a graph.
//!
//! A node is the kind of the last line that a CPU printed, an edge what may follow, weighted by about -ln p. Lines can
//! be missing (a log that begins in the middle, a ring buffer that overflowed, a noisy serial line), so every node leads
//! to every other: a path costs its edges and [`LOST`] for each line in between. Those costs are computed once.
//!
//! Registers are printed in three places with the same names: of the interrupted CPU above the trace, of kernel code
//! that an exception interrupted within the trace, and of user code at its end.
//!
//! Source: `kernel/watchdog.c`, `watchdog_timer_fn()`; `lib/dump_stack.c`; `arch/x86/kernel/process_64.c`,
//! `__show_regs()`; `arch/x86/kernel/dumpstack.c`, `show_trace_log_lvl()`.

use std::sync::OnceLock;

use crate::frame::Marker;
use crate::registers::RowKind;
use crate::token::Token;

/// What a line that must have been there and is not costs.
const LOST: f32 = 5.0;

/// Where a register dump stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// Above the trace.
    Top,
    /// Kernel code that an exception interrupted.
    Nested,
    /// User code: the end of the trace.
    User,
}

const PARTS: [Part; 3] = [Part::Top, Part::Nested, Part::User];

/// The kind of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Event,
    /// The head of the trace of a task that does not run.
    Task,
    Modules,
    MoreModules,
    Cpu,
    Taints,
    Hardware,
    Rip(Part),
    Code(Part),
    Row(Part, RowKind),
    CallTrace,
    Open,
    Close,
    /// A return address that the unwinder found.
    Frame,
    /// One that only lies on the stack.
    Maybe,
    /// The entry code of an exception or interrupt: registers follow.
    Entry,
    /// The entry code of system calls, or where a kernel thread begins: nothing reliable follows.
    Bottom,
    End,
    /// The end of the task's stack: the trace is complete.
    Done,
}

use RowKind::{Cr2, Cs, Dr0, Dr3, Fs, OrigRax, Pkru, R10, R13, Rax, Rbp, Rdx, Rsp};
use State::{Bottom, CallTrace, Close, Code, Cpu, Done, End, Entry, Event, Frame, Hardware, Maybe};
use State::{Modules, MoreModules, Open, Rip, Row, Taints, Task};

/// The rows of a dump in order; the rest is only printed at the top.
const GENERAL: [RowKind; 6] = [RowKind::Rsp, Rax, Rdx, Rbp, R10, R13];

const EDGES: &[(State, State, f32)] = &[
    (Event, Event, 0.7),
    (Event, Modules, 0.4),
    (Event, Cpu, 1.0),
    (Event, Task, 2.0),
    (Event, Rip(Part::Top), 3.0),
    (Task, Hardware, 1.0),
    // 32-bit ARM has no line above the entries.
    (Task, Frame, 2.5),
    (Hardware, Frame, 3.0),
    (Task, Task, 2.0),
    (Task, CallTrace, 0.2),
    (Modules, MoreModules, 0.7),
    (Modules, Cpu, 0.3),
    (MoreModules, MoreModules, 0.3),
    (MoreModules, Cpu, 1.0),
    (Cpu, Taints, 0.7),
    (Cpu, Hardware, 0.3),
    (Cpu, CallTrace, 2.5),
    (Cpu, Rip(Part::Top), 2.5),
    (Taints, Hardware, 0.0),
    (Hardware, Hardware, 2.0),
    (Hardware, Rip(Part::Top), 0.5),
    (Hardware, CallTrace, 0.7),
    // Other architectures than x86, and logs that were shortened.
    (Rip(Part::Top), CallTrace, 4.5),
    (Code(Part::Top), CallTrace, 4.5),
    (Row(Part::Top, R13), Row(Part::Top, Fs), 0.1),
    (Row(Part::Top, Fs), Row(Part::Top, Cs), 0.0),
    (Row(Part::Top, Cs), Row(Part::Top, Cr2), 0.0),
    (Row(Part::Top, Cr2), CallTrace, 0.7),
    (Row(Part::Top, Cr2), Row(Part::Top, Dr0), 1.0),
    (Row(Part::Top, Cr2), Row(Part::Top, Pkru), 0.7),
    (Row(Part::Top, Dr0), Row(Part::Top, Dr3), 0.0),
    (Row(Part::Top, Dr3), CallTrace, 0.7),
    (Row(Part::Top, Dr3), Row(Part::Top, Pkru), 0.7),
    (Row(Part::Top, Pkru), CallTrace, 0.1),
    (Row(Part::Top, Pkru), Event, 3.0),
    (Row(Part::Top, Cr2), Event, 3.0),
    (CallTrace, Open, 0.4),
    (CallTrace, Frame, 1.0),
    (CallTrace, Maybe, 0.9),
    (CallTrace, Entry, 3.0),
    (CallTrace, Bottom, 3.0),
    (Open, Frame, 0.4),
    (Open, Maybe, 1.5),
    (Open, Entry, 1.5),
    (Open, Bottom, 3.0),
    (Open, Rip(Part::Nested), 2.5),
    (Frame, Frame, 0.4),
    (Frame, Maybe, 1.0),
    (Frame, Entry, 2.0),
    (Frame, Bottom, 2.0),
    (Frame, Close, 2.5),
    (Frame, Task, 4.0),
    (Frame, Event, 4.0),
    (Maybe, Frame, 0.8),
    (Maybe, Maybe, 0.7),
    (Maybe, Entry, 2.0),
    (Maybe, Bottom, 2.0),
    (Maybe, Close, 3.0),
    (Maybe, Task, 4.0),
    (Maybe, Event, 4.0),
    (Entry, Rip(Part::Nested), 0.4),
    (Entry, Rip(Part::User), 1.5),
    (Entry, Close, 1.5),
    (Entry, Maybe, 2.0),
    (Entry, Frame, 2.5),
    (Bottom, Rip(Part::User), 0.2),
    (Bottom, Maybe, 3.0),
    (Bottom, Task, 3.0),
    (Bottom, Event, 3.0),
    (Row(Part::Nested, R13), Frame, 0.4),
    (Row(Part::Nested, R13), Maybe, 1.5),
    (Row(Part::Nested, R13), Entry, 2.0),
    (Row(Part::Nested, R13), Bottom, 3.0),
    (Row(Part::Nested, R13), Close, 3.5),
    (Row(Part::Nested, R13), Done, 3.5),
    (Row(Part::User, R13), Done, 0.3),
    (Row(Part::User, R13), Event, 2.0),
    // Before 5.16 nothing marks the end of a task's stack, and an oops goes on with the modules.
    (Row(Part::User, R13), Modules, 1.5),
    (Bottom, Modules, 2.0),
    (Frame, Modules, 4.0),
    (Maybe, Modules, 4.0),
    (Close, Open, 0.7),
    (Close, Event, 2.0),
    (Close, Done, 3.0),
    (Done, Task, 0.9),
    (Done, Event, 0.7),
    (Done, End, 2.0),
    (Done, Modules, 1.0),
    (Modules, End, 0.7),
    (MoreModules, End, 1.0),
    // A page fault's oops ends with the address once more.
    (Modules, Row(Part::Top, Cr2), 1.0),
    (Done, Row(Part::Top, Cr2), 1.0),
    (Bottom, Row(Part::Top, Cr2), 1.5),
    (Row(Part::Top, Cr2), End, 0.7),
    (Frame, Done, 2.5),
    (Maybe, Done, 2.5),
    (Bottom, Done, 1.0),
    (Entry, Done, 2.5),
    (Close, Rip(Part::Nested), 1.5),
    (Close, Frame, 2.5),
    (Close, Maybe, 2.5),
    (Close, Entry, 2.5),
    (MoreModules, Row(Part::Top, Cr2), 3.0),
    (End, Task, 1.0),
    (End, Event, 0.7),
    (End, Rip(Part::Top), 2.0),
];

/// Every node: those of the table's order of declaration, with the parts and rows multiplied out.
const NODES: usize = 16 + 3 * 2 + 3 * 13;

impl State {
    /// The node's number, below [`NODES`].
    fn index(self) -> usize {
        match self {
            Event => 0,
            Modules => 1,
            MoreModules => 2,
            Cpu => 3,
            Taints => 4,
            Hardware => 5,
            CallTrace => 6,
            Open => 7,
            Close => 8,
            Frame => 9,
            Maybe => 10,
            Entry => 11,
            Bottom => 12,
            End => 13,
            Done => 14,
            Task => 15,
            Rip(part) => 16 + part as usize,
            Code(part) => 19 + part as usize,
            Row(part, row) => 22 + part as usize * 13 + row as usize,
        }
    }

    /// The nodes that a line may be; none for what is no line of a report.
    pub(crate) fn of(token: &Token) -> Vec<Self> {
        let in_parts = |state: fn(Part) -> Self| PARTS.map(state).to_vec();
        match token {
            Token::Event(event) if event.kind.is_of_another_task() => vec![Task],
            Token::Event(_) => vec![Event],
            Token::Modules => vec![Modules],
            Token::MoreModules => vec![MoreModules],
            Token::Cpu(_) => vec![Cpu],
            Token::Taints => vec![Taints],
            Token::Hardware => vec![Hardware],
            Token::Rip(rip) if rip.is_user() => vec![Rip(Part::User), Rip(Part::Top)],
            Token::Rip(_) => vec![Rip(Part::Nested), Rip(Part::Top)],
            Token::Code => in_parts(Code),
            Token::Row(row) => rows(row.kind, row.selector),
            Token::CallTrace => vec![CallTrace],
            Token::Marker(Marker::Open(_)) => vec![Open],
            Token::Marker(Marker::Close(name)) if name == "TASK" => vec![Done],
            Token::Marker(Marker::Close(_)) => vec![Close],
            Token::Frame(entry) if !entry.frame.reliable => vec![Maybe],
            Token::Frame(line) => vec![entry(line.frame.location.symbol.as_deref().unwrap_or_default())],
            Token::End => vec![End],
            Token::Blank | Token::Other => Vec::new(),
        }
    }
}

fn rows(kind: RowKind, selector: Option<u16>) -> Vec<State> {
    let parts = match (kind, selector) {
        (Fs | Cs | Cr2 | Dr0 | Dr3 | Pkru, _) => &[Part::Top][..],
        (_, Some(selector)) if selector & 3 != 0 => &[Part::User, Part::Top],
        (_, Some(_)) => &[Part::Nested, Part::Top],
        (_, None) => &PARTS,
    };
    parts.iter().map(|part| Row(*part, kind)).collect()
}

/// Entry code by its names over time: `asm_exc_*`, `asm_sysvec_*`, `asm_common_interrupt` (5.8 and later), before that
/// `async_page_fault`, `page_fault`, `apic_timer_interrupt`, `ret_from_intr`; of system calls `entry_SYSCALL_64*`,
/// `entry_SYSENTER_compat*`, `entry_INT80*`, `system_call*`; with FRED (6.9 and later) `asm_fred_entrypoint_kernel`, and
/// `asm_fred_entrypoint_user` for all that comes from user code; where threads begin, `ret_from_fork*` and `secondary_startup_64*`.
fn entry(symbol: &str) -> State {
    const BOTTOM: [&str; 6] =
        ["entry_SYS", "entry_INT80", "system_call", "asm_fred_entrypoint_user", "ret_from_fork", "secondary_startup"];
    const ENTRY: [&str; 11] = [
        "async_page_fault",
        "page_fault",
        "apic_timer_interrupt",
        "ret_from_intr",
        "reschedule_interrupt",
        "call_function_interrupt",
        "call_function_single_interrupt",
        "irq_work_interrupt",
        "general_protection",
        "invalid_op",
        "end_repeat_nmi",
    ];
    if BOTTOM.iter().any(|name| symbol.starts_with(name)) {
        return Bottom;
    }
    let is_entry = symbol.starts_with("asm_") || ENTRY.contains(&symbol);
    if is_entry { Entry } else { Frame }
}

/// What it costs that a line of kind `to` is the next that a CPU prints after one of kind `from`.
pub(crate) fn cost(from: State, to: State) -> f32 {
    let costs = costs().get(from.index() * NODES + to.index());
    costs.copied().unwrap_or(f32::INFINITY)
}

/// The cheapest path between any two nodes (Floyd and Warshall).
fn costs() -> &'static [f32] {
    static COSTS: OnceLock<Vec<f32>> = OnceLock::new();
    COSTS.get_or_init(|| {
        let mut costs = vec![f32::INFINITY; NODES * NODES];
        for (from, to, cost) in edges() {
            if let Some(slot) = costs.get_mut(from.index() * NODES + to.index()) {
                *slot = slot.min(cost);
            }
        }
        for middle in 0..NODES {
            for from in 0..NODES {
                let Some(&first) = costs.get(from * NODES + middle) else { continue };
                for to in 0..NODES {
                    let Some(&second) = costs.get(middle * NODES + to) else { continue };
                    if let Some(slot) = costs.get_mut(from * NODES + to) {
                        *slot = slot.min(first + LOST + second);
                    }
                }
            }
        }
        costs
    })
}

fn edges() -> Vec<(State, State, f32)> {
    let mut edges = EDGES.to_vec();
    for part in PARTS {
        edges.extend([
            (Rip(part), Code(part), 0.2),
            (Rip(part), Row(part, Rsp), 1.5),
            (Code(part), Row(part, Rsp), 0.0),
            (Row(part, Rsp), Row(part, OrigRax), 1.0),
            (Row(part, OrigRax), Row(part, Rax), 0.0),
        ]);
        edges.extend(GENERAL.windows(2).filter_map(|pair| match pair {
            [first, second] => Some((Row(part, *first), Row(part, *second), 0.1)),
            _ => None,
        }));
    }
    edges
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn with_fred_only_kernel_code_has_more_below_an_entry() {
        assert_eq!(entry("asm_fred_entrypoint_kernel"), Entry);
        assert_eq!(entry("asm_fred_entrypoint_user"), Bottom);
        assert_eq!(entry("fred_entry_from_user"), Frame);
    }

    #[test]
    fn every_node_has_its_own_number() {
        let mut nodes: HashSet<State> = edges().into_iter().flat_map(|(from, to, _)| [from, to]).collect();
        nodes.extend([Row(Part::Nested, OrigRax), Code(Part::User)]);
        let numbers: HashSet<usize> = nodes.iter().map(|node| node.index()).collect();
        assert_eq!(numbers.len(), nodes.len());
        assert!(numbers.iter().all(|number| *number < NODES));
    }

    #[test]
    fn what_follows_costs_less_than_what_skips() {
        let top = |row| Row(Part::Top, row);
        assert!(cost(top(Rax), top(Rdx)) < 0.2);
        assert!((cost(top(Rax), top(Rbp)) - (0.2 + LOST)).abs() < 1e-4);
        assert!(cost(top(Rdx), top(Rax)) > 4.0 * LOST);
        assert!(cost(Entry, Rip(Part::Nested)) < cost(Frame, Rip(Part::Nested)));
        assert!(cost(Event, End).is_finite());
    }

    #[test]
    fn entry_code() {
        assert_eq!(entry("asm_exc_page_fault"), Entry);
        assert_eq!(entry("entry_SYSCALL_64_after_hwframe"), Bottom);
        assert_eq!(entry("do_syscall_64"), Frame);
    }
}
