//! Why a kernel cannot be analyzed at all, or a part of its state cannot be read.

use std::fmt;

use vmcore_memory::{PhysAddr, ReadError, VirtAddr};

/// Why a dump and its vmlinux cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// The dump holds the memory of another kernel than the one the vmlinux describes.
    #[error("vmlinux does not match the dump: the dump is of {dump}, the vmlinux of {vmlinux}")]
    BuildIdMismatch {
        /// The build in the dump's VMCOREINFO.
        dump: Build,
        /// The build of the vmlinux.
        vmlinux: Build,
    },
    /// As above, found by the version banner: kernels before 5.9 leave no build-id.
    #[error("vmlinux does not match the dump: the dump's banner is {dump:?}, the vmlinux's is {vmlinux:?}")]
    BannerMismatch {
        /// The banner in the dump's memory.
        dump: String,
        /// The banner in the vmlinux.
        vmlinux: String,
    },
    /// The release in VMCOREINFO differs, and there was nothing better to compare.
    #[error("vmlinux does not match the dump: the dump's kernel is {dump}, the vmlinux is {vmlinux}")]
    ReleaseMismatch {
        /// `OSRELEASE` of the dump.
        dump: String,
        /// The vmlinux's banner.
        vmlinux: String,
    },
    /// Without VMCOREINFO the kernel has to be found in memory, and it is not there.
    #[error(
        "the dump has no VMCOREINFO, and the vmlinux's kernel is not in its memory: {copies} places have its banner \
         {banner:?}, but none of them is a running kernel"
    )]
    NotInMemory {
        /// How many places, a multiple of 2 MiB apart, hold the vmlinux's banner or build-id.
        copies: usize,
        /// The vmlinux's banner; empty where it has none.
        banner: String,
    },
    /// VMCOREINFO is not of the kernel whose memory this is, and no other place has that kernel.
    #[error(
        "VMCOREINFO does not describe this memory: at physical {address}, where it puts the kernel, are {contents}; the \
         memory is encrypted, or VMCOREINFO and vmlinux are another kernel's"
    )]
    NotThisMemory {
        /// What is there.
        contents: Contents,
        /// Where the kernel's banner or page table should be.
        address: PhysAddr,
    },
    /// Nothing but VMCOREINFO says where a kernel of arm64 is.
    #[error(
        "the dump has no VMCOREINFO, neither as a note nor in memory, and arm64 kernels cannot be found without it"
    )]
    NoVmcoreinfo,
    /// VMCOREINFO lacks what all else rests on.
    #[error("VMCOREINFO has no {0}")]
    NotInVmcoreinfo(&'static str),
    /// The kernel's base pages are of a size that there is not.
    #[error("VMCOREINFO says that the kernel has pages of {} KiB, which no machine has", .0 >> 10)]
    PageSize(u64),
    /// No kernel is where the user said.
    #[error("the kernel that was asked for is not in memory; there is one at physical {}", addresses(images))]
    NoSuchKernel {
        /// Where the images of those begin that there are.
        images: Vec<PhysAddr>,
    },
    /// As above, and there is nothing to look for.
    #[error(
        "the dump has no VMCOREINFO and no registers that lead to the kernel, and the vmlinux has neither a banner nor \
         a build-id to find it by"
    )]
    NothingToFindBy,
    /// A symbol that every supported kernel has is missing from the vmlinux.
    #[error("the vmlinux has no symbol {0}")]
    MissingSymbol(&'static str),
    /// A type or member is missing.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// Memory without which nothing else can be found is not readable.
    #[error("cannot read {what} at {address}: {source}")]
    Read {
        /// What should be there.
        what: &'static str,
        /// Where.
        address: VirtAddr,
        /// Why it could not be read.
        source: ReadError,
    },
}

