//! A kernel small enough to know every byte of, for the tests of this crate.

use gimli::{
    Encoding, Format, LittleEndian,
    write::{
        Address, AttributeValue, DwarfUnit, EndianVec, LineProgram, LineString, Range, RangeList, Sections, UnitEntryId,
    },
};
use object::elf;
use vmcore_memory::Architecture;

use crate::{
    Vmlinux,
    elf::write::{Contents, NewSection, NewSymbol, write},
};

/// Where `.text` is linked; it has [`TEXT_SIZE`] bytes.
pub(crate) const TEXT: u64 = 0xffff_ffff_8100_0000;
pub(crate) const TEXT_SIZE: u64 = 0x1000;
/// Where `.rodata` is linked. It starts with the banner.
pub(crate) const RODATA: u64 = 0xffff_ffff_8200_0000;
pub(crate) const BANNER: &str = "Linux version 6.1.0-test (builder@host) #1 SMP";
pub(crate) const BUILD_ID: [u8; 20] = *b"twenty bytes of hash";

const LOCAL: u8 = 0 << 4;
const GLOBAL: u8 = 1 << 4;
const WEAK: u8 = 2 << 4;
const NOTYPE: u8 = 0;
const OBJECT: u8 = 1;
const FUNC: u8 = 2;

/// Section numbers of the fixture.
const TEXT_SECTION: u16 = 1;
const RODATA_SECTION: u16 = 2;
const PERCPU_SECTION: u16 = 3;
const ABSOLUTE: u16 = 0xfff1;

/// A file to be.
pub(crate) struct Fixture {
    sections: Vec<NewSection<'static>>,
    symbols: Vec<NewSymbol<'static>>,
}

impl Fixture {
    /// Symbols, a banner, a build-id and ORC sections (one of them compressed), but neither BTF nor DWARF.
    pub(crate) fn new() -> Self {
        let mut fixture = Self { sections: Vec::new(), symbols: symbols() };
        let memory = elf::SHF_ALLOC.0;
        fixture.add(".text", memory | elf::SHF_EXECINSTR.0, TEXT, Contents::Nothing { size: TEXT_SIZE });
        let mut rodata = format!("{BANNER}\n\0").into_bytes();
        rodata.resize(0x100, 0x5a);
        fixture.add(".rodata", memory, RODATA, Contents::Bytes(rodata.into()));
        fixture.add(".data..percpu", memory | elf::SHF_WRITE.0, 0, Contents::Nothing { size: 0x1000 });
        fixture.add(".orc_unwind_ip", memory, RODATA + 0x1000, Contents::Bytes(vec![7; 64].into()));
        fixture.add(".orc_unwind", 0, RODATA + 0x2000, Contents::Compressed(vec![9; 96].into()));
        let mut note = Vec::new();
        for word in [4u32, 20, elf::NT_GNU_BUILD_ID.0] {
            note.extend(word.to_le_bytes());
        }
        note.extend(b"GNU\0");
        note.extend(BUILD_ID);
        fixture.sections.push(NewSection {
            name: ".notes".into(),
            kind: elf::SHT_NOTE.0,
            flags: memory,
            address: RODATA + 0x3000,
            align: 4,
            contents: Contents::Bytes(note.into()),
        });
        fixture
    }

    /// The same with DWARF of the given version, and a directory of its unit if `aranges`.
    pub(crate) fn with_dwarf(version: u16, aranges: bool) -> Self {
        let mut fixture = Self::new();
        let mut sections = Sections::new(EndianVec::new(LittleEndian));
        dwarf(version).write(&mut sections).unwrap();
        let added: Result<(), gimli::write::Error> = sections.for_each(|id, data| {
            fixture.add(id.name(), 0, 0, Contents::Bytes(data.slice().to_vec().into()));
            Ok(())
        });
        added.unwrap();
        if aranges {
            fixture.add(".debug_aranges", 0, 0, Contents::Bytes(aranges_of_the_unit().into()));
        }
        fixture
    }

