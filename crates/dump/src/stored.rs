//! A file where it is stored: mapped from this machine's disk, or read piece by piece from somewhere else.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mmap::Mapping;
use crate::piece::piece;

/// A file that cannot be mapped, because it is on a server: whoever implements this fetches and keeps its bytes.
///
/// Its content never changes while it is open. A piece that cannot be had is not the same as one that the file does not
/// have, and to a dump it looks the same: who implements this has to make sure that nothing is concluded from what was read
/// after an error. The program ends the process.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// The length in bytes.
    fn len(&self) -> u64;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from `offset` on. All of it lies within the file.
    ///
    /// # Errors
    ///
    /// Where the bytes cannot be had.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Says whether all bytes are going to be read, from the first to the last, or as at first, here and there.
    fn advise(&self, _pass: bool) {}

    /// What [`ReadAt::remember`] was given for a file with exactly this content, perhaps by another process.
    fn recall(&self) -> Option<Vec<u8>> {
        None
    }

    /// Keeps what was expensive to find out about the content.
    fn remember(&self, _found: &[u8]) {}
}

/// Bytes that are copied in one piece: all notes. A damaged header may ask for anything.
const MAX_PIECE: u64 = 64 << 20;

/// The bytes of one file.
#[derive(Debug)]
pub(crate) enum Stored {
    /// Mapped.
    Mapped(Mapping),
    /// On a server.
    Remote(Remote),
}

impl Stored {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Mapped(map) => map.len() as u64,
            Self::Remote(remote) => remote.len,
        }
    }

    /// `len` bytes at `offset`, borrowed where they are mapped; `None` where the file does not have them all.
    #[inline]
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Mapped(map) => piece(map, offset, len).map(Cow::Borrowed),
            Self::Remote(remote) => remote.bytes(offset, len).map(Cow::Owned),
        }
    }

    /// As many bytes at `offset` as the file has, at most `len`.
    pub(crate) fn prefix(&self, offset: u64, len: u64) -> Cow<'_, [u8]> {
        self.slice(offset, self.present(offset, len)).unwrap_or_default()
    }

    /// How many of the `len` bytes at `offset` the file has.
    pub(crate) fn present(&self, offset: u64, len: u64) -> u64 {
        len.min(self.len().saturating_sub(offset))
    }

    /// Fills `buf` from `offset` on; `None` where the file does not have all of it.
    #[inline]
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        match self {
            Self::Mapped(map) => {
                buf.copy_from_slice(piece(map, offset, buf.len() as u64)?);
                Some(())
            }
            Self::Remote(remote) => remote.read(offset, buf),
        }
    }

    /// As [`Stored::read`], for passes over large parts of the file that should not stay in memory.
    pub(crate) fn read_apart(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        match self {
            Self::Mapped(map) => map.read_apart(offset, buf),
            Self::Remote(remote) => remote.read(offset, buf),
        }
    }

    /// As [`ReadAt::advise`].
    pub(crate) fn advise(&self, pass: bool) {
        match self {
            Self::Mapped(map) => map.advise(pass),
            Self::Remote(remote) => remote.file.advise(pass),
        }
    }

    /// Says that what lies around each byte that is read will be read as well.
    pub(crate) fn read_around(&self) {
        match self {
            Self::Mapped(map) => map.read_around(),
            // It comes in blocks.
            Self::Remote(_) => {}
        }
    }

    /// Whether the file has grown since it was opened.
    pub(crate) fn has_grown(&self) -> bool {
        match self {
            Self::Mapped(map) => map.has_grown(),
            Self::Remote(_) => false,
        }
    }

    /// Gives back the memory that the file takes in this process.
    pub(crate) fn give_back(&self) {
        match self {
            Self::Mapped(map) => map.give_back(),
            // What is kept of it has a bound.
            Self::Remote(_) => {}
        }
    }

    /// The parts of `range` that are no holes of a sparse file.
    pub(crate) fn data_ranges(&self, range: Range<u64>) -> Vec<Range<u64>> {
        match self {
            Self::Mapped(map) => map.data_ranges(range),
            Self::Remote(_) => vec![range],
        }
    }

    /// The file, to be read from its start to its end; [`Stored::position`] says how far that is.
    pub(crate) fn reader(&self) -> io::Result<Box<dyn Read>> {
        match self {
            Self::Mapped(map) => Ok(Box::new(map.reader()?)),
            Self::Remote(remote) => {
                remote.file.advise(true);
                remote.position.store(0, Ordering::Relaxed);
                Ok(Box::new(remote.clone()))
            }
        }
    }

    /// How many bytes the reader has read.
    pub(crate) fn position(&self) -> u64 {
        match self {
            Self::Mapped(map) => map.position(),
            Self::Remote(remote) => remote.position.load(Ordering::Relaxed),
        }
    }

    /// What is remembered of a file with this content.
    pub(crate) fn recall(&self) -> Option<Vec<u8>> {
        match self {
            Self::Mapped(_) => None,
            Self::Remote(remote) => remote.file.recall(),
        }
    }

    /// Remembers what was found out, made by `found` only if somebody keeps it.
    pub(crate) fn remember(&self, found: impl FnOnce() -> Vec<u8>) {
        if let Self::Remote(remote) = self {
            remote.file.remember(&found());
        }
    }
}

/// A file on a server.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    file: Arc<dyn ReadAt>,
    /// Asked once: what is not in the file is never asked for.
    len: u64,
    /// Of the reader.
    position: Arc<AtomicU64>,
}

