//! What a command is about: a dump, the vmlinux that goes with it, and where to look for one.

use std::path::PathBuf;

use clap::Args;
use vmcore_kernel::KernelChoice;
use vmcore_memory::PhysAddr;

use crate::values;

/// The dump and what describes its kernel.
#[derive(Args, Clone, Debug)]
pub(crate) struct Input {
    /// The memory dump: of kdump, makedumpfile, QEMU or virsh, LiME, AVML or raw; compressed files and tar archives are unpacked to
    /// $TMPDIR; s3:// and https:// are read in place
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
    /// It replaces the dump's own note. Without this option, all memory of a dump that has no note is searched for one.
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
    /// Use FILE for a dump of its build; `triage` hands on what is named among its dumps
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) debug_file: Vec<PathBuf>,
    /// Download nothing, even where `DEBUGINFOD_URLS` names servers
    #[arg(long)]
    pub(crate) no_debuginfod: bool,
    /// Keep a profile of each kernel in DIR, and from then on read it instead of the vmlinux: no source lines
    ///
    /// Under DIR is one file for each build-id. `triage` does so by itself, in vmcore-thp/profiles in the user's cache
    /// directory (`XDG_CACHE_HOME` or ~/.cache); other commands only with this option.
    #[arg(long, value_name = "DIR", value_parser = values::local_path())]
    pub(crate) cache: Option<PathBuf>,
    /// Remove the least recently used profiles when all take more than SIZE [default: 2G]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) cache_size: Option<u64>,
    /// Look for profiles of kernels below PREFIX (`s3://…`) first, and put new ones there
    ///
    /// `triage work` does so by itself, below its --store, where that is such a prefix.
    #[arg(long, value_name = "PREFIX")]
    pub(crate) share_profiles: Option<PathBuf>,
    /// Keep up to SIZE of what was fetched from servers for later commands; 0 keeps nothing [default: 1G]
    ///
    /// It is in vmcore-thp/objects in the user's cache directory, readable only by the user: it is parts of machines' memory.
    #[arg(long, value_name = "SIZE", value_parser = values::size_or_nothing)]
    pub(crate) block_cache: Option<u64>,
    /// Neither keep nor use profiles of other runs, nor what they fetched from servers
    #[arg(long, conflicts_with_all = ["cache", "cache_size", "block_cache"])]
    pub(crate) no_cache: bool,
}
