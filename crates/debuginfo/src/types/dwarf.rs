//! Types from DWARF, for kernels without BTF and to check BTF against.
//!
//! DWARF repeats every type in each unit that uses it, and a vmlinux has no index of them. So a type is first looked
//! for in the units of a few functions at the heart of the kernel, which together know nearly all that an analysis
//! asks for. Only what none of them has leads to a scan of all units; that one makes an index of everything at once,
//! because a kernel is asked for many types that it turns out not to have.

mod definitions;
mod node;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::btf::{self, write::Definition};
use super::graph::{self, Field, Node, Tag, TypeGraph, TypeRef};
use crate::{
    SymbolTable,
    dwarf::{Dwarf, Unit},
};
use definitions::{Definitions, Key, Place};

/// Functions whose units are looked at first: the scheduler, page faults, huge pages, the log, modules, work queues.
/// They are of different kernels; those that a kernel does not have are skipped.
const CORE_FUNCTIONS: [&str; 10] = [
    "schedule",
    "handle_mm_fault",
    "split_huge_page_to_list_to_order",
    "split_huge_page_to_list",
    "prb_reserve",
    "vprintk_emit",
    "find_module_all",
    "queue_work_on",
    "watchdog_timer_fn",
    "crash_save_vmcoreinfo",
];

/// The types of a file's DWARF.
#[derive(Debug)]
pub(super) struct DwarfTypes {
    dwarf: Arc<Dwarf>,
    /// The units of the core functions, each once, in that order.
    core: Vec<CoreUnit>,
    /// Units that were needed, by offset. They stay, because answers refer to them.
    units: Mutex<BTreeMap<u64, Arc<Unit>>>,
    all: OnceLock<Definitions>,
}

#[derive(Debug)]
struct CoreUnit {
    offset: u64,
    definitions: OnceLock<Definitions>,
}

impl DwarfTypes {
    pub(super) fn new(dwarf: Arc<Dwarf>, symbols: &SymbolTable) -> Self {
        let mut offsets = Vec::new();
        for address in CORE_FUNCTIONS.iter().filter_map(|name| symbols.address(name)) {
            offsets.extend(dwarf.unit_at(address.get()).filter(|unit| !offsets.contains(unit)));
        }
        let core = offsets.into_iter().map(|offset| CoreUnit { offset, definitions: OnceLock::new() }).collect();
        Self { dwarf, core, units: Mutex::default(), all: OnceLock::new() }
    }

    /// Where `name` is defined: in the first core unit that does, else in the first of all units.
    fn look_up(&self, key: Key, name: &str) -> Option<TypeRef> {
        let in_core = self.core.iter().find_map(|core| {
            let definitions = core.definitions.get_or_init(|| {
                self.unit(core.offset).map(|unit| Definitions::of_unit(&self.dwarf, &unit)).unwrap_or_default()
            });
            self.check(definitions.find(key, name)?, key, name)
        });
        in_core.or_else(|| {
            let all = self.all.get_or_init(|| Definitions::of_all_units(&self.dwarf));
            self.check(all.find(key, name)?, key, name)
        })
    }

    /// All definitions, in the order in which [`DwarfTypes::look_up`] finds them.
    fn definitions(&self) -> Vec<Definition> {
        let mut places: Vec<Place> = Vec::new();
        for core in &self.core {
            let definitions = core.definitions.get_or_init(|| {
                self.unit(core.offset).map(|unit| Definitions::of_unit(&self.dwarf, &unit)).unwrap_or_default()
            });
            places.extend(definitions.places());
        }
        let known: HashSet<Place> = places.iter().copied().collect();
        let all = self.all.get_or_init(|| Definitions::of_all_units(&self.dwarf));
        places.extend(all.places().into_iter().filter(|place| !known.contains(place)));
        places.into_iter().filter_map(|place| self.definition(place)).collect()
    }

    fn definition(&self, place: Place) -> Option<Definition> {
        let found = TypeRef(place.unit.checked_add(place.entry as u64)?);
        let unit = self.unit(place.unit)?;
        let entry = node::entry(&unit, found)?;
        if entry.tag() != gimli::DW_TAG_variable {
            return Some(Definition::Type(found));
        }
        let name = self.dwarf.name(&unit, &entry)?;
        Some(Definition::Variable { name, ty: node::type_of_variable(&unit, found)? })
    }

    /// The same types as a BTF blob; `None` where they are too many.
    pub(super) fn to_btf(&self) -> Option<Vec<u8>> {
        btf::write::write(self, &self.definitions())
    }

    /// Compares the name, of which definitions have only a hash. That of an enumerator is compared when its
    /// enumeration is searched.
    fn check(&self, place: Place, key: Key, name: &str) -> Option<TypeRef> {
        let found = TypeRef(place.unit.checked_add(place.entry as u64)?);
        let unit = self.unit(place.unit)?;
        (key == Key::Enumerator || node::is_named(&self.dwarf, &unit, found, name)).then_some(found)
    }

    /// The unit that starts at `offset`.
    fn unit(&self, offset: u64) -> Option<Arc<Unit>> {
        let loaded = self.units().get(&offset).cloned();
        loaded.or_else(|| {
            // Read without the lock; if two threads read the same unit, either copy will do.
            let unit = Arc::new(self.dwarf.unit(offset)?);
            Some(Arc::clone(self.units().entry(offset).or_insert(unit)))
        })
    }

