//! The C types of one kernel generation: as much of them as readers of a dump look at.
//!
//! They are data (`generations/*.types`), laid out as that kernel's compiler did, and become the debug information of
//! the synthetic vmlinux ([`btf`], [`dwarf`]) as well as the places where [`crate::machine`] writes.

pub(crate) mod btf;
pub(crate) mod dwarf;
mod parse;

use std::collections::HashMap;

/// All types of a generation.
#[derive(Debug, Default)]
pub(crate) struct TypeTable {
    structs: Vec<Struct>,
    enums: Vec<Enum>,
    by_name: HashMap<String, usize>,
}

/// A structure. Members of unions in it lie over one another.
#[derive(Debug)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) members: Vec<Member>,
}

/// A member of a structure.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Bytes from the start of the structure.
    pub(crate) offset: u64,
    pub(crate) kind: CType,
    pub(crate) bits: Option<Bits>,
}

/// Which bits of its first byte a bit-field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits {
    pub(crate) shift: u32,
    pub(crate) width: u32,
}

/// An enumeration of `unsigned int`.
#[derive(Debug)]
pub(crate) struct Enum {
    pub(crate) name: String,
    pub(crate) values: Vec<(String, u32)>,
}

/// The type of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CType {
    Base(Base),
    Struct(String),
    /// To a structure, or to anything.
    Pointer(Option<String>),
    Array(Box<CType>, u64),
}

/// An integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Base {
    pub(crate) name: &'static str,
    pub(crate) size: u64,
    pub(crate) signed: bool,
}

/// The integer types of C that kernel structures have.
pub(crate) const BASES: [Base; 8] = [
    Base { name: "char", size: 1, signed: true },
    Base { name: "unsigned char", size: 1, signed: false },
    Base { name: "short", size: 2, signed: true },
    Base { name: "unsigned short", size: 2, signed: false },
    Base { name: "int", size: 4, signed: true },
    Base { name: "unsigned int", size: 4, signed: false },
    Base { name: "long", size: 8, signed: true },
    Base { name: "unsigned long", size: 8, signed: false },
];

/// Where a member lies in its outermost structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) bits: Option<Bits>,
}

impl TypeTable {
    pub(crate) fn structs(&self) -> &[Struct] {
        &self.structs
    }

    pub(crate) fn enums(&self) -> &[Enum] {
        &self.enums
    }

    pub(crate) fn structure(&self, name: &str) -> Option<&Struct> {
        self.structs.get(*self.by_name.get(name)?)
    }

    /// `sizeof(struct name)`.
    pub(crate) fn size_of(&self, name: &str) -> Option<u64> {
        Some(self.structure(name)?.size)
    }

    /// The number behind an enumerator's name.
    pub(crate) fn enumerator(&self, name: &str) -> Option<u32> {
        let mut values = self.enums.iter().flat_map(|one| &one.values);
        values.find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Where the member `path` of `struct name` lies: names joined by dots, each perhaps with an index, `mem[2].base`.
    pub(crate) fn place(&self, name: &str, path: &str) -> Option<Place> {
        let mut structure = self.structure(name)?;
        let mut base = 0;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let (member_name, index) = split_index(part)?;
            let member = structure.members.iter().find(|member| member.name == member_name)?;
            let mut kind = &member.kind;
            base += member.offset;
            if let Some(index) = index {
                let CType::Array(element, _) = kind else { return None };
                base += index * self.size_of_type(element)?;
                kind = element;
            }
            if parts.peek().is_none() {
                return Some(Place { offset: base, size: self.size_of_type(kind)?, bits: member.bits });
            }
            let CType::Struct(next) = kind else { return None };
            structure = self.structure(next)?;
        }
        None
    }

    pub(crate) fn size_of_type(&self, kind: &CType) -> Option<u64> {
        match kind {
            CType::Base(base) => Some(base.size),
            CType::Struct(name) => self.size_of(name),
            CType::Pointer(_) => Some(8),
            CType::Array(element, count) => self.size_of_type(element)?.checked_mul(*count),
        }
    }

    fn add(&mut self, structure: Struct) {
        self.by_name.insert(structure.name.clone(), self.structs.len());
        self.structs.push(structure);
    }
}

/// `mem[2]` as a name and an index.
fn split_index(part: &str) -> Option<(&str, Option<u64>)> {
    match part.split_once('[') {
        Some((name, index)) => Some((name, Some(index.strip_suffix(']')?.parse().ok()?))),
        None => Some((part, None)),
    }
}
