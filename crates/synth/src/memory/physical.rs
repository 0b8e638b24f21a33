//! Physical memory. Pages exist once something is written to them; the others are not in the dump.

use std::collections::BTreeMap;

use vmcore_memory::{PAGE_SIZE, Pfn, PhysAddr};

const PAGE: usize = PAGE_SIZE as usize;

/// The pages of a machine.
#[derive(Debug, Default)]
pub struct Physical {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
}

impl Physical {
    /// Writes `bytes`, in as many pages as it takes.
    pub(crate) fn write(&mut self, address: PhysAddr, bytes: &[u8]) {
        let mut at = address.get();
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = usize::try_from(at % PAGE_SIZE).unwrap_or_default();
            let (now, later) = rest.split_at(rest.len().min(PAGE - offset));
            let page = self.pages.entry(at / PAGE_SIZE).or_insert_with(|| Box::new([0; PAGE]));
            page.iter_mut().skip(offset).zip(now).for_each(|(place, byte)| *place = *byte);
            at += now.len() as u64;
            rest = later;
        }
    }

    /// Reads into `buf`; pages that do not exist are zeroes.
    pub(crate) fn read(&self, address: PhysAddr, buf: &mut [u8]) {
        for (at, byte) in (address.get()..).zip(buf) {
            let offset = usize::try_from(at % PAGE_SIZE).unwrap_or_default();
            let page = self.pages.get(&(at / PAGE_SIZE));
            *byte = page.and_then(|page| page.get(offset)).copied().unwrap_or_default();
        }
    }

    pub(crate) fn read_u64(&self, address: PhysAddr) -> u64 {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Takes a page out, as a filter would.
    pub(crate) fn remove(&mut self, page: Pfn) {
        self.pages.remove(&page.get());
    }

    /// How many pages there are.
    #[must_use]
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// The pages in the order of their addresses.
    pub fn pages(&self) -> impl DoubleEndedIterator<Item = (Pfn, &[u8])> + Clone {
        self.pages.iter().map(|(number, page)| (Pfn::new(*number), page.as_slice()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_cross_pages_and_pages_can_be_taken_out() {
        let mut memory = Physical::default();
        memory.write(PhysAddr::new(0x1ffe), &[1, 2, 3, 4]);
        assert_eq!(memory.pages().map(|(pfn, _)| pfn.get()).collect::<Vec<_>>(), [1, 2]);
        let mut bytes = [9; 6];
        memory.read(PhysAddr::new(0x1ffd), &mut bytes);
        assert_eq!(bytes, [0, 1, 2, 3, 4, 0]);
        memory.remove(Pfn::new(2));
        memory.read(PhysAddr::new(0x1ffd), &mut bytes);
        assert_eq!(bytes, [0, 1, 2, 0, 0, 0]);
    }
}
