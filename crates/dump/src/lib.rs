//! Dump files of crashed Linux machines: what their memory held, and the notes their writers left.
//!
//! [`Dump::open`] finds out by content what a file is (an ELF core, kdump-compressed, or either of them flattened; a LiME,
//! AVML or raw memory image; all of it perhaps compressed once more, or in an archive) and
//! serves three things from it, always in the same form:
//!
//! * physical memory, through [`ReadPhysical`](vmcore_memory::ReadPhysical);
//! * the notes: registers of each CPU ([`Prstatus`], [`QemuCpuState`]) and the kernel's own description of itself
//!   ([`Vmcoreinfo`]);
//! * what is missing: pages a filter left out, bytes a truncated file has lost, notes that make no sense.
//!
//! A dump is hostile input here. Every offset and length in it is checked before use, every loop and allocation has a
//! bound, and what cannot be read is an error that names the address, never a page of zeroes. The one `unsafe` block
//! is the mapping of the file, in `mmap.rs`.
//!
//! A real dump that comes with the sources:
//!
//! ```
//! use std::path::Path;
//!
//! use vmcore_dump::Dump;
//! use vmcore_memory::{PhysAddr, ReadPhysical};
//!
//! let dumps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/6.1-cloud-amd64");
//! let dump = Dump::open(&dumps.join("soft-lockup.vmcore"))?;
//! assert!(dump.vmcoreinfo().is_some_and(|info| info.osrelease().is_some_and(|release| release.starts_with("6.1."))));
//!
//! // A page that is not in the dump is an error that names it, never zeroes.
//! let mut byte = [0];
//! let missing = dump.read_physical(PhysAddr::new(1 << 45), &mut byte);
//! assert!(missing.is_err_and(|error| error.to_string().contains("0x200000000000")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod arch;
mod bytes;
mod compressed;
mod contents;
mod description;
mod device_dumps;
mod dump;
mod dump_file;
mod elf;
mod elf_writer;
mod erased;
mod error;
mod extents;
mod flattened;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod glance;
mod kdump;
mod kdump_writer;
mod kept;
mod lime;
mod lookalike;
mod mmap;
mod notes;
mod page_cache;
mod piece;
mod prstatus;
mod raw;
mod raw_note;
mod read_notes;
mod sniff;
mod stored;
mod vmcoreinfo;
mod warnings;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod growing;
#[cfg(test)]
mod test_support;
mod user_registers;

pub use arch::x86_64::qemu::{DescriptorTable, QemuCpuState};
pub use compressed::{UnpackProgress, Unpacking, unpacked};
pub use description::{Format, Incomplete, PageCount, Segment, Source};
pub use dump::{Apart, Dump};
pub use dump_file::DumpFile;
pub use elf_writer::write_elf_core;
pub use error::OpenError;
pub use flattened::Flattener;
pub use glance::{Glance, glance, glance_at, glance_len, header_release};
pub use kdump_writer::{Compression, NewKdump};
pub use kept::KeptRanges;
pub use lookalike::Lookalike;
pub use prstatus::Prstatus;
pub use raw_note::RawNote;
pub use sniff::starts_like_a_dump;
pub use stored::ReadAt;
pub use vmcoreinfo::Vmcoreinfo;
