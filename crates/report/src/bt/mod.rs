//! `bt`: stacks of tasks.

mod exception;
mod fold;
mod ordered;
mod text;

use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use vmcore_diagnose::FaultingAddresses;
use vmcore_kernel::{Interrupt, Segment, Snapshot, SourceFrame, Stack as KernelStack, StackFrame, Task};

use crate::{Gap, Hex, names};
pub use text::Style;
pub(crate) use text::{stack_text, write_stacks};

/// Stacks of tasks, in the order they were asked for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Bt")]
pub struct Bt<'a> {
    /// The stacks.
    #[schemars(with = "Vec<Stack<'a>>")]
    pub stacks: Stacks<'a>,
    /// What could not be read.
    pub gaps: Vec<Gap<'a>>,
    #[serde(skip)]
    #[schemars(skip)]
    style: Style,
}

/// The models of stacks, each made when it is written: those of a hundred thousand tasks would take more memory than all
/// else.
#[derive(Clone, Copy)]
pub struct Stacks<'a> {
    snapshot: &'a Snapshot,
    stacks: &'a [KernelStack],
    faults: &'a FaultingAddresses,
}

impl<'a> Stacks<'a> {
    /// The models, in order.
    pub fn iter(&self) -> impl Iterator<Item = Stack<'a>> + use<'a> {
        let faults = self.faults;
        self.walked().map(move |(task, stack)| Stack::new(task, stack, faults))
    }

    /// The stacks, each with its task.
    fn walked(&self) -> impl Iterator<Item = Walked<'a>> + use<'a> {
        let tasks = &self.snapshot.tasks;
        self.stacks.iter().filter_map(|stack| Some((tasks.get(stack.task)?, stack)))
    }
}

/// A stack and whose it is.
type Walked<'a> = (&'a Task, &'a KernelStack);

impl fmt::Debug for Stacks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Stacks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// The kernel stack of one task.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Stack")]
pub struct Stack<'a> {
    /// The CPU the task runs or last ran on, or whose run queue it is in.
    pub cpu: u32,
    /// Thread id; 0 for an idle task.
    pub pid: i32,
    /// Process id.
    pub tgid: i32,
    /// The task's name, chosen by itself.
    pub comm: &'a str,
    /// The address of its `struct task_struct`.
    pub task: Hex,
    /// The state's letter, as in `ps`: `R`, `S`, `D`, `I`, `T`, `t`, `P`, `X`, `Z` or `?`.
    pub state: char,
    /// Whether a CPU was executing it.
    pub on_cpu: bool,
    /// `task_struct.on_rq`: 1 in a run queue, 2 on its way to another CPU's, 0 in none.
    pub on_rq: u64,
    /// Real frames, innermost first, up to the user boundary or the thread's entry.
    pub frames: Vec<Frame<'a>>,
    /// Registers saved by exceptions, interrupts and system calls on the way, innermost first.
    pub exceptions: Vec<Exception<'a>>,
    /// What the stack ends at: `user_mode`, `kernel_thread`, `idle` or `truncated`.
    #[schemars(schema_with = "names::stack_end")]
    pub end: &'static str,
    /// Why the stack ended too early, or why it may not be what was running.
    pub error: Option<&'a str>,
}

/// One real frame.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Frame")]
pub struct Frame<'a> {
    /// The saved value itself: for a caller, the return address.
    pub pc: Hex,
    /// The stack pointer when the frame's code was at `pc`.
    pub sp: Hex,
    /// The symbol that covers the code.
    pub symbol: Option<&'a str>,
    /// Bytes from the symbol's start to `pc`.
    pub offset: Option<u64>,
    /// The module that the symbol is in; null for the kernel image.
    pub module: Option<&'a str>,
    /// The source file of the frame's own function.
    pub file: Option<&'a str>,
    /// The line in `file`: of the call to the outermost inlined function, where there is one.
    pub line: Option<u32>,
    /// Functions that the compiler inlined at `pc`, innermost first.
    pub inlined: Vec<Inlined<'a>>,
    /// The stack that the frame lies on: `task`, `irq`, `softirq`, `nmi`, `exception` or `entry`.
    #[schemars(schema_with = "names::segment_or_null")]
    pub segment: Option<&'static str>,
    /// How the frame was found: `context`, `orc`, `cfi`, `frame_pointer` or `scan`.
    #[schemars(schema_with = "names::trust")]
    pub trust: &'static str,
}

