//! What is said of a dump as a whole: its format, its writer, and what it should have.

use std::fmt;
use std::ops::Range;

use vmcore_memory::{FileOffset, Pfn, PhysAddr, VirtAddr};

/// How a dump is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// An ELF core file.
    Elf,
    /// makedumpfile's own format: pages compressed one by one.
    KdumpCompressed,
    /// An ELF core file cut into records.
    FlattenedElf,
    /// A kdump-compressed file cut into records.
    FlattenedKdumpCompressed,
    /// A LiME memory image.
    Lime,
    /// Memory and nothing else.
    Raw,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elf => "elf",
            Self::KdumpCompressed => "kdump-compressed",
            Self::FlattenedElf => "flattened-elf",
            Self::FlattenedKdumpCompressed => "flattened-kdump-compressed",
            Self::Lime => "lime",
            Self::Raw => "raw",
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
/// Segments may overlap, and the file need not have all of what they promise: to read memory use [`ReadPhysical`](vmcore_memory::ReadPhysical).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First physical address.
    pub physical: PhysAddr,
    /// Bytes of memory.
    pub memory_size: u64,
    /// Bytes of those that the file has, from the start of the segment on; the writer left out the rest. In
    /// kdump-compressed dumps this is `memory_size` although any page in it may have been left out.
    pub file_size: u64,
    /// Where the segment's first byte is in the file; `None` in formats that store each page by itself.
    pub file_offset: Option<FileOffset>,
    /// Where the kernel (never a process) had mapped it, in dumps that say so.
    pub virtual_address: Option<VirtAddr>,
}

/// Base pages (4 KiB) of physical memory in a dump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCount {
    /// Pages with bytes in the file. Of a truncated kdump-compressed dump: pages that its bitmap says it had.
    pub present: u64,
    /// Pages that the writer named and left out; `None` where the format does not record them.
    pub excluded: Option<u64>,
}

/// What a dump lacks although its writer meant to have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incomplete {
    /// Whether the file ends too early.
    pub truncated: bool,
    /// Bytes the file should have by its headers; `None` where it has them or they do not tell. Where headers
    /// themselves are lost it is the least that is missing. A flattened file counts as if it were rearranged.
    pub expected_len: Option<u64>,
    /// Bytes the file has.
    pub actual_len: u64,
    /// Whether the writer itself marked the dump as incomplete.
    pub marked: bool,
    /// The frames whose pages are in parts of a split dump that were not given.
    pub missing_frames: Vec<Range<Pfn>>,
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons = Vec::new();
        if self.marked {
            reasons.push("its writer marked it as incomplete".to_owned());
        }
        if self.truncated {
            let actual = self.actual_len;
            reasons.push(match self.expected_len {
                Some(expected) => format!("the file is truncated: it has {actual} of {expected} bytes"),
                None => format!("the file is truncated: it ends without an end mark after {actual} bytes"),
            });
        }
        for Range { start, end } in &self.missing_frames {
            reasons.push(format!("the part with the page frames {start} to {end} is missing"));
        }
        f.write_str(&reasons.join("; "))
    }
}
