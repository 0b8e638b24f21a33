//! The vmlinux: an ELF executable with the image's code, symbols, unwind tables and types.

use object::{
    Endianness, elf,
    write::elf::{FileHeader, ProgramHeader, SectionHeader, SinglePhaseWriter, Sym},
};
use vmcore_memory::{Architecture, PAGE_SIZE, VirtAddr};

use crate::SynthError;
use crate::arch::Kind;
use crate::generation::Generation;
use crate::types::{btf, dwarf};
use crate::vmlinux::code::Owner;
use crate::vmlinux::image::{CRASH_NOTE_AREA, Image};

/// A section to be.
struct NewSection {
    name: String,
    kind: elf::SectionType,
    flags: u32,
    address: VirtAddr,
    bytes: Vec<u8>,
    /// Of a section without bytes.
    empty_size: u64,
}

/// A symbol to be. The number is that of its section.
struct NewSymbol {
    name: String,
    info: u8,
    section: u16,
    value: u64,
    size: u64,
}

const GLOBAL_OBJECT: u8 = 1 << 4 | 1;
const GLOBAL_FUNCTION: u8 = 1 << 4 | 2;
const GLOBAL_NOTYPE: u8 = 1 << 4;
/// Numbers of the sections that symbols are in.
const TEXT_SECTION: u16 = 1;
const DATA_SECTION: u16 = 2;
const PERCPU_SECTION: u16 = 3;

/// The bytes of the vmlinux of `image`.
pub(crate) fn write(generation: &Generation, image: &Image, build_id: &[u8; 20]) -> Result<Vec<u8>, SynthError> {
    let sections = sections(generation, image, build_id)?;
    let symbols = symbols(generation, image);
    encode(machine(generation.architecture()), &sections, &symbols)
        .map_err(|error| SynthError::write("the vmlinux", error))
}

fn sections(generation: &Generation, image: &Image, build_id: &[u8; 20]) -> Result<Vec<NewSection>, SynthError> {
    let alloc = elf::SHF_ALLOC.0 as u32;
    let (exec, writable) = (elf::SHF_EXECINSTR.0 as u32, elf::SHF_WRITE.0 as u32);
    let section = |name: &str, kind, flags, address: VirtAddr, bytes: Vec<u8>| NewSection {
        name: name.to_owned(),
        kind,
        flags,
        address,
        bytes,
        empty_size: 0,
    };
    let data = image.variable("linux_banner")?;
    let mut contents = image.banner.clone().into_bytes();
    contents.push(0);
    // Only the banner is there at link time; the rest is filled by the running kernel.
    contents.resize(usize::try_from(image.data_end.get() - data.get()).unwrap_or_default(), 0);
    for table in &image.tables {
        let start = usize::try_from(table.at.get() - data.get()).unwrap_or_default();
        let bytes = table.in_file.as_ref().unwrap_or(&table.bytes);
        contents.iter_mut().skip(start).zip(bytes).for_each(|(place, byte)| *place = *byte);
    }
    let mut sections = vec![
        section(".text", elf::SHT_PROGBITS, alloc | exec, image.text, image.code.kernel.bytes.clone()),
        section(".data", elf::SHT_PROGBITS, alloc | writable, data, contents),
        NewSection {
            empty_size: image.percpu_size,
            ..section(".data..percpu", elf::SHT_NOBITS, alloc | writable, image.percpu_start, Vec::new())
        },
    ];
    for table in &image.tables {
        let bytes = table.in_file.as_ref().unwrap_or(&table.bytes);
        sections.push(section(table.section, elf::SHT_PROGBITS, 0, table.at, bytes.clone()));
    }
    sections.push(section(".notes", elf::SHT_NOTE, 0, VirtAddr::default(), build_id_note(build_id)));
    if generation.facts.btf {
        let types = btf::write(generation.types());
        sections.push(section(".BTF", elf::SHT_PROGBITS, 0, VirtAddr::default(), types));
    }
    for (name, bytes) in dwarf::write(generation, image)? {
        sections.push(section(name, elf::SHT_PROGBITS, 0, VirtAddr::default(), bytes));
    }
    Ok(sections)
}

