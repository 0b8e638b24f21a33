//! The commands that make files for others: small dumps, profiles, synthetic dumps.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DumpOptions, Input, Search};

/// What a small dump keeps.
#[derive(Args, Debug)]
pub(crate) struct Distill {
    #[command(flatten)]
    pub(crate) input: Input,
    /// Keep each page of which anything was read whole, with whatever else is in it
    ///
    /// Other data lies beside what was read: such a page can hold keys, names of files, parts of network packets,
    /// registers of user code. Without this option every byte that was not read is overwritten.
    #[arg(long)]
    pub(crate) whole_pages: bool,
    /// Remove the names of tasks, the kernel's log or the host's name
    ///
    /// The log names tasks and the host, too. Without it, the verdict has only the state of memory to go by.
    #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
    pub(crate) redact: Vec<Redact>,
}

/// What can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Redact {
    /// `task_struct.comm` of every task
    Names,
    /// The kernel's log, with the command line
    Log,
    /// `uname -n` and the domain name
    Host,
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
    #[arg(value_name = "SCENARIO", required_unless_present = "from", conflicts_with = "from")]
    pub(crate) scenario: Option<PathBuf>,
    /// Instead of making a dump, write the scenario that the verdict of this one comes down to; name the file with --output
    ///
    /// The scenario is made and analyzed to see that it gets the same verdict; exit status 3 if it does not.
    #[arg(long, num_args = 1..=2, value_names = ["VMCORE", "VMLINUX"])]
    pub(crate) from: Vec<PathBuf>,
    /// With --from: leave out names, hosts, addresses and whatever the log says besides its reports
    #[arg(long, requires = "from")]
    pub(crate) anonymize: bool,
    #[command(flatten)]
    pub(crate) more: DumpOptions,
    #[command(flatten)]
    pub(crate) search: Search,
    /// The generation of the kernel, such as 4.19 [default: the newest]
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,
    /// The seed of addresses, KASLR and the build-id; the same seed gives the same files
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Number of CPUs, instead of the scenario's
    #[arg(long, value_name = "N")]
    pub(crate) cpus: Option<u32>,
    /// Number of sleeping tasks besides those of the scenario
    #[arg(long, value_name = "N")]
    pub(crate) tasks: Option<u32>,
    /// Memory in GiB, instead of the scenario's; unused memory is not in the dump
    #[arg(long, value_name = "GIB")]
    pub(crate) memory: Option<u64>,
    /// Form of the dump
    #[arg(long, value_name = "FORM", default_value = "elf")]
    pub(crate) form: String,
}

impl Synth {
    /// The dump that a scenario is to be made from.
    pub(crate) fn input(&self) -> Option<Input> {
        let vmcore = self.from.first()?.clone();
        let (more, search) = (self.more.clone(), self.search.clone());
        Some(Input { vmcore, vmlinux: self.from.get(1).cloned(), more, search })
    }
}