    /// Adds a section behind the others.
    pub(crate) fn add(&mut self, name: &'static str, flags: u64, address: u64, contents: Contents<'static>) {
        let kind = elf::SHT_PROGBITS.0;
        self.sections.push(NewSection { name: name.into(), kind, flags, address, align: 1, contents });
    }

    /// The same with these objects in `.rodata`, of 8 bytes each.
    pub(crate) fn with_objects(mut self, objects: &[(&'static str, u64)]) -> Self {
        self.symbols.extend(objects.iter().map(|&(name, value)| NewSymbol {
            name: name.as_bytes(),
            info: GLOBAL | OBJECT,
            section: RODATA_SECTION,
            value,
            size: 8,
        }));
        self
    }

    /// The same with a section's place, but not its bytes.
    pub(crate) fn without_contents(mut self, name: &str) -> Self {
        for section in self.sections.iter_mut().filter(|section| section.name == name) {
            section.contents = Contents::Nothing { size: 64 };
        }
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_of(Architecture::X86_64)
    }

    /// The file as one for such a machine.
    pub(crate) fn bytes_of(&self, architecture: Architecture) -> Vec<u8> {
        write(architecture, &self.sections, &self.symbols).unwrap()
    }

    pub(crate) fn open(&self) -> Vmlinux {
        open(&self.bytes()).unwrap()
    }
}

/// Opens a vmlinux with these bytes.
pub(crate) fn open(bytes: &[u8]) -> Result<Vmlinux, crate::OpenError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    // What is mapped and opened stays when the name goes.
    Vmlinux::open(file.path())
}

fn symbols() -> Vec<NewSymbol<'static>> {
    let symbol = |name: &'static str, info, section, value, size| NewSymbol {
        name: name.as_bytes(),
        info,
        section,
        value,
        size,
    };
    let text = |name, info, offset, size| symbol(name, info, TEXT_SECTION, TEXT + offset, size);
    vec![
        text("helper", LOCAL | FUNC, 0x600, 0x20),
        text("helper", LOCAL | FUNC, 0x700, 0x20),
        text("static_alias", LOCAL | FUNC, 0x200, 0x40),
        symbol(".LC0", LOCAL | NOTYPE, RODATA_SECTION, RODATA + 0x80, 0),
        text("__pfx_schedule", GLOBAL | FUNC, 0xf0, 0x10),
        text("_text", GLOBAL | NOTYPE, 0, 0),
        text("_etext", GLOBAL | NOTYPE, TEXT_SIZE, 0),
        text("schedule", GLOBAL | FUNC, 0x100, 0x80),
        text("__wait", GLOBAL | FUNC, 0x200, 0x40),
        text("wait", GLOBAL | FUNC, 0x200, 0x40),
        text("weak_wait", WEAK | FUNC, 0x200, 0x40),
        text("entry_SYSCALL_64", GLOBAL | NOTYPE, 0x400, 0x100),
        text("entry_SYSCALL_64_after_hwframe", GLOBAL | NOTYPE, 0x440, 0),
        text("handler", WEAK | FUNC, 0x900, 0x10),
        text("handler", GLOBAL | FUNC, 0x910, 0x10),
        symbol("linux_banner", GLOBAL | OBJECT, RODATA_SECTION, RODATA, BANNER.len() as u64 + 2),
        symbol("table", GLOBAL | OBJECT, RODATA_SECTION, RODATA + 0x80, 0x40),
        symbol("runqueues", GLOBAL | OBJECT, PERCPU_SECTION, 0x40, 0x100),
        symbol("absolute", GLOBAL | NOTYPE, ABSOLUTE, TEXT + 0x610, 0),
        symbol("elsewhere", GLOBAL | NOTYPE, 0, 0, 0),
    ]
}

/// `.debug_aranges` for the one unit at offset 0.
fn aranges_of_the_unit() -> Vec<u8> {
    let mut set = Vec::new();
    set.extend(2u16.to_le_bytes());
    set.extend(0u32.to_le_bytes());
    set.extend([8, 0]);
    // Tuples are aligned to their size, counted from the set's start.
    set.extend([0; 4]);
    for word in [TEXT + 0x100, 0x80, TEXT + 0x200, 0x40, TEXT + 0x800, 0x10, 0, 0] {
        set.extend(word.to_le_bytes());
    }
    let mut section = u32::try_from(set.len()).unwrap().to_le_bytes().to_vec();
    section.extend(set);
    section
}

