//! Stacks: where each one starts, how far it reaches, and how it is walked.

mod by_machine;
mod machine;
mod registers;
mod thread;
mod words;

pub(crate) use by_machine::{Stacks, TaskStart, attribute};
pub(crate) use machine::TaskMachine;
pub use registers::{CpuRegisters, RegisterSource};
pub(crate) use thread::thread_size;
pub use words::{saved_words_begin, words_between};
