//! A file, mapped read-only.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Deref;

use crate::bus::{FileKind, Watched};

/// How the bytes of a mapping are going to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Here and there: nothing is read ahead.
    Random,
    /// All of them, from the first to the last.
    Sequential,
    /// As the system thinks best.
    Normal,
}

/// A whole file or block device, mapped read-only. It is never empty.
#[derive(Debug)]
pub struct Mapping {
    // Dropped in this order: what is no longer watched is unmapped afterwards.
    _watched: Watched,
    map: memmap2::Mmap,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`, which are all of it.
    ///
    /// # Errors
    ///
    /// As `mmap(2)`: a pipe or a directory cannot be mapped, nor can 0 bytes.
    pub fn new(file: &File, len: usize, kind: FileKind) -> io::Result<Self> {
        // SAFETY: the mapping is read-only and nothing in this process writes the file. `map` asks that nobody else changes
        // it either, and nothing can make sure of that: a dump that is still being copied grows, one that is replaced in
        // place changes. (A private mapping shows such changes, too: it would keep only ours from the file.) What Rust
        // calls undefined when bytes behind a `&[u8]` change is kept to what a damaged file does, by rules that
        // docs/hostile-input.md has under "Files that change": a value is copied out once, checked, and the copy used; no
        // text is borrowed from a mapping; nothing but a bounds check stands between a value and its use as an index.
        // Bytes that are gone raise SIGBUS: see `bus`.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(file) }?;
        let start = map.as_ptr().addr();
        Ok(Self { _watched: Watched::new(start..start.saturating_add(map.len()), kind), map })
    }

    /// Lets the system take back the memory that `len` bytes from `offset` on take here. They are read from the file again
    /// when they are asked for.
    pub fn give_back(&self, offset: usize, len: usize) {
        let len = len.min(self.map.len().saturating_sub(offset));
        if len == 0 {
            return;
        }
        // SAFETY: what MADV_DONTNEED drops of a mapping that nobody can write to comes back from the file with the same
        // bytes.
        let _ = unsafe { self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, len) };
    }

    /// Says how the bytes are going to be read. It is only advice.
    pub fn advise(&self, access: Access) {
        let _ = self.map.advise(match access {
            Access::Random => memmap2::Advice::Random,
            Access::Sequential => memmap2::Advice::Sequential,
            Access::Normal => memmap2::Advice::Normal,
        });
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
