//! The command line.

mod command;
mod input;
mod inspect;
mod made;
mod state;
mod triage;

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, ValueEnum, ValueHint};
use vmcore_inspect::CpuList;

pub(crate) use command::Command;
pub(crate) use input::{DumpOptions, Input, Search};
pub(crate) use inspect::{Dis, Find, List, P, Rd, Struct, Sym, Tree, TreeType, Words};
pub(crate) use made::{Distill, Profile, Redact, Synth};
pub(crate) use state::{Files, Waitq};
pub(crate) use triage::{Pile, StoreOption, Triage, TriageAction, TriageMerge, TriageReport, TriageWork, Workers};

use crate::failure::Failure;
use crate::values::{self, Nanoseconds};

/// Opens a crashed Linux machine's memory dump and proves what hung it.
///
/// Exit status: 0 nothing wrong found; 1 a problem was found; 2 could not run (usage, unreadable file, a vmlinux that
/// does not match); 3 inconclusive: a problem is only possible, or what was needed is not in the dump.
#[derive(Debug, Parser)]
#[command(name = "vmcore-thp", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Where a worker of `triage` finds its cache, if this is to be one.
    pub(crate) fn worker(&self) -> Option<&Search> {
        match &self.command {
            Command::Triage(Triage { action: Some(TriageAction::Worker(search)), .. }) => Some(search),
            _ => None,
        }
    }
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Form of the output [default: html or json if the --output file's name ends so, else text]
    #[arg(long, global = true, value_enum, value_name = "FORM")]
    pub(crate) format: Option<Format>,
    /// Write to FILE instead of standard output; an existing FILE is left alone
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file named by --output; a symbolic link is refused
    #[arg(long, global = true)]
    pub(crate) force: bool,
    /// When to use colours; `auto` asks whether standard output is a terminal and `NO_COLOR` is not set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// Write text to a terminal directly, not through `VMCORE_THP_PAGER`, `PAGER` or `less`
    #[arg(long, global = true)]
    pub(crate) no_pager: bool,
    /// Number of worker threads; the output does not depend on it [default: one for each CPU]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// End with status 2 if the run takes longer than TIME, such as 30s, 500ms or 1h30m
    #[arg(long, global = true, value_name = "TIME", value_parser = values::duration)]
    pub(crate) timeout: Option<Nanoseconds>,
    /// End with status 2 if more memory than SIZE is needed, such as 512M or 2G; mapped files do not count
    #[arg(long, global = true, value_name = "SIZE", value_parser = values::size)]
    pub(crate) max_memory: Option<u64>,
    /// Tell by the exit status why the run could not be carried out, as `triage` asks of what it starts
    #[arg(long, global = true, hide = true)]
    pub(crate) tell_failure: bool,
    /// Show no warnings and no progress on standard error
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Report on standard error what is being done; twice for more detail
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs: one object, described by `vmcore-thp schema COMMAND`; of `triage` one per line
    #[value(alias = "jsonl")]
    Json,
    /// A page to pass on, complete in one file; only for `analyze`, `log` and `triage`
    Html,
    /// For spreadsheets; only for `triage export`
    Csv,
    /// Apache Parquet, for data frames and warehouses; only for `triage export`
    Parquet,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Even in a file or pipe
    Always,
    /// Never
    Never,
}

/// How to judge, and how much to tell.
#[derive(Args, Debug)]
pub(crate) struct Analyze {
    #[command(flatten)]
    pub(crate) judge: Judge,
    /// One line of text: the verdict and the kernel
    #[arg(long)]
    pub(crate) brief: bool,
    /// Text with one fact per line, however long, for grep
    #[arg(long, conflicts_with = "brief")]
    pub(crate) wide: bool,
}

/// How to judge.
#[derive(Args, Debug)]
pub(crate) struct Judge {
    #[command(flatten)]
    pub(crate) input: Input,
    /// How long a task must have had its CPU to count as spinning, and another must have waited to count as starved
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::duration)]
    pub(crate) spin_threshold: Nanoseconds,
}

/// How to print the kernel log.
#[derive(Args, Debug)]
pub(crate) struct Dmesg {
    #[command(flatten)]
    pub(crate) input: Input,
    /// Group the lines by caller, as the kernel recorded who printed them
    #[arg(long)]
    pub(crate) by_caller: bool,
}

/// Which log to read.
#[derive(Args, Debug)]
pub(crate) struct Log {
    /// The log's text; standard input if left out or `-`
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub(crate) file: PathBuf,
}

/// Which stacks to show.
#[derive(Args, Debug)]
pub(crate) struct Bt {
    #[command(flatten)]
    pub(crate) input: Input,
    /// The task that CPU N was running, or of several, as 1,4-7 or `all`; may be repeated
    #[arg(long, value_name = "N", value_parser = values::cpus)]
    pub(crate) cpu: Vec<CpuList>,
    /// The task with this process or thread id; may be repeated
    #[arg(long, value_name = "N")]
    pub(crate) pid: Vec<i32>,
    /// Every task, including idle tasks
    #[arg(long, conflicts_with_all = ["cpu", "pid"])]
    pub(crate) all: bool,
    /// The task whose `struct task_struct` is at ADDRESS; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    pub(crate) task: Vec<u64>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Show all registers that were saved on the way
    #[arg(long)]
    pub(crate) registers: bool,
    /// Show the stack of each task, even where several have the same
    #[arg(long)]
    pub(crate) each: bool,
}

