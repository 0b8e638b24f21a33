//! One unit of `.debug_info`: its entries, reached by their offsets in the unit.
//!
//! ```text
//! unit header | entry | entry ...        entry = abbreviation code, then the attributes that the code stands for
//! ```
//! An entry whose abbreviation says so is followed by its children and a null entry. Producers add `DW_AT_sibling` to
//! entries with many children; following it is what makes it cheap to look only at the functions of a unit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gimli::{
    Abbreviation, Abbreviations, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugInfo, EndianSlice, EntriesRaw,
    LittleEndian, UnitOffset,
};
use vmcore_memory::{le_u32, le_u64};

use super::{Dwarf, Slice, section};
use crate::bytes::text;

/// Where the first entry of `.debug_str_offsets`, `.debug_addr` and `.debug_rnglists` is, unless the unit says: behind
/// the header of a 32-bit table.
const DEFAULT_BASE: u64 = 8;
const DEFAULT_RANGE_LISTS_BASE: u64 = 12;

/// The value of an attribute.
pub(crate) type Value<'unit> = AttributeValue<Slice<'unit>>;

/// A unit's bytes and what is needed to decode them.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Where the unit starts in `.debug_info`.
    pub(crate) offset: u64,
    bytes: Vec<u8>,
    encoding: gimli::Encoding,
    abbreviations: Abbreviations,
    root: usize,
    pub(crate) bases: Bases,
    siblings: Siblings,
}

/// Where the next entry of the same list is, of entries that do not say it themselves. Found once for an entry and all that is in
/// it: every lookup would pass over the same entries again, which may be nested as deep as somebody likes.
#[derive(Debug, Default)]
struct Siblings(Mutex<HashMap<usize, Option<usize>>>);

impl Siblings {
    fn known(&self) -> MutexGuard<'_, HashMap<usize, Option<usize>>> {
        // Nothing that holds the lock can leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the root entry says about the whole unit.
#[derive(Clone, Debug)]
pub(crate) struct Bases {
    /// The address that offsets in range lists count from.
    pub(crate) low_pc: u64,
    pub(crate) line_program: Option<u64>,
    pub(crate) compilation_directory: Option<String>,
    pub(crate) string_offsets: u64,
    pub(crate) addresses: u64,
    pub(crate) range_lists: u64,
}

impl Default for Bases {
    fn default() -> Self {
        Self {
            low_pc: 0,
            line_program: None,
            compilation_directory: None,
            string_offsets: DEFAULT_BASE,
            addresses: DEFAULT_BASE,
            range_lists: DEFAULT_RANGE_LISTS_BASE,
        }
    }
}

/// An entry of a unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'unit> {
    unit: &'unit Unit,
    abbreviation: &'unit Abbreviation,
    /// Bytes from the start of the unit.
    pub(crate) offset: usize,
    /// Where its attributes start.
    attributes: usize,
}

impl Unit {
    pub(super) fn read(dwarf: &Dwarf, offset: u64) -> Option<Self> {
        let bytes = dwarf.info.read(offset, section::piece_len(&dwarf.info, offset)?)?;
        let header = DebugInfo::new(&bytes, LittleEndian).units().next().ok()??;
        let encoding = header.encoding();
        let root = header.root_offset().0;
        let DebugAbbrevOffset(at) = header.debug_abbrev_offset();
        let abbreviations = DebugAbbrev::from(Dwarf::slice(&dwarf.abbrev)).abbreviations(DebugAbbrevOffset(at)).ok()?;
        let mut unit = Self {
            offset,
            bytes,
            encoding,
            abbreviations,
            root,
            bases: Bases::default(),
            siblings: Siblings::default(),
        };
        unit.bases = unit.read_bases(dwarf)?;
        Some(unit)
    }