/// One unit with three functions, two of them inlined, their lines, and a few types.
fn dwarf(version: u16) -> DwarfUnit {
    let encoding = Encoding { format: Format::Dwarf32, version, address_size: 8 };
    let mut dwarf = DwarfUnit::new(encoding);
    let directory = b"/build/linux/debian/build".to_vec();
    let (program, core, header) = lines(encoding, &directory, &mut dwarf);
    dwarf.unit.line_program = program;
    let unit = &mut dwarf.unit;
    let root = unit.root();
    unit.get_mut(root).set(gimli::DW_AT_comp_dir, AttributeValue::String(directory));
    unit.get_mut(root).set(gimli::DW_AT_low_pc, AttributeValue::Address(Address::Constant(0)));
    let place = |start, len| Range::StartLength { begin: Address::Constant(TEXT + start), length: len };
    let whole = unit.ranges.add(RangeList(vec![place(0x100, 0x80), place(0x200, 0x40), place(0x800, 0x10)]));
    unit.get_mut(root).set(gimli::DW_AT_ranges, AttributeValue::RangeListRef(whole));

    let check = abstract_function(unit, "check");
    let schedule_debug = abstract_function(unit, "schedule_debug");
    let schedule = unit.add(root, gimli::DW_TAG_subprogram);
    name(unit, schedule, "schedule");
    low_high(unit, schedule, 0x100, 0x80);
    let block = unit.add(schedule, gimli::DW_TAG_lexical_block);
    low_high(unit, block, 0x110, 0x50);
    let outer = unit.add(block, gimli::DW_TAG_inlined_subroutine);
    let parts = unit.ranges.add(RangeList(vec![place(0x120, 0x10), place(0x140, 0x10)]));
    inlined(unit, outer, schedule_debug, AttributeValue::RangeListRef(parts), core, 20);
    let inner = unit.add(outer, gimli::DW_TAG_inlined_subroutine);
    let part = unit.ranges.add(RangeList(vec![place(0x124, 4)]));
    inlined(unit, inner, check, AttributeValue::RangeListRef(part), header, 30);
    unit.get_mut(schedule).set_sibling(true);

    let wait = unit.add(root, gimli::DW_TAG_subprogram);
    name(unit, wait, "wait");
    let parts = unit.ranges.add(RangeList(vec![place(0x200, 0x40), place(0x800, 0x10)]));
    unit.get_mut(wait).set(gimli::DW_AT_ranges, AttributeValue::RangeListRef(parts));
    types(unit);
    dwarf
}

fn lines(
    encoding: Encoding,
    directory: &[u8],
    dwarf: &mut DwarfUnit,
) -> (LineProgram, gimli::write::FileId, gimli::write::FileId) {
    let mut text = |text: &[u8]| LineString::new(text.to_vec(), encoding, &mut dwarf.line_strings);
    let (working, source) = (text(directory), text(b"core.c"));
    let (sched, include) = (text(b"kernel/sched"), text(b"/build/linux/include/../include/linux"));
    let header_name = text(b"sched.h");
    let mut program = LineProgram::new(encoding, Default::default(), working, None, source.clone(), None);
    let sched = program.add_directory(sched);
    let include = program.add_directory(include);
    let core = program.add_file(source, sched, None);
    let header = program.add_file(header_name, include, None);
    type Row = (u64, gimli::write::FileId, u64);
    let sequences: [(u64, u64, &[Row]); 3] = [
        (0x100, 0x80, &[(0, core, 10), (0x20, header, 5), (0x24, header, 7), (0x24, header, 8), (0x28, core, 0)]),
        (0x800, 0x10, &[(0, core, 50)]),
        (0x200, 0x40, &[(0, core, 40), (0x10, core, 41)]),
    ];
    for (start, len, rows) in sequences {
        program.begin_sequence(Some(Address::Constant(TEXT + start)));
        for &(offset, file, line) in rows {
            let row = program.row();
            (row.address_offset, row.file, row.line) = (offset, file, line);
            program.generate_row();
        }
        program.end_sequence(len);
    }
    (program, core, header)
}

