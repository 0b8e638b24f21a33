//! Registers, memory and unwind tables to stack frames.
//!
//! An [`Unwinder`] starts from a set of registers and walks outwards: through calls, across exceptions, interrupts and
//! NMIs (each on a stack of its own), up to the user boundary or the thread's entry. ORC tables say how; where they are
//! silent (retpoline thunks, entry code, generated code) or wrong (objtool does not follow every instruction) DWARF
//! call-frame information, a frame pointer or a bounded scan of the stack is tried, and each [`Frame`] says by its [`Trust`] how it was found.
//!
//! That is x86-64; stacks of arm64 are followed by call-frame information and frame records.
//!
//! The crate knows nothing of symbols, tasks or dump files: text, stacks and tables come through the [`Machine`] trait.
//!
//! Sources: `arch/x86/kernel/unwind_orc.c`, `arch/x86/include/asm/orc_types.h`, `Documentation/arch/x86/orc-unwinder.rst`
//! of the Linux kernel.

#![forbid(unsafe_code)]

mod arm64;
mod fallback;
mod frame;
mod machine;
pub mod orc;
mod stack_memory;
mod unwinder;

pub use frame::{End, Frame, Interrupt, MAX_FRAMES, Problem, Segment, Start, Trust, Unwound};
pub use machine::{CfiRow, Machine, StackRange};
pub use unwinder::Unwinder;
