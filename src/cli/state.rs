//! Arguments of the commands that list kernel state, beyond the dump itself.

use clap::Args;

use super::inspect::Words;
use super::{Input, Which};

/// Which wait queue.
#[derive(Args, Debug)]
#[command(
    override_usage = "vmcore-thp waitq [OPTIONS] <VMCORE> [VMLINUX] [ADDRESS|EXPRESSION]",
    after_long_help = "Without an address: the queues that sleeping tasks are in, found by the entries on their stacks."
)]
pub(crate) struct Waitq {
    #[command(flatten)]
    pub(crate) words: Words,
    /// The queue is a `struct swait_queue_head`, as in a completion
    #[arg(short, long)]
    pub(crate) simple: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// Whose files.
#[derive(Args, Debug)]
pub(crate) struct Files {
    #[command(flatten)]
    pub(crate) input: Input,
    /// The task with this process or thread id; may be repeated [default: all that wait for a file system]
    #[arg(long, value_name = "N")]
    pub(crate) pid: Vec<i32>,
    #[command(flatten)]
    pub(crate) which: Which,
}
