//! What of a kernel depends on its machine architecture, where it is not x86-64's.
//!
//! Each architecture answers the same questions: where the kernel is and how its memory is translated, what a page-table
//! entry means, where the walk of a task's stack begins, which stacks a CPU has, whose registers a note has. Those of
//! x86-64 are answered by the crate's own modules, which are to move here one by one.

pub(crate) mod arm64;
