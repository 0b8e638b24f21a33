//! Arguments of the commands that look at a kernel by hand, as `crash` has them where it has the command.

use std::ffi::OsString;

use clap::{Args, ValueEnum, ValueHint};

use super::{DumpOptions, Search};
use crate::values;

/// The dump, perhaps its vmlinux, and what the command is to look at.
#[derive(Args, Debug)]
pub(crate) struct Words {
    /// The memory dump, the kernel's debug information (looked up if left out), and then what the usage says
    ///
    /// The second word is VMLINUX where it names a file.
    // One list: optional arguments in front of others are not told apart when options stand between them.
    #[arg(value_name = "VMCORE [VMLINUX] ...", required = true, num_args = 1.., value_hint = ValueHint::FilePath)]
    pub(crate) words: Vec<OsString>,
    #[command(flatten)]
    pub(crate) more: DumpOptions,
    #[command(flatten)]
    pub(crate) search: Search,
}

/// Which type, and where.
#[derive(Args, Debug)]
#[command(
    override_usage = "vmcore-thp struct [OPTIONS] <VMCORE> [VMLINUX] <TYPE[.MEMBER,...]|VARIABLE> [ADDRESS [COUNT]]"
)]
pub(crate) struct Struct {
    #[command(flatten)]
    pub(crate) words: Words,
    /// Write numbers in hexadecimal
    #[arg(short = 'x', long)]
    pub(crate) hex: bool,
    /// ADDRESS is that of this member, not of the object: a number of bytes, or TYPE.MEMBER
    #[arg(short = 'l', long, value_name = "OFFSET")]
    pub(crate) link: Option<String>,
}

/// What to evaluate.
#[derive(Args, Debug)]
#[command(
    override_usage = "vmcore-thp p [OPTIONS] <VMCORE> [VMLINUX] <EXPRESSION>",
    after_long_help = "Members, indexes, pointers, casts and arithmetic as in C. A per-CPU variable is shown of each CPU, of \
                       one as NAME:CPU, or of several as NAME:1,4-7. task(PID) points to a task_struct; sizeof, offsetof, container_of and per_cpu_ptr are \
                       what they are in the kernel.\n\n\
                       Examples: init_task.comm; runqueues:3.curr->pid; ((struct rq *)0xffff888012345678)->nr_running; \
                       task(1)->mm->owner.comm"
)]
pub(crate) struct P {
    #[command(flatten)]
    pub(crate) words: Words,
    /// Write numbers in hexadecimal
    #[arg(short = 'x', long)]
    pub(crate) hex: bool,
}

/// Which memory.
#[derive(Args, Debug)]
#[command(
    override_usage = "vmcore-thp rd [OPTIONS] <VMCORE> [VMLINUX] <ADDRESS|SYMBOL> [COUNT]",
    after_help = "-8, -16, -32 and -64 are short for --bits."
)]
pub(crate) struct Rd {
    #[command(flatten)]
    pub(crate) words: Words,
    /// Bits of each word
    #[arg(long, value_name = "BITS", default_value = "64", value_parser = ["8", "16", "32", "64"])]
    pub(crate) bits: String,
    /// Write symbols instead of the addresses that have one
    #[arg(short, long)]
    pub(crate) symbols: bool,
    /// ADDRESS is physical
    #[arg(short, long, conflicts_with = "pid")]
    pub(crate) physical: bool,
    /// ADDRESS is one of the process of this task
    #[arg(long, value_name = "N")]
    pub(crate) pid: Option<i32>,
}

/// Which symbols.
#[derive(Args, Debug)]
#[command(override_usage = "vmcore-thp sym [OPTIONS] <VMCORE> [VMLINUX] <SYMBOL|ADDRESS>...")]
pub(crate) struct Sym {
    #[command(flatten)]
    pub(crate) words: Words,
    /// List all symbols whose names contain the words (also as `-q`)
    #[arg(long)]
    pub(crate) query: bool,
}

