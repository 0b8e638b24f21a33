//! Types as BTF.
//!
//! ```text
//! header   u16 magic 0xeb9f | u8 version 1 | u8 flags | u32 header length | u32 types offset, length | u32 strings offset, length
//! type     u32 name | u32 info (vlen:16, kind:5 at bit 24, kind_flag at bit 31) | u32 size or type | by kind: more
//! ```
//! A type is named by its number, counted from 1. Source: the kernel's `Documentation/bpf/btf.rst`.

use std::collections::HashMap;

use super::{BASES, CType, TypeTable};

const INT: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const ENUM: u32 = 6;
const FORWARD: u32 = 7;
const KIND_FLAG: u32 = 1 << 31;
const SIGNED: u32 = 1 << 24;

/// The contents of a `.BTF` section.
pub(crate) fn write(table: &TypeTable) -> Vec<u8> {
    let mut writer = Writer::new(table);
    writer.add_bases();
    // Structures have the numbers that follow, in their order, so that members can name those that come later.
    table.structs().iter().for_each(|one| writer.add_struct(one));
    let (types, strings) = writer.finish();
    let mut blob = Vec::new();
    blob.extend(0xeb9f_u16.to_le_bytes());
    blob.extend([1, 0]);
    for word in [24, 0, types.len(), types.len(), strings.len()] {
        blob.extend(number(word).to_le_bytes());
    }
    blob.extend(types);
    blob.extend(strings);
    blob
}

struct Writer<'t> {
    table: &'t TypeTable,
    types: Vec<u8>,
    strings: Vec<u8>,
    known_strings: HashMap<String, u32>,
    /// Numbers of types that are no structures, and what is still to be written of them.
    numbers: HashMap<CType, u32>,
    later: Vec<CType>,
    forwards: HashMap<String, u32>,
    later_forwards: Vec<String>,
    next: u32,
}

impl<'t> Writer<'t> {
    fn new(table: &'t TypeTable) -> Self {
        Self {
            table,
            types: Vec::new(),
            strings: vec![0],
            known_strings: HashMap::new(),
            numbers: HashMap::new(),
            later: Vec::new(),
            forwards: HashMap::new(),
            later_forwards: Vec::new(),
            next: 1,
        }
    }

    fn add_bases(&mut self) {
        for base in BASES {
            let bits = number(base.size) * 8;
            self.head(base.name, INT << 24, number(base.size));
            self.words(&[bits | if base.signed { SIGNED } else { 0 }]);
            self.numbers.insert(CType::Base(base), self.next);
            self.next += 1;
        }
        let first = self.next;
        for (structure, id) in self.table.structs().iter().zip(first..) {
            self.numbers.insert(CType::Struct(structure.name.clone()), id);
            self.next += 1;
        }
    }

    fn add_struct(&mut self, structure: &super::Struct) {
        let has_bits = structure.members.iter().any(|member| member.bits.is_some());
        let flag = if has_bits { KIND_FLAG } else { 0 };
        self.head(&structure.name, STRUCT << 24 | flag | number(structure.members.len()), number(structure.size));
        for member in &structure.members {
            let name = self.string(&member.name);
            let kind = self.reference(&member.kind);
            let (shift, width) = member.bits.map_or((0, 0), |bits| (bits.shift, bits.width));
            let bit = number(member.offset) * 8 + shift;
            // With kind_flag, the top byte is the width of a bit-field.
            self.words(&[name, kind, if has_bits { width << 24 | bit } else { bit }]);
        }
    }

    /// The number of a type, which it is given if it has none yet.
    fn reference(&mut self, kind: &CType) -> u32 {
        if let Some(known) = self.numbers.get(kind) {
            return *known;
        }
        let id = self.next;
        self.next += 1;
        self.numbers.insert(kind.clone(), id);
        self.later.push(kind.clone());
        id
    }

