//! The ELF container of a vmlinux: what kind of file it is, its sections and its notes.
//!
//! The `object` crate reads the headers. What is kept of them is a plain list of ranges, so that no parser type
//! leaves this module and nothing borrows from the mapping. Source: System V gABI, "Object Files".

mod compressed;
mod debug_link;
mod note;
mod relocate;
mod relocations;
mod sniff;
pub(crate) mod write;

use std::path::Path;

use object::{
    LittleEndian,
    elf::{self, FileHeader64},
    read::elf::{FileHeader, ProgramHeader, SectionHeader},
};
use vmcore_memory::Architecture;

use crate::{
    OpenError,
    bytes::{Bytes, c_string},
};
use compressed::Compression;
pub(crate) use debug_link::DebugLink;
use note::find_build_id;
pub(crate) use sniff::Role;

/// `SHN_UNDEF`: the symbol is defined elsewhere.
pub(crate) const SHN_UNDEF: u16 = 0;
/// Section numbers from here on have special meanings (absolute, common, extended).
pub(crate) const SHN_LORESERVE: u16 = 0xff00;

/// One section header.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    kind: u32,
    flags: u64,
    /// Link-time virtual address; 0 where the section is not part of the kernel's memory.
    pub(crate) address: u64,
    /// Where the section starts in the file, in bytes.
    pub(crate) offset: u64,
    /// Bytes in memory, and in the file unless [`Section::has_contents`] is false.
    pub(crate) size: u64,
    /// Alignment in bytes; of notes also the alignment of their parts.
    pub(crate) align: u64,
    link: u32,
    /// Of a relocation section, the number of the section that it is about.
    info: u32,
    compression: Option<Compression>,
    /// Contents that stand in for those in the file.
    replaced: Option<Bytes>,
}

impl Section {
    /// `SHT_*`.
    pub(crate) const fn kind(&self) -> u32 {
        self.kind
    }

    /// The `SHF_*` flags that say how the kernel's memory holds the section.
    pub(crate) const fn memory_flags(&self) -> u64 {
        self.flags & (elf::SHF_ALLOC.0 | elf::SHF_WRITE.0 | elf::SHF_EXECINSTR.0)
    }

    /// Whether the section has a place in the running kernel's memory.
    pub(crate) const fn is_allocated(&self) -> bool {
        self.flags & elf::SHF_ALLOC.0 != 0
    }

    /// Whether the section holds instructions.
    pub(crate) const fn is_executable(&self) -> bool {
        self.flags & elf::SHF_EXECINSTR.0 != 0
    }

    /// Whether the file holds the section's bytes. It does not for `.bss`, nor for code and data in a debug file that
    /// was split from its program.
    pub(crate) const fn has_contents(&self) -> bool {
        self.kind != elf::SHT_NOBITS.0 && self.kind != elf::SHT_NULL.0
    }

    /// Whether the contents start with a compression header.
    pub(crate) const fn is_compressed(&self) -> bool {
        self.compression.is_some()
    }
}

/// The parts of an ELF file that the rest of the crate reads.
#[derive(Debug)]
pub(crate) struct Elf {
    file: Bytes,
    /// In file order, the unused section 0 included, so that positions are section numbers.
    pub(crate) sections: Vec<Section>,
    pub(crate) build_id: Option<Vec<u8>>,
    pub(crate) architecture: Architecture,
}

