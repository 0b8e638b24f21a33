//! Physical memory. Pages exist once something is written to them; the others are not in the dump.

use std::collections::BTreeMap;

use vmcore_memory::{PAGE_SIZE, Pfn, PhysAddr};

const PAGE: usize = PAGE_SIZE as usize;

/// The pages of a machine.
#[derive(Debug, Default)]
pub struct Physical {
    pages: BTreeMap<u64, Box<[u8; PAGE]>>,
    /// How many of them more than one make a page of the kernel: they exist together.
    more: u64,
}

impl Physical {
    /// No memory, of a kernel with pages of so many bytes.
    pub(crate) fn of_pages(size: u64) -> Self {
        Self { pages: BTreeMap::new(), more: (size / PAGE_SIZE).saturating_sub(1) }
    }

    /// The pages that exist together with this one.
    const fn with(&self, page: u64) -> std::ops::RangeInclusive<u64> {
        (page & !self.more)..=(page | self.more)
    }

    /// Writes `bytes`, in as many pages as it takes.
    pub(crate) fn write(&mut self, address: PhysAddr, bytes: &[u8]) {
        let mut at = address.get();
        let mut rest = bytes;
        while !rest.is_empty() {
            let offset = usize::try_from(at % PAGE_SIZE).unwrap_or_default();
            let (now, later) = rest.split_at(rest.len().min(PAGE - offset));
            if !self.pages.contains_key(&(at / PAGE_SIZE)) {
                self.pages.extend(self.with(at / PAGE_SIZE).map(|page| (page, Box::new([0; PAGE]))));
            }
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
        self.with(page.get()).for_each(|page| drop(self.pages.remove(&page)));
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

    #[test]
    fn the_parts_of_a_larger_page_exist_together() {
        let mut memory = Physical::of_pages(16 << 10);
        memory.write(PhysAddr::new(0x6004), &[1]);
        assert_eq!(memory.pages().map(|(pfn, _)| pfn.get()).collect::<Vec<_>>(), [4, 5, 6, 7]);
        memory.remove(Pfn::new(5));
        assert_eq!(memory.page_count(), 0);
    }
}