impl Remote {
    pub(crate) fn new(file: Arc<dyn ReadAt>) -> Self {
        Self { len: file.len(), file, position: Arc::default() }
    }

    fn read(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= self.len);
        end.and_then(|_| self.file.read_at(offset, buf).ok())
    }

    fn bytes(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        // Before memory is taken for them, or anything is fetched.
        offset.checked_add(len).filter(|&end| end <= self.len && len <= MAX_PIECE)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.read(offset, &mut bytes).map(|()| bytes)
    }
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.position.load(Ordering::Relaxed);
        let len = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..len) else { return Ok(0) };
        if len > 0 {
            self.file.read_at(at, buffer)?;
            self.position.fetch_add(len as u64, Ordering::Relaxed);
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use vmcore_memory::{PhysAddr, ReadPhysical};

    use super::*;
    use crate::test_support::{ElfBuilder, KdumpBuilder, flatten, page, read};
    use crate::{Dump, DumpFile, Format, OpenError, Unpacking};

    /// A file that is nowhere, and what was asked of it.
    #[derive(Debug, Default)]
    struct InMemory {
        bytes: Vec<u8>,
        reads: AtomicU64,
        found: Mutex<Option<Vec<u8>>>,
    }

    impl ReadAt for InMemory {
        fn len(&self) -> u64 {
            self.bytes.len() as u64
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let start = usize::try_from(offset).unwrap();
            buf.copy_from_slice(&self.bytes[start..start + buf.len()]);
            Ok(())
        }

        fn recall(&self) -> Option<Vec<u8>> {
            self.found.lock().unwrap().clone()
        }

        fn remember(&self, found: &[u8]) {
            *self.found.lock().unwrap() = Some(found.to_owned());
        }
    }

    fn open(file: &Arc<InMemory>) -> Result<Dump, OpenError> {
        let file: Arc<dyn ReadAt> = Arc::clone(file) as _;
        let unpacking = Unpacking { directory: std::env::temp_dir(), limit: 1 << 30, watch: &mut |_| {} };
        Dump::open_files(&DumpFile::Remote { name: "s3://bucket/vmcore".into(), file }, &[], unpacking)
    }

    const FRAMES: std::ops::Range<u64> = 16..96;

    fn forms() -> Vec<(Format, Vec<u8>)> {
        let elf = ElfBuilder::new().load(FRAMES.start * 4096, FRAMES.flat_map(page).collect()).build();
        let kdump = FRAMES.fold(KdumpBuilder::new(128), |kdump, pfn| kdump.page(pfn, 0, page(pfn))).build();
        vec![
            (Format::FlattenedElf, flatten(&elf, 4000)),
            (Format::FlattenedKdumpCompressed, flatten(&kdump, 4000)),
            (Format::Elf, elf),
            (Format::KdumpCompressed, kdump),
        ]
    }

    #[test]
    fn every_form_is_read_in_place() {
        for (form, bytes) in forms() {
            let file = Arc::new(InMemory { bytes, ..InMemory::default() });
            let dump = open(&file).unwrap();
            assert_eq!((dump.format(), dump.has_grown(), dump.incomplete()), (form, false, None));
            for pfn in FRAMES {
                assert!(read(&dump, pfn * 4096, 4096).unwrap() == page(pfn), "{form}: {pfn}");
                let mut apart = vec![0; 4096];
                dump.apart().read_physical(PhysAddr::new(pfn * 4096), &mut apart).unwrap();
                assert!(apart == page(pfn), "{form}: {pfn}");
            }
            assert!(read(&dump, FRAMES.end * 4096, 1).is_err());
        }
    }

    #[test]
    fn records_are_looked_for_once() {
        let (_, bytes) = forms().swap_remove(0);
        let file = Arc::new(InMemory { bytes, ..InMemory::default() });
        open(&file).unwrap();
        let first = file.reads.swap(0, Ordering::Relaxed);
        let again = open(&file).unwrap();
        assert!(file.reads.load(Ordering::Relaxed) + 50 < first, "{first}");
        assert!(read(&again, FRAMES.start * 4096, 4096).unwrap() == page(FRAMES.start));
        // Of a file without an end nothing is kept: it has warnings that have to be said each time.
        let cut = Arc::new(InMemory { bytes: file.bytes[..file.bytes.len() - 100].to_vec(), ..InMemory::default() });
        assert!(open(&cut).unwrap().incomplete().is_some() && cut.recall().is_none());
    }

    #[test]
    fn a_file_cut_anywhere_is_never_asked_for_what_it_has_not() {
        for (form, bytes) in forms() {
            for len in (0..bytes.len()).step_by(bytes.len() / 60) {
                let file = Arc::new(InMemory { bytes: bytes[..len].to_vec(), ..InMemory::default() });
                match open(&file) {
                    Ok(dump) => {
                        assert!(FRAMES.into_iter().any(|pfn| read(&dump, pfn * 4096, 4096).is_err()), "{form} {len}");
                    }
                    Err(OpenError::Empty { path }) => {
                        assert_eq!((path.as_path(), len), (Path::new("s3://bucket/vmcore"), 0));
                    }
                    Err(_) => {}
                }
            }
        }
    }

    #[test]
    fn compressed_files_are_streamed() {
        let (_, bytes) = forms().swap_remove(2);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, &bytes).unwrap();
        let file = Arc::new(InMemory { bytes: encoder.finish().unwrap(), ..InMemory::default() });
        let dump = open(&file).unwrap();
        assert!(read(&dump, FRAMES.start * 4096, 4096).unwrap() == page(FRAMES.start));
    }
}
