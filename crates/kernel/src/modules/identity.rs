//! Which build a loaded module is of, and where each of its sections was put: what it takes to use its file.
//!
//! Both are what `/sys/module/NAME` would have shown: the kernel keeps them for that.
//!
//! ```text
//! module.build_id       since 5.14 (kernel commit 9294523e3768), if built with CONFIG_STACKTRACE_BUILD_ID
//! module.notes_attrs    name, address and size of each note section, the build-id's among them
//! module.sect_attrs     name and address of each section
//! ```
//! Since 6.14 (kernel commits d8959b947a8d, 4b2c11e4aaf7 and 4723f16de64e) the two lists are arrays of pointers to
//! `struct bin_attribute` that end with a null pointer, before that arrays with a count.
//!
//! Source: `kernel/module/sysfs.c`.

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr, le_u32};

use crate::layout::{Field, Resolver};

/// More sections than any module has.
const MAX_SECTIONS: u64 = 4096;
/// The longest name of a section that is read.
const MAX_NAME: usize = 128;
/// The largest note section that is read, in bytes.
const MAX_NOTES: u64 = 4096;
/// `NT_GNU_BUILD_ID`.
const BUILD_ID_NOTE: u32 = 3;

/// What identifies a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) build_id: Vec<u8>,
    pub(super) sections: Vec<(String, VirtAddr)>,
}

/// Offsets of all this; parts that a kernel does not have are `None`.
pub(super) struct IdentityLayout {
    build_id: Option<Field>,
    notes: Option<(Field, AttributeList)>,
    sections: Option<(Field, AttributeList)>,
}

/// How the elements of one of the lists are found, and what is in them.
struct AttributeList {
    place: Place,
    name: Field,
    address: Field,
    size: Option<Field>,
}

enum Place {
    /// In an array behind a header: their number, the first one, and bytes from one to the next.
    Array { count: Field, first: Field, stride: u64 },
    /// Through pointers, up to a null pointer.
    Pointers(Field),
}

impl IdentityLayout {
    pub(super) fn resolve(types: Resolver<'_>) -> Self {
        let module = |path| types.optional("module", path);
        Self {
            build_id: module("build_id").filter(|field| (1..=64).contains(&field.size)),
            notes: module("notes_attrs").zip(AttributeList::notes(types)),
            sections: module("sect_attrs").zip(AttributeList::sections(types)),
        }
    }

    /// The identity of the module whose `struct module` is at `module`; `None` where the dump does not have it all.
    pub(super) fn read<M: ReadVirtual + ?Sized>(&self, memory: &M, module: VirtAddr) -> Option<Identity> {
        let (pointer, list) = self.sections.as_ref()?;
        let attributes = list.read(memory, pointer.read_pointer(memory, module).ok()?).ok()?;
        let sections: Vec<_> = attributes.into_iter().map(|attribute| (attribute.name, attribute.address)).collect();
        let build_id = self.build_id_member(memory, module).or_else(|| self.build_id_note(memory, module))?;
        (!sections.is_empty()).then_some(Identity { build_id, sections })
    }

    fn build_id_member<M: ReadVirtual + ?Sized>(&self, memory: &M, module: VirtAddr) -> Option<Vec<u8>> {
        let field = self.build_id?;
        let bytes = memory.read_bytes(field.address(module), field.size).ok()?;
        bytes.iter().any(|&byte| byte != 0).then_some(bytes)
    }

    fn build_id_note<M: ReadVirtual + ?Sized>(&self, memory: &M, module: VirtAddr) -> Option<Vec<u8>> {
        let (pointer, list) = self.notes.as_ref()?;
        let notes = list.read(memory, pointer.read_pointer(memory, module).ok()?).ok()?;
        notes.into_iter().find_map(|note| {
            let bytes = memory.read_bytes(note.address, note.size?.min(MAX_NOTES)).ok()?;
            build_id_in(&bytes)
        })
    }
}

struct Attribute {
    name: String,
    address: VirtAddr,
    size: Option<u64>,
}