    /// The unit's own entry, whose children are its functions, types and variables.
    pub(crate) fn root(&self) -> Option<Entry<'_>> {
        self.entry(self.root)
    }

    /// The entry at `offset` bytes from the start of the unit; `None` for a null entry, which ends a list of children.
    pub(crate) fn entry(&self, offset: usize) -> Option<Entry<'_>> {
        let mut raw = self.raw(offset)?;
        let abbreviation = raw.read_abbreviation().ok()??;
        Some(Entry { unit: self, abbreviation, offset, attributes: raw.next_offset().0 })
    }

    /// Whether the byte `offset` of `.debug_info` belongs to this unit.
    pub(crate) fn contains(&self, offset: u64) -> bool {
        offset.checked_sub(self.offset).is_some_and(|at| at < self.bytes.len() as u64)
    }

    pub(crate) const fn encoding(&self) -> gimli::Encoding {
        self.encoding
    }

    fn raw(&self, offset: usize) -> Option<EntriesRaw<'_, Slice<'_>>> {
        // The header is no entry, and reading one at its offsets would be reading noise.
        let bytes = self.bytes.get(offset..).filter(|_| offset >= self.root)?;
        let input = EndianSlice::new(bytes, LittleEndian);
        Some(EntriesRaw::new(input, self.encoding, &self.abbreviations, UnitOffset(offset)))
    }

    fn read_bases(&self, dwarf: &Dwarf) -> Option<Bases> {
        let mut bases = Bases::default();
        let root = self.root()?;
        let mut low_pc = None;
        let mut directory = None;
        root.for_each_attribute(|name, value| match (name, value) {
            (gimli::DW_AT_low_pc, value) => low_pc = Some(value),
            (gimli::DW_AT_comp_dir, value) => directory = Some(value),
            (gimli::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) => {
                bases.line_program = Some(offset.0 as u64);
            }
            (gimli::DW_AT_str_offsets_base, AttributeValue::DebugStrOffsetsBase(base)) => {
                bases.string_offsets = base.0 as u64;
            }
            (gimli::DW_AT_addr_base, AttributeValue::DebugAddrBase(base)) => bases.addresses = base.0 as u64,
            (gimli::DW_AT_rnglists_base, AttributeValue::DebugRngListsBase(base)) => bases.range_lists = base.0 as u64,
            _ => {}
        });
        // These may be indexes into tables whose bases come later in the same entry.
        bases.low_pc = low_pc.and_then(|value| dwarf.address(&bases, &value)).unwrap_or_default();
        bases.compilation_directory = directory.and_then(|value| dwarf.string(&bases, &value)).map(Into::into);
        Some(bases)
    }
}

impl<'unit> Entry<'unit> {
    pub(crate) fn tag(&self) -> gimli::DwTag {
        self.abbreviation.tag()
    }

    /// Calls `f` with every attribute, in file order, as far as they can be decoded.
    pub(crate) fn for_each_attribute(&self, mut f: impl FnMut(gimli::DwAt, Value<'unit>)) {
        let Some(mut raw) = self.unit.raw(self.attributes) else { return };
        for spec in self.abbreviation.attributes() {
            match raw.read_attribute(*spec) {
                Ok(attribute) => f(spec.name(), attribute.value()),
                Err(_) => return,
            }
        }
    }

    /// The first attribute of this name.
    pub(crate) fn attribute(&self, name: gimli::DwAt) -> Option<Value<'unit>> {
        let specs = self.abbreviation.attributes();
        let at = specs.iter().position(|spec| spec.name() == name)?;
        let mut raw = self.unit.raw(self.attributes)?;
        raw.skip_attributes(specs.get(..at)?).ok()?;
        raw.read_attribute(*specs.get(at)?).ok().map(|attribute| attribute.value())
    }

    /// Whether the entry has this attribute.
    pub(crate) fn has(&self, name: gimli::DwAt) -> bool {
        self.abbreviation.attributes().iter().any(|spec| spec.name() == name)
    }

