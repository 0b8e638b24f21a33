//! Why a file cannot serve as a vmlinux, and what its owner can do about it.

use std::{io, path::PathBuf};

use vmcore_memory::{Architecture, Machine};

/// Why a vmlinux could not be opened. Displays as one line; [`OpenError::hint`] says what to try.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be opened or mapped.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// The file as the caller named it.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is compressed as a whole and cannot be unpacked.
    #[error("cannot unpack {}: {source}", path.display())]
    Packed {
        /// The file as the caller named it.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The path is a directory, a pipe or a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The file as the caller named it.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file as the caller named it.
        path: PathBuf,
    },
    /// The file is not an ELF file.
    #[error("{} is not an ELF file{}", path.display(), looks_like.map(|what| format!(" but {what}")).unwrap_or_default())]
    NotElf {
        /// The file as the caller named it.
        path: PathBuf,
        /// What its first bytes say it is instead, with its article.
        looks_like: Option<&'static str>,
    },
    /// The file is a dump, not debug information.
    #[error("{} is {what}, not a vmlinux", path.display())]
    Dump {
        /// The file as the caller named it.
        path: PathBuf,
        /// The kind of dump, with its article.
        what: &'static str,
    },
    /// The file is a relocatable object, such as a kernel module.
    #[error("{} is a relocatable object (a kernel module?), not a vmlinux", path.display())]
    Relocatable {
        /// The file as the caller named it.
        path: PathBuf,
    },
    /// The ELF file is for another kind of machine.
    #[error("{} is for {machine}; only files for {} are read", path.display(), Architecture::LIST)]
    WrongMachine {
        /// The file as the caller named it.
        path: PathBuf,
        /// The machine that the ELF header names.
        machine: Machine,
    },
    /// The ELF headers contradict themselves or the file's length.
    #[error("{} is damaged or cut short: {reason}", path.display())]
    Damaged {
        /// The file as the caller named it.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is no symbol table, and no separate debug file that has one.
    #[error("{} has no symbol table{}", path.display(), rejections(rejected))]
    NoSymbols {
        /// The file as the caller named it.
        path: PathBuf,
        /// Debug files that were found but could not be used, each with the reason.
        rejected: Vec<String>,
    },
    /// The file is an ordinary program.
    #[error("{} is a program, not a Linux kernel", path.display())]
    NotAKernel {
        /// The file as the caller named it.
        path: PathBuf,
    },
    /// Part of the debug information is in a file that this one shares with others.
    #[error("{} was reduced by dwz -m: part of its debug information is in another file", path.display())]
    Supplemented {
        /// The file as the caller named it.
        path: PathBuf,
    },
    /// The types are in files of their own, one for each source file.
    #[error("{} has no types: its debug information is in .dwo files", path.display())]
    SplitDwarf {
        /// The file as the caller named it.
        path: PathBuf,
    },
    /// An executable was given in place of a module.
    #[error("{} is an executable, not a kernel module", path.display())]
    NotAModule {
        /// The file as the caller named it.
        path: PathBuf,
    },
}

/// Why debug files that were found are not used.
fn rejections(rejected: &[String]) -> String {
    if rejected.is_empty() { String::new() } else { format!("; {}", rejected.join("; ")) }
}

impl OpenError {
    /// One line on what to do, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("check the path; a distribution's debug package installs it under /usr/lib/debug")
            }
            Self::Packed { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof => {
                Some("the file is cut short; copy it again")
            }
            Self::Packed { source, .. }
                if matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) =>
            {
                Some("the file is damaged; copy it again")
            }
            Self::Io { .. } | Self::Packed { .. } => None,
            Self::NotAFile { .. } => Some("name the vmlinux file itself, such as /usr/lib/debug/boot/vmlinux-RELEASE"),
            Self::Empty { .. } => Some("the file was probably not copied completely; copy it again"),
            Self::NotElf { looks_like: Some(_), .. } => Some(
                "give the uncompressed vmlinux of the kernel's debug package, not the image that the machine boots",
            ),
            Self::NotElf { .. } | Self::NotAKernel { .. } => Some("give the vmlinux of the kernel's debug package"),
            Self::Dump { .. } => Some("are the arguments swapped? The dump comes first, the vmlinux second"),
            Self::Relocatable { .. } => {
                Some("give the vmlinux of the kernel's debug package; modules are found in the dump")
            }
            Self::WrongMachine { .. } => None,
            Self::Damaged { .. } => Some("compare its size and checksum with the original and copy it again"),
            Self::NoSymbols { .. } => Some(
                "it was stripped; give the vmlinux of the kernel's debug package, or the directory that its debug file \
                 is in with --debug-dir",
            ),
            Self::Supplemented { .. } => {
                Some("give the file as it was before dwz; a file that `dwz` reduced without -m can be read")
            }
            Self::SplitDwarf { .. } => {
                Some("give a vmlinux that was built without CONFIG_DEBUG_INFO_SPLIT, or one with BTF")
            }
            Self::NotAModule { .. } => None,
        }
    }
}