/// Which tasks, by what they are.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Which {
    /// Tasks in one of these states, by the letters of `ps`, such as D or RD
    #[arg(long, value_name = "LETTERS", value_parser = values::states)]
    pub(crate) state: Option<String>,
    /// Tasks with TEXT in their name
    #[arg(long, value_name = "TEXT")]
    pub(crate) comm: Option<String>,
}

/// Which tasks to list, and in which order.
#[derive(Args, Debug)]
pub(crate) struct Ps {
    #[command(flatten)]
    pub(crate) input: Input,
    #[command(flatten)]
    pub(crate) which: Which,
    /// All threads of the process N; may be repeated
    #[arg(long, value_name = "N")]
    pub(crate) pid: Vec<i32>,
    /// The order: by process id, or by how long each has not run, longest first
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = Order::Pid)]
    pub(crate) sort: Order,
    /// Show children below their parents
    #[arg(long, conflicts_with = "sort")]
    pub(crate) tree: bool,
}

/// Orders of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// By process id
    Pid,
    /// By the time since they last ran
    Wait,
}

/// Which dump to open, and where the commands come from.
#[derive(Args, Debug)]
#[command(
    after_long_help = "A command is a line such as `bt --pid 151` or `p runqueues.nr_running`. `| PROGRAM` sends what it prints \
                             through a program, `> FILE` into a new file. Lines of a script that begin with # are comments. What \
                             crash spells differently is understood, so that its -i files work."
)]
pub(crate) struct Shell {
    #[command(flatten)]
    pub(crate) input: Input,
    /// Run this command and end; may be repeated
    #[arg(short, long, value_name = "COMMAND", conflicts_with = "script")]
    pub(crate) command: Vec<String>,
    /// Run the commands in FILE, or from standard input if FILE is `-` or standard input is not a terminal
    #[arg(short = 'i', long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
}

/// Which dump to serve.
#[derive(Args, Debug)]
#[command(
    after_long_help = "For assistants: they may look at the dump, and at nothing else; no file is written, no program started. \
                             docs/mcp.md has how a client is told of it."
)]
pub(crate) struct Mcp {
    #[command(flatten)]
    pub(crate) input: Input,
    /// Refuse answers larger than SIZE
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = values::size)]
    pub(crate) max_answer: u64,
}

/// What to translate.
#[derive(Args, Debug)]
#[command(override_usage = "vmcore-thp vtop [OPTIONS] <VMCORE> [VMLINUX] <ADDRESS>")]
pub(crate) struct Vtop {
    /// The memory dump, the kernel's debug information (looked up if left out), and the address: a number, symbol or expression
    // One list: an optional argument in front of a required one is not told apart when options stand between them.
    #[arg(value_name = "VMCORE [VMLINUX] ADDRESS", required = true, num_args = 1.., value_hint = ValueHint::FilePath)]
    pub(crate) words: Vec<OsString>,
    #[command(flatten)]
    more: DumpOptions,
    #[command(flatten)]
    search: Search,
    /// Use the page tables of the task with this process or thread id, for user addresses
    #[arg(long, value_name = "N")]
    pub(crate) pid: Option<i32>,
}

impl Vtop {
    /// The input, and the address as it was written.
    pub(crate) fn split(&self) -> Result<(Input, String), Failure> {
        let (vmcore, vmlinux, address) = match self.words.as_slice() {
            [vmcore, address] => (vmcore, None, address),
            [vmcore, vmlinux, address] => (vmcore, Some(vmlinux.into()), address),
            [_] => return Err(usage("the address is missing")),
            _ => return Err(usage("there are more than three arguments")),
        };
        let address = address.to_string_lossy().into_owned();
        Ok((Input { vmcore: vmcore.into(), vmlinux, more: self.more.clone(), search: self.search.clone() }, address))
    }
}

fn usage(message: impl Display) -> Failure {
    Failure::new(message).hint(usage_of("vtop"))
}

/// How a command is used, in one line.
pub(crate) fn usage_of(command: &str) -> String {
    let mut program = Cli::command();
    program.build();
    let usage = program.find_subcommand_mut(command).map(|command| command.render_usage().to_string());
    usage.unwrap_or_default().replacen("Usage", "usage", 1)
}

/// Commands whose output has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// The verdict
    Analyze,
    /// One line of many: a dump of a pile, and what became of it
    Triage,
    /// Stacks
    Bt,
    /// Tasks
    Ps,
    /// Run queues
    Runq,
    /// The kernel log
    Dmesg,
    /// What a log tells
    Log,
    /// The dump
    Info,
    /// A translation
    Vtop,
    /// What a small dump keeps
    Distill,
    /// Loaded modules
    Mod,
    /// A type or an object
    Struct,
    /// The value of an expression
    P,
    /// Raw memory
    Rd,
    /// Symbols
    Sym,
    /// Machine code
    Dis,
    /// Objects on a list
    List,
    /// Objects in a tree
    Tree,
    /// Places in memory
    Search,
    /// Issues
    Explain,
    /// A script for drgn
    DrgnScript,
    /// Timers
    Timer,
    /// Interrupts
    Irq,
    /// A wait queue: `waitq` with its address
    Waitq,
    /// The wait queues that tasks are in: `waitq` without an address
    Waiters,
    /// Pools of workers
    Workqueue,
    /// Locks
    Locks,
    /// The grace period
    Rcu,
    /// Block devices
    Dev,
    /// Open files
    Files,
    /// Mounts
    Mount,
    /// Network devices
    Net,
    /// Memory
    Kmem,
    /// Swap areas
    Swap,
}
