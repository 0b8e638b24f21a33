//! Noting which memory an analysis reads, and what for, so that just that can be kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

use crate::{PAGE_SIZE, Pfn, PhysAddr, ReadError, ReadPhysical};

/// What is noted: aligned words of eight bytes, 512 in a page.
const WORD: u64 = 8;
const SETS: usize = (PAGE_SIZE / WORD / 64) as usize;

/// A bit for each word of a page.
type Words = [u64; SETS];

/// Physical memory that remembers every successful read, to the aligned eight bytes, and under which purpose it was
/// first read.
///
/// It asks readers not to read around what they need ([`ReadPhysical::reads_around`]).
pub struct ReadRecorder<'a> {
    inner: &'a dyn ReadPhysical,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    words: BTreeMap<Pfn, Words>,
    /// Words first read for each purpose, in the order of the purposes.
    counts: Vec<(&'static str, u64)>,
}

impl<'a> ReadRecorder<'a> {
    /// Puts a recorder in front of `inner`.
    #[must_use]
    pub fn new(inner: &'a dyn ReadPhysical) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Says what is read for from now on.
    pub fn purpose(&self, purpose: &'static str) {
        self.state().counts.push((purpose, 0));
    }

    /// What was read.
    #[must_use]
    pub fn into_memory(self) -> ReadMemory {
        let state = self.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let purposes = state.counts.into_iter().map(|(purpose, words)| (purpose, words * WORD)).collect();
        ReadMemory { words: state.words, purposes }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A reader that panicked has not left the sets half-changed.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn record(&self, address: PhysAddr, len: usize) {
        let Some(last) = (len as u64).checked_sub(1).and_then(|last| address.checked_add(last)) else { return };
        let mut state = self.state();
        let State { words, counts } = &mut *state;
        let mut new = 0;
        for word in address.get() / WORD..=last.get() / WORD {
            let set = words.entry(Pfn::new(word / (PAGE_SIZE / WORD))).or_default();
            new += u64::from(insert(set, word));
        }
        if let Some((_, count)) = counts.last_mut() {
            *count += new;
        }
    }
}

/// Notes a word; whether it is new.
fn insert(set: &mut Words, word: u64) -> bool {
    let bit = 1 << (word % 64);
    let index = usize::try_from(word / 64 % SETS as u64).unwrap_or_default();
    let Some(sixty_four) = set.get_mut(index) else { return false };
    let new = *sixty_four & bit == 0;
    *sixty_four |= bit;
    new
}

impl ReadPhysical for ReadRecorder<'_> {
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.inner.read_physical(address, buf)?;
        self.record(address, buf.len());
        Ok(())
    }

    fn reads_around(&self) -> bool {
        false
    }
}

/// The memory that was read.
pub struct ReadMemory {
    words: BTreeMap<Pfn, Words>,
    purposes: Vec<(&'static str, u64)>,
}

impl ReadMemory {
    /// The frames of which anything was read, ascending.
    pub fn frames(&self) -> impl Iterator<Item = Pfn> + Clone + '_ {
        self.words.keys().copied()
    }