    /// The entry's children, without theirs.
    pub(crate) fn children(&self) -> Children<'unit> {
        let first = if self.abbreviation.has_children() { self.end() } else { None };
        Children { unit: self.unit, next: first }
    }

    /// Where the entry's attributes end.
    fn end(&self) -> Option<usize> {
        let mut raw = self.unit.raw(self.attributes)?;
        raw.skip_attributes(self.abbreviation.attributes()).ok()?;
        Some(raw.next_offset().0)
    }

    /// Where the next entry of the same list is, past all descendants of this one.
    fn next_sibling(&self) -> Option<usize> {
        if !self.abbreviation.has_children() {
            return self.end();
        }
        if let Some(AttributeValue::UnitRef(UnitOffset(sibling))) = self.attribute(gimli::DW_AT_sibling)
            && sibling > self.attributes
        {
            return Some(sibling);
        }
        if let Some(known) = self.unit.siblings.known().get(&self.offset) {
            return *known;
        }
        let mut open = vec![self.offset];
        let next = self.pass_over(&mut open);
        // Those that are still open have no end.
        self.unit.siblings.known().extend(open.into_iter().map(|entry| (entry, None)));
        next
    }

    /// The place behind all descendants, which is noted for each of them; `open` has the entries whose ends are not found
    /// yet, and at first this one alone.
    fn pass_over(&self, open: &mut Vec<usize>) -> Option<usize> {
        let mut at = self.end()?;
        // Every turn moves `at` forward, so the end of the unit bounds this.
        loop {
            let mut raw = self.unit.raw(at)?;
            match raw.read_abbreviation().ok()? {
                None => {
                    at = raw.next_offset().0;
                    self.unit.siblings.known().insert(open.pop()?, Some(at));
                    if open.is_empty() {
                        return Some(at);
                    }
                }
                Some(abbreviation) => {
                    let attributes = raw.next_offset().0;
                    let entry = Entry { unit: self.unit, abbreviation, offset: at, attributes };
                    let sibling = match entry.attribute(gimli::DW_AT_sibling) {
                        Some(AttributeValue::UnitRef(UnitOffset(sibling))) if sibling > attributes => Some(sibling),
                        _ => None,
                    };
                    match sibling.filter(|_| abbreviation.has_children()) {
                        Some(sibling) => at = sibling,
                        None => {
                            if abbreviation.has_children() {
                                open.push(at);
                            }
                            at = entry.end()?;
                        }
                    }
                }
            }
        }
    }
}

/// Entries of one list of children. Ends at the null entry, or where entries cannot be decoded.
#[derive(Debug)]
pub(crate) struct Children<'unit> {
    unit: &'unit Unit,
    next: Option<usize>,
}

impl<'unit> Iterator for Children<'unit> {
    type Item = Entry<'unit>;

    fn next(&mut self) -> Option<Entry<'unit>> {
        let entry = self.next.and_then(|at| self.unit.entry(at));
        self.next = entry.and_then(|entry| entry.next_sibling());
        entry
    }
}

impl Dwarf {
    /// An attribute's value as an address.
    pub(super) fn address(&self, bases: &Bases, value: &Value<'_>) -> Option<u64> {
        match *value {
            AttributeValue::Addr(address) => Some(address),
            AttributeValue::DebugAddrIndex(index) => self.indexed_address(bases, index.0 as u64),
            _ => None,
        }
    }

    /// The address with this number in the unit's part of `.debug_addr`.
    pub(super) fn indexed_address(&self, bases: &Bases, index: u64) -> Option<u64> {
        let at = bases.addresses.checked_add(index.checked_mul(8)?)?;
        le_u64(&self.addresses, usize::try_from(at).ok()?)
    }

    /// An attribute's value as text. What is not UTF-8 is replaced.
    pub(crate) fn string<'a>(&'a self, bases: &Bases, value: &Value<'a>) -> Option<std::borrow::Cow<'a, str>> {
        let bytes = match *value {
            // In the unit, which was copied out of the file.
            AttributeValue::String(text) => return Some(String::from_utf8_lossy(text.slice())),
            AttributeValue::DebugStrRef(offset) => terminated(&self.strings, offset.0)?,
            AttributeValue::DebugLineStrRef(offset) => terminated(&self.line_strings, offset.0)?,
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let at = bases.string_offsets.checked_add((index.0 as u64).checked_mul(4)?)?;
                let offset = le_u32(&self.string_offsets, usize::try_from(at).ok()?)?;
                terminated(&self.strings, usize::try_from(offset).ok()?)?
            }
            _ => return None,
        };
        Some(text(bytes).into())
    }
}

/// The bytes from `offset` up to the next NUL.
fn terminated(section: &[u8], offset: usize) -> Option<&[u8]> {
    let rest = section.get(offset..)?;
    rest.get(..memchr::memchr(0, rest)?)
}
