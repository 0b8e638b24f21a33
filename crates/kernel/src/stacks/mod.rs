//! Stacks: where each one starts, how far it reaches, and how it is walked.

mod areas;
mod by_machine;
mod machine;
mod registers;
mod start;
mod words;

pub(crate) use by_machine::{Stacks, TaskStart, attribute};
pub(crate) use machine::TaskMachine;
pub use registers::{CpuRegisters, RegisterSource};
pub use words::{saved_words_begin, words_between};
