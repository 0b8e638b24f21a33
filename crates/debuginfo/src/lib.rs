//! The debug information of a Linux kernel: symbols, type layouts, source lines and unwind sections of a vmlinux.
//!
//! All addresses are *link-time* addresses. The kernel that crashed ran at another place when it was loaded with KASLR:
//! subtract that offset before asking, add it to answers. Only [`Vmlinux`], [`ModuleFiles`] and
//! [`ProfileCache`] open files. A module's addresses are those that it had in the crashed kernel: it has no others. What is
//! in the file is not trusted: damage gives an error or no answer, never a panic.
//!
//! Symbols and layouts, by name:
//!
//! ```
//! use std::path::Path;
//!
//! use vmcore_debuginfo::Vmlinux;
//!
//! let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/6.1-cloud-amd64");
//! // A profile: the small form of a vmlinux, which answers like it.
//! let vmlinux = Vmlinux::open(&files.join("vmlinux.profile"))?;
//! let pid = vmlinux.types().member("task_struct", "pid").ok_or("no such member")?;
//! assert_eq!(pid.size, 4);
//! let schedule = vmlinux.symbols().address("schedule").ok_or("no such function")?;
//! assert!(schedule.is_kernel_half());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod bytes;
mod call_frames;
mod column;
mod dwarf;
mod elf;
mod error;
#[cfg(test)]
mod fixture;
mod module_debug;
mod module_files;
mod name_index;
mod object_file;
mod packed;
mod parts;
mod profile;
mod profile_cache;
mod separate;
mod source;
mod symbols;
mod types;
mod vmlinux;

pub use call_frames::{CallFrame, CallFrames, CfaBase, FrameSection};
pub use error::OpenError;
pub use module_debug::{LoadedModule, ModuleDebug};
pub use module_files::ModuleFiles;
pub use object_file::Section;
pub use parts::{ImageParts, PartSymbol};
pub use profile::{Profile, ProfileError, ProfileIdentity};
pub use profile_cache::{CacheError, ProfileCache};
pub use separate::build_id_path;
pub use source::{SourceFrame, SourceLines};
pub use symbols::{Symbol, SymbolTable};
pub use types::{BtfError, Meaning, Member, MemberKind, NameInSplitBtf, Shape, Type, TypedMember, Types, TypesOrigin};
pub use vmlinux::{PartSection, Vmlinux, VmlinuxKind};
