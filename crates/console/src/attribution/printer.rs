//! A CPU in the middle of a report, and how well a line fits as its next.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::rc::Rc;

use super::callers;
use super::chains::Chains;
use super::cost;
use super::grammar::{self, Part, State};
use super::line::Line;
use super::values::{HASH, Known, NEAR, Values};
use crate::event::Kind;
use crate::frame::Marker;
use crate::prefix::Caller;
use crate::registers::RowKind;
use crate::token::Token;

/// `THREAD_SIZE` on x86-64 (`arch/x86/include/asm/page_64_types.h`): a stack is one block of this size, aligned to it.
const STACK_SHIFT: u32 = 14;

/// Lines after the beginning in which a CPU may show up in the middle of its report.
const EARLY: u32 = 32;

/// Per-CPU areas this close are in one memory node, if not all.
const NODE: u64 = 16 << 30;

/// What is known of a CPU from the lines that it printed so far.
#[derive(Clone, Debug)]
pub(crate) struct Printer {
    pub(crate) id: u16,
    pub(crate) state: State,
    cpu: Option<u32>,
    pid: Option<u32>,
    caller: Option<Caller>,
    timestamp_ns: Option<u64>,
    /// The last line of code or of the stack.
    place: u64,
    /// The task's stack, by the address's upper bits.
    stack: Option<u64>,
    /// Register values, shared with the printer that it was before as long as no new ones come.
    values: Rc<Values>,
    /// Where the CPU's own data lies.
    gs_base: Option<u64>,
    panics: bool,
    /// Between `<IRQ>` and `</IRQ>`.
    in_interrupt: bool,
    /// Who may have called the last function, where that is known.
    callers: Option<&'static [&'static str]>,
    /// When it printed last, counted in lines.
    pub(crate) last: u32,
    /// Equal for printers that a next line fits equally.
    pub(crate) signature: u64,
    /// What the line that was looked at last would be as its next.
    fits: Cell<Fits>,
}

type Fit = Option<(State, f32)>;

/// How one line fits a printer, which hypotheses share: where another CPU printed the line before, and where this one did.
#[derive(Clone, Copy, Debug, Default)]
struct Fits {
    /// The line's place in the episode, from 1.
    line: u32,
    fits: [Option<Fit>; 2],
}

/// What a line is looked at in.
pub(crate) struct Context<'a> {
    pub(crate) chains: &'a Chains,
    /// The line's place in the episode.
    pub(crate) index: u32,
    /// The latest time so far.
    pub(crate) latest_ns: Option<u64>,
}

impl Printer {
    /// What a line could be of a CPU that prints for the first time, and what that costs.
    pub(crate) fn open(line: &Line, printers: &[Rc<Self>], index: u32) -> impl Iterator<Item = (State, f32)> {
        let cpu = cpu_of(&line.token);
        let second = cpu.is_some() && printers.iter().any(|printer| printer.cpu == cpu);
        let known = line.caller.is_some() && printers.iter().any(|printer| printer.caller == line.caller);
        let shared =
            cost::SWITCH + if second { cost::SECOND } else { 0.0 } + if known { cost::OTHER_CALLER } else { 0.0 };
        line.states.iter().map(move |state| {
            let cost = match state {
                State::Event | State::Task => cost::OPEN_EVENT,
                State::Cpu => cost::OPEN_CPU,
                // The dump above the trace comes soon after the line that names the CPU.
                State::Rip(Part::Top) | State::Code(Part::Top) | State::Row(Part::Top, _) => cost::OPEN_MIDDLE,
                _ if index < EARLY => cost::OPEN_EARLY,
                _ => cost::OPEN_MIDDLE,
            };
            (*state, cost + shared)
        })
    }

    /// The first line of a CPU.
    pub(crate) fn first(id: u16, state: State, line: &Line, index: u32) -> Self {
        let blank = Self {
            id,
            state,
            cpu: None,
            pid: None,
            caller: None,
            timestamp_ns: None,
            place: 0,
            stack: None,
            values: Rc::default(),
            gs_base: None,
            panics: false,
            in_interrupt: false,
            callers: None,
            last: index,
            signature: 0,
            fits: Cell::default(),
        };
        blank.after(state, line, index)
    }

    /// What the line would be as the next of this CPU, and what that costs.
    pub(crate) fn fit(&self, line: &Line, was_last: bool, printers: &[Rc<Self>], context: &Context<'_>) -> Fit {
        // Registers are compared with those of the other CPUs, which differ between hypotheses.
        if matches!(line.token, Token::Row(_)) {
            return self.fit_now(line, was_last, printers, context);
        }
        let mut known = self.fits.get();
        let number = context.index.saturating_add(1);
        if known.line != number {
            known = Fits { line: number, ..Fits::default() };
        }
        let [apart, staying] = &mut known.fits;
        let slot = if was_last { staying } else { apart };
        if let Some(fit) = slot {
            return *fit;
        }
        let fit = self.fit_now(line, was_last, printers, context);
        *slot = Some(fit);
        self.fits.set(known);
        fit
    }

