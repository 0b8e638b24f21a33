//! Stacks: where each one starts, how far it reaches, and how it is walked.

mod areas;
mod machine;
mod registers;
mod start;
mod words;

pub(crate) use areas::StackLayout;
pub(crate) use machine::TaskMachine;
pub(crate) use registers::attribute;
pub use registers::{CpuRegisters, RegisterSource};
pub(crate) use start::StartLayout;
pub use words::{saved_words_begin, words_between};
