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
    dwarf::{Dwarf, Entry, Unit, Value},
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        let mut collector = Collector::default();
        collector.add_unit(dwarf, unit);
        collector.found
    }

    /// The definitions of all units. Takes the better part of a second of processor time for a distribution's kernel.
    pub(super) fn of_all_units(dwarf: &Dwarf) -> Self {
        let units: Vec<u64> = dwarf.all_units().collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut collector = Collector::default();
            // Ascending for each thread, so that what it finds first is the first.
            while let Some(&offset) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some(unit) = dwarf.unit(offset) {
                    collector.add_unit(dwarf, &unit);
                }
            }
            collector.found
        };
        // Not rayon's own tasks: one that waits would pick up another that needs these very definitions.
        let parts = thread::scope(|scope| {
            let threads: Vec<_> = (1..rayon::current_num_threads()).map(|_| scope.spawn(work)).collect();
            let own = work();
            let others = threads.into_iter().filter_map(|thread| thread.join().ok());
            others.chain([own]).collect::<Vec<_>>()
        });
        let mut all = Self::default();
        for (key, place) in parts.into_iter().flat_map(|part| part.places) {
            all.add(key, place);
        }
        all
    }

    pub(super) fn find(&self, key: Key, name: &str) -> Option<Place> {
        self.places.get(&key.hash_with(name.as_bytes())).copied()
    }

    /// Where all of them are, in the order of the file. An enumeration is there by its own name or by its enumerators'.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut places: Vec<_> = self.places.values().copied().collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Keeps the first of two places, so that the result does not depend on who found which one when.
    fn add(&mut self, key: u64, place: Place) {
        let kept = self.places.entry(key).or_insert(place);
        *kept = place.min(*kept);
    }
}

/// Collects the definitions of units that come in ascending order.
#[derive(Debug, Default)]
struct Collector {
    found: Definitions,
    /// For each offset in `.debug_str` the kinds (one bit each) that are already defined with that name. Every unit
    /// repeats thousands of definitions, and all copies of a name have the same offset.
    seen: Vec<u8>,
}

impl Collector {
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
            if entry.has(gimli::DW_AT_declaration) {
                continue;
            }
            let place = Place { unit: unit.offset, entry: entry.offset };
            match entry.attribute(gimli::DW_AT_name) {
                Some(name) => self.add(dwarf, unit, key, &name, place),
                // A variable whose name is in its declaration.
                None if key == Key::Variable => {
                    if let Some(name) = dwarf.name(unit, &entry) {
                        self.found.add(key.hash_with(name.as_bytes()), place);
                    }
                }
                None => {}
            }
            if key == Key::Type(Tag::Enum) {
                for name in entry.children().filter_map(|child| child.attribute(gimli::DW_AT_name)) {
                    self.add(dwarf, unit, Key::Enumerator, &name, place);
                }
            }
        }
    }

    fn add(&mut self, dwarf: &Dwarf, unit: &Unit, key: Key, name: &Value<'_>, place: Place) {
        if let AttributeValue::DebugStrRef(offset) = name {
            if self.seen.is_empty() {
                self.seen = vec![0; dwarf.strings_len()];
            }
            let bit = 1 << key.number();
            match self.seen.get_mut(offset.0) {
                Some(seen) if *seen & bit != 0 => return,
                Some(seen) => *seen |= bit,
                None => return,
            }
        }
        if let Some(name) = dwarf.string(&unit.bases, name) {
            self.found.add(key.hash_with(name.as_bytes()), place);
        }
    }
}

impl Key {
    /// A number below 8.
    const fn number(self) -> u8 {
        match self {
            Self::Type(Tag::Struct) => 0,
            Self::Type(Tag::Union) => 1,
            Self::Type(Tag::Enum) => 2,
            Self::Type(Tag::Typedef) => 3,
            Self::Type(Tag::Base) => 4,
            Self::Variable => 5,
            Self::Enumerator => 6,
        }
    }

    fn hash_with(self, name: &[u8]) -> u64 {
        hash(name) ^ (u64::from(self.number()) << 60)
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
