//! Stacks: where each one starts and how far it reaches.

mod by_machine;
mod thread;

pub(crate) use by_machine::{Stacks, TaskStart, attribute};
pub(crate) use thread::usual_thread_size;