/// An inlined function.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Inlined")]
pub struct Inlined<'a> {
    /// Its name.
    pub function: Option<&'a str>,
    /// The source file.
    pub file: Option<&'a str>,
    /// The line in `file`.
    pub line: Option<u32>,
}

/// Registers saved when code was interrupted.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Exception")]
pub struct Exception<'a> {
    /// What interrupted: `page_fault`, `nmi`, `syscall`, `sysvec_apic_timer_interrupt` and so on, by the entry code's
    /// name.
    pub kind: Option<&'a str>,
    /// Whether kernel code was interrupted.
    pub kernel_mode: bool,
    /// The interrupted instruction.
    pub rip: Hex,
    /// The index in `frames` of the interrupted frame; the number of frames where user code was interrupted.
    pub frame: usize,
    /// Where the registers were saved (`struct pt_regs`).
    pub address: Hex,
    /// The address that a page fault was about, by the operand of the interrupted instruction and the saved registers; null
    /// where it is none, or these do not tell.
    pub faulting_address: Option<Hex>,
    /// The registers.
    pub registers: Registers,
}

/// Saved registers, by the machine's own names.
#[allow(missing_docs)]
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Registers {
    X86_64(Box<X86Registers>),
    Arm64(Arm64Registers),
}

/// Those of x86-64. Those that the entry code had not saved yet are null.
#[allow(missing_docs)]
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct X86Registers {
    pub rip: Hex,
    pub rsp: Hex,
    pub cs: Hex,
    pub ss: Hex,
    pub eflags: Hex,
    pub orig_rax: Option<Hex>,
    pub rax: Option<Hex>,
    pub rbx: Option<Hex>,
    pub rcx: Option<Hex>,
    pub rdx: Option<Hex>,
    pub rsi: Option<Hex>,
    pub rdi: Option<Hex>,
    pub rbp: Option<Hex>,
    pub r8: Option<Hex>,
    pub r9: Option<Hex>,
    pub r10: Option<Hex>,
    pub r11: Option<Hex>,
    pub r12: Option<Hex>,
    pub r13: Option<Hex>,
    pub r14: Option<Hex>,
    pub r15: Option<Hex>,
}

/// Those of arm64.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Arm64Registers {
    /// The interrupted instruction's address.
    pub pc: Hex,
    /// The stack pointer.
    pub sp: Hex,
    /// The processor state: condition flags, masked interrupts, the mode.
    pub pstate: Hex,
    /// `x0` to `x30`; `x29` is the frame pointer, `x30` the link register. Null where they had not been saved yet.
    pub x: Option<Vec<Hex>>,
}

impl<'a> Bt<'a> {
    /// The stacks that were unwound from `snapshot`, and what their page faults were about. `style` is for the text; JSON
    /// has everything.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, stacks: &'a [KernelStack], faults: &'a FaultingAddresses, style: Style) -> Self {
        let gaps = snapshot.gaps.iter().map(Gap::new).collect();
        Self { stacks: Stacks { snapshot, stacks, faults }, gaps, style }
    }
}

/// The models of stacks that were unwound from `snapshot`.
#[must_use]
pub fn stacks<'a>(snapshot: &'a Snapshot, stacks: &'a [KernelStack], faults: &FaultingAddresses) -> Vec<Stack<'a>> {
    let model = |stack: &'a KernelStack| Some(Stack::new(snapshot.tasks.get(stack.task)?, stack, faults));
    stacks.iter().filter_map(model).collect()
}

