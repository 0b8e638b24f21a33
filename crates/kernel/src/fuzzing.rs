//! Parsers that cannot be reached from outside the crate but through a whole dump, for fuzzers. Not part of the interface.

use vmcore_memory::{PhysAddr, ReadError, ReadPhysical, ReadVirtual, VirtAddr};

pub use crate::fallback_tables::fuzzing::kallsyms;
pub use crate::printk::fuzzing::{printk_legacy, printk_lockless};

/// Where memory begins for kernels that are loaded high; it is also at 0, so that small numbers are addresses, too.
pub(crate) const START: u64 = 0xffff_ffff_8200_0000;

/// Bytes as memory.
pub(crate) struct Flat<'a>(pub(crate) &'a [u8]);

impl Flat<'_> {
    fn copy(&self, address: u64, buf: &mut [u8]) -> Option<()> {
        let at = usize::try_from(address.checked_sub(START).unwrap_or(address)).ok()?;
        buf.copy_from_slice(self.0.get(at..at.checked_add(buf.len())?)?);
        Some(())
    }
}

impl ReadVirtual for Flat<'_> {
    fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.copy(address.get(), buf).ok_or(ReadError::NonCanonical { address })
    }
}

impl ReadPhysical for Flat<'_> {
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.copy(address.get(), buf).ok_or(ReadError::NotInDump { address })
    }
}