fn symbols(generation: &Generation, image: &Image) -> Vec<NewSymbol> {
    let mut symbols = Vec::new();
    let mut add = |name: &str, info, section, value: VirtAddr, size| {
        symbols.push(NewSymbol { name: name.to_owned(), info, section, value: value.get(), size });
    };
    let text_end = image.text.wrapping_add(image.text_size());
    for (name, at) in [("_text", image.start), ("_stext", image.text)] {
        add(name, GLOBAL_NOTYPE, TEXT_SECTION, at, 0);
    }
    add("_etext", GLOBAL_NOTYPE, TEXT_SECTION, text_end, 0);
    for function in image.code.functions(Owner::Kernel) {
        let info = match function.kind {
            Kind::Exception | Kind::SwitchInEntry => GLOBAL_NOTYPE,
            _ => GLOBAL_FUNCTION,
        };
        add(&function.name, info, TEXT_SECTION, image.text.wrapping_add(function.offset), function.size);
    }
    if generation.facts.hwpoison {
        add("memory_failure", GLOBAL_FUNCTION, TEXT_SECTION, image.text, 1);
    }
    if generation.target().instructions().entry_first() {
        for (name, offset) in [("__entry_text_start", 0), ("__entry_text_end", image.entry_end())] {
            add(name, GLOBAL_NOTYPE, TEXT_SECTION, image.text.wrapping_add(offset), 0);
        }
    }
    for (name, variable) in &image.variables {
        add(name, GLOBAL_OBJECT, DATA_SECTION, variable.link, variable.size);
    }
    if let Some(root) = image.variables.get("init_top_pgt") {
        add("swapper_pg_dir", GLOBAL_NOTYPE, DATA_SECTION, root.link, 0);
    }
    add("_end", GLOBAL_NOTYPE, DATA_SECTION, image.end, 0);
    for (name, variable) in image.percpu.iter().filter(|(name, _)| *name != CRASH_NOTE_AREA) {
        add(name, GLOBAL_OBJECT, PERCPU_SECTION, variable.link, variable.size);
    }
    add("__per_cpu_start", GLOBAL_NOTYPE, PERCPU_SECTION, image.percpu_start, 0);
    add("__per_cpu_end", GLOBAL_NOTYPE, PERCPU_SECTION, image.percpu_start.wrapping_add(image.percpu_size), 0);
    symbols
}

/// `u32 name length | u32 contents length | u32 type | name | contents`.
fn build_id_note(build_id: &[u8; 20]) -> Vec<u8> {
    let words = [4, 20, elf::NT_GNU_BUILD_ID.0].map(u32::to_le_bytes);
    [words.as_flattened(), b"GNU\0", build_id].concat()
}

/// `e_machine` and `e_entry`.
const fn machine(architecture: Architecture) -> (elf::Machine, u64) {
    match architecture {
        Architecture::X86_64 => (elf::EM_X86_64, 0x100_0000),
        Architecture::Arm64 => (elf::EM_AARCH64, 0),
    }
}

fn encode(
    (machine, entry): (elf::Machine, u64),
    sections: &[NewSection],
    symbols: &[NewSymbol],
) -> Result<Vec<u8>, object::write::Error> {
    let mut file = Vec::new();
    let mut header = Vec::new();
    let mut writer = SinglePhaseWriter::new_single_phase(Endianness::Little, true, &mut file);
    writer.write_file_header(&FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_EXEC,
        e_machine: machine,
        e_entry: entry,
        e_flags: elf::FileFlags(0),
    })?;
    let loaded = |section: &&NewSection| section.flags & elf::SHF_ALLOC.0 as u32 != 0 && section.address.get() != 0;
    let count = sections.iter().filter(loaded).count();
    let (programs_at, _) = writer.write_program_headers_placeholder(u32::try_from(count).unwrap_or_default());
    let mut placed = Vec::new();
    for section in sections {
        let offset = writer.write_align(if loaded(&section) { PAGE_SIZE } else { 8 });
        writer.write(&section.bytes);
        placed.push((section, offset));
    }
    let names: Vec<_> = sections.iter().map(|section| writer.add_section_name(section.name.as_bytes())).collect();
    writer.write_null_symbol();
    for symbol in symbols {
        let name = writer.add_string(symbol.name.as_bytes());
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
    writer.write_strtab()?;
    writer.write_shstrtab()?;
    writer.write_null_section_header();
    for ((section, offset), name) in placed.iter().zip(names) {
        writer.write_section_header(&SectionHeader {
            sh_name: writer.section_name_offset(Some(name)),
            sh_type: section.kind,
            sh_flags: elf::SectionFlags(section.flags.into()),
            sh_addr: section.address.get(),
            sh_offset: *offset,
            sh_size: section.bytes.len() as u64 + section.empty_size,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: 8,
            sh_entsize: 0,
        });
    }
    writer.write_strtab_section_header();
    writer.write_symtab_section_header(1);
    writer.write_shstrtab_section_header();
    let programs: Vec<_> = placed.iter().filter(|(section, _)| loaded(section)).map(program_header).collect();
    let mut program_bytes = Vec::new();
    for program in &programs {
        writer.write_program_header_to(&mut program_bytes, program);
    }
    writer.write_file_header_to(&mut header)?;
    let at = usize::try_from(programs_at).unwrap_or_default();
    file.iter_mut().skip(at).zip(program_bytes).for_each(|(place, byte)| *place = byte);
    file.iter_mut().zip(header).for_each(|(place, byte)| *place = byte);
    Ok(file)
}

fn program_header((section, offset): &(&NewSection, u64)) -> ProgramHeader {
    let size = section.bytes.len() as u64;
    ProgramHeader {
        p_type: elf::PT_LOAD,
        p_flags: elf::ProgramFlags(7),
        p_offset: *offset,
        p_vaddr: section.address.get(),
        // Where the boot loader puts it before KASLR.
        p_paddr: section.address.get() & 0x7fff_ffff,
        p_filesz: size,
        p_memsz: size + section.empty_size,
        p_align: PAGE_SIZE,
    }
}
