//! Types, variables and functions as DWARF 4: one compilation unit, which names the types by the same numbers of bytes
//! and bits as BTF does.

use std::collections::HashMap;

use gimli::write::{Address, AttributeValue, DwarfUnit, EndianVec, Expression, Sections, Unit, UnitEntryId};
use gimli::{DW_ATE_signed, DW_ATE_signed_char, DW_ATE_unsigned, DW_ATE_unsigned_char, Encoding, Format, LittleEndian};

use super::{BASES, CType, TypeTable};
use crate::SynthError;
use crate::generation::Generation;
use crate::vmlinux::code::Owner;
use crate::vmlinux::image::{Image, MAX_CPUS, NOTE_BUFFER};

/// The `.debug_*` sections of a kernel.
pub(crate) fn write(generation: &Generation, image: &Image) -> Result<Vec<(&'static str, Vec<u8>)>, SynthError> {
    let encoding = Encoding { format: Format::Dwarf32, version: 4, address_size: 8 };
    let mut dwarf = DwarfUnit::new(encoding);
    let mut writer = Writer { unit: &mut dwarf.unit, known: HashMap::new() };
    writer.describe_unit(image);
    writer.add_types(generation.types());
    writer.add_functions(image);
    writer.add_variables(generation, image);
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    dwarf.write(&mut sections).map_err(|error| SynthError::write("DWARF", error))?;
    let mut written = Vec::new();
    let collected: Result<(), gimli::write::Error> = sections.for_each(|id, data| {
        if !data.slice().is_empty() {
            written.push((id.name(), data.slice().to_vec()));
        }
        Ok(())
    });
    collected.map_err(|error| SynthError::write("DWARF", error))?;
    Ok(written)
}

struct Writer<'d> {
    unit: &'d mut Unit,
    known: HashMap<CType, UnitEntryId>,
}

