//! What this project asks of the operating system that the compiler cannot check: all of its unsafe code.
//!
//! [`Mapping`] is a file in memory, [`UnfinishedFile`] one that is being written. A file that is mapped can shrink, or its
//! disk or network can fail, and memory can run out: then a thread cannot go on, nor can it return an error. By default the
//! kernel ends the process with a signal and without a word. A program that wants an explanation asks for it, once:
//! [`explain_lost_mappings`], [`BoundedHeap::limit`], [`remove_unfinished_on_signals`], [`note_interrupts`]. Until it does,
//! nothing here ends a process; that is the program's to decide, not a library's.
//!
//! ```
//! use std::fs::{self, File};
//! use std::io::Write;
//!
//! use vmcore_os::{FileKind, Mapping, UnfinishedFile};
//!
//! let directory = std::env::temp_dir();
//! let unfinished = UnfinishedFile::new_in(&directory)?;
//! unfinished.as_file().write_all(b"all of it")?;
//! // Only what is whole gets its name.
//! let path = directory.join(format!("vmcore-os-{}", std::process::id()));
//! unfinished.replace(&path)?;
//!
//! let mapping = Mapping::new(&File::open(&path)?, 9, FileKind::Dump)?;
//! assert_eq!(&*mapping, b"all of it");
//! fs::remove_file(&path)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod bus;
mod ending;
mod fork;
mod heap;
mod holes;
mod input;
mod interrupt;
mod lack;
mod mapping;
mod memory;
mod unfinished;

pub use bus::{FileKind, explain_lost_mappings};
pub use ending::{CANNOT_RUN, end};
pub use fork::{Copied, in_a_copy, is_readable};
pub use heap::BoundedHeap;
pub use holes::data_ranges;
pub use input::{open_file_or_disk, open_input};
pub use interrupt::{end_as_interrupted, is_interrupted, note_interrupts};
pub use lack::Lack;
pub use mapping::{Access, Mapping};
pub use memory::{has_room_for, physical_memory};
pub use unfinished::{UnfinishedFile, remove_unfinished_on_signals};