impl KernelError {
    /// Whether it says that the vmlinux is of another kernel or lacks something, rather than that the dump does.
    #[must_use]
    pub const fn is_of_vmlinux(&self) -> bool {
        match self {
            Self::BuildIdMismatch { .. }
            | Self::BannerMismatch { .. }
            | Self::ReleaseMismatch { .. }
            | Self::NotInMemory { .. }
            | Self::NothingToFindBy
            | Self::MissingSymbol(_)
            | Self::Layout(_) => true,
            Self::NoVmcoreinfo
            | Self::NotInVmcoreinfo(_)
            | Self::PageSize(_)
            | Self::NotThisMemory { .. }
            | Self::NoSuchKernel { .. }
            | Self::Read { .. } => false,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::BuildIdMismatch { .. } | Self::BannerMismatch { .. } | Self::ReleaseMismatch { .. } => {
                "give the vmlinux of exactly the kernel that crashed: same package, same version, same flavour"
            }
            Self::NotInMemory { .. } => {
                "give the vmlinux of exactly the kernel that crashed; if it is, the dump lacks the kernel's own data, \
                 and its VMCOREINFO may be given with --vmcoreinfo"
            }
            Self::NotThisMemory { contents: Contents::Random, .. } => {
                "pages that AMD SEV or Intel TDX encrypts look like this; only a dump made inside the guest (kdump) has them in plain \
                 text; if this machine does not encrypt, the pages and the headers are of different dumps"
            }
            Self::NotThisMemory { .. } => {
                "the pages and the headers are probably of different dumps, or the note is of an earlier boot; give the \
                 vmlinux of the kernel that crashed, and its VMCOREINFO with --vmcoreinfo"
            }
            Self::NoSuchKernel { .. } => {
                "--kernel-at takes a physical address inside a kernel's image, --which its number, counted from 1 by address"
            }
            Self::NoVmcoreinfo | Self::NotInVmcoreinfo(_) => {
                "give the text of the kernel's VMCOREINFO with --vmcoreinfo; for the next dump of a QEMU guest, add \
                 `-device vmcoreinfo`"
            }
            Self::PageSize(_) => "give the text of the kernel's VMCOREINFO with --vmcoreinfo",
            Self::NothingToFindBy => {
                "give the vmlinux with its contents, or the text of VMCOREINFO with --vmcoreinfo; for the next dump of \
                 a QEMU guest, add `-device vmcoreinfo`"
            }
            Self::MissingSymbol(_) | Self::Layout(_) => {
                "give the unstripped vmlinux of the kernel's debug-information package"
            }
            Self::Read { .. } => "the dump is damaged or incomplete where the kernel keeps its own data",
        }
    }
}

/// Which build of a kernel something is of. Displays as `6.1.0-56-amd64 (build-id 3b43…)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// Its release, where that is known.
    pub release: Option<String>,
    /// Its build-id, in hexadecimal.
    pub id: String,
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.release {
            Some(release) => write!(f, "{release} (build-id {})", self.id),
            None => write!(f, "build-id {}", self.id),
        }
    }
}

fn addresses(images: &[PhysAddr]) -> String {
    let mut images = images.to_vec();
    images.sort_unstable();
    images.dedup();
    images.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What a page has that should have had something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Bytes as random as those of encrypted memory.
    Random,
    /// Nothing but zeroes.
    Zeroes,
    /// Other data.
    Other,
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random bytes",
            Self::Zeroes => "only zeroes",
            Self::Other => "other data",
        })
    }
}

/// A type or member that the debug information does not have under any of its known names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("debug information has no {wanted}")]
pub struct LayoutError {
    /// The type and member names that were tried, such as `task_struct.__state or task_struct.state`.
    pub wanted: String,
}

/// Something that could not be read on the way; the analysis went on without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Gap {
    /// What is missing, such as `run queue of CPU 3`.
    pub what: String,
    /// Why, with the address.
    pub why: String,
}

impl Gap {
    /// A gap with its reason.
    pub fn new(what: impl Into<String>, why: impl ToString) -> Self {
        Self { what: what.into(), why: why.to_string() }
    }
}
