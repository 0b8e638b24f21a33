//! The command line.

mod inspect;
mod state;
mod triage;

use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use vmcore_diagnose::Issue;
use vmcore_kernel::KernelChoice;
use vmcore_memory::PhysAddr;

pub(crate) use inspect::{Dis, Find, List, P, Rd, Struct, Sym, Tree, TreeType};
pub(crate) use state::{Files, Waitq};
pub(crate) use triage::{Pile, StoreOption, Triage, TriageAction, TriageMerge, TriageReport, TriageWork, Workers};

use crate::failure::Failure;
use crate::values::{self, Nanoseconds};

/// Opens a crashed Linux machine's memory dump and proves what hung it.
///
/// Exit status: 0 nothing wrong found; 1 a problem was found; 2 could not run (usage, unreadable file, a vmlinux that
/// does not match); 3 inconclusive: what was needed is not in the dump.
#[derive(Debug, Parser)]
#[command(name = "vmcore-thp", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Form of the output [default: html or json where the name of the --output file ends so, else text]
    #[arg(long, global = true, value_enum, value_name = "FORM")]
    pub(crate) format: Option<Format>,
    /// Write to FILE instead of standard output; an existing FILE is left alone
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file named by --output (a symbolic link is replaced, not followed)
    #[arg(long, global = true)]
    pub(crate) force: bool,
    /// When to use colours; `auto` asks whether standard output is a terminal and `NO_COLOR` is not set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub(crate) color: Color,
    /// Show text on a terminal all at once, not by `VMCORE_THP_PAGER`, `PAGER` or `less`
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
    /// No warnings and no progress on standard error
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say on standard error what is being done; twice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs: one object, described by `vmcore-thp schema COMMAND`; of `triage` one a line
    #[value(alias = "jsonl")]
    Json,
    /// A page to pass on, complete in one file; only of `analyze`, `log` and `triage`
    Html,
    /// For spreadsheets; only of `triage export`
    Csv,
    /// Apache Parquet, for data frames and warehouses; only of `triage export`
    Parquet,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Even in a file or pipe
    Always,
    /// Not at all
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what hung the machine, and prove it
    Analyze(Analyze),
    /// Judge many dumps, each in a process of its own, and group them by what crashed them
    Triage(Triage),
    /// Show stacks, by default of what every CPU was running
    Bt(Bt),
    /// List all tasks, or some: who waits, in which state, for how long
    Ps(Ps),
    /// List loaded modules: which taint the kernel, and where their debug files are
    Mod(Input),
    /// Show who runs on each CPU and who waits for it
    Runq(Input),
    /// Print the kernel log
    Dmesg(Dmesg),
    /// Say what a console log, a vmcore-dmesg.txt or a serial capture tells, and put each CPU's trace together
    Log(Log),
    /// Say what the dump is of
    Info(Input),
    /// Translate a virtual address, with every page-table entry on the way
    Vtop(Vtop),
    /// Show what a type looks like, or an object of it
    #[command(visible_alias = "union")]
    Struct(Struct),
    /// Show the value of an expression of variables, members and pointers
    P(P),
    /// Show raw memory
    Rd(Rd),
    /// Show which symbol is at an address, or where a symbol is
    Sym(Sym),
    /// Show machine code, with the tasks that are in it
    Dis(Dis),
    /// Show the objects on a list
    List(List),
    /// Show the objects in a tree
    Tree(Tree),
    /// Look for a number or text in all memory: who holds a pointer to this lock, page or task?
    Search(Find),
    /// List timers, those first that are overdue
    ///
    /// In a hang: an overdue timer says that its CPU has not served timers since then: interrupts are off there, or
    /// something runs that does not let go.
    Timer(Input),
    /// List interrupt lines, and soft interrupts that wait
    ///
    /// In a hang: a line that is in progress has a CPU in its handler; soft interrupts that wait on a busy CPU hold up
    /// the network, block devices and RCU.
    Irq(Input),
    /// Show who is in a wait queue, or in which queue each sleeping task is
    ///
    /// In a hang: who sleeps for the same event, and whose data structure has to wake them.
    Waitq(Waitq),
    /// List pools of workers: what each does, which works wait, which pools are stuck
    ///
    /// In a hang: a work that waits behind one that sleeps is why its flusher, or a whole subsystem, stands still.
    Workqueue(Input),
    /// List locks that somebody waits for: who has them, who waits, first to be served first
    ///
    /// In a hang: whose owner to look at next.
    Locks(Input),
    /// Show RCU's grace period: for how long it has been going on, and which CPUs and tasks it waits for
    ///
    /// In a hang: everybody in `synchronize_rcu()` waits for the CPU or the reader that is named here.
    Rcu(Input),
    /// List block devices with the requests that they have not completed, oldest first
    ///
    /// In a hang: whether tasks wait for a device that does not answer; a request older than its timeout is marked.
    Dev(Input),
    /// List open files of tasks, by default of those that sleep and cannot be woken
    ///
    /// In a hang: which file, on which file system, from which NFS server, a hung task is at.
    Files(Files),
    /// List mounts: where, of which type, from which device or server, and whether frozen
    ///
    /// In a hang: a frozen file system stops everybody who writes to it; an NFS server that is gone, everybody.
    Mount(Input),
    /// List network devices: which are up, have a link, and may send
    ///
    /// In a hang: whether the way to an NFS server or to network storage is there.
    Net(Input),
    /// Show memory by zone, the largest slab caches and processes
    ///
    /// In a hang: below its low mark a zone makes everybody who wants memory reclaim it first; below min, wait.
    Kmem(Input),
    /// List swap areas
    ///
    /// In a hang: swap that is full, or on a device that does not answer.
    Swap(Input),
    /// Write a small dump that holds only what an analysis reads; give its name with --output
    Distill(Distill),
    /// Write a kernel's symbols, layouts and unwind tables to a small file; give its name with --output
    Profile(Profile),
    /// Make a synthetic dump with its vmlinux, in the directory that --output names
    Synth(Synth),
    /// Open a dump and run commands on it, each without naming it again; with completion and history on a terminal
    Shell(Shell),
    /// Say what an issue is, what is looked for, and what to do; without a name, list all issues
    Explain {
        /// The issue, by the name that `analyze` gives it
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(Issue::ALL.map(Issue::id)), hide_possible_values = true)]
        issue: Option<String>,
    },
    /// Write a script with which drgn reads again, on the same dump, every value that the verdict rests on
    DrgnScript(Judge),
    /// Print the JSON Schema of a command's output
    Schema {
        /// The command
        command: Document,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of the program or of one command
    Man {
        /// The command
        command: Option<String>,
    },
}