type Unit = gimli::write::Unit;

fn name(unit: &mut Unit, entry: UnitEntryId, name: &str) {
    unit.get_mut(entry).set(gimli::DW_AT_name, AttributeValue::String(name.into()));
}

fn low_high(unit: &mut Unit, entry: UnitEntryId, start: u64, len: u64) {
    unit.get_mut(entry).set(gimli::DW_AT_low_pc, AttributeValue::Address(Address::Constant(TEXT + start)));
    unit.get_mut(entry).set(gimli::DW_AT_high_pc, AttributeValue::Udata(len));
}

fn abstract_function(unit: &mut Unit, function: &str) -> UnitEntryId {
    let entry = unit.add(unit.root(), gimli::DW_TAG_subprogram);
    name(unit, entry, function);
    unit.get_mut(entry).set(gimli::DW_AT_inline, AttributeValue::Inline(gimli::DW_INL_inlined));
    entry
}

fn inlined(
    unit: &mut Unit,
    entry: UnitEntryId,
    origin: UnitEntryId,
    ranges: AttributeValue,
    file: gimli::write::FileId,
    line: u64,
) {
    let entry = unit.get_mut(entry);
    entry.set(gimli::DW_AT_abstract_origin, AttributeValue::UnitRef(origin));
    entry.set(gimli::DW_AT_ranges, ranges);
    entry.set(gimli::DW_AT_call_file, AttributeValue::FileIndex(Some(file)));
    entry.set(gimli::DW_AT_call_line, AttributeValue::Udata(line));
}

