//! A dump in which one page is missing, or holds zeroes.

use std::collections::BTreeSet;
use std::sync::Mutex;

use vmcore_dump::Dump;
use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadError, ReadPhysical};

/// What is in the place of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hole {
    /// Nothing: it cannot be read.
    Missing,
    // Not in each of the tests that share this file.
    #[allow(dead_code)]
    Zeroes,
}

/// Reads a dump, keeps account of the pages, and makes a hole of one of them.
pub(crate) struct Holed<'d> {
    pub(crate) dump: &'d Dump,
    hole: Mutex<Option<(u64, Hole)>>,
    read: Mutex<BTreeSet<u64>>,
}

impl<'d> Holed<'d> {
    pub(crate) fn new(dump: &'d Dump) -> Self {
        Self { dump, hole: Mutex::default(), read: Mutex::default() }
    }

    /// What `read` makes of it with a hole in the place of the page with this number.
    pub(crate) fn with<T>(&self, frame: u64, hole: Hole, read: impl FnOnce() -> T) -> T {
        *self.hole.lock().unwrap() = Some((frame, hole));
        let found = read();
        *self.hole.lock().unwrap() = None;
        found
    }

    /// The numbers of the pages that were read since this was asked before.
    pub(crate) fn take_read(&self) -> BTreeSet<u64> {
        std::mem::take(&mut self.read.lock().unwrap())
    }
}

impl ReadPhysical for Holed<'_> {
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let frames = address.get() / PAGE_SIZE..=(address.get() + (buf.len() as u64).saturating_sub(1)) / PAGE_SIZE;
        let hole = self.hole.lock().unwrap().filter(|(frame, _)| frames.contains(frame));
        if let Some((_, Hole::Missing)) = hole {
            return Err(ReadError::NotInDump { address });
        }
        self.dump.read_physical(address, buf)?;
        if let Some((frame, Hole::Zeroes)) = hole {
            let in_hole = |at: &u64| (address.get() + at) / PAGE_SIZE == frame;
            let zeroes = (0..).zip(buf.iter_mut()).filter(|(at, _)| in_hole(at));
            zeroes.for_each(|(_, byte)| *byte = 0);
        }
        self.read.lock().unwrap().extend(frames);
        Ok(())
    }

    fn reads_around(&self) -> bool {
        false
    }
}