impl Writer<'_> {
    fn describe_unit(&mut self, image: &Image) {
        let root = self.unit.root();
        self.set(root, gimli::DW_AT_name, text("synthetic.c"));
        self.set(root, gimli::DW_AT_comp_dir, text("/synthetic"));
        self.set(root, gimli::DW_AT_language, AttributeValue::Language(gimli::DW_LANG_C11));
        self.set(root, gimli::DW_AT_low_pc, AttributeValue::Address(Address::Constant(image.text.get())));
        self.set(root, gimli::DW_AT_high_pc, AttributeValue::Udata(image.text_size()));
    }

    fn add_types(&mut self, table: &TypeTable) {
        for base in BASES {
            let id = self.add(gimli::DW_TAG_base_type, Some(base.name));
            let encoding = match (base.size, base.signed) {
                (1, true) => DW_ATE_signed_char,
                (1, false) => DW_ATE_unsigned_char,
                (_, true) => DW_ATE_signed,
                (_, false) => DW_ATE_unsigned,
            };
            self.set(id, gimli::DW_AT_byte_size, AttributeValue::Udata(base.size));
            self.set(id, gimli::DW_AT_encoding, AttributeValue::Encoding(encoding));
            self.known.insert(CType::Base(base), id);
        }
        // Structures first, empty: their members may name any of them.
        for structure in table.structs() {
            let id = self.add(gimli::DW_TAG_structure_type, Some(&structure.name));
            self.set(id, gimli::DW_AT_byte_size, AttributeValue::Udata(structure.size));
            self.known.insert(CType::Struct(structure.name.clone()), id);
        }
        for structure in table.structs() {
            let parent = self.reference(&CType::Struct(structure.name.clone()));
            structure.members.iter().for_each(|member| self.add_member(parent, member));
        }
        for one in table.enums() {
            let id = self.add(gimli::DW_TAG_enumeration_type, Some(&one.name));
            let unsigned = CType::Base(BASES[5]);
            let of = self.reference(&unsigned);
            self.set(id, gimli::DW_AT_byte_size, AttributeValue::Udata(4));
            self.set(id, gimli::DW_AT_type, AttributeValue::UnitRef(of));
            for (name, value) in &one.values {
                let enumerator = self.unit.add(id, gimli::DW_TAG_enumerator);
                self.set(enumerator, gimli::DW_AT_name, text(name));
                self.set(enumerator, gimli::DW_AT_const_value, AttributeValue::Udata((*value).into()));
            }
        }
    }

    fn add_member(&mut self, parent: UnitEntryId, member: &super::Member) {
        let kind = self.reference(&member.kind);
        let id = self.unit.add(parent, gimli::DW_TAG_member);
        self.set(id, gimli::DW_AT_name, text(&member.name));
        self.set(id, gimli::DW_AT_type, AttributeValue::UnitRef(kind));
        match member.bits {
            Some(bits) => {
                let first = member.offset * 8 + u64::from(bits.shift);
                self.set(id, gimli::DW_AT_bit_size, AttributeValue::Udata(bits.width.into()));
                self.set(id, gimli::DW_AT_data_bit_offset, AttributeValue::Udata(first));
            }
            None => self.set(id, gimli::DW_AT_data_member_location, AttributeValue::Udata(member.offset)),
        }
    }

    fn add_functions(&mut self, image: &Image) {
        for function in image.code.functions(Owner::Kernel) {
            let id = self.add(gimli::DW_TAG_subprogram, Some(&function.name));
            let start = image.text.wrapping_add(function.offset).get();
            self.set(id, gimli::DW_AT_external, AttributeValue::Flag(true));
            self.set(id, gimli::DW_AT_low_pc, AttributeValue::Address(Address::Constant(start)));
            self.set(id, gimli::DW_AT_high_pc, AttributeValue::Udata(function.size));
        }
    }

    /// The variables that readers look up with their types.
    fn add_variables(&mut self, generation: &Generation, image: &Image) {
        let array = |kind: CType, count| CType::Array(Box::new(kind), count);
        let structure = |name: &str| CType::Struct(name.to_owned());
        let long = CType::Base(BASES[7]);
        let slots = generation.facts.max_swapfiles;
        let kinds = [
            ("init_task", structure("task_struct")),
            ("init_mm", structure("mm_struct")),
            ("init_uts_ns", structure("uts_namespace")),
            ("modules", structure("list_head")),
            ("__per_cpu_offset", array(long, MAX_CPUS)),
            ("__cpu_online_mask", structure("cpumask")),
            ("__cpu_present_mask", structure("cpumask")),
            ("__cpu_possible_mask", structure("cpumask")),
            ("swap_info", array(CType::Pointer(Some("swap_info_struct".to_owned())), slots)),
            ("prb", CType::Pointer(Some("printk_ringbuffer".to_owned()))),
            ("runqueues", structure("rq")),
            ("nr_cpu_ids", CType::Base(BASES[5])),
            ("panic_cpu", structure("atomic_t")),
            ("crashing_cpu", CType::Base(BASES[4])),
        ];
        for (name, kind) in kinds {
            let kind = self.reference(&kind);
            self.add_variable(image, name, kind);
        }
        // `note_buf_t __percpu *`: an array of u32.
        let buffer = self.reference(&array(CType::Base(BASES[5]), NOTE_BUFFER / 4));
        let pointer = self.add(gimli::DW_TAG_pointer_type, None);
        self.set(pointer, gimli::DW_AT_byte_size, AttributeValue::Udata(8));
        self.set(pointer, gimli::DW_AT_type, AttributeValue::UnitRef(buffer));
        self.add_variable(image, "crash_notes", pointer);
    }

    fn add_variable(&mut self, image: &Image, name: &str, kind: UnitEntryId) {
        let Some(variable) = image.variables.get(name).or_else(|| image.percpu.get(name)) else { return };
        let mut place = Expression::new();
        place.op_addr(Address::Constant(variable.link.get()));
        let id = self.add(gimli::DW_TAG_variable, Some(name));
        self.set(id, gimli::DW_AT_type, AttributeValue::UnitRef(kind));
        self.set(id, gimli::DW_AT_external, AttributeValue::Flag(true));
        self.set(id, gimli::DW_AT_location, AttributeValue::Exprloc(place));
    }

    /// The entry of a type, made where it is first named.
    fn reference(&mut self, kind: &CType) -> UnitEntryId {
        if let Some(known) = self.known.get(kind) {
            return *known;
        }
        let id = match kind {
            CType::Base(base) => self.add(gimli::DW_TAG_base_type, Some(base.name)),
            CType::Struct(name) => {
                let id = self.add(gimli::DW_TAG_structure_type, Some(name));
                self.set(id, gimli::DW_AT_declaration, AttributeValue::Flag(true));
                id
            }
            CType::Pointer(target) => {
                let target = target.as_ref().map(|name| self.reference(&CType::Struct(name.clone())));
                let id = self.add(gimli::DW_TAG_pointer_type, None);
                self.set(id, gimli::DW_AT_byte_size, AttributeValue::Udata(8));
                if let Some(target) = target {
                    self.set(id, gimli::DW_AT_type, AttributeValue::UnitRef(target));
                }
                id
            }
            CType::Array(element, count) => {
                let element = self.reference(element);
                let id = self.add(gimli::DW_TAG_array_type, None);
                self.set(id, gimli::DW_AT_type, AttributeValue::UnitRef(element));
                let range = self.unit.add(id, gimli::DW_TAG_subrange_type);
                self.set(range, gimli::DW_AT_count, AttributeValue::Udata(*count));
                id
            }
        };
        self.known.insert(kind.clone(), id);
        id
    }

    fn add(&mut self, tag: gimli::DwTag, name: Option<&str>) -> UnitEntryId {
        let root = self.unit.root();
        let id = self.unit.add(root, tag);
        if let Some(name) = name {
            self.set(id, gimli::DW_AT_name, text(name));
        }
        id
    }

    fn set(&mut self, entry: UnitEntryId, name: gimli::DwAt, value: AttributeValue) {
        self.unit.get_mut(entry).set(name, value);
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::String(text.as_bytes().to_vec())
}
