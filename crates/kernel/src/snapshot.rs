//! The whole machine as plain data: what detectors and reports work on.
//!
//! Reading is separate from judging: a [`Snapshot`] can be built by hand in a test.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use rayon::prelude::*;
use vmcore_debuginfo::SourceFrame;
use vmcore_memory::VirtAddr;
use vmcore_unwind::{End, Interrupt, Problem, Segment, Start, Trust, Unwinder, Unwound};

use crate::list::Places;
use crate::other_class::OtherClass;
use crate::task_machine::TaskMachine;
use crate::tracers::TaskRecords;
use crate::{CpuRegisters, Gap, Kernel, RegisterSource, RunQueue, SymbolName, Task, tasks};

/// Where a code address is, in names and source lines. Shared by all frames at the same address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The symbol that covers it.
    pub symbol: Option<SymbolName>,
    /// Source position, innermost inlined function first; the last is the real function. Empty without DWARF.
    pub source: Vec<SourceFrame>,
}

/// One frame of a task's stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackFrame {
    /// The saved value itself: for a caller the return address.
    pub pc: VirtAddr,
    /// RSP when the frame's code was at `pc`.
    pub sp: VirtAddr,
    /// Whether `pc` is the next instruction, not a return address.
    pub exact: bool,
    /// How the frame was found.
    pub trust: Trust,
    /// The stack it lies on.
    pub segment: Option<Segment>,
    /// Where its code is.
    pub location: Arc<Location>,
}

impl StackFrame {
    /// The symbol's name, if there is one.
    #[must_use]
    pub fn function(&self) -> Option<&str> {
        self.location.symbol.as_ref().map(|symbol| symbol.name.as_str())
    }
}

/// What a task's stack ended at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackEnd {
    /// At user code.
    UserMode,
    /// At a kernel thread's entry.
    KernelThread,
    /// At an idle task's entry.
    Idle,
    /// Too early.
    Truncated,
}

impl StackEnd {
    /// All of them, as they are declared.
    pub const ALL: [Self; 4] = [Self::UserMode, Self::KernelThread, Self::Idle, Self::Truncated];

    /// The name used in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserMode => "user_mode",
            Self::KernelThread => "kernel_thread",
            Self::Idle => "idle",
            Self::Truncated => "truncated",
        }
    }
}

/// A task's kernel stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Index of the task in [`Snapshot::tasks`].
    pub task: usize,
    /// Frames, innermost first.
    pub frames: Vec<StackFrame>,
    /// Interrupted contexts on the way, innermost first.
    pub interrupts: Vec<Interrupt>,
    /// How it ended.
    pub end: StackEnd,
    /// Why it ended too early, or why it may not be what was running.
    pub error: Option<String>,
}

/// The state of one CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub cpu: u32,
    /// Whether it was online when the dump was taken. After a panic, stopped CPUs are not.
    pub online: bool,
    /// Its registers, if the dump has them.
    pub registers: Option<CpuRegisters>,
    /// Its run queue, if it could be read.
    pub run_queue: Option<RunQueue>,
}

impl Cpu {
    /// Whether it may have been executing something that nothing shows: it was in service, or may have been, and the dump
    /// has no registers of it.
    #[must_use]
    pub fn is_unseen(&self) -> bool {
        self.registers.is_none() && !self.run_queue.as_ref().is_some_and(RunQueue::is_out_of_service)
    }
}

/// How much of each frame is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Symbols only.
    Symbols,
    /// Symbols, source lines and inlined functions.
    Source,
}

/// A machine as it was when it stopped. The default is one of which nothing could be read.
#[derive(Default)]
pub struct Snapshot {
    /// All tasks: idle tasks first, by CPU, then by process id.
    pub tasks: Vec<Task>,
    /// All CPUs, by number.
    pub cpus: Vec<Cpu>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// Whether a list of tasks breaks off or a run queue could not be read: there may be tasks that are not among these, and
    /// such that wait for a CPU and are not known to.
    pub is_partial: bool,
    /// What makes every byte of the dump doubtful, such as a wrong checksum over all of it: it is among the gaps, too.
    pub damage: Option<String>,
    by_address: Places,
}

