//! What an unwound stack is made of.

use vmcore_memory::{ReadError, Registers, VirtAddr};

/// How a frame was found, from the most to the least reliable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// The registers that unwinding started from.
    Context,
    /// By the ORC entry of the frame below it.
    Orc,
    /// By DWARF call-frame information of the frame below it.
    Cfi,
    /// By following RBP where no table covers the frame below it.
    FramePointer,
    /// By searching the stack for a plausible return address: may be left over from an earlier call.
    Scan,
}

impl Trust {
    /// All of them, as they are declared.
    pub const ALL: [Self; 5] = [Self::Context, Self::Orc, Self::Cfi, Self::FramePointer, Self::Scan];

    /// The name used in output: `context`, `orc`, `cfi`, `frame_pointer` or `scan`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Context => "context",
            Self::Orc => "orc",
            Self::Cfi => "cfi",
            Self::FramePointer => "frame_pointer",
            Self::Scan => "scan",
        }
    }
}

/// Which of a CPU's stacks a frame lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// The task's own kernel stack.
    Task,
    /// The CPU's hard-interrupt stack (on x86-64 soft interrupts run there too).
    Irq,
    /// A separate soft-interrupt stack.
    SoftIrq,
    /// The NMI stack.
    Nmi,
    /// Another exception stack (double fault, debug, machine check, VMM communication).
    Exception,
    /// The small stack that the entry code starts on.
    Entry,
}

impl Segment {
    /// All of them, as they are declared.
    pub const ALL: [Self; 6] = [Self::Task, Self::Irq, Self::SoftIrq, Self::Nmi, Self::Exception, Self::Entry];

    /// The name used in output: `task`, `irq`, `softirq`, `nmi`, `exception` or `entry`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Irq => "irq",
            Self::SoftIrq => "softirq",
            Self::Nmi => "nmi",
            Self::Exception => "exception",
            Self::Entry => "entry",
        }
    }
}

/// Where unwinding starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The registers. Those that are not known are 0.
    pub registers: Registers,
    /// `false` where RIP is a return address (a task that is scheduled out), `true` where it is the next instruction.
    pub exact: bool,
    /// Whether all general registers are known, not only the callee-saved ones.
    pub complete: bool,
}

/// One real (not inlined) frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The saved value itself: for a caller the return address.
    pub pc: VirtAddr,
    /// RSP when the frame's code was at `pc`.
    pub sp: VirtAddr,
    /// Whether `pc` is the next instruction (start, exception, interrupt) and not a return address. So it is also where a
    /// tracer put the start of its own code in the place of a return address, which is lost.
    pub exact: bool,
    /// How the frame was found.
    pub trust: Trust,
    /// The stack that `sp` lies on, where it is known.
    pub segment: Option<Segment>,
}

impl Frame {
    /// The address to look up symbols, lines and tables with: inside the call instruction for a return address.
    #[must_use]
    pub const fn lookup_pc(&self) -> VirtAddr {
        lookup_pc(self.pc, self.exact)
    }
}

/// An address inside the instruction that `pc` belongs to: `pc` itself where it is `exact`, else inside the call before
/// it.
pub(crate) const fn lookup_pc(pc: VirtAddr, exact: bool) -> VirtAddr {
    if exact { pc } else { pc.wrapping_sub(1) }
}

/// Saved registers of interrupted code, found on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// Index in [`Unwound::frames`] of the interrupted frame; the frame before it is the handler's entry code. Equal to
    /// the number of frames where user code was interrupted.
    pub frame: usize,
    /// Where the `struct pt_regs` lies.
    pub address: VirtAddr,
    /// The registers. Only RIP, CS, RFLAGS, RSP and SS are known unless `complete`; the others are 0.
    pub registers: Registers,
    /// `orig_ax`: the number of a system call, an error code, or -1.
    pub orig_rax: Option<u64>,
    /// Whether the general registers are known, too: saved with the others, or still in the CPU where entry code was
    /// itself interrupted before it saved them.
    pub complete: bool,
}

/// How the walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At saved user registers.
    User,
    /// At code that the tables mark as the outermost: a kernel thread's or an idle task's entry.
    Outermost,
    /// Before either; [`Unwound::problem`] says why.
    Truncated,
}

/// Why a walk could not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing covers the code address and no fall-back found a caller.
    #[error("no unwind entry covers {pc} and no return address was found above stack pointer {sp}")]
    NoCaller {
        /// The last frame's code address.
        pc: VirtAddr,
        /// The last frame's stack pointer.
        sp: VirtAddr,
    },
    /// The stack could not be read.
    #[error("stack word at {address} cannot be read: {source}")]
    Unreadable {
        /// The word's address.
        address: VirtAddr,
        /// Why.
        source: ReadError,
    },
    /// The next stack pointer is not above the last one: following it might never end.
    #[error("stack pointer goes from {from} back to {to} at {pc}")]
    NotAdvancing {
        /// The code address whose unwinding led there.
        pc: VirtAddr,
        /// The stack pointer before.
        from: VirtAddr,
        /// The stack pointer after.
        to: VirtAddr,
    },
    /// A tracer has put its own code in the place of a return address, and has no record of it. The walk goes on behind it.
    #[error(
        "it is traced: {pc} was put in the place of a return address that is in no record, so that caller is not known"
    )]
    Traced {
        /// The start of the tracer's code.
        pc: VirtAddr,
    },
    /// More frames than any real stack has.
    #[error("more than {limit} frames")]
    TooManyFrames {
        /// The limit.
        limit: usize,
    },
}

/// The most frames that one walk returns: well above what the four or five stacks of one CPU can hold.
pub const MAX_FRAMES: usize = 2048;

/// An unwound stack, innermost frame first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwound {
    /// The frames up to, not including, user code.
    pub frames: Vec<Frame>,
    /// Interrupted contexts on the way, innermost first.
    pub interrupts: Vec<Interrupt>,
    /// How the walk ended.
    pub end: End,
    /// Why it ended too early, where it did, or what it could not find on the way.
    pub problem: Option<Problem>,
}