/// The dump and what describes its kernel.
#[derive(Args, Clone, Debug)]
pub(crate) struct Input {
    /// The memory dump: of kdump, makedumpfile, QEMU or virsh; gzip, xz and zstd are unpacked to a file in $TMPDIR
    #[arg(value_name = "VMCORE")]
    pub(crate) vmcore: PathBuf,
    /// The kernel's debug information; if left out, looked up by build-id and release, else taken from the dump itself
    #[arg(value_name = "VMLINUX")]
    pub(crate) vmlinux: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) more: DumpOptions,
    #[command(flatten)]
    pub(crate) search: Search,
}

/// What a small dump keeps.
#[derive(Args, Debug)]
pub(crate) struct Distill {
    #[command(flatten)]
    pub(crate) input: Input,
    /// Keep the whole of each page of which anything was read, with whatever else is in it
    ///
    /// Kernel memory lies side by side with that of others: such a page can hold keys, names of files, parts of network
    /// packets, registers of user code. Without this option every byte that was not read is overwritten.
    #[arg(long)]
    pub(crate) whole_pages: bool,
    /// Blot out names of tasks, the kernel's log, the name of the host
    ///
    /// The log names tasks and the host, too. Without it, the verdict has only the state of memory to go by.
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    pub(crate) redact: Vec<Redact>,
}

/// What can be blotted out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Redact {
    /// `task_struct.comm` of every task
    Names,
    /// The kernel's log, with the command line
    Log,
    /// `uname -n` and the domain name
    Host,
}

/// What else belongs to the dump.
#[derive(Args, Clone, Debug)]
pub(crate) struct DumpOptions {
    /// Another file of a dump that `makedumpfile --split` wrote; may be repeated
    ///
    /// VMCORE is one of the files and each of the others needs a --part, in any order. Files that are missing are
    /// tolerated: what they had is reported as missing.
    #[arg(long, value_name = "FILE")]
    pub(crate) part: Vec<PathBuf>,
    /// Take the text of the VMCOREINFO note from FILE, as `makedumpfile -g` writes it
    ///
    /// In place of the dump's own note. Of a dump without one, all memory is searched for it if this is left out.
    #[arg(long, value_name = "FILE")]
    pub(crate) vmcoreinfo: Option<PathBuf>,
    /// Of several kernels in memory, take the one whose image holds this physical address
    ///
    /// Where the crash kernel hung and the machine was dumped from outside, both are there: the one that crashed is
    /// taken unless this or --which says otherwise. A note says where they are.
    #[arg(long, value_name = "ADDRESS", value_parser = values::address, conflicts_with = "which")]
    pub(crate) kernel_at: Option<u64>,
    /// Of several kernels in memory, take the one with this number, counted from 1 by their addresses
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) which: Option<u16>,
}

impl DumpOptions {
    /// Which kernel the user wants.
    pub(crate) fn kernel(&self) -> KernelChoice {
        let at = self.kernel_at.map(|address| KernelChoice::At(PhysAddr::new(address)));
        let number = || self.which.map(|number| KernelChoice::Number(number.into()));
        at.or_else(number).unwrap_or_default()
    }
}