    fn fit_now(&self, line: &Line, was_last: bool, printers: &[Rc<Self>], context: &Context<'_>) -> Fit {
        let switch = if was_last { cost::STAY } else { cost::SWITCH };
        let shared = switch + self.caller_cost(line) + self.clock_cost(line, context);
        if line.token == Token::Blank {
            let usual = matches!(self.state, State::Row(_, RowKind::Rsp) | State::Modules | State::MoreModules);
            return Some((self.state, shared + if usual { cost::BLANK } else { cost::ODD_BLANK }));
        }
        let options = line.states.iter().map(|state| (*state, grammar::cost(self.state, *state)));
        let (state, order) = options.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let evidence = self.identity_cost(state, line) + self.stack_cost(state, line) + self.value_cost(line, printers);
        let evidence = evidence
            + self.per_cpu_cost(line, printers)
            + self.caller_of_last_cost(line)
            + self.side_cost(state, line, printers);
        let chain = if line.is_place() { context.chains.cost(self.place, line.text) } else { 0.0 };
        Some((state, shared + order + evidence + chain))
    }

    /// The CPU after it has printed the line.
    pub(crate) fn after(&self, state: State, line: &Line, index: u32) -> Self {
        let mut next = self.clone();
        next.state = state;
        next.last = index;
        next.caller = line.caller.or(self.caller);
        next.timestamp_ns = line.timestamp_ns.or(self.timestamp_ns);
        next.cpu = cpu_of(&line.token).or(self.cpu);
        match &line.token {
            Token::Cpu(cpu) => next.pid = cpu.pid.or(next.pid),
            Token::Event(event) if event.kind == Kind::SoftLockup => {
                next.pid = event.pid.and_then(|pid| u32::try_from(pid).ok()).or(next.pid);
                next.panics = false;
            }
            Token::Event(event) if event.kind == Kind::Panic => (next.place, next.panics) = (0, true),
            Token::Marker(Marker::Open(stack)) => next.in_interrupt = stack == "IRQ",
            Token::Marker(Marker::Close(_)) | Token::CallTrace => next.in_interrupt = false,
            Token::Event(_) | Token::End => (next.place, next.panics) = (0, false),
            _ => {}
        }
        if line.is_place() {
            next.place = line.text;
        }
        if line.is_callee() {
            next.callers = line.callers;
        }
        if let Some(stack) = kernel_stack(state, line) {
            next.stack = Some(stack);
        }
        next.gs_base = gs_base(line).or(self.gs_base);
        next.values = self.values.with(line);
        next.signature = next.signature();
        next
    }

    fn signature(&self) -> u64 {
        let Self { id, state, cpu, pid, caller, timestamp_ns, place, stack, gs_base, panics, in_interrupt, .. } = self;
        let who = (id, state, cpu, pid, caller, timestamp_ns);
        HASH.hash_one((who, place, stack, self.values.hash(), gs_base, panics, in_interrupt, self.callers))
    }

    fn caller_cost(&self, line: &Line) -> f32 {
        match (self.caller, line.caller) {
            (Some(known), Some(caller)) if known == caller => cost::SAME_CALLER,
            // Between two reports a CPU can go from a task's context to an interrupt's.
            (Some(_), Some(_)) if matches!(line.token, Token::Event(_)) => cost::SWITCH,
            (Some(_), Some(_)) => cost::OTHER_CALLER,
            _ => 0.0,
        }
    }

    fn clock_cost(&self, line: &Line, context: &Context<'_>) -> f32 {
        match (self.timestamp_ns, line.timestamp_ns) {
            (Some(known), Some(now)) if now < known => cost::BACKWARDS,
            (Some(known), Some(now)) if now == known && context.latest_ns.is_some_and(|latest| now < latest) => {
                cost::SAME_STILL_CLOCK
            }
            _ => 0.0,
        }
    }

    fn identity_cost(&self, state: State, line: &Line) -> f32 {
        let cpu = match (self.cpu, cpu_of(&line.token)) {
            (Some(known), Some(cpu)) if known == cpu => cost::SAME_CPU,
            (Some(_), Some(_)) => cost::OTHER_CPU,
            _ => 0.0,
        };
        // The name comes right after the report that is about the same task.
        let pid = match (&line.token, self.pid) {
            (Token::Cpu(line), Some(pid)) if line.pid.is_some_and(|named| named != pid) && self.state != State::End => {
                cost::OTHER_PID
            }
            _ => 0.0,
        };
        let panics = line.frame_symbol() == Some("panic");
        // `panic()` prints no registers of its own.
        let dumps = self.panics && state == State::Rip(Part::Top);
        cpu + pid + if panics && !self.panics || dumps { cost::NO_PANIC } else { 0.0 }
    }

    fn caller_of_last_cost(&self, line: &Line) -> f32 {
        let Some(symbol) = line.frame_symbol() else { return 0.0 };
        let stack = match callers::runs_in_interrupt(symbol) {
            Some(interrupt) if interrupt != self.in_interrupt => cost::OTHER_KIND_OF_STACK,
            _ => 0.0,
        };
        let caller = match self.callers {
            Some(callers) if callers::contains(callers, symbol) => cost::CALLER,
            Some(_) => cost::NO_CALLER,
            None => 0.0,
        };
        stack + caller
    }