/// Which code.
#[derive(Args, Debug)]
#[command(override_usage = "vmcore-thp dis [OPTIONS] <VMCORE> [VMLINUX] <FUNCTION|ADDRESS> [COUNT]")]
pub(crate) struct Dis {
    #[command(flatten)]
    pub(crate) words: Words,
    /// Show source lines
    #[arg(short, long)]
    pub(crate) lines: bool,
    /// From the start of the function up to ADDRESS
    #[arg(short, long)]
    pub(crate) reverse: bool,
}

/// Which list.
#[derive(Args, Debug)]
#[command(
    override_usage = "vmcore-thp list [OPTIONS] <VMCORE> [VMLINUX] [TYPE.MEMBER|OFFSET] <START>",
    disable_help_flag = true
)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) words: Words,
    /// START is a `list_head` that is not in an object on the list
    #[arg(short = 'H', long, conflicts_with = "object")]
    pub(crate) head: bool,
    /// START is an object, whose `list_head` is on the list
    #[arg(short = 'h', long)]
    pub(crate) object: bool,
    /// Where the link is in an object: a number of bytes, or TYPE.MEMBER
    #[arg(long, value_name = "OFFSET")]
    pub(crate) offset: Option<String>,
    /// Show this of each object: TYPE, or TYPE.MEMBER,MEMBER...
    #[arg(short, long, value_name = "TYPE[.MEMBER,...]")]
    pub(crate) show: Vec<String>,
    /// Stop at this address
    #[arg(short, long, value_name = "ADDRESS")]
    pub(crate) end: Option<String>,
    /// Follow `prev` instead of `next`
    #[arg(short, long)]
    pub(crate) reverse: bool,
    /// Write numbers in hexadecimal
    #[arg(short = 'x', long)]
    pub(crate) hex: bool,
    /// List at most N objects
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) limit: usize,
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
}

/// Which tree.
#[derive(Args, Debug)]
#[command(override_usage = "vmcore-thp tree [OPTIONS] <VMCORE> [VMLINUX] <ROOT>")]
pub(crate) struct Tree {
    #[command(flatten)]
    pub(crate) words: Words,
    /// The kind of tree
    #[arg(short = 't', long = "type", value_enum, default_value_t = TreeType::Rbtree)]
    pub(crate) kind: TreeType,
    /// ROOT is the topmost node itself, not the structure that points to it
    #[arg(short = 'N', long)]
    pub(crate) node: bool,
    /// Where the node of a red-black tree is in an object: a number of bytes, or TYPE.MEMBER
    #[arg(long, value_name = "OFFSET")]
    pub(crate) offset: Option<String>,
    /// Show this of each object: TYPE, or TYPE.MEMBER,MEMBER...
    #[arg(short, long, value_name = "TYPE[.MEMBER,...]")]
    pub(crate) show: Vec<String>,
    /// Write numbers in hexadecimal
    #[arg(short = 'x', long)]
    pub(crate) hex: bool,
    /// List at most N objects
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) limit: usize,
}

/// Kinds of trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TreeType {
    /// `struct rb_root`
    Rbtree,
    /// `struct xarray`
    #[value(alias = "radix", alias = "ra", alias = "x")]
    Xarray,
    /// `struct maple_tree`
    Maple,
}

/// What to look for.
#[derive(Args, Debug)]
#[command(override_usage = "vmcore-thp search [OPTIONS] <VMCORE> [VMLINUX] <VALUE|SYMBOL>")]
pub(crate) struct Find {
    #[command(flatten)]
    pub(crate) words: Words,
    /// Search for text, not for a number
    #[arg(short = 'c', long)]
    pub(crate) text: bool,
    /// Bits to ignore, in hexadecimal
    #[arg(short, long, value_name = "MASK", default_value = "0", value_parser = values::address)]
    pub(crate) mask: u64,
    /// Bits of the number
    #[arg(long, value_name = "BITS", default_value = "64", value_parser = ["16", "32", "64"])]
    pub(crate) bits: String,
    /// Show at most N places
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) limit: usize,
}
