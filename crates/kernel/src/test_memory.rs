//! Memory for tests: pages that were written to exist, all others do not.

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadError, ReadPhysical, ReadVirtual, VirtAddr};

/// Sparse memory of 4 KiB pages, virtual or physical as it is read.
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

    /// Fills `buf`, or says which is the first address that is not there.
    fn read(&self, address: u64, buf: &mut [u8]) -> Result<(), u64> {
        for (index, byte) in buf.iter_mut().enumerate() {
            let at = address.wrapping_add(index as u64);
            let page = self.pages.get(&(at / PAGE_SIZE)).ok_or(at)?;
            *byte = page[(at % PAGE_SIZE) as usize];
        }
        Ok(())
    }
}

impl ReadVirtual for TestMemory {
    fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read(address.get(), buf).map_err(|at| ReadError::NonCanonical { address: VirtAddr::new(at) })
    }
}

impl ReadPhysical for TestMemory {
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read(address.get(), buf).map_err(|at| ReadError::NotInDump { address: PhysAddr::new(at) })
    }
}

/// Memory whose words are what a damaged dump may hold: mostly pointers into it, odd ones among them, small numbers and
/// anything. It fills `range`, but for a page that may be missing.
pub(crate) fn damaged_memory(range: Range<u64>) -> impl Strategy<Value = TestMemory> {
    let (start, len) = (range.start, range.end - range.start);
    let word = move |raw: u64| match raw % 10 {
        0..6 => start + ((raw / 16 % len) & !7),
        6 => start + raw / 16 % len,
        7 | 8 => raw / 16 % 0x200,
        _ => raw,
    };
    let words = usize::try_from(len / 8).unwrap();
    (vec(any::<u64>(), words), proptest::option::of(0..len)).prop_map(move |(raw, missing)| {
        let mut memory = TestMemory::default();
        (start..).step_by(8).zip(raw).for_each(|(address, raw)| memory.put_u64(address, word(raw)));
        missing.into_iter().for_each(|at| memory.remove_page(start + at));
        memory
    })
}
