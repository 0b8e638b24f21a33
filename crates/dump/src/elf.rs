//! ELF core dumps: what `/proc/vmcore`, QEMU's `dump-guest-memory`, `virsh dump --memory-only` and `makedumpfile -E`
//! write.
//!
//! ```text
//! ELF header      ET_CORE, 64-bit, little-endian, EM_X86_64 or EM_AARCH64
//! program headers PT_NOTE: the notes; PT_LOAD: p_paddr, p_memsz of physical memory at p_offset, p_filesz of the file
//! notes, memory
//! ```
//!
//! A file with 65535 or more program headers keeps their number in `sh_info` of section header 0 (`PN_XNUM`).
//! Memory that a header names but that has no bytes (`p_memsz` beyond `p_filesz`) was left out by the writer: that is
//! how `makedumpfile -E` and QEMU's own range filter say so.

mod phys;
mod sve_notes;

use std::path::Path;

use object::elf::{self, FileHeader64, PN_XNUM, ProgramHeader64, SectionHeader64};
use object::{LittleEndian as LE, pod};
use vmcore_memory::{Architecture, FileOffset, Machine, PhysAddr, ReadError, VirtAddr, le_u16};

use crate::bytes::FileBytes;
use crate::contents::Contents;
use crate::extents::{Backing, Extent, Extents};
use crate::notes::{MAX_NOTES_LEN, Notes};
use crate::warnings::Warnings;
use crate::{Incomplete, Lookalike, OpenError, PageCount, Segment, Source, device_dumps};

/// More than a machine with every memory block in a header of its own has; 64 MiB of table.
const MAX_PROGRAM_HEADERS: u64 = 1 << 20;

/// `DUMP_ELF_INCOMPLETE` in `e_flags`: makedumpfile ran out of space (its `elf_info.c`).
const INCOMPLETE: u32 = 1;

/// More than the names of any core's sections take, in bytes.
const MAX_SECTION_NAMES: u64 = 1 << 16;
/// What the names of Xen's own sections begin with.
const XEN_SECTION: &[u8] = b".xen_pages";

/// A `PT_LOAD` or `PT_NOTE` header.
#[derive(Clone, Copy, Debug)]
struct Load {
    physical: Option<u64>,
    virtual_address: u64,
    offset: u64,
    file_size: u64,
    memory_size: u64,
}

impl Load {
    /// One past the last byte of the file that belongs to it.
    fn file_end(&self) -> u64 {
        self.offset.saturating_add(self.file_size)
    }
}

/// The headers that matter, by kind.
struct ProgramHeaders {
    loads: Vec<Load>,
    notes: Vec<Load>,
    /// One past the last byte of the table that they are in.
    table_end: u64,
}

/// Physical memory in an ELF core.
#[derive(Debug)]
pub(crate) struct ElfMemory {
    file: FileBytes,
    extents: Extents,
    pub(crate) segments: Vec<Segment>,
    pub(crate) page_count: PageCount,
    pub(crate) incomplete: Option<Incomplete>,
}

impl ElfMemory {
    /// Memory that lies in `file` in these pieces: first address, length, offset. `expected_len` is how long the file should
    /// be, where that is known.
    pub(crate) fn of_pieces(file: FileBytes, pieces: &[(u64, u64, u64)], expected_len: Option<u64>) -> Self {
        let expected_len = expected_len.filter(|&expected| expected > file.len());
        let incomplete = expected_len.map(|expected| Incomplete {
            truncated: true,
            expected_len: Some(expected),
            actual_len: file.len(),
            marked: false,
            missing_frames: Vec::new(),
        });
        let mut memory = Self {
            file,
            extents: Extents::default(),
            segments: Vec::new(),
            page_count: PageCount::default(),
            incomplete,
        };
        memory.lay_out(pieces);
        memory
    }

