//! The open dump: one interface over all formats.

use std::fmt;
use std::path::Path;

use vmcore_memory::{FileOffset, PhysAddr, ReadError, ReadPhysical, VirtAddr};

use crate::bytes::FileBytes;
use crate::extents::Extents;
use crate::mmap::Mapping;
use crate::notes::Notes;
use crate::sniff::{self, Detected};
use crate::warnings::Warnings;
use crate::{OpenError, Prstatus, QemuCpuState, RawNote, Vmcoreinfo, elf};

/// How a dump is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// An ELF core file.
    Elf,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elf => "elf",
        })
    }
}

/// Who wrote a dump, as far as its headers and notes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// A crash kernel, by copying its `/proc/vmcore`.
    ProcVmcore,
    /// QEMU, from outside the machine.
    Qemu,
    /// makedumpfile, from either of the others.
    Makedumpfile,
    /// There are no notes to tell by.
    Unknown,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProcVmcore => "/proc/vmcore",
            Self::Qemu => "qemu",
            Self::Makedumpfile => "makedumpfile",
            Self::Unknown => "unknown",
        })
    }
}

/// A range of physical memory that the dump's headers name.
///
/// Segments may overlap, and the file need not have all of what they promise: to read memory use [`ReadPhysical`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First physical address.
    pub physical: PhysAddr,
    /// Bytes of memory.
    pub memory_size: u64,
    /// Bytes of those that the file has, from the start of the segment on; the writer left out the rest.
    pub file_size: u64,
    /// Where the segment's first byte is in the file.
    pub file_offset: FileOffset,
    /// Where the kernel (never a process) had mapped it, in dumps that say so.
    pub virtual_address: Option<VirtAddr>,
}

/// Base pages (4 KiB) of physical memory in a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCount {
    /// Pages with bytes in the file.
    pub present: u64,
    /// Pages that the writer named and left out; `None` where the format does not record them.
    pub excluded: Option<u64>,
}

/// What a dump lacks although its writer meant to have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// Bytes the file should have by its headers; `None` where they do not tell. Where headers themselves are lost it
    /// is the least that is missing.
    pub expected_len: Option<u64>,
    /// Bytes the file has.
    pub actual_len: u64,
    /// Whether the writer itself marked the dump as incomplete.
    pub marked: bool,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.marked {
            f.write_str("its writer marked it as incomplete")?;
        }
        match self.expected_len {
            Some(expected) if expected > self.actual_len => {
                let separator = if self.marked { "; " } else { "" };
                write!(f, "{separator}the file is truncated: it has {} of {expected} bytes", self.actual_len)
            }
            _ => Ok(()),
        }
    }
}

/// What a format's reader found in a file.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) source: Source,
    pub(crate) memory: Memory,
    pub(crate) segments: Vec<Segment>,
    pub(crate) page_count: PageCount,
    pub(crate) notes: Notes,
    pub(crate) incomplete: Option<Incomplete>,
    pub(crate) warnings: Warnings,
}

/// How to find physical memory in a file.
#[derive(Debug)]
pub(crate) enum Memory {
    Extents(Extents),
}

/// An open dump.
///
/// Nothing is copied at opening: pages are read from the mapped file when they are asked for, by any number of threads.
#[derive(Debug)]
pub struct Dump {
    file: FileBytes,
    format: Format,
    contents: Contents,
}

impl Dump {
    /// Opens the dump at `path`, whatever its format.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where the file is not a dump of an x86-64 machine or its header cannot be used. Damage elsewhere
    /// does not prevent opening: see [`Dump::warnings`] and [`Dump::incomplete`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = FileBytes::Mapped(Mapping::open(path)?);
        match sniff::detect(&file.prefix(0, sniff::SNIFF_LEN)) {
            Detected::Elf => {
                let contents = elf::open(path, &file)?;
                Ok(Self { file, format: Format::Elf, contents })
            }
            Detected::Other(looks_like) => Err(OpenError::NotADump { path: path.to_owned(), looks_like }),
        }
    }

    /// How the dump is stored.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Who wrote the dump.
    #[must_use]
    pub fn source(&self) -> Source {
        self.contents.source
    }

    /// The kernel's description of itself, if the dump has it.
    #[must_use]
    pub fn vmcoreinfo(&self) -> Option<&Vmcoreinfo> {
        self.contents.notes.vmcoreinfo.as_ref()
    }

    /// The `NT_PRSTATUS` notes, in file order. That is the order of CPU numbers, but CPUs may be missing.
    #[must_use]
    pub fn prstatus(&self) -> &[Prstatus] {
        &self.contents.notes.prstatus
    }

    /// The `QEMU` notes, in file order: one for each virtual CPU in dumps that QEMU wrote, none in others.
    #[must_use]
    pub fn qemu_cpus(&self) -> &[QemuCpuState] {
        &self.contents.notes.qemu_cpus
    }

    /// All notes as they are in the file, in file order.
    #[must_use]
    pub fn raw_notes(&self) -> &[RawNote] {
        &self.contents.notes.raw
    }

    /// The ranges of physical memory that the headers name, in file order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.contents.segments
    }

    /// How much memory there is.
    #[must_use]
    pub fn page_count(&self) -> PageCount {
        self.contents.page_count
    }

    /// What is missing from the file, if anything is.
    #[must_use]
    pub fn incomplete(&self) -> Option<&Incomplete> {
        self.contents.incomplete.as_ref()
    }

    /// What is wrong with the dump but did not prevent opening it, one line each. They may hold numbers from the file,
    /// but no text from it.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.contents.warnings.as_slice()
    }
}

impl ReadPhysical for Dump {
    #[inline]
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        match &self.contents.memory {
            Memory::Extents(extents) => extents.read(&self.file, address, buf),
        }
    }
}