/// ```c
/// enum mode { OFF = -1, ON = 200 };
/// struct task;
/// typedef int pid_t;
/// struct task {
///     pid_t pid;                      // offset 0
///     unsigned int old : 3;           // byte 4, as DWARF 3 describes it: bits 29 to 31 from the top
///     unsigned int now : 2;           // bits 35 and 36, as DWARF 4 does
///     union { struct task *next; const char grid[2][4]; };    // offset 8
///     enum mode mode;                 // offset 16
///     void (*run)(void);              // offset 24
///     long more[];                    // offset 32
/// };
/// extern struct task tasks[3];        // with its name and type in the declaration
/// ```
fn types(unit: &mut Unit) {
    let root = unit.root();
    let udata = AttributeValue::Udata;
    let int = base(unit, "int", 4, gimli::DW_ATE_signed);
    let uint = base(unit, "unsigned int", 4, gimli::DW_ATE_unsigned);
    let long = base(unit, "long int", 8, gimli::DW_ATE_signed);
    let char = base(unit, "char", 1, gimli::DW_ATE_signed_char);
    let declared = entry(unit, root, gimli::DW_TAG_structure_type, Some("task"), None, vec![]);
    unit.get_mut(declared).set(gimli::DW_AT_declaration, AttributeValue::FlagPresent);
    let pid = entry(unit, root, gimli::DW_TAG_typedef, Some("pid_t"), Some(int), vec![]);

    let mode = entry(unit, root, gimli::DW_TAG_enumeration_type, Some("mode"), Some(int), vec![(SIZE, udata(4))]);
    let off = vec![(gimli::DW_AT_const_value, AttributeValue::Sdata(-1))];
    entry(unit, mode, gimli::DW_TAG_enumerator, Some("OFF"), None, off);
    let on = vec![(gimli::DW_AT_const_value, AttributeValue::Data1(200))];
    entry(unit, mode, gimli::DW_TAG_enumerator, Some("ON"), None, on);

    let task = entry(unit, root, gimli::DW_TAG_structure_type, Some("task"), None, vec![(SIZE, udata(32))]);
    let pointer = entry(unit, root, gimli::DW_TAG_pointer_type, None, Some(task), vec![(SIZE, udata(8))]);
    let constant = entry(unit, root, gimli::DW_TAG_const_type, None, Some(char), vec![]);
    let grid = entry(unit, root, gimli::DW_TAG_array_type, None, Some(constant), vec![]);
    entry(unit, grid, gimli::DW_TAG_subrange_type, None, None, vec![(gimli::DW_AT_upper_bound, udata(1))]);
    entry(unit, grid, gimli::DW_TAG_subrange_type, None, None, vec![(gimli::DW_AT_count, udata(4))]);
    let flexible = entry(unit, root, gimli::DW_TAG_array_type, None, Some(long), vec![]);
    entry(unit, flexible, gimli::DW_TAG_subrange_type, None, None, vec![]);
    let function = entry(unit, root, gimli::DW_TAG_subroutine_type, None, None, vec![]);
    let run = entry(unit, root, gimli::DW_TAG_pointer_type, None, Some(function), vec![(SIZE, udata(8))]);
    let either = entry(unit, root, gimli::DW_TAG_union_type, None, None, vec![(SIZE, udata(8))]);
    member(unit, either, Some("next"), pointer, vec![]);
    member(unit, either, Some("grid"), grid, vec![]);

    let at = |offset| (gimli::DW_AT_data_member_location, udata(offset));
    member(unit, task, Some("pid"), pid, vec![at(0)]);
    let old = vec![(gimli::DW_AT_bit_size, udata(3)), (gimli::DW_AT_bit_offset, udata(29)), (SIZE, udata(4)), at(4)];
    member(unit, task, Some("old"), uint, old);
    let now = vec![(gimli::DW_AT_bit_size, udata(2)), (gimli::DW_AT_data_bit_offset, udata(35))];
    member(unit, task, Some("now"), uint, now);
    member(unit, task, None, either, vec![at(8)]);
    member(unit, task, Some("mode"), mode, vec![at(16)]);
    member(unit, task, Some("run"), run, vec![at(24)]);
    member(unit, task, Some("more"), flexible, vec![at(32)]);

    let tasks = entry(unit, root, gimli::DW_TAG_array_type, None, Some(task), vec![]);
    entry(unit, tasks, gimli::DW_TAG_subrange_type, None, None, vec![(gimli::DW_AT_upper_bound, udata(2))]);
    let declaration = vec![(gimli::DW_AT_declaration, AttributeValue::FlagPresent)];
    let declaration = entry(unit, root, gimli::DW_TAG_variable, Some("tasks"), Some(tasks), declaration);
    let definition = vec![(gimli::DW_AT_specification, AttributeValue::UnitRef(declaration))];
    entry(unit, root, gimli::DW_TAG_variable, None, None, definition);
}

const SIZE: gimli::DwAt = gimli::DW_AT_byte_size;

type Attributes = Vec<(gimli::DwAt, AttributeValue)>;

fn entry(
    unit: &mut Unit,
    parent: UnitEntryId,
    tag: gimli::DwTag,
    name: Option<&str>,
    ty: Option<UnitEntryId>,
    attributes: Attributes,
) -> UnitEntryId {
    let id = unit.add(parent, tag);
    let entry = unit.get_mut(id);
    if let Some(name) = name {
        entry.set(gimli::DW_AT_name, AttributeValue::String(name.into()));
    }
    if let Some(ty) = ty {
        entry.set(gimli::DW_AT_type, AttributeValue::UnitRef(ty));
    }
    for (name, value) in attributes {
        entry.set(name, value);
    }
    id
}

fn member(unit: &mut Unit, parent: UnitEntryId, name: Option<&str>, ty: UnitEntryId, attributes: Attributes) {
    entry(unit, parent, gimli::DW_TAG_member, name, Some(ty), attributes);
}

fn base(unit: &mut Unit, name: &str, size: u64, encoding: gimli::DwAte) -> UnitEntryId {
    let attributes =
        vec![(SIZE, AttributeValue::Udata(size)), (gimli::DW_AT_encoding, AttributeValue::Encoding(encoding))];
    entry(unit, unit.root(), gimli::DW_TAG_base_type, Some(name), None, attributes)
}
