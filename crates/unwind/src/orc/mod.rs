//! ORC, the kernel's own unwind format.
//!
//! Two parallel tables, in the order of addresses once the kernel runs. `.orc_unwind_ip` holds one `s32` an entry: the code
//! address relative to the place of the `s32` itself. `.orc_unwind` holds 6 bytes an entry:
//!
//! ```text
//! s16 sp_offset, s16 bp_offset, u16 bits
//! bits            0-3     4-7     8-10
//! up to 6.2       sp_reg  bp_reg  type:2 end:1
//! 6.3             sp_reg  bp_reg  type:2 signal:1 end:1
//! 6.4 and later   sp_reg  bp_reg  type:3 signal:1
//! ```
//!
//! `sp_reg` and `bp_reg` are numbers of registers:
//!
//! ```text
//!                 0     1        2   3   4   5   6    7    8            9            10
//! up to 7.0       none  prev sp  dx  di  bp  sp  r10  r13  bp indirect  sp indirect  ax (where it was backported)
//! 7.1 and later   none  ax       dx  sp  bp  di  r10  r13  prev sp      sp indirect  bp indirect
//! ```
//!
//! Bits were changed by kernel commits ffb1b4a41016 ("x86/unwind/orc: Add 'signal' field to ORC metadata") and fb799447ae29
//! ("x86,objtool: Split `UNWIND_HINT_EMPTY` in two").

mod entry;
mod establish;
mod format;
mod table;

pub use entry::{Base, ENTRY_SIZE, FramePointer, Kind, OrcEntry};
pub use establish::{FormatError, FormatHints};
pub use format::{OrcFormat, OrcLayout, OrcNumbering};
pub use table::OrcTable;
