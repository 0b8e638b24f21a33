//! Writes small ELF executables: profiles, and what the tests of this crate read.

use std::{borrow::Cow, io::Write};

use flate2::{Compression, write::ZlibEncoder};
use object::{
    Endianness, elf,
    write::elf::{FileHeader, SectionHeader, SinglePhaseWriter, Sym},
};
use vmcore_memory::Architecture;

/// What a section of a new file holds.
pub(crate) enum Contents<'data> {
    /// These bytes, as they are.
    Bytes(Cow<'data, [u8]>),
    /// These bytes, compressed. Not for allocated sections.
    Compressed(Cow<'data, [u8]>),
    /// No bytes: only its place in memory counts.
    Nothing { size: u64 },
}

/// A section of a new file.
pub(crate) struct NewSection<'data> {
    pub(crate) name: Cow<'data, str>,
    /// `SHT_*`; [`Contents::Nothing`] makes it `SHT_NOBITS` all the same.
    pub(crate) kind: u32,
    /// `SHF_*`.
    pub(crate) flags: u64,
    pub(crate) address: u64,
    /// A power of two up to 8, or 0.
    pub(crate) align: u64,
    pub(crate) contents: Contents<'data>,
}

/// A symbol of a new file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewSymbol<'data> {
    pub(crate) name: &'data [u8],
    /// Type and binding, as in `st_info`.
    pub(crate) info: u8,
    /// Section number, from 1 in the order of the sections.
    pub(crate) section: u16,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

/// The file of such a machine with these sections and symbols (local ones must come first), then the tables that describe
/// them.
///
/// # Errors
///
/// What the ELF writer refuses: more sections or longer names than the format can express.
pub(crate) fn write(
    architecture: Architecture,
    sections: &[NewSection<'_>],
    symbols: &[NewSymbol<'_>],
) -> Result<Vec<u8>, object::write::Error> {
    let mut file = Vec::new();
    let mut header = Vec::new();
    let mut writer = SinglePhaseWriter::new_single_phase(Endianness::Little, true, &mut file);
    writer.write_file_header(&FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_EXEC,
        e_machine: elf::Machine(architecture.elf_machine()),
        e_entry: 0,
        e_flags: elf::FileFlags(0),
    })?;
    let mut headers = Vec::new();
    for section in sections {
        let offset = writer.write_align(8);
        let mut flags = section.flags;
        let mut kind = section.kind;
        let size = match &section.contents {
            Contents::Nothing { size } => {
                kind = elf::SHT_NOBITS.0;
                *size
            }
            Contents::Bytes(bytes) => {
                writer.write(bytes);
                bytes.len() as u64
            }
            Contents::Compressed(bytes) => {
                flags |= elf::SHF_COMPRESSED.0;
                let compressed = compress(bytes);
                writer.write(&compressed);
                compressed.len() as u64
            }
        };
        let name = writer.add_section_name(section.name.as_bytes());
        headers.push((
            name,
            SectionHeader {
                sh_name: 0,
                sh_type: elf::SectionType(kind),
                sh_flags: elf::SectionFlags(flags),
                sh_addr: section.address,
                sh_offset: offset,
                sh_size: size,
                sh_link: 0,
                sh_info: 0,
                sh_addralign: section.align,
                sh_entsize: 0,
            },
        ));
    }
    writer.write_null_symbol();
    for symbol in symbols {
        let name = writer.add_string(symbol.name);
        writer.write_symbol(&Sym {
            section: None,
            st_name: writer.string_offset(Some(name)),
            st_info: elf::SymbolInfo(symbol.info),
            st_other: elf::SymbolOther(0),
            st_shndx: elf::SymbolSection(symbol.section),
            st_value: symbol.value,
            st_size: symbol.size,
        });
    }
    let locals = symbols.iter().take_while(|symbol| symbol.info >> 4 == elf::STB_LOCAL.0).count();
    writer.write_strtab()?;
    writer.write_shstrtab()?;
    writer.write_null_section_header();
    for (name, header) in headers {
        writer.write_section_header(&SectionHeader { sh_name: writer.section_name_offset(Some(name)), ..header });
    }
    writer.write_strtab_section_header();
    // The null symbol is local, too.
    writer.write_symtab_section_header(u32::try_from(locals + 1).unwrap_or(u32::MAX));
    writer.write_shstrtab_section_header();
    // Only now is it known where the section headers are.
    writer.write_file_header_to(&mut header)?;
    for (place, byte) in file.iter_mut().zip(header) {
        *place = byte;
    }
    Ok(file)
}

/// The compression header and a zlib stream.
fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    section.extend(elf::ELFCOMPRESS_ZLIB.0.to_le_bytes());
    section.extend(0u32.to_le_bytes());
    section.extend((bytes.len() as u64).to_le_bytes());
    section.extend(1u64.to_le_bytes());
    let mut encoder = ZlibEncoder::new(section, Compression::best());
    // Writing to memory does not fail.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}
