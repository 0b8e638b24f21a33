//! Stack words, a page at a time: neighbouring words cost one translation instead of one each.

use vmcore_memory::{PAGE_SIZE, ReadVirtual, VirtAddr, le_u64};

use crate::replaced::{Return, Tracers};
use crate::{Machine, Problem};

/// Reads stack words through the page that holds the last one.
pub(crate) struct StackMemory<'a, M: ?Sized> {
    memory: &'a M,
    /// Of one walk.
    pub(crate) tracers: Tracers,
    page: Option<(VirtAddr, Box<[u8; PAGE_SIZE as usize]>)>,
}

impl<'a, M: ReadVirtual + ?Sized> StackMemory<'a, M> {
    pub(crate) fn new(memory: &'a M) -> Self {
        Self { memory, tracers: Tracers::default(), page: None }
    }

    /// Fills `buf` from `address` on.
    pub(crate) fn read(&mut self, address: VirtAddr, buf: &mut [u8]) -> Result<(), Problem> {
        let offset = usize::try_from(address.page_offset()).unwrap_or_default();
        let base = address.wrapping_sub(address.page_offset());
        let end = offset.saturating_add(buf.len());
        let around = self.memory.reads_around() && end <= PAGE_SIZE as usize;
        if around && self.load(base).is_some_and(|page| copy(page, offset, end, buf)) {
            return Ok(());
        }
        self.memory.read_virtual(address, buf).map_err(|source| Problem::Unreadable { address, source })
    }

    /// The word at `address`.
    pub(crate) fn word(&mut self, address: VirtAddr) -> Result<u64, Problem> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(le_u64(&bytes, 0).unwrap_or_default())
    }

    fn load(&mut self, base: VirtAddr) -> Option<&[u8; PAGE_SIZE as usize]> {
        if self.page.as_ref().is_none_or(|(loaded, _)| *loaded != base) {
            let mut bytes = self.page.take().map_or_else(|| Box::new([0; PAGE_SIZE as usize]), |(_, bytes)| bytes);
            self.memory.read_virtual(base, bytes.as_mut_slice()).ok()?;
            self.page = Some((base, bytes));
        }
        self.page.as_ref().map(|(_, bytes)| &**bytes)
    }
}

impl<M: Machine + ?Sized> StackMemory<'_, M> {
    /// The return address in the word at `slot`.
    pub(crate) fn return_address(&mut self, slot: VirtAddr) -> Result<Return, Problem> {
        let pc = VirtAddr::new(self.word(slot)?);
        Ok(self.tracers.undo(self.memory, pc, [Some(slot), None], true))
    }

    /// The return address in the word at `slot`, if it is one at all.
    pub(crate) fn possible_return(&mut self, slot: VirtAddr) -> Result<Return, Problem> {
        let pc = VirtAddr::new(self.word(slot)?);
        Ok(self.tracers.undo(self.memory, pc, [Some(slot), None], false))
    }
}

fn copy(page: &[u8], start: usize, end: usize, buf: &mut [u8]) -> bool {
    let Some(bytes) = page.get(start..end) else { return false };
    buf.copy_from_slice(bytes);
    true
}