    /// The number of a structure that is only pointed to.
    fn target(&mut self, name: &str) -> u32 {
        if let Some(id) = self.numbers.get(&CType::Struct(name.to_owned())) {
            return *id;
        }
        if let Some(id) = self.forwards.get(name) {
            return *id;
        }
        let id = self.next;
        self.next += 1;
        self.forwards.insert(name.to_owned(), id);
        self.later_forwards.push(name.to_owned());
        id
    }

    /// Writes what was referred to, in the order of the numbers: all pointers and arrays, which may refer to more, are
    /// numbered before anything is written.
    fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        let mut resolved: Vec<(u32, CType, u32)> = Vec::new();
        let mut at = 0;
        while let Some(kind) = self.later.get(at).cloned() {
            let id = self.numbers.get(&kind).copied().unwrap_or_default();
            let inner = match &kind {
                CType::Pointer(Some(name)) => self.target(name),
                CType::Array(element, _) => self.reference(element),
                _ => 0,
            };
            resolved.push((id, kind, inner));
            at += 1;
        }
        let unsigned_int = self.base("unsigned int");
        let mut written: Vec<(u32, Late)> =
            resolved.into_iter().map(|(id, kind, inner)| (id, Late::Type(kind, inner))).collect();
        let forwards = self.later_forwards.clone();
        written.extend(forwards.into_iter().map(|name| (self.target(&name), Late::Forward(name))));
        written.sort_by_key(|(id, _)| *id);
        for (_, late) in written {
            match late {
                Late::Type(CType::Array(_, count), element) => {
                    self.head("", ARRAY << 24, 0);
                    self.words(&[element, unsigned_int, number(count)]);
                }
                Late::Type(_, target) => self.head("", POINTER << 24, target),
                Late::Forward(name) => self.head(&name, FORWARD << 24, 0),
            }
        }
        for one in self.table.enums() {
            self.head(&one.name, ENUM << 24 | number(one.values.len()), 4);
            for (name, value) in &one.values {
                let name = self.string(name);
                self.words(&[name, *value]);
            }
        }
        (self.types, self.strings)
    }

    fn base(&self, name: &str) -> u32 {
        let base = BASES.into_iter().find(|base| base.name == name);
        base.and_then(|base| self.numbers.get(&CType::Base(base)).copied()).unwrap_or_default()
    }

    fn head(&mut self, name: &str, info: u32, size_or_type: u32) {
        let name = self.string(name);
        self.words(&[name, info, size_or_type]);
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(known) = self.known_strings.get(text) {
            return *known;
        }
        let at = number(self.strings.len());
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        self.known_strings.insert(text.to_owned(), at);
        at
    }
}

/// What is written behind the structures.
enum Late {
    Type(CType, u32),
    Forward(String),
}

/// Sizes and offsets of kernel types fit.
fn number<N: TryInto<u32>>(value: N) -> u32 {
    value.try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use vmcore_debuginfo::Types;

    use crate::generation::Generation;

    /// Every member of every generation is found where it was said to be.
    #[test]
    fn a_reader_finds_every_member() {
        for generation in Generation::all().unwrap() {
            let table = generation.types();
            let types = Types::from_btf(super::write(table)).unwrap();
            for structure in table.structs() {
                assert_eq!(types.size_of(&structure.name), Some(structure.size), "{}", structure.name);
                for member in &structure.members {
                    let found = types.member(&structure.name, &member.name);
                    let found = found.unwrap_or_else(|| panic!("{}.{}", structure.name, member.name));
                    let bits = found.bit_offset.map(|bit| found.offset * 8 + bit).unwrap_or(found.offset * 8);
                    let shift = u64::from(member.bits.map_or(0, |bits| bits.shift));
                    assert_eq!(bits, member.offset * 8 + shift, "{}.{}", structure.name, member.name);
                    assert_eq!(found.bit_size, member.bits.map(|bits| bits.width));
                }
            }
            for (name, value) in table.enums().iter().flat_map(|one| &one.values) {
                assert_eq!(types.enumerator(name), Some(i64::from(*value)));
            }
        }
    }
}