    /// Takes the memory in the file to be in these pieces.
    pub(crate) fn lay_out(&mut self, pieces: &[(u64, u64, u64)]) {
        let loads = pieces.iter().map(|&(start, len, offset)| Load {
            physical: Some(start),
            virtual_address: 0,
            offset,
            file_size: len,
            memory_size: len,
        });
        let loads: Vec<Load> = loads.collect();
        let len = self.file.len();
        self.extents = Extents::new(loads.iter().flat_map(|load| self::pieces(load, len)).collect());
        self.segments = loads.iter().filter_map(|load| segment(load, len)).collect();
        self.page_count = self.extents.page_count();
    }

    pub(crate) fn file_len(&self) -> u64 {
        self.file.len()
    }

    /// Fills `buf` from `address` on.
    #[inline]
    pub(crate) fn read(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.extents.read(&self.file, address, buf)
    }

    /// As [`ElfMemory::read`], for passes over large parts of the file that should not stay in memory.
    pub(crate) fn read_apart(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.extents.read_apart(&self.file, address, buf)
    }

    /// The ranges of physical memory that have data in the file.
    pub(crate) fn stored(&self) -> Vec<std::ops::Range<u64>> {
        self.extents.stored(&self.file)
    }

    pub(crate) fn advise(&self, pass: bool) {
        self.file.advise(pass);
    }

    pub(crate) fn read_around(&self) {
        self.file.read_around();
    }

    pub(crate) fn has_grown(&self) -> bool {
        self.file.has_grown()
    }

    pub(crate) fn give_back(&self) {
        self.file.give_back();
    }
}

/// Reads the headers and notes of an ELF core.
///
/// # Errors
///
/// [`OpenError`] only where the ELF header itself is unusable or no memory is left; everything else is a warning.
pub(crate) fn open(path: &Path, file: FileBytes, mut warnings: Warnings) -> Result<Contents<ElfMemory>, OpenError> {
    let (header, architecture) = header(path, &file)?;
    let ProgramHeaders { mut loads, notes: mut note_segments, table_end } =
        program_headers(path, &file, &header, &mut warnings)?;
    sve_notes::lay_out(&file, architecture, &mut loads, &mut note_segments, &mut warnings);

    let notes = read_notes(&file, architecture, &note_segments, &mut warnings);
    if is_user_core(&notes, &loads) {
        return Err(OpenError::UserCore { path: path.to_owned() });
    }

    if notes.is_of_xen_host() {
        return Err(OpenError::NotADump { path: path.to_owned(), looks_like: Lookalike::XenHost });
    }
    phys::assign(&mut loads, architecture, notes.vmcoreinfo.as_ref(), &mut warnings);
    let extents = Extents::new(loads.iter().flat_map(|load| pieces(load, file.len())).collect());
    if extents.is_empty() {
        // makedumpfile writes program headers twice: empty ones before the memory, and the real ones after it. Of a
        // flattened file that was cut only the empty ones are left.
        let lost = !file.ends_properly() || file.missing_after(0) < table_end;
        let path = path.to_owned();
        if is_xen(&file, &header) {
            return Err(OpenError::NotADump { path, looks_like: Lookalike::XenCore });
        }
        return Err(if lost { OpenError::HeadersLost { path } } else { OpenError::NoMemory { path } });
    }
    let expected = loads.iter().chain(&note_segments).filter(|load| load.file_size > 0).map(Load::file_end);
    let expected = expected.chain([table_end]).max().filter(|&expected| expected > file.len());
    let truncated = expected.is_some() || !file.ends_properly();
    let marked = header.e_flags.get(LE).0 & INCOMPLETE != 0;
    let memory = ElfMemory {
        segments: loads.iter().filter_map(|load| segment(load, file.len())).collect(),
        page_count: extents.page_count(),
        incomplete: (truncated || marked).then(|| Incomplete {
            truncated,
            expected_len: expected,
            actual_len: file.len(),
            marked,
            missing_frames: Vec::new(),
        }),
        extents,
        file,
    };
    Ok(Contents { source: source(&notes, &loads), memory, notes, warnings })
}

