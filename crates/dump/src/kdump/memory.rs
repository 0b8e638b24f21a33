//! Physical memory in a kdump-compressed dump.

use std::ops::Range;
use std::sync::OnceLock;

use vmcore_memory::{FileOffset, PAGE_SIZE, Pfn, PhysAddr, ReadError, le_u32, le_u64};

use super::bitmap::{Missing, Ranks};
use super::codec::Codec;
use super::header::Header;
use crate::bytes::FileBytes;
use crate::page_cache::{Page, PageCache};
use crate::{Incomplete, PageCount, Segment};

const DESCRIPTOR_LEN: u64 = 24;
/// Segments are listed up to this number: a damaged bitmap could make one of every other frame.
const MAX_SEGMENTS: usize = 1 << 20;
/// How many descriptors are looked at, from the end, to find where the file should end.
const MAX_LAST_DESCRIPTORS: u64 = 1 << 16;

/// The pages of one dump, which may be split over several files.
#[derive(Debug)]
pub(crate) struct KdumpMemory {
    /// By their first frame. Not empty.
    parts: Vec<Part>,
    /// Bytes of a page in the file, of which bitmaps and descriptors speak; the cache has pages of [`PAGE_SIZE`].
    block_size: u64,
    cache: PageCache,
    page_count: OnceLock<PageCount>,
    segments: OnceLock<Vec<Segment>>,
    incomplete: OnceLock<Option<Incomplete>>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Part {
    file: FileBytes,
    header: Header,
    ranks: OnceLock<Ranks>,
}

/// Where a page is, and how it is stored.
struct Descriptor {
    /// Where the descriptor itself is.
    at: u64,
    offset: u64,
    size: u32,
    flags: u32,
}

impl Descriptor {
    fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.size))
    }
}

impl Part {
    pub(super) fn new(file: FileBytes, header: Header) -> Self {
        Self { file, header, ranks: OnceLock::new() }
    }

    /// Counts of the second bitmap; made at the first call.
    fn ranks(&self) -> &Ranks {
        self.ranks.get_or_init(|| Ranks::new(&self.file, self.header.dumped))
    }

    /// The number of pages before frame `pfn` that this file has.
    fn rank(&self, pfn: u64) -> Result<u64, Missing> {
        let start = self.header.frames().start;
        let before_file = if start == 0 { 0 } else { self.ranks().before(&self.file, start)? };
        Ok(self.ranks().before(&self.file, pfn)?.saturating_sub(before_file))
    }

    /// The number of pages that this file has, as far as its bitmap can be read.
    fn page_count(&self) -> u64 {
        let Range { start, end } = self.header.frames();
        let before = |pfn| self.ranks().before(&self.file, pfn).unwrap_or(self.ranks().total());
        before(end).saturating_sub(before(start))
    }

    fn descriptor(&self, index: u64) -> Result<Descriptor, Missing> {
        let at = index.saturating_mul(DESCRIPTOR_LEN).saturating_add(self.header.descriptors_at);
        let mut bytes = [0; DESCRIPTOR_LEN as usize];
        self.file.read(at, &mut bytes).ok_or_else(|| Missing(self.file.missing_after(at)))?;
        Ok(Descriptor {
            at,
            offset: le_u64(&bytes, 0).unwrap_or_default(),
            size: le_u32(&bytes, 8).unwrap_or_default(),
            flags: le_u32(&bytes, 12).unwrap_or_default(),
        })
    }

    /// The least length that the file should have.
    fn expected_len(&self) -> u64 {
        let pages = self.page_count();
        // A part without pages ends with the last byte of its bitmap that has frames.
        if pages == 0 || self.ranks().missing().is_some() {
            return self.header.dumped.end();
        }
        let table_end = pages.saturating_mul(DESCRIPTOR_LEN).saturating_add(self.header.descriptors_at);
        // Pages are written in order, so the last one is at the end; but pages of zeroes all point to the same, early
        // place: go back to the first descriptor that has a place of its own.
        let mut end = table_end;
        let mut shared = None;
        for index in (0..pages).rev().take(usize::try_from(MAX_LAST_DESCRIPTORS).unwrap_or(usize::MAX)) {
            let Ok(descriptor) = self.descriptor(index) else { break };
            if u64::from(descriptor.size) > self.header.block_size {
                // Damaged: its offset would tell nothing.
                continue;
            }
            end = end.max(descriptor.end());
            if shared.is_some_and(|shared| shared != descriptor.offset) {
                break;
            }
            shared = Some(descriptor.offset);
        }
        end
    }
}

impl KdumpMemory {
    pub(crate) fn has_grown(&self) -> bool {
        self.parts.iter().any(|part| part.file.has_grown())
    }

