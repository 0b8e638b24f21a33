//! The crate's only unsafe code: mapping a file.
#![allow(unsafe_code)]

use std::{fs::File, io, ops::Deref};

/// A whole file, mapped read-only and private to this process.
pub(crate) struct Mapping(memmap2::Mmap);

impl Mapping {
    /// Maps `file` from its first to its last byte.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is read-only and nothing in this process writes the file. What cannot be excluded is
        // another process that changes the file meanwhile: bytes may then change under a reader, and a file that is
        // cut short ends this process with SIGBUS. Debug files are installed once and then left alone, every value
        // read from one is checked before it is used, and no decision is made on a byte being the same twice.
        let map = unsafe { memmap2::Mmap::map(file)? };
        Ok(Self(map))
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