/// Reads and checks the ELF header.
fn header(path: &Path, file: &FileBytes) -> Result<(FileHeader64<LE>, Architecture), OpenError> {
    let bytes = file.prefix(0, size_of::<FileHeader64<LE>>() as u64);
    let truncated = || OpenError::TruncatedHeader {
        path: path.to_owned(),
        needed: size_of::<FileHeader64<LE>>() as u64,
        len: file.len(),
    };
    // Class, byte order, type and machine are at the same place in every ELF file: say what it is before its size.
    let big_endian = bytes.get(5) == Some(&elf::ELFDATA2MSB.0);
    let kind = le_u16(&bytes, 16).ok_or_else(truncated)?;
    let kind = elf::FileType(if big_endian { kind.swap_bytes() } else { kind });
    if kind != elf::ET_CORE {
        let kind = match kind {
            elf::ET_EXEC => "executable",
            elf::ET_DYN => "shared object",
            elf::ET_REL => "object file",
            _ => "file of an unknown type",
        };
        return Err(OpenError::NotACore { path: path.to_owned(), kind });
    }
    let machine = Machine::of_elf(&bytes).ok_or_else(truncated)?;
    let Some(architecture) = machine.architecture() else {
        return Err(OpenError::WrongMachine { path: path.to_owned(), machine });
    };
    let header = pod::from_bytes::<FileHeader64<LE>>(&bytes).map(|(header, _)| *header).map_err(|()| truncated())?;
    Ok((header, architecture))
}

/// Reads the program headers, as many as are in the file.
fn program_headers(
    path: &Path,
    file: &FileBytes,
    header: &FileHeader64<LE>,
    warnings: &mut Warnings,
) -> Result<ProgramHeaders, OpenError> {
    const SIZE: u64 = size_of::<ProgramHeader64<LE>>() as u64;
    let entry_size = header.e_phentsize.get(LE);
    if u64::from(entry_size) != SIZE {
        return Err(OpenError::BadHeader {
            path: path.to_owned(),
            offset: FileOffset::new(54),
            reason: format!("its program headers have {entry_size} bytes instead of {SIZE}"),
        });
    }
    let count = program_header_count(file, header, warnings);
    let offset = header.e_phoff.get(LE);
    let table = file.prefix(offset, count * SIZE);
    let readable = table.len() as u64 / SIZE;
    if readable < count {
        warnings.push(format!(
            "of {count} program headers at file offset {offset:#x} only {readable} are in the file: memory is missing"
        ));
    }
    let mut headers =
        ProgramHeaders { loads: Vec::new(), notes: Vec::new(), table_end: offset.saturating_add(count * SIZE) };
    for entry in table.chunks_exact(size_of::<ProgramHeader64<LE>>()) {
        let Ok((entry, _)) = pod::from_bytes::<ProgramHeader64<LE>>(entry) else { continue };
        let load = Load {
            physical: Some(entry.p_paddr.get(LE)),
            virtual_address: entry.p_vaddr.get(LE),
            offset: entry.p_offset.get(LE),
            file_size: entry.p_filesz.get(LE),
            // ELF does not allow fewer bytes of memory than of file; where a writer got that wrong, the file has them.
            memory_size: entry.p_memsz.get(LE).max(entry.p_filesz.get(LE)),
        };
        match entry.p_type.get(LE) {
            elf::PT_LOAD => headers.loads.push(load),
            elf::PT_NOTE => headers.notes.push(load),
            _ => {}
        }
    }
    Ok(headers)
}

fn program_header_count(file: &FileBytes, header: &FileHeader64<LE>, warnings: &mut Warnings) -> u64 {
    let count = header.e_phnum.get(LE);
    if count != PN_XNUM {
        return u64::from(count);
    }
    let section = file.prefix(header.e_shoff.get(LE), size_of::<SectionHeader64<LE>>() as u64);
    let Ok((section, _)) = pod::from_bytes::<SectionHeader64<LE>>(&section) else {
        warnings.push(format!(
            "the number of program headers should be at file offset {:#x}, which is not in the file: {PN_XNUM} are read",
            header.e_shoff.get(LE)
        ));
        return u64::from(PN_XNUM);
    };
    let count = u64::from(section.sh_info.get(LE));
    if count > MAX_PROGRAM_HEADERS {
        warnings.push(format!("of {count} program headers only {MAX_PROGRAM_HEADERS} are read"));
    }
    count.min(MAX_PROGRAM_HEADERS)
}

