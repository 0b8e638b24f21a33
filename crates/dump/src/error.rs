//! Why a file could not be opened as a dump: one line for people, and a hint what to do about it.

use std::io;
use std::path::PathBuf;

use vmcore_memory::{Architecture, FileOffset, Machine};

use crate::Lookalike;

/// Why a dump could not be opened. The message is one line and carries the path; [`OpenError::hint`] says what to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The operating system refused.
    #[error("cannot open {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
    /// A directory.
    #[error("{} is a directory, not a dump file", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
    },
    /// A pipe, socket or terminal, where a file is needed.
    #[error("{} is not a file that can be mapped", path.display())]
    NotSeekable {
        /// The path.
        path: PathBuf,
    },
    /// A file of zero bytes.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A file in no dump format that can be read.
    #[error("{} is not a dump that can be read: {looks_like}", path.display())]
    NotADump {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        looks_like: Lookalike,
    },
    /// A compressed file that could not be unpacked to a temporary file.
    #[error("cannot unpack {} with {compression} to a file in {} (after {unpacked} bytes): {cause}", path.display(), directory.display())]
    CannotUnpack {
        /// The compressed file.
        path: PathBuf,
        /// The program that compressed it.
        compression: &'static str,
        /// The directory of the temporary file.
        directory: PathBuf,
        /// Bytes unpacked before.
        unpacked: u64,
        /// What went wrong.
        #[source]
        cause: io::Error,
    },
    /// A compressed file of which nothing could be unpacked.
    #[error("{} is a damaged {compression} file: {cause}", path.display())]
    DamagedStream {
        /// The compressed file.
        path: PathBuf,
        /// The program that compressed it.
        compression: &'static str,
        /// What its decoder says.
        #[source]
        cause: io::Error,
    },
    /// A compressed file that needs more memory to unpack than is taken for that.
    #[error("{} needs more memory to unpack with {compression} than the limit: {cause}", path.display())]
    TooLarge {
        /// The compressed file.
        path: PathBuf,
        /// The program that compressed it.
        compression: &'static str,
        /// What its decoder says.
        #[source]
        cause: io::Error,
    },
    /// An ELF file, but not a core file.
    #[error("{} is an ELF {kind}, not a core dump", path.display())]
    NotACore {
        /// The file.
        path: PathBuf,
        /// What the ELF header's type says.
        kind: &'static str,
    },
    /// The core dump of a user process.
    #[error("{} is the core dump of a user process, not of a kernel", path.display())]
    UserCore {
        /// The file.
        path: PathBuf,
    },
    /// A dump of another machine type, width or byte order.
    #[error("{} is a dump of {machine}; only those of {} are read", path.display(), Architecture::LIST)]
    WrongMachine {
        /// The file.
        path: PathBuf,
        /// The machine that the header names.
        machine: Machine,
    },
    /// The file ends inside its header.
    #[error("{} ends inside its header: {needed} bytes are needed and it has {len}", path.display())]
    TruncatedHeader {
        /// The file.
        path: PathBuf,
        /// Bytes that the header needs.
        needed: u64,
        /// Bytes in the file.
        len: u64,
    },
    /// The header cannot be true.
    #[error("{} has a damaged header: {reason} (file offset {offset})", path.display())]
    BadHeader {
        /// The file.
        path: PathBuf,
        /// Where the field in question is.
        offset: FileOffset,
        /// What is wrong with it.
        reason: String,
    },
    /// The file ends before the headers that say where its memory is.
    #[error("{} is truncated: the headers that describe its memory are not in it", path.display())]
    HeadersLost {
        /// The file.
        path: PathBuf,
    },
    /// Files that are not parts of one split dump.
    #[error("{} and {} are not parts of one split dump", path.display(), other.display())]
    NotOneDump {
        /// The file that does not fit.
        path: PathBuf,
        /// The file that it does not fit with.
        other: PathBuf,
    },
    /// A file that was to hold the text of a VMCOREINFO note.
    #[error("{} is not the text of a VMCOREINFO note: {reason}", path.display())]
    NotVmcoreinfo {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        reason: &'static str,
    },
    /// A well-formed dump without any memory in it.
    #[error("{} describes no physical memory", path.display())]
    NoMemory {
        /// The file.
        path: PathBuf,
    },
}