impl Elf {
    /// Reads the headers of `file`, which `path` names in errors and which must be able to play `role`.
    pub(crate) fn parse(path: &Path, file: Bytes, role: Role) -> Result<Self, OpenError> {
        let architecture = sniff::check(path, &file, role)?;
        let damaged =
            |reason: object::read::Error| OpenError::Damaged { path: path.into(), reason: reason.to_string() };
        let data: &[u8] = &file;
        let header = FileHeader64::<LittleEndian>::parse(data).map_err(damaged)?;
        let table = header.sections(LittleEndian, data).map_err(damaged)?;
        let names = header.shstrndx(LittleEndian, data).ok().and_then(|index| usize::try_from(index).ok());
        let names = names.and_then(|index| table.section(object::SectionIndex(index)).ok());
        let names = names.and_then(|names| names.data(LittleEndian, data).ok()).unwrap_or_default();
        let mut sections = Vec::with_capacity(table.len());
        for section in table.iter() {
            let name = c_string(names, section.sh_name(LittleEndian)).unwrap_or_default();
            let name = crate::bytes::text(name);
            let flags = section.sh_flags(LittleEndian).0;
            let (name, compression) = Compression::of(name, flags);
            sections.push(Section {
                name,
                kind: section.sh_type(LittleEndian).0,
                flags,
                address: section.sh_addr(LittleEndian),
                offset: section.sh_offset(LittleEndian),
                size: section.sh_size(LittleEndian),
                align: section.sh_addralign(LittleEndian),
                link: section.sh_link(LittleEndian),
                info: section.sh_info(LittleEndian),
                compression,
                replaced: None,
            });
        }
        if let Some(section) = sections.iter().find(|section| !section.is_inside(&file)) {
            let reason = format!("section {} ends past the end of the file", section.name);
            return Err(OpenError::Damaged { path: path.into(), reason });
        }
        let segments = header.program_headers(LittleEndian, data).unwrap_or_default();
        let in_segments = segments.iter().filter_map(|segment| segment.notes(LittleEndian, data).ok().flatten());
        let in_sections = table.iter().filter_map(|section| section.notes(LittleEndian, data).ok().flatten());
        let build_id = find_build_id(in_sections.chain(in_segments));
        Ok(Self { file, sections, build_id, architecture })
    }

    /// The first section of this name.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The section's bytes as they are in the file; `None` where the file does not hold them.
    pub(crate) fn raw(&self, section: &Section) -> Option<Bytes> {
        match &section.replaced {
            Some(replaced) => Some(replaced.clone()),
            None if section.has_contents() => self.file.slice(section.offset, section.size),
            None => None,
        }
    }

    /// As [`Elf::raw`], borrowed from the file.
    pub(crate) fn raw_slice<'a>(&'a self, section: &'a Section) -> Option<&'a [u8]> {
        if let Some(replaced) = &section.replaced {
            return Some(replaced);
        }
        let start = usize::try_from(section.offset).ok().filter(|_| section.has_contents())?;
        self.file.get(start..)?.get(..usize::try_from(section.size).ok()?)
    }

    /// The section's bytes, restored if they are compressed; `None` where the file does not hold them or they cannot
    /// be restored.
    pub(crate) fn contents(&self, section: &Section) -> Option<Bytes> {
        let raw = self.raw(section)?;
        match section.compression {
            Some(compression) => compression.restore(&raw).map(Bytes::from),
            None => Some(raw),
        }
    }

    /// The contents of the first section of this name that has some.
    pub(crate) fn contents_of(&self, name: &str) -> Option<Bytes> {
        let mut named = self.sections.iter().filter(|section| section.name == name && section.has_contents());
        self.contents(named.next()?)
    }

    /// The separate file that has this one's debug information, by name.
    pub(crate) fn debug_link(&self) -> Option<DebugLink> {
        DebugLink::parse(&self.contents_of(".gnu_debuglink")?)
    }

    /// Whether part of the debug information was moved to another file that several share, as `dwz -m` does.
    pub(crate) fn needs_supplement(&self) -> bool {
        debug_link::SUPPLEMENT_LINKS.iter().any(|name| self.contents_of(name).is_some())
    }

    /// Whether the file itself has DWARF.
    pub(crate) fn has_dwarf(&self) -> bool {
        self.section(".debug_info").is_some_and(Section::has_contents)
    }

    /// The symbol table section and the string table it refers to.
    pub(crate) fn symbol_table(&self) -> Option<(&Section, &Section)> {
        let symbols = self.sections.iter().find(|section| section.kind == elf::SHT_SYMTAB.0)?;
        let strings = self.sections.get(usize::try_from(symbols.link).ok()?)?;
        (strings.kind == elf::SHT_STRTAB.0).then_some((symbols, strings))
    }

    /// The allocated section with contents that holds the link-time address `address`. Sections that are linked at
    /// address 0, as per-CPU data is on some kernels, hold no address.
    pub(crate) fn section_at(&self, address: u64) -> Option<&Section> {
        self.sections.iter().find(|section| {
            section.is_allocated()
                && section.has_contents()
                && section.address != 0
                && address.checked_sub(section.address).is_some_and(|offset| offset < section.size)
        })
    }
}

impl Section {
    fn is_inside(&self, file: &Bytes) -> bool {
        !self.has_contents() || file.slice(self.offset, self.size).is_some()
    }
}
