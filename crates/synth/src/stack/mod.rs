//! Kernel stacks that unwind: return addresses, saved registers and local variables, as the machine's functions leave them.
//!
//! A stack is described from the outside in by [`Layer`]s and written from the top downwards.

mod arm64;
mod ground;
mod x86_64;

pub(crate) use ground::{Ground, Placing};

use vmcore_memory::{Architecture, Registers, VirtAddr};

use crate::SynthError;
use crate::generation::Generation;

/// Bounds of a stack: from its lowest byte to behind its highest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) low: VirtAddr,
    pub(crate) high: VirtAddr,
}

/// What is on a stack, from the outside in.
#[derive(Clone, Debug)]
pub(crate) enum Layer {
    /// The registers of user code, which entered the kernel through the first function of the next layer.
    User(Box<Registers>),
    /// Functions that call one another.
    Calls(Vec<String>),
    /// A local variable of the function that was called last: the `struct page` of the page with this name.
    Local(String),
    /// An exception in the function that was called last, which found these general registers. Its handler is the next
    /// layer, on this stack or another.
    Exception(Box<Registers>, Option<Bounds>),
}

/// What a task that was scheduled out has saved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SwitchedOut {
    pub(crate) sp: VirtAddr,
    /// Where it goes on, and its frame pointer: where those are in its `struct task_struct`.
    pub(crate) pc: VirtAddr,
    pub(crate) fp: VirtAddr,
}

/// Writes all layers; the registers are those of the innermost function, with these general ones.
pub(crate) fn write(
    generation: &Generation,
    ground: Ground<'_>,
    layers: &[Layer],
    general: Option<&Registers>,
) -> Result<Registers, SynthError> {
    match generation.architecture() {
        Architecture::X86_64 => x86_64::write(ground, layers, general),
        Architecture::Arm64 => arm64::write(generation, ground, layers, general),
    }
}

/// Writes all layers of a task that was scheduled out. The last function is the one that calls the code that switches.
pub(crate) fn write_switched_out(
    generation: &Generation,
    ground: Ground<'_>,
    layers: &[Layer],
) -> Result<SwitchedOut, SynthError> {
    match generation.architecture() {
        Architecture::X86_64 => x86_64::write_switched_out(generation, ground, layers),
        Architecture::Arm64 => arm64::write_switched_out(generation, ground, layers),
    }
}
