//! Virtual memory for tests: pages that were written to exist, all others do not.

use std::collections::BTreeMap;

use vmcore_memory::{PAGE_SIZE, ReadError, ReadVirtual, VirtAddr};

/// Sparse memory of 4 KiB pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct TestMemory {
    pages: BTreeMap<u64, Vec<u8>>,
}

impl TestMemory {
    /// Writes bytes; what else is in their pages is zero.
    pub(crate) fn put(&mut self, address: u64, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let at = address.wrapping_add(index as u64);
            let page = self.pages.entry(at / PAGE_SIZE).or_insert_with(|| vec![0; PAGE_SIZE as usize]);
            page[(at % PAGE_SIZE) as usize] = *byte;
        }
    }

    pub(crate) fn put_u16(&mut self, address: u64, value: u16) {
        self.put(address, &value.to_le_bytes());
    }

    pub(crate) fn put_u32(&mut self, address: u64, value: u32) {
        self.put(address, &value.to_le_bytes());
    }

    pub(crate) fn put_u64(&mut self, address: u64, value: u64) {
        self.put(address, &value.to_le_bytes());
    }

    /// Makes the page of `address` unreadable again.
    pub(crate) fn remove_page(&mut self, address: u64) {
        self.pages.remove(&(address / PAGE_SIZE));
    }
}

impl ReadVirtual for TestMemory {
    fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        for (index, byte) in buf.iter_mut().enumerate() {
            let at = address.wrapping_add(index as u64);
            let page = self.pages.get(&(at.get() / PAGE_SIZE)).ok_or(ReadError::NonCanonical { address: at })?;
            *byte = page[at.page_offset() as usize];
        }
        Ok(())
    }
}