    /// The unit that holds the entry at `id` bytes in `.debug_info`.
    fn unit_around(&self, id: u64) -> Option<Arc<Unit>> {
        let loaded = self.units().range(..=id).next_back().map(|(_, unit)| Arc::clone(unit));
        // One that is not loaded is referred to from another unit: link-time optimization does that.
        loaded
            .filter(|unit| unit.contains(id))
            .or_else(|| self.unit(self.dwarf.unit_offset_around(id)?))
            .filter(|unit| unit.contains(id))
    }

    fn units(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Unit>>> {
        // Nothing that holds the lock can leave the map half changed.
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TypeGraph for DwarfTypes {
    fn find(&self, tag: Tag, name: &str) -> Option<TypeRef> {
        self.look_up(Key::Type(tag), name)
    }

    fn node(&self, ty: TypeRef) -> Option<Node<'_>> {
        if ty == node::VOID {
            return Some(Node::Void);
        }
        node::node(&self.dwarf, &*self.unit_around(ty.0)?, ty)
    }

    fn fields(&self, ty: TypeRef) -> Vec<Field<'_>> {
        let unit = self.unit_around(ty.0);
        let size_of = |ty| graph::size_of(self, ty);
        unit.and_then(|unit| node::fields(&self.dwarf, &unit, ty, size_of)).unwrap_or_default()
    }

    fn enumerator_in(&self, ty: TypeRef, name: &str) -> Option<i64> {
        node::enumerator(&self.dwarf, &*self.unit_around(ty.0)?, ty, name)
    }

    fn enumerators(&self, ty: TypeRef) -> Vec<(Cow<'_, str>, i64)> {
        let unit = self.unit_around(ty.0);
        unit.and_then(|unit| node::enumerators(&self.dwarf, &unit, ty)).unwrap_or_default()
    }

    fn enumerator(&self, name: &str) -> Option<i64> {
        self.enumerator_in(self.look_up(Key::Enumerator, name)?, name)
    }

    fn variable(&self, name: &str) -> Option<TypeRef> {
        let variable = self.look_up(Key::Variable, name)?;
        node::type_of_variable(&*self.unit_around(variable.0)?, variable)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Member, MemberKind, TypesOrigin, fixture::Fixture};

    fn member(offset: u64, size: u64, kind: MemberKind, type_name: Option<&str>) -> Option<Member> {
        let type_name = type_name.map(Into::into);
        Some(Member { offset, bit_offset: None, bit_size: None, size, kind, type_name })
    }

    #[test]
    fn types_are_read_from_both_versions_with_and_without_a_directory() {
        for (version, aranges) in [(4, true), (4, false), (5, true), (5, false)] {
            let vmlinux = Fixture::with_dwarf(version, aranges).open();
            let types = vmlinux.types();
            assert_eq!(types.origin(), TypesOrigin::Dwarf);
            assert_eq!(types.size_of("struct task"), Some(32));
            assert_eq!(types.size_of("pid_t"), Some(4));
            assert_eq!(types.size_of("union task"), None);
            let signed = MemberKind::Integer { signed: true };
            assert_eq!(types.member("task", "pid"), member(0, 4, signed.clone(), Some("pid_t")));
            assert_eq!(types.member("task", "next"), member(8, 8, MemberKind::Pointer, Some("struct task *")));
            assert_eq!(types.member("task", "mode"), member(16, 4, MemberKind::Enum, Some("enum mode")));
            assert_eq!(types.member("task", "run"), member(24, 8, MemberKind::Pointer, None));
            let grid = MemberKind::Array { len: 8, element_size: 1 };
            assert_eq!(types.member("task", "grid"), member(8, 8, grid, Some("char[8]")));
            assert_eq!(types.member("task", "grid[7]"), member(15, 1, signed.clone(), Some("char")));
            assert_eq!(types.member("task", "grid[8]"), None);
            let more = MemberKind::Array { len: 0, element_size: 8 };
            assert_eq!(types.member("task", "more"), member(32, 0, more, Some("long int[]")));
            assert_eq!(types.member("task", "more[2]"), member(48, 8, signed, Some("long int")));
            let names = ["pid", "old", "now", "next", "grid", "mode", "run", "more"];
            assert_eq!(types.member_names("task"), names);
            assert_eq!((types.enumerator("OFF"), types.enumerator("ON")), (Some(-1), Some(200)));
            assert_eq!(types.enumerator_of("mode", "ON"), Some(200));
            assert_eq!(types.enumerator("MAYBE"), None);
            assert_eq!(types.variable_array_len("tasks"), Some(3));
            assert_eq!(types.variable_type_size("tasks"), Some(96));
            assert_eq!(types.variable_array_len("schedule"), None);
        }
    }

    #[test]
    fn bit_fields_in_both_notations() {
        let vmlinux = Fixture::with_dwarf(4, true).open();
        let bits = |name| {
            let member = vmlinux.types().member("task", name).unwrap();
            (member.offset, member.bit_offset, member.bit_size, member.size)
        };
        assert_eq!(bits("old"), (4, Some(0), Some(3), 4));
        assert_eq!(bits("now"), (4, Some(3), Some(2), 4));
    }
}
