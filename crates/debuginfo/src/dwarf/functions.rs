//! The functions of a unit, and the calls that were inlined into them.
//!
//! ```text
//! DW_TAG_subprogram              name, ranges
//!   DW_TAG_lexical_block         (ranges)
//!     DW_TAG_inlined_subroutine  abstract_origin -> subprogram with the name, ranges, call_file, call_line
//!       DW_TAG_inlined_subroutine ...
//! ```

use gimli::{AttributeValue, UnitOffset};

use super::{Dwarf, Unit, unit::Entry};

/// How deep blocks and inlined calls may nest; the deepest in a kernel have some twenty levels.
pub(super) const MAX_DEPTH: usize = 128;
/// How many references may lead to an entry's name.
const MAX_REFERENCES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    start: u64,
    end: u64,
    /// The entry's offset in the unit.
    entry: usize,
}

/// Where the functions of a unit are. A function with a cold part is here twice.
#[derive(Debug)]
pub(crate) struct Functions {
    /// Sorted by start.
    ranges: Vec<Function>,
}

/// A function that an address belongs to, really or by inlining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: Option<String>,
    /// For an inlined function, where it was called: a file number of the unit's line program, and a line.
    pub(crate) called_from: Option<(u64, u64)>,
}

impl Functions {
    pub(crate) fn read(dwarf: &Dwarf, unit: &Unit) -> Self {
        let mut ranges = Vec::new();
        if let Some(root) = unit.root() {
            collect(dwarf, unit, &root, 0, &mut ranges);
        }
        ranges.sort_unstable();
        Self { ranges }
    }

    /// The function at `address`, then each call inlined there into the one before; empty where there is none.
    pub(crate) fn calls(&self, dwarf: &Dwarf, unit: &Unit, address: u64) -> Vec<Call> {
        let after = self.ranges.partition_point(|function| function.start <= address);
        let before = self.ranges.get(..after).unwrap_or_default().iter().rev();
        // Functions of one unit do not overlap, except for a few aliases.
        let Some(function) = before.take(4).find(|function| address < function.end) else { return Vec::new() };
        let Some(entry) = unit.entry(function.entry) else { return Vec::new() };
        let mut calls = vec![Call { name: dwarf.name(unit, &entry), called_from: None }];
        inlined(dwarf, unit, &entry, address, 0, &mut calls);
        calls
    }
}

/// Adds the functions among the children of `parent`, and of the name spaces in it.
fn collect(dwarf: &Dwarf, unit: &Unit, parent: &Entry<'_>, depth: usize, ranges: &mut Vec<Function>) {
    for entry in parent.children() {
        match entry.tag() {
            gimli::DW_TAG_subprogram => dwarf.for_each_range(unit, &entry, |range| {
                ranges.push(Function { start: range.start, end: range.end, entry: entry.offset });
            }),
            // Rust's functions are in name spaces.
            gimli::DW_TAG_namespace if depth < MAX_DEPTH => collect(dwarf, unit, &entry, depth + 1, ranges),
            _ => {}
        }
    }
}

/// Adds the calls that were inlined at `address` under `parent`, outermost first.
fn inlined(dwarf: &Dwarf, unit: &Unit, parent: &Entry<'_>, address: u64, depth: usize, calls: &mut Vec<Call>) {
    if depth == MAX_DEPTH {
        return;
    }
    for entry in parent.children() {
        match entry.tag() {
            gimli::DW_TAG_inlined_subroutine if dwarf.covers(unit, &entry, address) == Some(true) => {
                calls.push(Call { name: dwarf.name(unit, &entry), called_from: call_site(&entry) });
                inlined(dwarf, unit, &entry, address, depth + 1, calls);
                return;
            }
            // A block without ranges of its own may still hold calls that have some.
            gimli::DW_TAG_lexical_block if dwarf.covers(unit, &entry, address) != Some(false) => {
                let found = calls.len();
                inlined(dwarf, unit, &entry, address, depth + 1, calls);
                if calls.len() != found {
                    return;
                }
            }
            _ => {}
        }
    }
}

/// Where an inlined function was called.
fn call_site(entry: &Entry<'_>) -> Option<(u64, u64)> {
    let file = match entry.attribute(gimli::DW_AT_call_file)? {
        AttributeValue::FileIndex(file) => file,
        value => value.udata_value()?,
    };
    let line = entry.attribute(gimli::DW_AT_call_line).and_then(|value| value.udata_value());
    Some((file, line.unwrap_or_default()))
}

impl Dwarf {
    /// The name of a function or variable: its own, or that of the abstract function or declaration it completes.
    pub(crate) fn name(&self, unit: &Unit, entry: &Entry<'_>) -> Option<String> {
        let mut elsewhere: Option<Unit> = None;
        let mut offset = entry.offset;
        for _ in 0..MAX_REFERENCES {
            let unit = elsewhere.as_ref().unwrap_or(unit);
            let entry = unit.entry(offset)?;
            if let Some(name) = entry.attribute(gimli::DW_AT_name) {
                return self.string(&unit.bases, &name).map(Into::into);
            }
            let reference = |name| entry.attribute(name);
            match reference(gimli::DW_AT_abstract_origin).or_else(|| reference(gimli::DW_AT_specification))? {
                AttributeValue::UnitRef(UnitOffset(target)) => offset = target,
                AttributeValue::DebugInfoRef(target) => {
                    let (other, target) = self.unit_around(target.0 as u64)?;
                    offset = target;
                    elsewhere = Some(other);
                }
                _ => return None,
            }
        }
        None
    }

    fn unit_around(&self, offset: u64) -> Option<(Unit, usize)> {
        let start = self.unit_offset_around(offset)?;
        Some((self.unit(start)?, usize::try_from(offset.checked_sub(start)?).ok()?))
    }
}