/// Where to look for a vmlinux that is not named.
#[derive(Args, Clone, Debug)]
pub(crate) struct Search {
    /// Look for debug files of the kernel and its modules in DIR before /usr/lib/debug; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) debug_dir: Vec<PathBuf>,
    /// Download nothing, even where `DEBUGINFOD_URLS` names servers
    #[arg(long)]
    pub(crate) no_debuginfod: bool,
    /// Keep a profile of each kernel in DIR, and from then on read that in place of its vmlinux: no source lines
    ///
    /// Under DIR is one file for each build-id. `triage` does so by itself, in vmcore-thp/profiles in the user's cache
    /// directory (`XDG_CACHE_HOME` or ~/.cache); other commands only with this option.
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Remove the profiles that were not used for longest when they have more than SIZE [default: 2G]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) cache_size: Option<u64>,
    /// Neither keep nor use profiles of other runs
    #[arg(long, conflicts_with_all = ["cache", "cache_size"])]
    pub(crate) no_cache: bool,
}

/// What to make a profile of.
#[derive(Args, Debug)]
pub(crate) struct Profile {
    /// The kernel's debug information
    #[arg(value_name = "VMLINUX")]
    pub(crate) vmlinux: PathBuf,
}

/// What to make a dump of.
#[derive(Args, Debug)]
pub(crate) struct Synth {
    /// The name of a scenario, a file that ends with .toml, or `list` to list what there is
    #[arg(value_name = "SCENARIO")]
    pub(crate) scenario: PathBuf,
    /// The generation of the kernel, such as 4.19 [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
    /// What addresses, KASLR and the build-id are made from; the same seed gives the same files
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of CPUs, in place of the scenario's
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<u32>,
    /// Number of sleeping tasks besides those of the scenario
    #[arg(long, value_name = "N")]
    pub(crate) tasks: Option<u32>,
    /// Memory in GiB, in place of the scenario's; what nobody uses is not in the dump
    #[arg(long, value_name = "GIB")]
    pub(crate) memory: Option<u64>,
    /// Form of the dump
    #[arg(long, value_name = "FORM", default_value = "elf")]
    pub(crate) form: String,
}

/// How to judge, and how much to tell.
#[derive(Args, Debug)]
pub(crate) struct Analyze {
    #[command(flatten)]
    pub(crate) judge: Judge,
    /// Text of one line: the verdict, and of which kernel
    #[arg(long)]
    pub(crate) brief: bool,
    /// Text with one fact a line, however long the line, for grep
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
    /// The lines of each caller together, as the kernel recorded who printed them
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
    /// The task that CPU N was running; may be repeated
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Vec<u32>,
    /// The task with this process or thread id; may be repeated
    #[arg(long, value_name = "N")]
    pub(crate) pid: Vec<i32>,
    /// Every task, idle tasks too
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
    /// Show the stack of each task, also where several have the same
    #[arg(long)]
    pub(crate) each: bool,
}

/// Which tasks, by what they are.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Which {
    /// Tasks in one of these states, as the letters of `ps`: D, or RD
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
    /// The order: by process id, or those first that have not run for the longest time
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = Order::Pid)]
    pub(crate) sort: Order,
    /// Children below their parents
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
    /// Run the commands in FILE, or of standard input if it is `-` or no terminal
    #[arg(short = 'i', long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
}

/// What to translate.
#[derive(Args, Debug)]
#[command(override_usage = "vmcore-thp vtop [OPTIONS] <VMCORE> [VMLINUX] <ADDRESS>")]
pub(crate) struct Vtop {
    /// The memory dump, the kernel's debug information (looked up if left out), and the address in hexadecimal
    // One list: an optional argument in front of a required one is not told apart when options stand between them.
    #[arg(value_name = "VMCORE [VMLINUX] ADDRESS", required = true, num_args = 1.., value_hint = ValueHint::FilePath)]
    words: Vec<OsString>,
    #[command(flatten)]
    more: DumpOptions,
    #[command(flatten)]
    search: Search,
    /// Through the page tables of the task with this process or thread id; for user addresses
    #[arg(long, value_name = "N")]
    pub(crate) pid: Option<i32>,
}

impl Vtop {
    /// The input and the address.
    pub(crate) fn split(&self) -> Result<(Input, u64), Failure> {
        let (vmcore, vmlinux, address) = match self.words.as_slice() {
            [vmcore, address] => (vmcore, None, address),
            [vmcore, vmlinux, address] => (vmcore, Some(vmlinux.into()), address),
            [_] => return Err(usage("the address is missing")),
            _ => return Err(usage("there are more than three arguments")),
        };
        let text = address.to_string_lossy();
        let address =
            values::address(&text).map_err(|why| usage(format_args!("the last argument is '{text}': {why}")))?;
        Ok((Input { vmcore: vmcore.into(), vmlinux, more: self.more.clone(), search: self.search.clone() }, address))
    }
}

fn usage(message: impl Display) -> Failure {
    Failure::new(message).hint("usage: vmcore-thp vtop [OPTIONS] VMCORE [VMLINUX] ADDRESS")
}

/// Commands whose output has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Document {
    /// The verdict
    Analyze,
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
    /// A wait queue, if its address is given
    Waitq,
    /// The queues that tasks are in, if none is given
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