    /// The bytes that were read first for each purpose, in order.
    #[must_use]
    pub fn purposes(&self) -> &[(&'static str, u64)] {
        &self.purposes
    }

    /// The ranges of physical addresses that were read, ascending; none touch.
    #[must_use]
    pub fn ranges(&self) -> Vec<Range<PhysAddr>> {
        let mut ranges: Vec<Range<PhysAddr>> = Vec::new();
        for word in self.words.iter().flat_map(|(frame, set)| words_of(*frame, set)) {
            let (Some(start), Some(end)) = (word.checked_mul(WORD), (word + 1).checked_mul(WORD)) else { continue };
            match ranges.last_mut() {
                Some(last) if last.end.get() == start => last.end = PhysAddr::new(end),
                _ => ranges.push(PhysAddr::new(start)..PhysAddr::new(end)),
            }
        }
        ranges
    }

    /// Forgets what `other` has: as if it had not been read. The number of bytes that are no longer kept; the counts of
    /// [`purposes`](Self::purposes) stay.
    pub fn remove(&mut self, other: &Self) -> u64 {
        let mut removed = 0;
        for (frame, set) in &other.words {
            for (mine, other) in self.words.get_mut(frame).into_iter().flatten().zip(set) {
                removed += u64::from((*mine & other).count_ones()) * WORD;
                *mine &= !other;
            }
        }
        self.words.retain(|_, set| set.iter().any(|&words| words != 0));
        removed
    }

    /// Overwrites with zeroes every byte of `page`, the contents of `frame`, that was not read.
    pub fn blank_the_rest(&self, frame: Pfn, page: &mut [u8]) {
        let set = self.words.get(&frame).copied().unwrap_or_default();
        for (index, word) in page.chunks_mut(WORD as usize).enumerate() {
            let kept = set.get(index / 64).is_some_and(|&words| words & (1 << (index % 64)) != 0);
            if !kept {
                word.fill(0);
            }
        }
    }
}

/// The numbers of the words in a set, counted from physical address 0.
fn words_of(frame: Pfn, set: &Words) -> impl Iterator<Item = u64> + '_ {
    let first = frame.get().saturating_mul(PAGE_SIZE / WORD);
    let bits = set.iter().zip(0u64..).flat_map(|(&words, index)| {
        (0..64).filter(move |bit| words & (1 << bit) != 0).map(move |bit| index * 64 + bit)
    });
    bits.map(move |word| first + word)
}

/// The bytes of one frame, or `None` where the memory does not have the whole of it.
pub fn read_page<M: ReadPhysical + ?Sized>(memory: &M, pfn: Pfn) -> Option<Vec<u8>> {
    let mut page = vec![0; PAGE_SIZE as usize];
    memory.read_physical(pfn.phys_addr()?, &mut page).ok()?;
    Some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four pages of ones from address 0 on.
    struct Small;

    impl ReadPhysical for Small {
        fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
            let end = address.get().saturating_add(buf.len() as u64);
            buf.fill(1);
            if end > 4 * PAGE_SIZE { Err(ReadError::NotInDump { address }) } else { Ok(()) }
        }
    }

    fn read(recorder: &ReadRecorder<'_>, address: u64, len: usize) {
        let _ = recorder.read_physical(PhysAddr::new(address), &mut vec![0; len]);
    }

    fn ranges(memory: &ReadMemory) -> Vec<(u64, u64)> {
        memory.ranges().into_iter().map(|range| (range.start.get(), range.end.get())).collect()
    }

    #[test]
    fn only_words_that_were_read_are_kept() {
        let recorder = ReadRecorder::new(&Small);
        recorder.purpose("first");
        read(&recorder, 0x1ffc, 8);
        read(&recorder, 0x10, 0);
        recorder.purpose("second");
        read(&recorder, 0x1ff8, 17);
        read(&recorder, 0x5000, 8);
        let memory = recorder.into_memory();
        assert_eq!(ranges(&memory), [(0x1ff8, 0x2010)]);
        assert_eq!(memory.frames().collect::<Vec<_>>(), [Pfn::new(1), Pfn::new(2)]);
        assert_eq!(memory.purposes(), [("first", 16), ("second", 8)], "each word counts once");
        let mut page = read_page(&Small, Pfn::new(2)).unwrap();
        memory.blank_the_rest(Pfn::new(2), &mut page);
        assert!(page[..16].iter().all(|&byte| byte == 1) && page[16..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn what_is_removed_was_not_read() {
        let (all, some) = (ReadRecorder::new(&Small), ReadRecorder::new(&Small));
        read(&all, 0x1000, 0x30);
        read(&all, 0x3000, 8);
        read(&some, 0x1010, 8);
        read(&some, 0x3000, 8);
        let mut memory = all.into_memory();
        memory.remove(&some.into_memory());
        assert_eq!(ranges(&memory), [(0x1000, 0x1010), (0x1018, 0x1030)]);
        assert_eq!(memory.frames().count(), 1);
    }
}
