//! Why a kernel cannot be analyzed at all, or a part of its state cannot be read.

use std::fmt;

use vmcore_debuginfo::{BtfError, Vmlinux};
use vmcore_memory::{PhysAddr, ReadError, VirtAddr};

use crate::contents::Contents;

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
         {banner:?}{}", if *copies > 0 { ", but none of them is a running kernel" } else { "" }
    )]
    NotInMemory {
        /// How many places, a multiple of 2 MiB apart, hold the vmlinux's banner or build-id.
        copies: usize,
        /// The vmlinux's banner; empty where it has none.
        banner: String,
    },
    /// There is no VMCOREINFO, and the memory looks like that of an encrypted guest.
    #[error(
        "the dump has no VMCOREINFO, and the {pages} pages that were looked at all over its memory hold random bytes: the memory is \
         encrypted"
    )]
    Encrypted {
        /// How many pages were looked at.
        pages: usize,
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
    /// VMCOREINFO is of this kernel, but of another boot of the machine.
    #[error(
        "VMCOREINFO is of another boot, or of another machine: by it the kernel's first task is at {claimed}, and where that should be in \
         memory it says of itself that it is at {found}"
    )]
    OtherBoot {
        /// The address of `init_task` by VMCOREINFO.
        claimed: VirtAddr,
        /// Its `group_leader`, which is itself.
        found: VirtAddr,
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
    /// A type or member is missing, and the vmlinux has BTF that cannot be read.
    #[error("{layout}: {problem}")]
    RefusedBtf {
        /// What is missing.
        layout: LayoutError,
        /// What is wrong with the BTF.
        problem: BtfError,
    },
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
            | Self::Layout(_)
            | Self::RefusedBtf { .. } => true,
            Self::NoVmcoreinfo
            | Self::NotInVmcoreinfo(_)
            | Self::PageSize(_)
            | Self::NotThisMemory { .. }
            | Self::Encrypted { .. }
            | Self::OtherBoot { .. }
            | Self::NoSuchKernel { .. }
            | Self::Read { .. } => false,
        }
    }

    /// With why the BTF of `vmlinux` cannot be read, where something is missing that would be in it.
    pub(crate) fn with_problem_of(self, vmlinux: &Vmlinux) -> Self {
        match (self, vmlinux.btf_problem()) {
            (Self::Layout(layout), Some(problem)) => Self::RefusedBtf { layout, problem: problem.clone() },
            (error, _) => error,
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
            Self::Encrypted { .. } | Self::NotThisMemory { contents: Contents::Random, .. } => {
                "pages that AMD SEV or Intel TDX encrypts look like this; only a dump made inside the guest (kdump) has them in plain \
                 text; if this machine does not encrypt, the pages and the headers are of different dumps"
            }
            Self::NotThisMemory { .. } | Self::OtherBoot { .. } => {
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
            Self::RefusedBtf { problem, .. } => problem.hint(),
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

#[cfg(test)]
mod tests {
    use vmcore_debuginfo::{ImageParts, PartSection, Vmlinux};
    use vmcore_memory::VirtAddr;

    use crate::Kernel;

    fn refusal(btf: &[u8]) -> String {
        let btf = PartSection { name: ".BTF", address: VirtAddr::new(0x1000), data: btf.to_vec() };
        let names = ["_stext", "init_task", "runqueues", "__per_cpu_offset"];
        let symbol = |name: &'static str| vmcore_debuginfo::PartSymbol {
            name: name.as_bytes(),
            letter: b'D',
            address: VirtAddr::new(0xffff_ffff_8100_0000),
        };
        let parts = ImageParts { sections: vec![btf], symbols: names.map(symbol).to_vec(), ..ImageParts::default() };
        let error = Kernel::check_debug_info(&Vmlinux::from_parts(&parts).unwrap()).unwrap_err();
        assert!(error.is_of_vmlinux());
        format!("{error}; hint: {}", error.hint())
    }

    #[test]
    fn types_that_are_missing_from_btf_that_is_refused_are_told_with_the_reason() {
        let blob = |kind: u32| {
            let words = [0x0001_eb9f, 24, 0, 12, 12, 1, 0, kind << 24, 0];
            words.iter().flat_map(|word: &u32| word.to_le_bytes()).chain([0]).collect::<Vec<u8>>()
        };
        let unknown = refusal(&blob(99));
        assert!(unknown.contains("has no ") && unknown.contains("kind 99") && unknown.contains("DWARF"), "{unknown}");
        let cut = refusal(&blob(1)[..30]);
        assert!(cut.contains("cut short") && cut.contains("copy it again"), "{cut}");
        let lacking = refusal(&blob(8));
        assert!(!lacking.contains("BTF") && lacking.contains("unstripped"), "{lacking}");
    }
}
