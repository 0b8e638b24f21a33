//! Builds kdump-compressed dumps and flattens files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{Compression, RawNote};

/// Compresses `bytes` as a page with these descriptor flags.
pub(crate) fn compress(flags: u32, bytes: &[u8]) -> Vec<u8> {
    use Compression::{Lzo, None, Snappy, Zlib, Zstd};
    let compression = [None, Zlib, Lzo, Snappy, Zstd].into_iter().find(|one| one.flag() == flags);
    compression.unwrap_or_else(|| panic!("no codec for {flags:#x}")).encode(bytes).unwrap()
}

/// Builds a kdump-compressed dump as makedumpfile lays it out.
#[derive(Clone)]
pub(crate) struct KdumpBuilder {
    pub(crate) version: u32,
    pub(crate) status: u32,
    pub(crate) system: &'static str,
    pub(crate) machine: &'static str,
    pub(crate) dump_level: u32,
    /// Bytes of a page.
    pub(crate) block_size: u64,
    pub(crate) frames: u64,
    pub(crate) split: Option<Range<u64>>,
    pub(crate) excluded: BTreeSet<u64>,
    /// Flags of the descriptor, and the page as it is in memory.
    pub(crate) pages: BTreeMap<u64, (u32, Vec<u8>)>,
    pub(crate) notes: Vec<u8>,
    pub(crate) vmcoreinfo: Vec<u8>,
}

impl KdumpBuilder {
    pub(crate) fn new(frames: u64) -> Self {
        Self {
            version: 6,
            status: 0,
            system: "Linux",
            machine: "x86_64",
            dump_level: 31,
            block_size: 4096,
            frames,
            split: None,
            excluded: BTreeSet::new(),
            pages: BTreeMap::new(),
            notes: Vec::new(),
            vmcoreinfo: Vec::new(),
        }
    }

    pub(crate) fn page(mut self, pfn: u64, flags: u32, bytes: Vec<u8>) -> Self {
        self.pages.insert(pfn, (flags, bytes));
        self
    }

    pub(crate) fn exclude(mut self, frames: Range<u64>) -> Self {
        self.excluded.extend(frames);
        self
    }

    pub(crate) fn note(mut self, note: &RawNote) -> Self {
        self.notes = super::ElfBuilder { notes: self.notes, ..super::ElfBuilder::new() }.note(note).notes;
        self
    }

    fn bitmap_len(&self) -> u64 {
        self.frames.div_ceil(8).next_multiple_of(self.block_size)
    }

    fn sub_blocks(&self) -> u64 {
        (104 + self.notes.len() as u64 + self.vmcoreinfo.len() as u64).div_ceil(self.block_size)
    }

    pub(crate) fn bitmap_offset(&self) -> u64 {
        (1 + self.sub_blocks()) * self.block_size
    }

    pub(crate) fn descriptors_offset(&self) -> u64 {
        self.bitmap_offset() + 2 * self.bitmap_len()
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let block = self.block_size as usize;
        let notes_at = self.block_size + 104;
        let info_at = notes_at + self.notes.len() as u64;
        let mut out = vec![0; self.descriptors_offset() as usize];
        let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"KDUMP   ");
        put(8, &self.version.to_le_bytes());
        put(12, self.system.as_bytes());
        put(272, self.machine.as_bytes());
        let bitmap_blocks = 2 * self.bitmap_len() / self.block_size;
        let sizes =
            [self.status, self.block_size as u32, self.sub_blocks() as u32, bitmap_blocks as u32, self.frames as u32];
        for (index, value) in sizes.into_iter().enumerate() {
            put(424 + index * 4, &value.to_le_bytes());
        }
        put(block + 8, &self.dump_level.to_le_bytes());
        put(block + 12, &u32::from(self.split.is_some()).to_le_bytes());
        let split = self.split.clone().unwrap_or_default();
        let place = |at: u64, len: usize| if len == 0 { [0, 0] } else { [at, len as u64] };
        let info = place(info_at, self.vmcoreinfo.len());
        let notes = place(notes_at, self.notes.len());
        let wide = if self.version >= 6 { [split.start, split.end, self.frames] } else { [0; 3] };
        let words = [[split.start, split.end], info, notes, [0, 0]].concat();
        for (index, value) in words.into_iter().chain(wide).enumerate() {
            put(block + 16 + index * 8, &value.to_le_bytes());
        }
        put(notes_at as usize, &self.notes);
        put(info_at as usize, &self.vmcoreinfo);
        for (bitmap, excluded_too) in [(self.bitmap_offset(), true), (self.bitmap_offset() + self.bitmap_len(), false)]
        {
            let excluded = self.excluded.iter().filter(|_| excluded_too);
            for &pfn in self.pages.keys().chain(excluded) {
                out[(bitmap + pfn / 8) as usize] |= 1 << (pfn % 8);
            }
        }

        let in_file = self.split.clone().unwrap_or(0..u64::MAX);
        let pages: Vec<_> = self.pages.iter().filter(|(pfn, _)| in_file.contains(pfn)).map(|(_, page)| page).collect();
        let data_at = self.descriptors_offset() + 24 * pages.len() as u64;
        let mut data = vec![0; block];
        for (flags, page) in pages {
            // As makedumpfile does: all pages of zeroes are the one in front.
            let (at, flags, bytes) = if page.iter().all(|&byte| byte == 0) {
                (data_at, 0, vec![0; block])
            } else {
                let compressed = Some(compress(*flags, page)).filter(|stored| stored.len() < block);
                let (flags, stored) = compressed.map_or((0, page.clone()), |stored| (*flags, stored));
                let at = data_at + data.len() as u64;
                data.extend(&stored);
                (at, flags, stored)
            };
            out.extend(at.to_le_bytes());
            out.extend((bytes.len() as u32).to_le_bytes());
            out.extend(flags.to_le_bytes());
            out.extend([0; 8]);
        }
        out.extend(data);
        out
    }
}

/// A file in the flattened format, built record by record.
pub(crate) struct FlatBuilder(pub(crate) Vec<u8>);

impl FlatBuilder {
    pub(crate) fn new() -> Self {
        let mut out = crate::flattened::SIGNATURE.to_vec();
        out.extend(1u64.to_be_bytes());
        out.extend(1u64.to_be_bytes());
        out.resize(4096, 0);
        Self(out)
    }

    pub(crate) fn record(mut self, offset: u64, bytes: &[u8]) -> Self {
        self.0.extend(offset.to_be_bytes());
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend([0xff; 16]);
        self.0
    }
}

/// Flattens `bytes` in records of `len`, two streams in turns, as if descriptors and pages were written at a time.
pub(crate) fn flatten(bytes: &[u8], len: usize) -> Vec<u8> {
    let records: Vec<_> = bytes.chunks(len).enumerate().collect();
    let (first, second) = records.split_at(records.len() / 3);
    let mut flat = FlatBuilder::new();
    let mut second = second.iter();
    for &(index, record) in first {
        flat = flat.record((index * len) as u64, record);
        for &(index, record) in second.by_ref().take(2) {
            flat = flat.record((index * len) as u64, record);
        }
    }
    second.fold(flat, |flat, &(index, record)| flat.record((index * len) as u64, record)).end()
}