    pub(crate) fn give_back(&self) {
        self.parts.iter().for_each(|part| part.file.give_back());
    }

    pub(crate) fn advise(&self, pass: bool) {
        self.parts.iter().for_each(|part| part.file.advise(pass));
    }

    pub(crate) fn read_around(&self) {
        self.parts.iter().for_each(|part| part.file.read_around());
    }

    pub(super) fn new(mut parts: Vec<Part>) -> Self {
        parts.sort_by_key(|part| part.header.frames().start);
        let block_size = parts.first().map_or(PAGE_SIZE, |part| part.header.block_size);
        Self {
            parts,
            block_size,
            cache: PageCache::new(),
            page_count: OnceLock::new(),
            segments: OnceLock::new(),
            incomplete: OnceLock::new(),
        }
    }

    /// The `-d` level that makedumpfile was given.
    pub(crate) fn dump_level(&self) -> Option<u32> {
        self.parts.first()?.header.dump_level
    }

    /// Fills `buf` from `address` on.
    pub(crate) fn read(&self, address: PhysAddr, mut buf: &mut [u8]) -> Result<(), ReadError> {
        let len = buf.len() as u64;
        address.checked_add(len).ok_or(ReadError::BadRange { address: address.get(), len })?;
        let mut address = address;
        while !buf.is_empty() {
            let in_page = usize::try_from(address.page_offset()).unwrap_or_default();
            let here = (PAGE_SIZE as usize - in_page).min(buf.len());
            let (now, later) = buf.split_at_mut(here);
            self.read_in_page(address, in_page, now)?;
            buf = later;
            address = address.wrapping_add(here as u64);
        }
        Ok(())
    }

    /// As [`KdumpMemory::read`], within one page, of which `address` is byte `in_page`.
    fn read_in_page(&self, address: PhysAddr, in_page: usize, buf: &mut [u8]) -> Result<(), ReadError> {
        let copy = |page: &Page, buf: &mut [u8]| {
            if let Some(bytes) = page.get(in_page..in_page + buf.len()) {
                buf.copy_from_slice(bytes);
            }
        };
        let pfn = address.pfn();
        if self.cache.get(pfn, |page| copy(page, buf)).is_some() {
            return Ok(());
        }
        let in_block = address.get() % self.block_size;
        let (part, descriptor) = self.locate(Pfn::new(address.get() / self.block_size), address)?;
        let damaged = |reason: &str, offset| ReadError::Damaged {
            address: PhysAddr::new(address.get() - address.page_offset()),
            offset: FileOffset::new(offset),
            reason: reason.to_owned(),
        };
        if descriptor.offset == 0 {
            return Err(damaged("its descriptor is empty: the writer had no space left for the page", descriptor.at));
        }
        let Some(codec) = Codec::from_flags(descriptor.flags) else {
            let reason = format!("its descriptor names unknown compression flags {:#x}", descriptor.flags);
            return Err(damaged(&reason, descriptor.at));
        };
        let size = u64::from(descriptor.size);
        if size > self.block_size || (codec == Codec::Plain && size < self.block_size) {
            let reason = format!("its descriptor gives it {} bytes", descriptor.size);
            return Err(damaged(&reason, descriptor.at));
        }
        let truncated = |offset| {
            let offset = FileOffset::new(part.file.missing_after(offset));
            ReadError::Truncated { address, offset }
        };
        if codec == Codec::Plain {
            // Straight from the file: a copy in the cache would only take the place of one that cost something.
            let offset = descriptor.offset.saturating_add(in_block);
            return part.file.read(offset, buf).ok_or_else(|| truncated(offset));
        }
        let stored = part.file.slice(descriptor.offset, u64::from(descriptor.size));
        let stored = stored.ok_or_else(|| truncated(descriptor.offset))?;
        if self.block_size == PAGE_SIZE {
            let mut page = Box::new([0; PAGE_SIZE as usize]);
            codec.decode(&stored, &mut *page).map_err(|reason| damaged(&reason, descriptor.offset))?;
            copy(&page, buf);
            self.cache.insert(pfn, page);
            return Ok(());
        }
        let mut block = vec![0; usize::try_from(self.block_size).unwrap_or_default()];
        codec.decode(&stored, &mut block).map_err(|reason| damaged(&reason, descriptor.offset))?;
        let first = pfn.get() - in_block / PAGE_SIZE;
        for (bytes, frame) in block.chunks_exact(PAGE_SIZE as usize).zip(first..) {
            let mut page = Box::new([0; PAGE_SIZE as usize]);
            page.copy_from_slice(bytes);
            if frame == pfn.get() {
                copy(&page, buf);
            }
            self.cache.insert(Pfn::new(frame), page);
        }
        Ok(())
    }