impl Snapshot {
    /// Reads tasks, run queues and registers.
    #[must_use]
    pub fn read(kernel: &Kernel<'_>) -> Self {
        let mut gaps = kernel.gaps().to_vec();
        let of_opening = gaps.len();
        let mut tasks = kernel.tasks(&mut gaps);
        let queues = kernel.run_queues(&tasks, &mut gaps);
        let has_cpu = |task| queues.iter().any(|queue| queue.current == task);
        kernel.task_layout.place.complete(&mut tasks, has_cpu);
        tasks::add_exiting(kernel.memory(), &kernel.task_layout, &queues, &mut tasks);
        if let Some(other) = OtherClass::of(kernel) {
            tasks.iter_mut().filter(|task| other.has(kernel, task.address)).for_each(|task| task.exec_start_ns = None);
        }
        let mut queues: BTreeMap<u32, RunQueue> = queues.into_iter().map(|queue| (queue.cpu, queue)).collect();
        let by_address: Places = tasks.iter().enumerate().map(|(index, task)| (task.address, index)).collect();
        let running_on = |cpu: u32| {
            let current = queues.get(&cpu)?.current;
            tasks.get(*by_address.get(&current)?)
        };
        let registers = kernel.cpu_registers(running_on);
        let cpus = kernel.percpu().cpus();
        let cpus = cpus.map(|cpu| Cpu {
            cpu,
            online: kernel.percpu().is_online(cpu),
            registers: registers.get(&cpu).copied(),
            run_queue: queues.remove(&cpu),
        });
        let cpus: Vec<Cpu> = cpus.collect();
        let is_partial = gaps.len() > of_opening || cpus.iter().any(|cpu| cpu.run_queue.is_none());
        gaps.extend(unseen(&cpus).into_iter().chain(counted(&cpus)));
        let damage = kernel.dump().damage().map(str::to_owned);
        gaps.extend(damage.as_ref().map(|damage| Gap::new("the dump", damage)));
        Self { cpus, tasks, gaps, is_partial, damage, by_address }
    }

    /// A snapshot from parts, for tests of detectors. CPUs must be in the order of their numbers.
    #[must_use]
    pub fn from_parts(tasks: Vec<Task>, cpus: Vec<Cpu>) -> Self {
        let by_address = tasks.iter().enumerate().map(|(index, task)| (task.address, index)).collect();
        Self { tasks, cpus, gaps: Vec::new(), is_partial: false, damage: None, by_address }
    }

    /// The index of the task at `address`.
    #[must_use]
    pub fn task_index(&self, address: VirtAddr) -> Option<usize> {
        self.by_address.get(&address).copied()
    }

    /// The task at `address`.
    #[must_use]
    pub fn task(&self, address: VirtAddr) -> Option<&Task> {
        self.tasks.get(self.task_index(address)?)
    }

    /// The task that `cpu` was executing.
    #[must_use]
    pub fn current(&self, cpu: &Cpu) -> Option<&Task> {
        self.task(cpu.run_queue.as_ref()?.current)
    }

    /// The CPU that was executing the task, by the run queues.
    #[must_use]
    pub fn cpu_running(&self, task: &Task) -> Option<&Cpu> {
        let runs = |cpu: &&Cpu| cpu.run_queue.as_ref().is_some_and(|queue| queue.current == task.address);
        // A task that is just being moved may be current on another CPU than its own field says.
        let anywhere = || self.cpus.iter().find(runs).filter(|_| task.on_cpu);
        self.cpu(task.cpu).filter(runs).or_else(anywhere)
    }

    /// The CPU with this number.
    #[must_use]
    pub fn cpu(&self, number: u32) -> Option<&Cpu> {
        let index = self.cpus.binary_search_by_key(&number, |cpu| cpu.cpu).ok()?;
        self.cpus.get(index)
    }

    /// Unwinds the stacks of the tasks with these indices, in parallel. The result has their order, whatever the
    /// number of threads.
    #[must_use]
    pub fn stacks(&self, kernel: &Kernel<'_>, tasks: &[usize], detail: Detail) -> Vec<Stack> {
        let unwound: Vec<_> = tasks
            .par_iter()
            .filter_map(|&index| Some((index, self.tasks.get(index)?)))
            .map(|(index, task)| (index, task, self.unwind(kernel, task)))
            .collect();
        let locations = locate(kernel, &unwound, detail);
        let stack = |(index, task, (unwound, note)): Walked<'_>| {
            let frames = unwound.frames.iter().map(|frame| StackFrame {
                pc: frame.pc,
                sp: frame.sp,
                exact: frame.exact,
                trust: frame.trust,
                segment: frame.segment,
                location: locations.get(&(frame.lookup_pc(), frame.exact)).cloned().unwrap_or_default(),
            });
            Stack {
                task: index,
                frames: frames.collect(),
                end: stack_end(&unwound, task),
                error: note.or_else(|| unwound.problem.as_ref().map(ToString::to_string)),
                interrupts: unwound.interrupts,
            }
        };
        unwound.into_par_iter().map(stack).collect()
    }

    /// Walks one stack; with it, what is doubtful about where the walk began.
    pub(crate) fn unwind(&self, kernel: &Kernel<'_>, task: &Task) -> (Unwound, Option<String>) {
        let running_on = self.cpu_running(task);
        let mut stacks: Vec<_> = kernel.stack_layout.task_stack(task.stack).into_iter().collect();
        if let Some(cpu) = running_on {
            stacks.extend(kernel.stack_layout.cpu_stacks(kernel.memory(), kernel.percpu(), cpu.cpu));
        }
        let machine = TaskMachine { kernel, stacks, task: task.address, records: TaskRecords::default() };
        if let Some(CpuRegisters { registers, .. }) = running_on.and_then(|cpu| cpu.registers) {
            let start = Start { registers, exact: true, complete: true };
            return (Unwinder::new(&machine).unwind(start), None);
        }
        match kernel.task_start(task.address) {
            Ok(start) => {
                let mut unwound = Unwinder::new(&machine).unwind(start);
                if task.has_no_stack() && unwound.end == End::Truncated {
                    return given_back();
                }
                let note = running_on.map(|cpu| {
                    unwound.frames.iter_mut().for_each(|frame| frame.trust = Trust::Scan);
                    format!("{}: this is where the task was last scheduled out", no_registers(cpu))
                });
                (unwound, note)
            }
            Err(_) if task.has_no_stack() => given_back(),
            Err(source) => {
                let problem = Problem::Unreadable { address: task.stack, source };
                let note = running_on.map(|cpu| format!("{}, and {problem}", no_registers(cpu)));
                (nothing(Some(problem)), note)
            }
        }
    }
}