    fn stack_cost(&self, state: State, line: &Line) -> f32 {
        match (self.stack, kernel_stack(state, line)) {
            (Some(known), Some(stack)) if known == stack => cost::SAME_STACK,
            (Some(_), Some(_)) => cost::OTHER_STACK,
            _ => 0.0,
        }
    }

    /// User code has no kernel pointers in its registers; kernel code has pointers into its own stack.
    fn side_cost(&self, state: State, line: &Line, printers: &[Rc<Self>]) -> f32 {
        let State::Row(part, kind) = state else { return 0.0 };
        let Token::Row(row) = &line.token else { return 0.0 };
        if part == Part::User {
            let kernel = line.values.iter().any(|(_, value)| *value >> 63 == 1);
            return if kernel { cost::WRONG_SIDE } else { 0.0 };
        }
        // System calls begin with -ENOSYS in RAX (`arch/x86/entry/entry_64.S`), and user code's dump shows that.
        let enosys = kind == RowKind::Rax && row.values.contains(&("rax", 38u64.wrapping_neg()));
        let on_stack = |printer: &Self| {
            let stack = printer.stack;
            stack.is_some() && line.values.iter().any(|(_, value)| Some(*value >> STACK_SHIFT) == stack)
        };
        let stack = match () {
            () if on_stack(self) => cost::OWN_STACK,
            () if printers.iter().any(|other| on_stack(other)) => cost::STACK_OF_OTHER,
            () => 0.0,
        };
        stack + if enosys { cost::WRONG_SIDE } else { 0.0 }
    }

    /// Per-CPU areas lie in the order of the CPUs' numbers (`mm/percpu.c`, `pcpu_embed_first_chunk()`), at least within a
    /// memory node.
    fn per_cpu_cost(&self, line: &Line, printers: &[Rc<Self>]) -> f32 {
        let Some(base) = gs_base(line) else { return 0.0 };
        match (self.gs_base, self.cpu) {
            (Some(known), _) if known == base => cost::SAME_CPU,
            (Some(_), _) => cost::OTHER_CPU,
            (None, Some(cpu)) => order_cost(cpu, base, printers),
            (None, None) => 0.0,
        }
    }

    /// A value that only this CPU has shown so far speaks for it, most where it moves between registers; one that all
    /// have shown says nothing.
    fn value_cost(&self, line: &Line, printers: &[Rc<Self>]) -> f32 {
        let each = line.values.iter().map(|(register, value)| {
            let (gain, owners) = match self.values.knows(register, *value) {
                Known::Elsewhere => (cost::SAME_VALUE, owners(printers, *value, 0)),
                Known::SameRegister => (cost::REPEATED_VALUE, owners(printers, *value, 0)),
                Known::Near => (cost::NEAR_VALUE, owners(printers, *value, NEAR)),
                Known::No => return cost::NEW_VALUE,
            };
            gain / f32::from(owners.max(1))
        });
        each.sum()
    }
}

/// How many have shown a value, or one no further away than `distance`.
fn owners(printers: &[Rc<Printer>], value: u64, distance: u64) -> u16 {
    let has = |printer: &&Rc<Printer>| printer.values.have(value, distance);
    u16::try_from(printers.iter().filter(has).count()).unwrap_or(u16::MAX)
}

/// The CPU that a line names as the one that prints it.
fn cpu_of(token: &Token) -> Option<u32> {
    match token {
        Token::Cpu(line) => line.cpu,
        Token::Event(event) => event.printer(),
        _ => None,
    }
}

/// How well the place of a per-CPU area fits between those of other CPUs.
fn order_cost(cpu: u32, base: u64, printers: &[Rc<Printer>]) -> f32 {
    let others = printers.iter().filter_map(|other| Some((other.cpu?, other.gs_base?)));
    let near = others.filter(|(other, known)| *other != cpu && known.abs_diff(base) < NODE);
    let each =
        near.map(|(other, known)| if (other < cpu) == (known < base) { cost::IN_ORDER } else { cost::OUT_OF_ORDER });
    each.sum()
}

/// Where the per-CPU area of the line's CPU lies.
fn gs_base(line: &Line) -> Option<u64> {
    let Token::Row(row) = &line.token else { return None };
    row.values.iter().find(|(name, value)| *name == "gs_base" && *value >> 63 == 1).map(|(_, value)| *value)
}

/// The kernel stack that a stack pointer is in.
fn kernel_stack(state: State, line: &Line) -> Option<u64> {
    let State::Row(Part::Top | Part::Nested, RowKind::Rsp) = state else { return None };
    let Token::Row(row) = &line.token else { return None };
    let (_, rsp) = row.values.iter().find(|(name, _)| *name == "rsp")?;
    (*rsp >> 63 == 1).then_some(*rsp >> STACK_SHIFT)
}
