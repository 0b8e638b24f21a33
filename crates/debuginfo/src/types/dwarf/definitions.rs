//! What the units define: types, variables and enumerators by name.
//!
//! A name is kept as a hash only; whoever finds an entry by it compares the name in the entry.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use gimli::AttributeValue;

use super::super::graph::Tag;
use crate::{
    dwarf::{Dwarf, Entry, Unit},
    name_index::hash,
};

/// What a name can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Type(Tag),
    Variable,
    /// Found at its enumeration.
    Enumerator,
}

/// Where something is defined. Ordered by position in `.debug_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) unit: u64,
    /// The entry's offset in the unit.
    pub(super) entry: usize,
}

/// The first definition of each name.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    places: HashMap<u64, Place, BuildHasherDefault<AlreadyHashed>>,
}

impl Definitions {
    pub(super) fn of_unit(dwarf: &Dwarf, unit: &Unit) -> Self {
        let mut definitions = Self::default();
        definitions.add_unit(dwarf, unit);
        definitions
    }

    /// The definitions of all units. Takes about a second of processor time for a distribution's kernel.
    pub(super) fn of_all_units(dwarf: &Dwarf) -> Self {
        let units: Vec<u64> = dwarf.all_units().collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut found = Self::default();
            while let Some(&offset) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some(unit) = dwarf.unit(offset) {
                    found.add_unit(dwarf, &unit);
                }
            }
            found
        };
        // Not rayon's own tasks: one that waits would pick up another that needs these very definitions.
        let mut parts = thread::scope(|scope| {
            let threads: Vec<_> = (1..rayon::current_num_threads()).map(|_| scope.spawn(work)).collect();
            let own = work();
            let others = threads.into_iter().filter_map(|thread| thread.join().ok());
            others.chain([own]).collect::<Vec<_>>()
        });
        let mut all = parts.pop().unwrap_or_default();
        for part in parts {
            for (key, place) in part.places {
                all.add(key, place);
            }
        }
        all
    }

    pub(super) fn find(&self, key: Key, name: &str) -> Option<Place> {
        self.places.get(&key.hash_with(name.as_bytes())).copied()
    }

    /// Keeps the first of two places, so that the result does not depend on who found which one when.
    fn add(&mut self, key: u64, place: Place) {
        let kept = self.places.entry(key).or_insert(place);
        *kept = place.min(*kept);
    }

    fn add_unit(&mut self, dwarf: &Dwarf, unit: &Unit) {
        for entry in unit.root().iter().flat_map(Entry::children) {
            let key = match entry.tag() {
                gimli::DW_TAG_structure_type => Key::Type(Tag::Struct),
                gimli::DW_TAG_union_type => Key::Type(Tag::Union),
                gimli::DW_TAG_enumeration_type => Key::Type(Tag::Enum),
                gimli::DW_TAG_typedef => Key::Type(Tag::Typedef),
                gimli::DW_TAG_base_type => Key::Type(Tag::Base),
                gimli::DW_TAG_variable => Key::Variable,
                _ => continue,
            };
            let Some(name) = defined_name(&entry) else { continue };
            let place = Place { unit: unit.offset, entry: entry.offset };
            match name {
                Some(name) => {
                    if let Some(name) = dwarf.string(&unit.bases, &name) {
                        self.add(key.hash_with(name.as_bytes()), place);
                    }
                }
                // A variable whose name is in its declaration.
                None if key == Key::Variable => {
                    if let Some(name) = dwarf.name(unit, &entry) {
                        self.add(key.hash_with(name.as_bytes()), place);
                    }
                }
                None => {}
            }
            if key == Key::Type(Tag::Enum) {
                for enumerator in entry.children().filter_map(|child| child.attribute(gimli::DW_AT_name)) {
                    if let Some(name) = dwarf.string(&unit.bases, &enumerator) {
                        self.add(Key::Enumerator.hash_with(name.as_bytes()), place);
                    }
                }
            }
        }
    }
}

/// The name attribute of a definition, if it has one; `None` for a declaration.
fn defined_name<'unit>(entry: &Entry<'unit>) -> Option<Option<AttributeValue<crate::dwarf::Slice<'unit>>>> {
    let mut name = None;
    let mut declaration = false;
    entry.for_each_attribute(|attribute, value| match attribute {
        gimli::DW_AT_name => name = Some(value),
        gimli::DW_AT_declaration => declaration = true,
        _ => {}
    });
    (!declaration).then_some(name)
}

impl Key {
    fn hash_with(self, name: &[u8]) -> u64 {
        let kind: u64 = match self {
            Self::Type(Tag::Struct) => 1,
            Self::Type(Tag::Union) => 2,
            Self::Type(Tag::Enum) => 3,
            Self::Type(Tag::Typedef) => 4,
            Self::Type(Tag::Base) => 5,
            Self::Variable => 6,
            Self::Enumerator => 7,
        };
        hash(name) ^ (kind << 60)
    }
}

/// Passes a hash through.
#[derive(Debug, Default)]
pub(super) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
