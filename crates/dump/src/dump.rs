//! The open dump: one interface over all formats.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vmcore_memory::{Architecture, PAGE_SIZE, Pfn, PhysAddr, ReadError, ReadPhysical};

use crate::bytes::FileBytes;
use crate::compressed::{self, Compression};
use crate::contents::Contents;
use crate::elf::ElfMemory;
use crate::flattened::Flattened;
use crate::kdump::KdumpMemory;
use crate::mmap::Mapping;
use crate::sniff::{self, Detected, SNIFF_LEN};
use crate::stored::{ReadAt, Remote, Stored};
use crate::warnings::Warnings;
use crate::{
    Format, Incomplete, Lookalike, OpenError, PageCount, Prstatus, QemuCpuState, RawNote, Segment, Source, Unpacking,
    Vmcoreinfo, elf, kdump, lime, raw,
};

/// Layers of archives and compressors around a dump that are taken off.
const MAX_LAYERS: usize = 4;
/// As much of a file on a server is looked at to see how it is compressed.
const COMPRESSION_LEN: u64 = 64 << 10;

/// How to find physical memory in a file.
#[derive(Debug)]
enum Memory {
    Elf(ElfMemory),
    Kdump(KdumpMemory),
}

impl Memory {
    #[inline]
    fn read(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        match self {
            Self::Elf(memory) => memory.read(address, buf),
            Self::Kdump(memory) => memory.read(address, buf),
        }
    }
}

/// Where a file of a dump is.
#[derive(Clone, Debug)]
pub enum DumpFile {
    /// On this machine, or where this machine sees it as a file.
    Path(PathBuf),
    /// On a server.
    Remote {
        /// What messages call it.
        name: PathBuf,
        /// Its bytes.
        file: Arc<dyn ReadAt>,
    },
}

impl DumpFile {
    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &Path {
        match self {
            Self::Path(name) | Self::Remote { name, .. } => name,
        }
    }

    fn open(&self) -> Result<Stored, OpenError> {
        match self {
            Self::Path(path) => Mapping::open(path).map(Stored::Mapped),
            Self::Remote { name, file } if file.is_empty() => Err(OpenError::Empty { path: name.clone() }),
            Self::Remote { file, .. } => Ok(Stored::Remote(Remote::new(Arc::clone(file)))),
        }
    }
}

/// An open dump.
///
/// Nothing is copied at opening: pages are read from the mapped file when they are asked for, by any number of threads.
#[derive(Debug)]
pub struct Dump {
    format: Format,
    contents: Contents<Memory>,
}

