//! The open dump: one interface over all formats.

use std::ops::Range;
use std::path::{Path, PathBuf};

use vmcore_memory::{Architecture, PAGE_SIZE, Pfn, PhysAddr, ReadError, ReadPhysical};

use crate::contents::Contents;
use crate::dump_file::DumpFile;
use crate::elf::ElfMemory;
use crate::kdump::KdumpMemory;
use crate::warnings::Warnings;
use crate::{
    Format, Incomplete, OpenError, PageCount, Prstatus, QemuCpuState, RawNote, Segment, Source, Unpacking, Vmcoreinfo,
    elf, kdump, lime, raw,
};

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
        let (format, file) = first.detect(&mut unpacking, &mut warnings)?;
        let is_kdump = |format| matches!(format, Format::KdumpCompressed | Format::FlattenedKdumpCompressed);
        let mut files = vec![(path, file)];
        for other in others {
            let (other_format, file) = other.detect(&mut unpacking, &mut warnings)?;
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

    /// Says that the memory of a raw image begins at `base`, and has no hole; nothing of any other dump.
    pub fn set_memory_base(&mut self, base: PhysAddr) {
        if self.format != Format::Raw {
            return;
        }
        if let Memory::Elf(memory) = &mut self.contents.memory {
            memory.lay_out(&[(base.get(), memory.file_len().min(u64::MAX - base.get()), 0)]);
        }
    }

    /// Says which machine a dump is of that does not say it itself; nothing of any other dump.
    pub fn assume_architecture(&mut self, architecture: Architecture) {
        self.contents.notes.architecture.get_or_insert(architecture);
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

    /// Says that what lies around whatever is read from now on will be read as well, as where a machine has so many tasks that
    /// they are most of the dump. From a disk it then comes in larger pieces.
    pub fn read_around(&self) {
        match &self.contents.memory {
            Memory::Elf(memory) => memory.read_around(),
            Memory::Kdump(memory) => memory.read_around(),
        }
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
