//! A bounded cache of decompressed pages that many threads share.
//!
//! Set-associative, like a CPU's: a frame number selects a set, and a set is a few pages behind a lock of its own, of
//! which the least recently used makes room. Threads wait for each other only where they want the same set at the same
//! moment, and then for as long as a page takes to copy.

use std::sync::{Mutex, MutexGuard, PoisonError};

use vmcore_memory::{PAGE_SIZE, Pfn};

/// One page's bytes.
pub(crate) type Page = [u8; PAGE_SIZE as usize];

/// 1024 sets of 8 pages: 32 MiB, enough for the page tables, tasks and stacks that an analysis returns to.
const SET_BITS: u32 = 10;
const WAYS: usize = 8;

#[derive(Debug)]
pub(crate) struct PageCache {
    sets: Box<[Mutex<Set>]>,
}

#[derive(Debug, Default)]
struct Set {
    /// Counts the uses of this set.
    now: u64,
    pages: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    pfn: Pfn,
    last_used: u64,
    page: Box<Page>,
}

impl PageCache {
    /// An empty cache. Memory for pages is allocated as they come.
    pub(crate) fn new() -> Self {
        Self { sets: (0..1 << SET_BITS).map(|_| Mutex::default()).collect() }
    }

    /// Gives the page to `use_page` if it is here.
    pub(crate) fn get<T>(&self, pfn: Pfn, use_page: impl FnOnce(&Page) -> T) -> Option<T> {
        let mut set = self.set(pfn)?;
        set.now += 1;
        let now = set.now;
        let entry = set.pages.iter_mut().find(|entry| entry.pfn == pfn)?;
        entry.last_used = now;
        Some(use_page(&entry.page))
    }

    /// Keeps a page, in place of the one of its set that has not been used for longest.
    pub(crate) fn insert(&self, pfn: Pfn, page: Box<Page>) {
        let Some(mut set) = self.set(pfn) else { return };
        set.now += 1;
        let entry = Entry { pfn, last_used: set.now, page };
        if set.pages.len() < WAYS && set.pages.iter().all(|old| old.pfn != pfn) {
            set.pages.push(entry);
        } else if let Some(old) = set.pages.iter_mut().min_by_key(|old| (old.pfn != pfn, old.last_used)) {
            // Another thread may have brought the same page meanwhile: then that is the one to replace.
            *old = entry;
        }
    }

    fn set(&self, pfn: Pfn) -> Option<MutexGuard<'_, Set>> {
        // Fibonacci hashing: page tables and stacks are often a power of two apart.
        let index = pfn.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SET_BITS);
        let set = self.sets.get(usize::try_from(index).ok()?)?;
        // A panic elsewhere cannot leave a set half changed.
        Some(set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(fill: u8) -> Box<Page> {
        Box::new([fill; PAGE_SIZE as usize])
    }

    #[test]
    fn keeps_what_is_used_and_stays_bounded() {
        let cache = PageCache::new();
        let first = Pfn::new(7);
        cache.insert(first, page(1));
        for pfn in 0..100_000u64 {
            assert_eq!(cache.get(first, |page| page[9]), Some(1));
            if pfn != 7 {
                cache.insert(Pfn::new(pfn), page(2));
            }
        }
        let kept: usize = cache.sets.iter().map(|set| set.lock().unwrap().pages.len()).sum();
        assert_eq!(kept, WAYS << SET_BITS);
        assert_eq!(cache.get(Pfn::new(3), |_| ()), None);
    }

    #[test]
    fn a_page_brought_twice_is_kept_once() {
        let cache = PageCache::new();
        for fill in 0..20 {
            cache.insert(Pfn::new(5), page(fill));
        }
        assert_eq!(cache.get(Pfn::new(5), |page| page[0]), Some(19));
        assert_eq!(cache.set(Pfn::new(5)).unwrap().pages.len(), 1);
    }

    #[test]
    fn threads_share_it() {
        let cache = PageCache::new();
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let cache = &cache;
                scope.spawn(move || {
                    for round in 0..20_000u64 {
                        let pfn = (round * 31 + thread) % 9000;
                        if let Some(byte) = cache.get(Pfn::new(pfn), |page| page[100]) {
                            assert_eq!(byte, pfn as u8);
                        } else {
                            cache.insert(Pfn::new(pfn), page(pfn as u8));
                        }
                    }
                });
            }
        });
    }
}