impl Dump {
    /// Opens the dump at `path`, whatever its format.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where the file is not a dump of an x86-64 or arm64 machine or its header cannot be used. Damage elsewhere
    /// does not prevent opening: see [`Dump::warnings`] and [`Dump::incomplete`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_parts(path, &[])
    }

    /// Opens a dump that `makedumpfile --split` wrote into several files, in any order. Parts that are missing are
    /// named by [`Dump::incomplete`], and so they are if [`Dump::open`] gets one part alone.
    ///
    /// # Errors
    ///
    /// As [`Dump::open`], for any of the files; [`OpenError::NotOneDump`] where they are not parts of the same dump.
    pub fn open_parts(path: &Path, others: &[PathBuf]) -> Result<Self, OpenError> {
        let unpacking = Unpacking {
            directory: Unpacking::default_directory(),
            limit: Unpacking::DEFAULT_LIMIT,
            watch: &mut |_| {},
        };
        Self::open_unpacking(path, others, unpacking)
    }

    /// As [`Dump::open_parts`], which unpacks compressed files to the system's temporary directory without a word.
    ///
    /// # Errors
    ///
    /// As [`Dump::open_parts`].
    pub fn open_unpacking(path: &Path, others: &[PathBuf], unpacking: Unpacking<'_>) -> Result<Self, OpenError> {
        let file = |path: &Path| DumpFile::Path(path.to_owned());
        let others: Vec<_> = others.iter().map(|other| file(other)).collect();
        Self::open_files(&file(path), &others, unpacking)
    }

    /// As [`Dump::open_unpacking`], of files wherever they are.
    ///
    /// # Errors
    ///
    /// As [`Dump::open_parts`].
    pub fn open_files(first: &DumpFile, others: &[DumpFile], mut unpacking: Unpacking<'_>) -> Result<Self, OpenError> {
        let mut warnings = Warnings::default();
        let path = first.name();
        let (format, file) = detect(first, &mut unpacking, &mut warnings)?;
        let is_kdump = |format| matches!(format, Format::KdumpCompressed | Format::FlattenedKdumpCompressed);
        let mut files = vec![(path, file)];
        for other in others {
            let (other_format, file) = detect(other, &mut unpacking, &mut warnings)?;
            if !is_kdump(format) || !is_kdump(other_format) {
                return Err(OpenError::NotOneDump { path: other.name().to_owned(), other: path.to_owned() });
            }
            files.push((other.name(), file));
        }
        let contents = match format {
            Format::KdumpCompressed | Format::FlattenedKdumpCompressed => {
                kdump::open(files, warnings)?.map(Memory::Kdump)
            }
            Format::Elf | Format::FlattenedElf => {
                let (path, file) = files.swap_remove(0);
                elf::open(path, file, warnings)?.map(Memory::Elf)
            }
            Format::Lime => {
                let (path, file) = files.swap_remove(0);
                lime::open(path, file, warnings)?.map(Memory::Elf)
            }
            Format::Raw => {
                let (path, file) = files.swap_remove(0);
                raw::open(path, file, warnings)?.map(Memory::Elf)
            }
        };
        Ok(Self { format, contents })
    }

    /// How the dump is stored.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Who wrote the dump.
    #[must_use]
    pub fn source(&self) -> Source {
        self.contents.source
    }

    /// The machine's architecture: as the headers say, else as the notes do; x86-64 where nothing tells.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        let told = || self.vmcoreinfo()?.number("kimage_voffset").map(|_| Architecture::Arm64);
        self.contents.notes.architecture.or_else(told).unwrap_or_default()
    }

    /// The kernel's description of itself, if the dump has it.
    #[must_use]
    pub fn vmcoreinfo(&self) -> Option<&Vmcoreinfo> {
        self.contents.notes.vmcoreinfo.as_ref()
    }

    /// Takes `text` for the kernel's description of itself, in place of the note in the dump if there is one.
    pub fn set_vmcoreinfo(&mut self, text: &[u8]) {
        self.contents.notes.set_vmcoreinfo(text);
    }

    /// The `NT_PRSTATUS` notes, in file order. That is the order of CPU numbers, but CPUs may be missing.
    #[must_use]
    pub fn prstatus(&self) -> &[Prstatus] {
        &self.contents.notes.prstatus
    }

    /// The `QEMU` notes, in file order: one for each virtual CPU in dumps that QEMU wrote, none in others.
    #[must_use]
    pub fn qemu_cpus(&self) -> &[QemuCpuState] {
        &self.contents.notes.qemu_cpus
    }

    /// All notes as they are in the file, in file order.
    #[must_use]
    pub fn raw_notes(&self) -> &[RawNote] {
        &self.contents.notes.raw
    }

    /// The ranges of physical memory that the headers name, in file order.
    ///
    /// In kdump-compressed dumps the first call reads the bitmap of all memory.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        match &self.contents.memory {
            Memory::Elf(memory) => &memory.segments,
            Memory::Kdump(memory) => memory.segments(),
        }
    }

    /// Where the hole below 4 GiB may begin, the most usual first: of a raw image that is longer, and of no other dump.
    #[must_use]
    pub fn possible_holes(&self) -> Vec<PhysAddr> {
        match &self.contents.memory {
            Memory::Elf(memory) if self.format == Format::Raw => {
                raw::HOLES.into_iter().filter(|&hole| hole < memory.file_len()).map(PhysAddr::new).collect()
            }
            Memory::Elf(_) | Memory::Kdump(_) => Vec::new(),
        }
    }

    /// Says that the memory of a raw image has a hole from `start` up to 4 GiB, or none; nothing of any other dump.
    pub fn set_memory_hole(&mut self, start: Option<PhysAddr>) {
        if self.format != Format::Raw {
            return;
        }
        if let Memory::Elf(memory) = &mut self.contents.memory {
            memory.lay_out(&raw::pieces(memory.file_len(), start.map(PhysAddr::get)));
        }
    }

    /// One past the last byte of memory that the headers name.
    #[must_use]
    pub fn memory_end(&self) -> PhysAddr {
        match &self.contents.memory {
            Memory::Elf(memory) => {
                let ends = memory.segments.iter().map(|it| it.physical.get().saturating_add(it.memory_size));
                PhysAddr::new(ends.max().unwrap_or_default())
            }
            Memory::Kdump(memory) => memory.memory_end(),
        }
    }

    /// How much memory there is.
    ///
    /// In kdump-compressed dumps the first call reads the bitmaps.
    #[must_use]
    pub fn page_count(&self) -> PageCount {
        match &self.contents.memory {
            Memory::Elf(memory) => memory.page_count,
            Memory::Kdump(memory) => memory.page_count(),
        }
    }

    /// Which kinds of page makedumpfile was asked to leave out, as its `-d` option: the sum of 1 (zeroes), 2 (cache),
    /// 4 (private cache), 8 (user memory) and 16 (free). Only kdump-compressed dumps record it.
    #[must_use]
    pub fn dump_level(&self) -> Option<u32> {
        match &self.contents.memory {
            Memory::Elf(_) => None,
            Memory::Kdump(memory) => memory.dump_level(),
        }
    }

    /// The ranges of physical memory that the file has data of, in ascending order as far as it has it so: no page that was
    /// left out, and no hole of a sparse file, where all is zero.
    #[must_use]
    pub fn stored_ranges(&self) -> Vec<Range<PhysAddr>> {
        let ranges = match &self.contents.memory {
            Memory::Elf(memory) => memory.stored(),
            Memory::Kdump(memory) => memory.stored(),
        };
        ranges.into_iter().map(|range| PhysAddr::new(range.start)..PhysAddr::new(range.end)).collect()
    }

    /// The same memory for passes over most of it: what is read so does not stay in the memory of this process.
    #[must_use]
    pub fn apart(&self) -> Apart<'_> {
        Apart(self)
    }

    /// Does `work`, which looks at most of the memory in ascending order: the file is read ahead meanwhile.
    ///
    /// An analysis touches a few thousand pages all over a dump, so that nothing else is.
    pub fn pass<T>(&self, work: impl FnOnce() -> T) -> T {
        self.advise(true);
        let result = work();
        self.advise(false);
        result
    }

    /// What makes every byte of the dump doubtful: a checksum over all of it is wrong, or a stream that it was unpacked from
    /// is damaged. It is among the warnings, too.
    #[must_use]
    pub fn damage(&self) -> Option<&str> {
        self.contents.warnings.damage()
    }

    /// Whether the file has grown since it was opened: what it had then is used, and it is still being written.
    #[must_use]
    pub fn has_grown(&self) -> bool {
        match &self.contents.memory {
            Memory::Elf(memory) => memory.has_grown(),
            Memory::Kdump(memory) => memory.has_grown(),
        }
    }

    /// Gives the memory that was used for the file back to the system, in a pass over more of it than there may be memory.
    pub fn give_back(&self) {
        match &self.contents.memory {
            Memory::Elf(memory) => memory.give_back(),
            Memory::Kdump(memory) => memory.give_back(),
        }
    }

    fn advise(&self, pass: bool) {
        match &self.contents.memory {
            Memory::Elf(memory) => memory.advise(pass),
            Memory::Kdump(memory) => memory.advise(pass),
        }
    }

    /// A page as the file has it: of a distilled dump, with zeroes where nothing was kept. `None` where the whole of it is
    /// not there.
    #[must_use]
    pub fn stored_page(&self, frame: Pfn) -> Option<Vec<u8>> {
        let mut page = vec![0; usize::try_from(PAGE_SIZE).ok()?];
        self.contents.memory.read(frame.phys_addr()?, &mut page).ok()?;
        Some(page)
    }

    /// What is missing from the file, if anything is.
    ///
    /// In kdump-compressed dumps the first call reads a bitmap.
    #[must_use]
    pub fn incomplete(&self) -> Option<&Incomplete> {
        match &self.contents.memory {
            Memory::Elf(memory) => memory.incomplete.as_ref(),
            Memory::Kdump(memory) => memory.incomplete(),
        }
    }

    /// What is wrong with the dump but did not prevent opening it, one line each. They may hold numbers from the file,
    /// but no text from it.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        self.contents.warnings.as_slice()
    }
}

