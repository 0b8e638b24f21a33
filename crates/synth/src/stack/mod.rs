//! Kernel stacks that unwind: return addresses, saved registers and local variables, as the image's unwind entries say.
//!
//! A stack is described from the outside in by [`Layer`]s and written by [`StackBuilder`] from the top downwards.

mod builder;

pub(crate) use builder::{Placing, StackBuilder, pt_regs};

use vmcore_memory::{VirtAddr, arch::x86_64::Registers};

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
