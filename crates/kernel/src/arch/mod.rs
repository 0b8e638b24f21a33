//! What of a kernel depends on its machine architecture.
//!
//! Each architecture answers the same questions: where the kernel is and how its memory is translated, what a page-table
//! entry means, where the walk of a task's stack begins, which stacks a CPU has, whose registers a note has. Of x86-64
//! only the first is answered here; the others are answered by the crate's own modules, which are to move here one by one.

pub(crate) mod arm64;
pub(crate) mod x86_64;
