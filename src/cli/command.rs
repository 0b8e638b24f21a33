//! The commands, in the order in which help lists them.

use clap::Subcommand;
use vmcore_diagnose::Issue;

use super::*;

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
    /// Analyze a console log, a vmcore-dmesg.txt or a serial capture, and put each CPU's trace together
    Log(Log),
    /// Describe the dump, its machine and its kernel
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
    /// List timers, overdue ones first
    ///
    /// In a hang: an overdue timer means that its CPU has not served timers since then: interrupts are off there, or
    /// something runs that does not let go.
    Timer(Input),
    /// List interrupt lines and pending soft interrupts
    ///
    /// In a hang: a line that is in progress has a CPU in its handler; soft interrupts pending on a busy CPU hold up
    /// the network, block devices and RCU.
    Irq(Input),
    /// Show who is in a wait queue, or in which queue each sleeping task is
    ///
    /// In a hang: who sleeps for the same event, and whose data structure has to wake them.
    Waitq(Waitq),
    /// List worker pools: what each does, which work items wait, which pools are stuck
    ///
    /// In a hang: a work item that waits behind one that sleeps is why its flusher, or a whole subsystem, stands still.
    Workqueue(Input),
    /// List contended locks: who holds them and who waits, next in line first
    ///
    /// In a hang: which owner to look at next.
    Locks(Input),
    /// Show RCU's grace period: how long it has lasted, and which CPUs and tasks it waits for
    ///
    /// In a hang: everybody in `synchronize_rcu()` waits for the CPU or the reader that is named here.
    Rcu(Input),
    /// List block devices with their outstanding requests, oldest first
    ///
    /// In a hang: whether tasks wait for a device that does not answer; a request older than its timeout is marked.
    Dev(Input),
    /// List open files of tasks, by default of those that wait for a file system or are in uninterruptible sleep
    ///
    /// In a hang: which file, file system or NFS server a hung task needs.
    Files(Files),
    /// List mounts: where, of which type, from which device or server, and whether frozen
    ///
    /// In a hang: which tasks need which file system, and what a FUSE daemon has not answered; a frozen one stops everybody
    /// who writes to it, an NFS server that is gone everybody.
    Mount(Input),
    /// List network devices: which are up, have a link, and may send
    ///
    /// In a hang: whether an NFS server or network storage can be reached.
    Net(Input),
    /// Show memory by zone, the largest slab caches and processes
    ///
    /// In a hang: below its low watermark a zone wakes kswapd; below min, tasks that want memory have to reclaim it themselves.
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
    /// Open a dump once and run commands on it, with completion and history on a terminal
    Shell(Shell),
    /// Serve the commands that look at a dump as tools of the Model Context Protocol, over standard input and output
    #[cfg_attr(not(feature = "mcp"), command(hide = true))]
    Mcp(Mcp),
    /// Explain an issue: what it is, what is looked for, what to do; without a name, list all issues
    Explain {
        /// The issue, by the name that `analyze` gives it
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(Issue::ALL.map(Issue::id)), hide_possible_values = true)]
        issue: Option<String>,
    },
    /// Write a drgn script that reads every value the verdict rests on again from the same dump
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
        /// The command; a subcommand with a hyphen, as in `triage-report`
        command: Option<String>,
        /// Write a page for each command to the directory that --output names
        #[arg(long, conflicts_with = "command")]
        all: bool,
    },
}