impl OpenError {
    /// What the user could try, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unreadable { cause, .. } => match cause.kind() {
                io::ErrorKind::NotFound => Some("check the path; kdump writes to /var/crash/<host>-<time>/ by default"),
                io::ErrorKind::PermissionDenied => Some("dumps are often readable only by root"),
                _ => None,
            },
            Self::Directory { .. } => Some("name the dump file in it; kdump calls it vmcore or dump.<time>"),
            Self::NotSeekable { .. } => Some("write the dump to a file first"),
            Self::Empty { .. } => Some("the crash kernel was probably stopped, or its disk was full, before it wrote"),
            Self::CannotUnpack { cause, .. } => match cause.kind() {
                io::ErrorKind::FileTooLarge => Some("a file made to unpack without end? Unpack it by hand to be sure"),
                _ => Some("the environment variable TMPDIR names the directory; it needs room for the unpacked dump"),
            },
            // `zstd --long=31` writes 2 GiB, which is unpacked here as well.
            Self::TooLarge { compression: "zstd", .. } => Some(
                "zstd writes no file that needs more than 2 GiB: the copy is probably damaged; copy the dump again",
            ),
            Self::TooLarge { .. } => Some("unpack it by hand: xz -dc FILE > vmcore"),
            Self::DamagedStream { .. } => Some("the copy was probably interrupted; copy the dump again"),
            Self::NotADump { looks_like, .. } => match looks_like {
                Lookalike::Compressed("lzop") => Some("decompress it first: lzop -dc FILE > vmcore"),
                Lookalike::Compressed("lzip") => Some("decompress it first: lzip -dc FILE > vmcore"),
                Lookalike::Vmware => Some(
                    "give the .vmem file beside it, which has the memory; or make a core of both: vmss2core -M FILE.vmss FILE.vmem",
                ),
                Lookalike::XenCore => Some(
                    "let the guest write its own dump (kdump), or convert it to an ELF core by address; crash reads it too",
                ),
                Lookalike::XenHost => Some("crash reads the first guest in it, given that guest's vmlinux"),
                Lookalike::Sadump => Some("convert it: makedumpfile -c -x VMLINUX FILE vmcore"),
                Lookalike::OtherDump("a QEMU disk image") => Some(
                    "a disk holds no memory, but perhaps a dump: take that from /var/crash on it (guestmount, virt-copy-out)",
                ),
                Lookalike::OtherDump("a Proxmox backup") => {
                    Some("a backup holds disks: restore it, and take the dump from /var/crash")
                }
                Lookalike::OtherDump("a saved Xen guest") => {
                    Some("restore it, and let the guest write its own dump (xl trigger GUEST nmi, or sysrq)")
                }
                Lookalike::OtherDump("a Windows crash dump") => {
                    Some("it is for WinDbg; this program is for Linux machines")
                }
                Lookalike::OtherDump("an EnCase image" | "an HPAK memory image") => {
                    Some("export the memory from it (ewfexport, for one), and give that raw image")
                }
                Lookalike::OtherDump(
                    "an LKCD dump" | "a diskdump of before 2008" | "a stand-alone dump of an s390 machine",
                ) => Some("crash reads it, given the vmlinux"),
                Lookalike::OtherDump("a saved QEMU machine state" | "a machine state saved by libvirt") => Some(
                    "start the machine from it, paused, and dump that: virsh dump --memory-only, or dump-guest-memory",
                ),
                Lookalike::OtherDump("a saved VirtualBox machine state") => {
                    Some("start the machine from it, paused, and dump that: VBoxManage debugvm NAME dumpvmcore")
                }
                Lookalike::Compressed(_) => Some("decompress it first"),
                Lookalike::BootImage => Some("the arguments are VMCORE first, then VMLINUX (uncompressed)"),
                Lookalike::Text => Some("give the dump itself: a console log or vmcore-dmesg.txt holds no memory"),
                Lookalike::Zeroes => Some("the dump was probably never written, or its start was overwritten"),
                Lookalike::EmptyFlattened => {
                    Some("the dump was probably interrupted at its start; see the crash kernel's log")
                }
                Lookalike::OtherDump(_) | Lookalike::Unknown => {
                    Some("dumps of /proc/vmcore, makedumpfile, QEMU and virsh dump --memory-only can be read")
                }
            },
            Self::NotACore { .. } => Some("the arguments are VMCORE first, then VMLINUX: are they swapped?"),
            Self::UserCore { .. } => Some("use gdb with the program that crashed"),
            Self::TruncatedHeader { .. } | Self::HeadersLost { .. } => {
                Some("the copy was probably interrupted; copy the dump again")
            }
            Self::BadHeader { .. } => Some("compare the file's size and checksum with the original's"),
            Self::NotOneDump { .. } => Some("name only the files that one run of makedumpfile --split wrote"),
            Self::NotVmcoreinfo { .. } => Some(
                "it has lines such as OSRELEASE=6.1.0 and SYMBOL(init_uts_ns)=...; makedumpfile -g writes one \
                 (/sys/kernel/vmcoreinfo only says where in memory the note is)",
            ),
            Self::WrongMachine { .. } => Some("crash, built for that machine, and drgn read dumps of others"),
            Self::NoMemory { .. } => None,
        }
    }
}
