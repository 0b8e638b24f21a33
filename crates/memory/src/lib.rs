//! Addresses, registers and checked reading of a machine's memory.
//!
//! Everything to the right of this crate reads a crashed machine through two traits: [`ReadPhysical`], which a dump
//! file implements, and [`ReadVirtual`], which a kernel with its page tables implements. Physical addresses, virtual
//! addresses, page-frame numbers and file offsets are different types, so that one can never be taken for another.
//!
//! A read that fails is a [`ReadError`]: a value that says which address could not be read and why. It is never a
//! page of zeroes and never the end of an analysis.
//!
//! Numbers say what they are numbers of:
//!
//! ```
//! use vmcore_memory::{PhysAddr, VirtAddr};
//!
//! let address = PhysAddr::new(0x12_3456);
//! assert_eq!((address.pfn().get(), address.to_string()), (0x123, "0x123456".to_owned()));
//! // What would leave the address space is no address.
//! assert_eq!(VirtAddr::new(u64::MAX).checked_add(1), None);
//! ```

#![forbid(unsafe_code)]

mod address;
pub mod arch;
mod error;
mod fields;
mod read;
mod recorder;

pub use address::{FileOffset, PAGE_SHIFT, PAGE_SIZE, Pfn, PhysAddr, VirtAddr};
pub use arch::{Architecture, Machine, Registers};
pub use error::{PageLevel, ReadError};
pub use fields::{le_i64, le_u16, le_u32, le_u64, le_uint};
pub use read::{MAX_READ, ReadPhysical, ReadVirtual};
pub use recorder::{ReadMemory, ReadRecorder, read_page};
