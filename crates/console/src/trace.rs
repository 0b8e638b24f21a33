//! The reports of one CPU, put together from its lines.

use std::collections::BTreeMap;

use crate::attribution::{Assignment, Line, Part, State};
use crate::event::{Event, Kind};
use crate::frame::{Entry, Frame, Location, Marker};
use crate::registers::RegisterDump;
use crate::token::{CpuLine, Token};

/// Registers that were printed within a trace: an exception or interrupt came here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupted {
    /// The number of the frame that follows; the count of frames where none does.
    pub before_frame: usize,
    /// What was interrupted.
    pub registers: RegisterDump,
}

/// One entry of a trace and the stack that it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceFrame {
    /// The entry.
    pub frame: Frame,
    /// The stack as the kernel names it: `TASK`, `IRQ`, `NMI`; `None` where it was not printed.
    pub stack: Option<String>,
}

/// One report that a CPU printed, with its trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The CPU; `None` where the lines that name it are missing.
    pub cpu: Option<u32>,
    /// The task's thread id.
    pub pid: Option<i32>,
    /// The task's name: untrusted.
    pub comm: Option<String>,
    /// What the report is about, in the order in which it was printed.
    pub events: Vec<Event>,
    /// The CPU's own registers, above the trace.
    pub registers: Option<RegisterDump>,
    /// The trace, innermost first.
    pub frames: Vec<TraceFrame>,
    /// Registers within the trace, innermost first; of user code last.
    pub interrupted: Vec<Interrupted>,
    /// How sure it is that these lines belong together, from 0 to 1: the mean of the lines' confidences.
    pub attribution: f32,
    /// Which lines of the log it has, counted from 0, and how sure each is.
    pub lines: Vec<(u64, f32)>,
    /// The time of the first of them, in nanoseconds since boot.
    pub timestamp_ns: Option<u64>,
}

impl Trace {
    /// Whether the stack is that of another task than the one that printed it: of a hung task, or all tasks.
    #[must_use]
    pub fn is_of_another_task(&self) -> bool {
        self.events.iter().any(|event| event.kind.is_of_another_task())
    }

    /// Whether there is anything to show but its head.
    #[must_use]
    pub fn has_state(&self) -> bool {
        !self.frames.is_empty() || self.registers.is_some() || !self.interrupted.is_empty()
    }
}

/// Within as many lines two reports of one printer are of one CPU.
const NEAR: u64 = 64;

/// The first and the last line.
fn extent(trace: &Trace) -> (u64, u64) {
    let number = |line: Option<&(u64, f32)>| line.map(|(number, _)| *number).unwrap_or_default();
    (number(trace.lines.first()), number(trace.lines.last()))
}

/// The traces of an episode, in the order in which they begin.
pub(crate) fn traces(lines: &[Line], assignments: &[Option<Assignment>]) -> Vec<Trace> {
    let mut builders: BTreeMap<u16, Builder> = BTreeMap::new();
    for (line, assignment) in lines.iter().zip(assignments) {
        if let Some(assignment) = assignment {
            builders.entry(assignment.printer).or_default().add(line, assignment);
        }
    }
    let mut traces: Vec<Trace> = builders.into_values().flat_map(Builder::finish).collect();
    traces.sort_by_key(|trace| trace.lines.first().map(|(number, _)| *number));
    traces
}

/// The reports of one printer.
#[derive(Default)]
struct Builder {
    done: Vec<Trace>,
    trace: Trace,
    stack: Option<String>,
    /// After `---[ end trace ]---` the registers are printed once more.
    ended: bool,
}

impl Builder {
    fn add(&mut self, line: &Line, assignment: &Assignment) {
        if self.begins_another(&line.token, assignment.state) {
            self.close();
        }
        self.trace.lines.push((line.number, assignment.confidence));
        if self.trace.timestamp_ns.is_none() {
            self.trace.timestamp_ns = line.timestamp_ns;
        }
        match &line.token {
            Token::Event(event) => self.event(event),
            Token::Cpu(cpu) => self.cpu(cpu),
            Token::Rip(rip) => self.dump(assignment.state, |slot| *slot = RegisterDump::start(rip)),
            Token::Row(row) => self.dump(assignment.state, |slot| slot.add(row)),
            Token::Marker(marker) => self.marker(marker),
            Token::Frame(entry) => self.entry(entry),
            Token::End => self.ended = true,
            _ => {}
        }
    }

