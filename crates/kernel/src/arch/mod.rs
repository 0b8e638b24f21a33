//! What of a kernel depends on its machine architecture.
//!
//! Each architecture answers the same questions: what a page-table entry means, where the walk of a task's stack begins, which
//! stacks a CPU has, whose registers a note has. Where the kernel is and how its memory is translated, which takes all
//! of these, is `ground`.

pub(crate) mod arm64;
mod general;
pub(crate) mod x86_64;

pub(crate) use general::general_registers;