impl AttributeList {
    fn sections(types: Resolver<'_>) -> Option<Self> {
        let header = |path| types.optional("module_sect_attrs", path);
        let Some(count) = header("nsections") else { return Self::pointers(types, "module_sect_attrs") };
        let element = |path| types.optional("module_sect_attr", path);
        Some(Self {
            place: Place::Array { count, first: header("attrs")?, stride: types.size_of("module_sect_attr").ok()? },
            // `name` up to 5.7 (kernel commit ed66f991bb19).
            name: element("battr.attr.name").or_else(|| element("name"))?,
            address: element("address")?,
            size: None,
        })
    }

    fn notes(types: Resolver<'_>) -> Option<Self> {
        let header = |path| types.optional("module_notes_attrs", path);
        let Some(count) = header("notes") else { return Self::pointers(types, "module_notes_attrs") };
        let stride = types.size_of("bin_attribute").ok()?;
        Self::of_bin_attributes(types, Place::Array { count, first: header("attrs")?, stride })
    }

    fn pointers(types: Resolver<'_>, header: &str) -> Option<Self> {
        // `bin_attrs_new` for a while, in the same place.
        let array = ["grp.bin_attrs", "grp.bin_attrs_new"].into_iter().find_map(|path| types.optional(header, path))?;
        Self::of_bin_attributes(types, Place::Pointers(array))
    }

    fn of_bin_attributes(types: Resolver<'_>, place: Place) -> Option<Self> {
        let element = |path| types.optional("bin_attribute", path);
        Some(Self { place, name: element("attr.name")?, address: element("private")?, size: element("size") })
    }

    fn read<M: ReadVirtual + ?Sized>(&self, memory: &M, header: VirtAddr) -> Result<Vec<Attribute>, ReadError> {
        self.elements(memory, header)?.into_iter().map(|element| self.read_element(memory, element)).collect()
    }

    fn elements<M: ReadVirtual + ?Sized>(&self, memory: &M, header: VirtAddr) -> Result<Vec<VirtAddr>, ReadError> {
        match self.place {
            Place::Array { count, first, stride } => {
                let count = count.read(memory, header)?.min(MAX_SECTIONS);
                Ok((0..count).map(|number| first.address(header).wrapping_add(number.wrapping_mul(stride))).collect())
            }
            Place::Pointers(array) => {
                let mut slot = array.read_pointer(memory, header)?;
                let pointer = Field { offset: 0, size: 8 };
                let mut elements = Vec::new();
                for _ in 0..MAX_SECTIONS {
                    let element = pointer.read_pointer(memory, slot)?;
                    if element == VirtAddr::default() {
                        break;
                    }
                    elements.push(element);
                    slot = slot.wrapping_add(8);
                }
                Ok(elements)
            }
        }
    }

    fn read_element<M: ReadVirtual + ?Sized>(&self, memory: &M, element: VirtAddr) -> Result<Attribute, ReadError> {
        let name = memory.read_c_string(self.name.read_pointer(memory, element)?, MAX_NAME)?;
        Ok(Attribute {
            name: String::from_utf8_lossy(&name).into_owned(),
            address: self.address.read_pointer(memory, element)?,
            size: self.size.map(|size| size.read(memory, element)).transpose()?,
        })
    }
}