    /// The descriptor of the file's frame `pfn`, or why there is none. Errors name `address`, which is in that frame.
    fn locate(&self, pfn: Pfn, address: PhysAddr) -> Result<(&Part, Descriptor), ReadError> {
        let truncated = |Missing(offset)| ReadError::Truncated { address, offset: FileOffset::new(offset) };
        let not_in_dump = || ReadError::NotInDump { address };
        let holder = self.parts.iter().find(|part| part.header.frames().contains(&pfn.get()));
        // Every part has all bits, so any can say whether the frame is memory.
        let part = holder.or(self.parts.first()).ok_or_else(not_in_dump)?;
        if !part.header.dumped.get(&part.file, pfn.get()).map_err(truncated)? {
            let is_memory = part.header.memory.get(&part.file, pfn.get()).map_err(truncated)?;
            let excluded = || ReadError::Excluded { address, level: part.header.dump_level };
            return Err(if is_memory { excluded() } else { not_in_dump() });
        }
        let part = holder.ok_or_else(not_in_dump)?;
        let index = part.rank(pfn.get()).map_err(truncated)?;
        Ok((part, part.descriptor(index).map_err(truncated)?))
    }

    /// Counts pages; the first call goes over both bitmaps.
    pub(crate) fn page_count(&self) -> PageCount {
        *self.page_count.get_or_init(|| {
            let present = self.parts.iter().map(Part::page_count).sum();
            let excluded = self.parts.first().map(|part| {
                let memory = part.header.memory.count(&part.file);
                memory.saturating_sub(part.ranks().total())
            });
            let pages = |blocks: u64| blocks.saturating_mul(self.block_size / PAGE_SIZE);
            PageCount { present: pages(present), excluded: excluded.map(pages) }
        })
    }

    /// The ranges of physical memory whose pages are in the files.
    pub(crate) fn stored(&self) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        for part in &self.parts {
            let frames = part.header.frames();
            part.header.dumped.runs(&part.file, |start, end| {
                let (start, end) = (start.max(frames.start), end.min(frames.end));
                if start < end {
                    ranges.push(start * self.block_size..end * self.block_size);
                }
                ranges.len() < MAX_SEGMENTS
            });
        }
        ranges
    }

    /// One past the last frame that the bitmap has room for.
    pub(crate) fn memory_end(&self) -> PhysAddr {
        let frames = self.parts.iter().map(|part| part.header.memory.bits).max().unwrap_or_default();
        PhysAddr::new(frames.saturating_mul(self.block_size))
    }

    /// The runs of frames that are memory; the first call goes over the first bitmap.
    pub(crate) fn segments(&self) -> &[Segment] {
        self.segments.get_or_init(|| {
            let mut segments = Vec::new();
            let Some(part) = self.parts.first() else { return segments };
            part.header.memory.runs(&part.file, |start, end| {
                let size = (end - start) * self.block_size;
                segments.push(Segment {
                    physical: PhysAddr::new(start * self.block_size),
                    memory_size: size,
                    file_size: size,
                    file_offset: None,
                    virtual_address: None,
                });
                segments.len() < MAX_SEGMENTS
            });
            segments
        })
    }

    /// What is missing; the first call goes over the second bitmap.
    pub(crate) fn incomplete(&self) -> Option<&Incomplete> {
        let find = || {
            // Of several files the one that lacks most speaks for all.
            let lengths = self.parts.iter().map(|part| (part.expected_len(), part.file.len()));
            let (expected, actual) = lengths.max_by_key(|&(expected, actual)| expected.saturating_sub(actual))?;
            let truncated = expected > actual || self.parts.iter().any(|part| !part.file.ends_properly());
            let incomplete = Incomplete {
                truncated,
                expected_len: Some(expected).filter(|&expected| expected > actual),
                actual_len: actual,
                marked: self.parts.iter().any(|part| part.header.incomplete),
                missing_frames: self.missing_frames(),
            };
            (incomplete.truncated || incomplete.marked || !incomplete.missing_frames.is_empty()).then_some(incomplete)
        };
        self.incomplete.get_or_init(find).as_ref()
    }

    /// The frames of parts of a split dump that were not given.
    fn missing_frames(&self) -> Vec<Range<Pfn>> {
        let mut missing = Vec::new();
        let mut covered = 0;
        let all = self.parts.first().map_or(0, |part| part.header.dumped.bits);
        for Range { start, end } in self.parts.iter().map(|part| part.header.frames()).chain(std::iter::once(all..all))
        {
            if start > covered {
                let pages = self.block_size / PAGE_SIZE;
                missing.push(Pfn::new(covered.saturating_mul(pages))..Pfn::new(start.saturating_mul(pages)));
            }
            covered = covered.max(end);
        }
        missing
    }
}