/// That the registers of CPUs are not known, as one gap.
fn unseen(cpus: &[Cpu]) -> Option<Gap> {
    let unseen: Vec<_> = cpus.iter().filter(|cpu| cpu.is_unseen()).map(|cpu| cpu.cpu).collect();
    let (cpus, whose) = match unseen.as_slice() {
        [] => return None,
        [cpu] => (format!("CPU {cpu}"), "its task was"),
        _ => (format!("CPUs {}", ranges(&unseen)), "their tasks were"),
    };
    Some(Gap::new(
        format!("registers of {cpus}"),
        format!("the dump has none, so what {whose} doing when the machine stopped is not known"),
    ))
}

/// That whose registers are whose is a guess.
fn counted(cpus: &[Cpu]) -> Option<Gap> {
    let is_guess = |cpu: &Cpu| cpu.registers.is_some_and(|registers| registers.source == RegisterSource::NoteOrder);
    let why = "only their order tells whose they are, and a CPU that did not answer is missing in it";
    cpus.iter().any(is_guess).then(|| Gap::new("registers by CPU", why))
}

/// Ascending numbers as `0-3, 5`.
fn ranges(numbers: &[u32]) -> String {
    let run = |run: &[u32]| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run.iter().map(u32::to_string).collect(),
    };
    numbers.chunk_by(|one, next| one.checked_add(1) == Some(*next)).map(run).collect::<Vec<_>>().join(", ")
}

fn no_registers(cpu: &Cpu) -> String {
    format!("CPU {} was running this task but the dump has no registers for it", cpu.cpu)
}

/// What is left of the stack of a zombie. The memory may still be there, as it was, or be another task's by now.
fn given_back() -> (Unwound, Option<String>) {
    let note = "it has exited, and its stack is given back: task_struct.stack is NULL";
    (nothing(None), Some(note.to_owned()))
}

/// A stack without a frame.
fn nothing(problem: Option<Problem>) -> Unwound {
    Unwound { frames: Vec::new(), interrupts: Vec::new(), end: End::Truncated, problem }
}

fn stack_end(unwound: &Unwound, task: &Task) -> StackEnd {
    match unwound.end {
        End::User => StackEnd::UserMode,
        End::Outermost if task.pid == 0 => StackEnd::Idle,
        End::Outermost => StackEnd::KernelThread,
        End::Truncated => StackEnd::Truncated,
    }
}

/// A walked stack: the index of its task, the task, the walk, and what is doubtful about where it began.
type Walked<'s> = (usize, &'s Task, (Unwound, Option<String>));
/// Code addresses: those to look up, whether each is exact, and as they were saved.
type Addresses = HashSet<(VirtAddr, bool, VirtAddr), RandomState>;
type Locations = HashMap<(VirtAddr, bool), Arc<Location>, RandomState>;

/// Looks every distinct code address up once, in parallel. Sorted first, so that neighbours share a compilation unit.
fn locate(kernel: &Kernel<'_>, unwound: &[Walked<'_>], detail: Detail) -> Locations {
    // Tasks wait in few places: a hundred thousand stacks have some hundred addresses.
    let one = |mut known: Addresses, (_, _, (unwound, _)): &Walked<'_>| {
        known.extend(unwound.frames.iter().map(|frame| (frame.lookup_pc(), frame.exact, frame.pc)));
        known
    };
    let both = |mut one: Addresses, mut other: Addresses| {
        if one.len() < other.len() {
            std::mem::swap(&mut one, &mut other);
        }
        one.extend(other);
        one
    };
    let known = unwound.par_iter().fold(Addresses::default, one).reduce(Addresses::default, both);
    let mut addresses: Vec<_> = known.into_iter().collect();
    addresses.par_sort_unstable();
    let lookups: Vec<_> = addresses.iter().map(|(lookup, _, _)| *lookup).collect();
    let mut source = match detail {
        Detail::Source => kernel.source_frames(&lookups),
        Detail::Symbols => Vec::new(),
    };
    source.resize_with(addresses.len(), Vec::new);
    let mut locations = Locations::with_capacity_and_hasher(addresses.len(), RandomState::default());
    for ((lookup, exact, pc), source) in addresses.into_iter().zip(source) {
        let location = Location { symbol: kernel.name_code(pc, lookup), source };
        locations.insert((lookup, exact), Arc::new(location));
    }
    locations
}