    fn marker(&mut self, marker: &Marker) {
        self.stack = match marker {
            Marker::Open(name) => Some(name.clone()),
            Marker::Close(_) => None,
        };
    }

    fn entry(&mut self, entry: &Entry) {
        entry.markers.iter().for_each(|marker| self.marker(marker));
        // All lines but the first repeat the function of the line before.
        let innermost = entry.callee.clone().filter(|_| self.trace.frames.is_empty());
        let innermost = innermost.map(|symbol| Frame { location: Location::of_function(symbol), reliable: true });
        let frames = innermost.into_iter().chain([entry.frame.clone()]);
        self.trace.frames.extend(frames.map(|frame| TraceFrame { frame, stack: self.stack.clone() }));
    }

    fn begins_another(&self, token: &Token, state: State) -> bool {
        let trace = &self.trace;
        match token {
            // Of an oops the kernel prints several lines before the trace.
            Token::Event(_) => trace.has_state() || self.ended,
            Token::Cpu(cpu) => {
                let other = trace.cpu.zip(cpu.cpu).is_some_and(|(known, named)| known != named);
                !trace.frames.is_empty() || other
            }
            Token::CallTrace => !trace.frames.is_empty(),
            Token::Rip(_) => state == State::Rip(Part::Top) && !trace.frames.is_empty() && !self.ended,
            _ => false,
        }
    }

    fn event(&mut self, event: &Event) {
        let trace = &mut self.trace;
        match event.kind {
            Kind::SoftLockup | Kind::Task | Kind::HungTask => {
                trace.cpu = event.printer().or(trace.cpu);
                trace.pid = event.pid.or(trace.pid);
                trace.comm = event.comm.clone().or_else(|| trace.comm.take());
            }
            Kind::Backtrace | Kind::HardLockup => trace.cpu = event.printer().or(trace.cpu),
            _ => {}
        }
        if event.kind != Kind::CutHere {
            self.trace.events.push(event.clone());
        }
    }

    fn cpu(&mut self, line: &CpuLine) {
        if self.trace.is_of_another_task() {
            return;
        }
        let trace = &mut self.trace;
        trace.cpu = line.cpu.or(trace.cpu);
        trace.pid = line.pid.and_then(|pid| i32::try_from(pid).ok()).or(trace.pid);
        trace.comm = line.comm.clone().or_else(|| trace.comm.take());
    }

    /// Changes the register dump that a line belongs to.
    fn dump(&mut self, state: State, change: impl FnOnce(&mut RegisterDump)) {
        let (part, begins) = match state {
            State::Rip(part) => (part, true),
            State::Row(part, _) => (part, false),
            _ => return,
        };
        if part == Part::Top {
            if !self.ended {
                change(self.trace.registers.get_or_insert_default());
            }
            return;
        }
        let before_frame = self.trace.frames.len();
        let known = self.trace.interrupted.last().map(|last| last.before_frame);
        if begins || known != Some(before_frame) {
            let registers = RegisterDump::default();
            self.trace.interrupted.push(Interrupted { before_frame, registers });
        }
        if let Some(last) = self.trace.interrupted.last_mut() {
            change(&mut last.registers);
        }
    }

    fn close(&mut self) {
        let mut trace = std::mem::take(&mut self.trace);
        self.stack = None;
        self.ended = false;
        if trace.lines.is_empty() {
            return;
        }
        let sum: f32 = trace.lines.iter().map(|(_, confidence)| confidence).sum();
        let count = u16::try_from(trace.lines.len()).unwrap_or(u16::MAX);
        trace.attribution = (sum / f32::from(count)).clamp(0.0, 1.0);
        self.done.push(trace);
    }

    /// A CPU that named itself in one of its reports printed those right before and after it, too.
    fn finish(mut self) -> Vec<Trace> {
        self.close();
        let named: Vec<_> = self.done.iter().map(|trace| (trace.cpu, extent(trace))).collect();
        for trace in self.done.iter_mut().filter(|trace| trace.cpu.is_none() && !trace.is_of_another_task()) {
            let (first, last) = extent(trace);
            let distance =
                |(_, (from, to)): &&(_, (u64, u64))| from.saturating_sub(last).max(first.saturating_sub(*to));
            let near = named.iter().filter(|(cpu, _)| cpu.is_some()).filter(|other| distance(other) <= NEAR);
            trace.cpu = near.min_by_key(distance).and_then(|(cpu, _)| *cpu);
        }
        self.done
    }
}