/// The build-id among ELF notes: `u32 name length | u32 contents length | u32 type | name | contents`, each padded to 4.
fn build_id_in(notes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = notes;
    // Every turn makes `rest` shorter.
    while let Some(name_len) = le_u32(rest, 0) {
        let (len, kind) = (le_u32(rest, 4)?, le_u32(rest, 8)?);
        let [name_len, len] = [usize::try_from(name_len).ok()?, usize::try_from(len).ok()?];
        let contents = rest.get(12usize.checked_add(name_len.checked_next_multiple_of(4)?)?..)?;
        let name = rest.get(12..)?.get(..name_len)?;
        if kind == BUILD_ID_NOTE && name == b"GNU\0" && (1..=64).contains(&len) {
            return contents.get(..len).map(<[u8]>::to_vec);
        }
        rest = contents.get(len.checked_next_multiple_of(4)?..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const MODULE: VirtAddr = VirtAddr::new(0x1000);
    const HEADER: u64 = 0x2000;

    fn field(offset: u64) -> Field {
        Field { offset, size: 8 }
    }

    fn note(name: &[u8], kind: u32, contents: &[u8]) -> Vec<u8> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let mut note = [len(name), len(contents), kind.to_le_bytes()].concat();
        for part in [name, contents] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    }

    #[test]
    fn the_build_id_is_found_among_other_notes() {
        let id = [0xab; 20];
        let notes = [note(b"Linux\0", 3, b"x"), note(b"GNU\0", 5, &[1; 16]), note(b"GNU\0", 3, &id)].concat();
        assert_eq!(build_id_in(&notes).as_deref(), Some(&id[..]));
        assert_eq!(build_id_in(&notes[..notes.len() - 1]), None);
        assert_eq!(build_id_in(&[0xff; 40]), None);
        assert_eq!(build_id_in(&[0; 40]), None);
    }

    /// An element of (name, address, size) at `at`, its name behind it.
    fn put_element(memory: &mut TestMemory, at: u64, name: &str, address: u64, size: u64) {
        memory.put_u64(at, at + 0x20);
        memory.put_u64(at + 8, address);
        memory.put_u64(at + 16, size);
        memory.put(at + 0x20, name.as_bytes());
        memory.put(at + 0x20 + name.len() as u64, &[0]);
    }

    fn list(place: Place) -> AttributeList {
        AttributeList { place, name: field(0), address: field(8), size: Some(field(16)) }
    }

    fn layout(place: fn() -> Place, build_id: Option<Field>) -> IdentityLayout {
        let lists = |offset| Some((field(offset), list(place())));
        IdentityLayout { build_id, notes: lists(0), sections: lists(8) }
    }

    /// One list that serves as both: `.text`, and a note.
    fn put_lists(memory: &mut TestMemory) {
        memory.put_u64(MODULE.get(), HEADER);
        memory.put_u64(MODULE.get() + 8, HEADER);
        let notes = note(b"GNU\0", 3, &[0xcd; 20]);
        memory.put(0x9000, &notes);
        put_element(memory, 0x3000, ".text", 0x5000, 0);
        put_element(memory, 0x3080, ".note.gnu.build-id", 0x9000, notes.len() as u64);
    }

    fn expected() -> Option<Identity> {
        let sections = [(".text", 0x5000), (".note.gnu.build-id", 0x9000)];
        let sections = sections.map(|(name, address)| (name.to_owned(), VirtAddr::new(address))).into();
        Some(Identity { build_id: vec![0xcd; 20], sections })
    }

    #[test]
    fn lists_with_a_count() {
        let mut memory = TestMemory::default();
        put_lists(&mut memory);
        memory.put_u64(HEADER, 2);
        // The elements begin at 0x3000, as seen from the header.
        let place = || Place::Array { count: field(0), first: field(0x1000), stride: 0x80 };
        assert_eq!(layout(place, None).read(&memory, MODULE), expected());
        memory.put_u64(HEADER, u64::MAX);
        assert_eq!(layout(place, None).read(&memory, MODULE), None, "a count that leads out of memory");
    }

    #[test]
    fn lists_of_pointers() {
        let mut memory = TestMemory::default();
        put_lists(&mut memory);
        memory.put_u64(HEADER + 16, 0x4000);
        for (slot, pointer) in [(0x4000, 0x3000), (0x4008, 0x3080), (0x4010, 0)] {
            memory.put_u64(slot, pointer);
        }
        let place = || Place::Pointers(field(16));
        assert_eq!(layout(place, None).read(&memory, MODULE), expected());
        memory.put_u64(0x4010, 0xdead_0000);
        assert_eq!(layout(place, None).read(&memory, MODULE), None, "a pointer that leads out of memory");
    }

    #[test]
    fn the_member_comes_before_the_note() {
        let mut memory = TestMemory::default();
        put_lists(&mut memory);
        memory.put_u64(HEADER, 2);
        let place = || Place::Array { count: field(0), first: field(0x1000), stride: 0x80 };
        let member = Some(Field { offset: 0x40, size: 20 });
        memory.put(MODULE.get() + 0x40, &[0; 20]);
        assert_eq!(layout(place, member).read(&memory, MODULE), expected(), "zeroes are none");
        memory.put(MODULE.get() + 0x40, &[0x11; 20]);
        assert_eq!(layout(place, member).read(&memory, MODULE).unwrap().build_id, [0x11; 20]);
    }
}