/// Reads all notes; what is missing of them is a warning.
fn read_notes(file: &FileBytes, architecture: Architecture, segments: &[Load], warnings: &mut Warnings) -> Notes {
    let mut notes = Notes { architecture: Some(architecture), ..Notes::default() };
    let mut left = device_dumps::Left::default();
    for note in segments {
        let (offset, size) = device_dumps::behind(file, (note.offset, note.file_size), &mut left);
        let bytes = file.prefix(offset, size.min(MAX_NOTES_LEN));
        let offset = FileOffset::new(offset);
        if (bytes.len() as u64) < size {
            let have = bytes.len();
            warnings.push(format!("the notes at file offset {offset} have {size} bytes; only {have} can be read"));
        }
        notes.add(&bytes, offset, warnings);
    }
    notes
}

/// Whether the names of sections are those of Xen's `xl dump-core`, which has pages in sections instead of segments
/// (`docs/misc/dump-core-format.txt`).
fn is_xen(file: &FileBytes, header: &FileHeader64<LE>) -> bool {
    let size = size_of::<SectionHeader64<LE>>() as u64;
    let at = u64::from(header.e_shstrndx.get(LE).0).saturating_mul(size).saturating_add(header.e_shoff.get(LE));
    let names = file.prefix(at, size);
    let Ok((names, _)) = pod::from_bytes::<SectionHeader64<LE>>(&names) else { return false };
    let names = file.prefix(names.sh_offset.get(LE), names.sh_size.get(LE).min(MAX_SECTION_NAMES));
    names.windows(XEN_SECTION.len()).any(|bytes| bytes == XEN_SECTION)
}

/// Who wrote the dump.
fn source(notes: &Notes, loads: &[Load]) -> Source {
    if notes.is_of_qemu() {
        Source::Qemu
    } else if loads.iter().any(|load| load.file_size < load.memory_size) {
        // The kernel's own headers never leave anything out.
        Source::Makedumpfile
    } else if notes.vmcoreinfo.is_some() {
        Source::ProcVmcore
    } else {
        Source::Unknown
    }
}

/// What a header says about memory, cut at the end of its data and at the end of the file.
fn pieces(load: &Load, file_len: u64) -> impl Iterator<Item = Extent> + use<> {
    let Load { offset, file_size, memory_size, .. } = *load;
    let start = load.physical;
    let in_file = file_size.min(file_len.saturating_sub(offset));
    let cuts = [
        (0, in_file, Backing::File(offset)),
        (in_file, file_size, Backing::PastEnd(offset.saturating_add(in_file))),
        (file_size, memory_size, Backing::LeftOut),
    ];
    cuts.into_iter().filter_map(move |(from, to, backing)| {
        let start = start?;
        Some(Extent { start: start.saturating_add(from), end: start.saturating_add(to), backing })
    })
}

/// A header may promise more than the file has: who walks a segment must not walk that.
fn segment(load: &Load, file_len: u64) -> Option<Segment> {
    Some(Segment {
        physical: PhysAddr::new(load.physical?),
        memory_size: load.memory_size,
        file_size: load.file_size.min(file_len.saturating_sub(load.offset)),
        file_offset: Some(FileOffset::new(load.offset)),
        // QEMU without paging repeats the physical address here.
        virtual_address: Some(VirtAddr::new(load.virtual_address)).filter(|address| address.is_kernel_half()),
    })
}

/// A process's core has notes that a kernel's has not, user addresses, and no physical ones.
fn is_user_core(notes: &Notes, loads: &[Load]) -> bool {
    notes.has_process_notes()
        && notes.vmcoreinfo.is_none()
        && notes.qemu_cpus.is_empty()
        && loads.iter().all(|load| load.physical == Some(0))
        && loads.iter().any(|load| load.virtual_address != 0 && !VirtAddr::new(load.virtual_address).is_kernel_half())
}

#[cfg(test)]
mod tests;