impl<'a> Stack<'a> {
    fn new(task: &'a Task, stack: &'a KernelStack, faults: &FaultingAddresses) -> Self {
        Self {
            cpu: task.cpu,
            pid: task.pid,
            tgid: task.tgid,
            comm: &task.comm,
            task: task.address.into(),
            state: task.state.letter(),
            on_cpu: task.on_cpu,
            on_rq: task.on_rq,
            frames: stack.frames.iter().map(Frame::new).collect(),
            exceptions: stack.interrupts.iter().map(|saved| Exception::new(saved, &stack.frames, faults)).collect(),
            end: stack.end.name(),
            error: stack.error.as_deref(),
        }
    }
}

impl<'a> Frame<'a> {
    fn new(frame: &'a StackFrame) -> Self {
        let location = &*frame.location;
        let symbol = location.symbol.as_ref();
        let (own, inlined) = location.source.split_last().unzip();
        Self {
            pc: frame.pc.into(),
            sp: frame.sp.into(),
            symbol: symbol.map(|symbol| symbol.name.as_str()),
            offset: symbol.map(|symbol| symbol.offset),
            module: symbol.and_then(|symbol| symbol.module.as_deref()),
            file: own.and_then(|own: &SourceFrame| own.file.as_deref()),
            line: own.and_then(|own| own.line),
            inlined: inlined.unwrap_or_default().iter().map(Inlined::new).collect(),
            segment: frame.segment.map(Segment::name),
            trust: frame.trust.name(),
        }
    }
}

impl<'a> Inlined<'a> {
    fn new(source: &'a SourceFrame) -> Self {
        Self { function: source.function.as_deref(), file: source.file.as_deref(), line: source.line }
    }
}

impl<'a> Exception<'a> {
    fn new(interrupt: &Interrupt, frames: &'a [StackFrame], faults: &FaultingAddresses) -> Self {
        // The frame below the interrupted one is the entry code that saved the registers.
        let mut served = frames.get(..interrupt.frame).unwrap_or_default().iter().rev().map(StackFrame::function);
        let entry = served.next().flatten();
        Self {
            kind: entry.and_then(|entry| exception::kind_of(entry, served.flatten())),
            kernel_mode: !interrupt.registers.user_mode(),
            rip: interrupt.registers.pc().into(),
            frame: interrupt.frame,
            address: interrupt.address.into(),
            faulting_address: faults.at(interrupt.address).map(Hex::from),
            registers: Registers::new(interrupt),
        }
    }
}

impl Registers {
    fn new(interrupt: &Interrupt) -> Self {
        match &interrupt.registers {
            vmcore_memory::Registers::X86_64(registers) => {
                Self::X86_64(Box::new(X86Registers::new(registers, interrupt)))
            }
            vmcore_memory::Registers::Arm64(registers) => Self::Arm64(Arm64Registers {
                pc: registers.pc.into(),
                sp: registers.sp.into(),
                pstate: Hex(registers.pstate),
                x: interrupt.complete.then(|| registers.x.map(Hex).to_vec()),
            }),
        }
    }
}

impl X86Registers {
    fn new(registers: &vmcore_memory::arch::x86_64::Registers, interrupt: &Interrupt) -> Self {
        let general = |value: u64| interrupt.complete.then_some(Hex(value));
        Self {
            rip: Hex(registers.rip),
            rsp: Hex(registers.rsp),
            cs: Hex(registers.cs),
            ss: Hex(registers.ss),
            eflags: Hex(registers.eflags),
            orig_rax: interrupt.orig_rax.map(Hex),
            rax: general(registers.rax),
            rbx: general(registers.rbx),
            rcx: general(registers.rcx),
            rdx: general(registers.rdx),
            rsi: general(registers.rsi),
            rdi: general(registers.rdi),
            rbp: general(registers.rbp),
            r8: general(registers.r8),
            r9: general(registers.r9),
            r10: general(registers.r10),
            r11: general(registers.r11),
            r12: general(registers.r12),
            r13: general(registers.r13),
            r14: general(registers.r14),
            r15: general(registers.r15),
        }
    }
}