impl ReadPhysical for Dump {
    #[inline]
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        if let Some(kept) = &self.contents.notes.kept {
            kept.check(address, buf.len())?;
        }
        self.contents.memory.read(address, buf)
    }

    /// A distilled dump has what was needed and not what is around it.
    fn reads_around(&self) -> bool {
        self.contents.notes.kept.is_none()
    }
}

/// A dump's memory, read without a trace: see [`Dump::apart`].
#[derive(Clone, Copy, Debug)]
pub struct Apart<'a>(&'a Dump);

impl ReadPhysical for Apart<'_> {
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        if let Some(kept) = &self.0.contents.notes.kept {
            kept.check(address, buf.len())?;
        }
        match &self.0.contents.memory {
            Memory::Elf(memory) => memory.read_apart(address, buf),
            Memory::Kdump(memory) => memory.read(address, buf),
        }
    }

    fn reads_around(&self) -> bool {
        self.0.reads_around()
    }
}

/// Opens a file, or what it holds where it is compressed, and finds out its format.
fn detect(
    file: &DumpFile,
    unpacking: &mut Unpacking<'_>,
    warnings: &mut Warnings,
) -> Result<(Format, FileBytes), OpenError> {
    let path = file.name();
    let mut stored = file.open()?;
    // An archive holds a compressed dump, or the other way round.
    for _ in 0..MAX_LAYERS {
        let Some(compression) = compression_of(&stored) else { break };
        stored = Stored::Mapped(compressed::unpack(path, &stored, compression, unpacking, warnings)?);
    }
    if let Some(compression) = compression_of(&stored) {
        let looks_like = Lookalike::Compressed(compression.name());
        return Err(OpenError::NotADump { path: path.to_owned(), looks_like });
    }
    let not_a_dump = |looks_like| Err(OpenError::NotADump { path: path.to_owned(), looks_like });
    let detected = sniff::detect(&stored.prefix(0, SNIFF_LEN as u64));
    match detected {
        Detected::Elf => Ok((Format::Elf, FileBytes::Plain(stored))),
        Detected::Kdump => Ok((Format::KdumpCompressed, FileBytes::Plain(stored))),
        Detected::Flattened => {
            let file = FileBytes::Flattened(Flattened::new(stored, warnings));
            match sniff::detect(&file.prefix(0, SNIFF_LEN as u64)) {
                Detected::Elf => Ok((Format::FlattenedElf, file)),
                Detected::Kdump => Ok((Format::FlattenedKdumpCompressed, file)),
                _ => not_a_dump(Lookalike::EmptyFlattened),
            }
        }
        Detected::Lime => Ok((Format::Lime, FileBytes::Plain(stored))),
        // What memory begins with is anything; often, nothing but zeroes.
        Detected::Other(Lookalike::Unknown | Lookalike::Zeroes) if raw::is_plausible(&stored) => {
            Ok((Format::Raw, FileBytes::Plain(stored)))
        }
        Detected::Other(looks_like) => not_a_dump(looks_like),
    }
}

/// How a file is compressed as a whole, by its beginning. Only where that is a frame to be skipped the rest is looked at.
fn compression_of(file: &Stored) -> Option<Compression> {
    match file {
        Stored::Mapped(map) => Compression::detect(map),
        Stored::Remote(_) => Compression::detect(&file.prefix(0, COMPRESSION_LEN)),
    }
}
