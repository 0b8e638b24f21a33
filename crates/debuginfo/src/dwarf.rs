//! DWARF, read one unit at a time.
//!
//! A vmlinux has 150 to 200 MB of `.debug_info` in some 2000 units, one per source file. An analysis needs a few dozen
//! of them, so nothing here reads all units unless there is no other way: `.debug_aranges` says which unit an address
//! belongs to, and that unit is then copied out of the file, used, and dropped. Copied and not mapped, because mapped
//! pages stay resident and the kernel maps sixteen of them for each one touched. The small sections that units refer
//! to (abbreviations, strings, range lists) are mapped.
//!
//! Sources: DWARF 5 and DWARF 4 standards; `gimli` decodes entries, line programs and range lists.

#[cfg(test)]
mod deep;
mod directory;
mod functions;
mod lines;
mod ranges;
mod section;
mod source_path;
mod unit;

use std::{fs::File, iter, sync::Arc};

use gimli::{EndianSlice, LittleEndian};

use crate::{bytes::Bytes, elf::Elf};
use directory::Directory;
pub(crate) use functions::Functions;
pub(crate) use lines::Lines;
use section::Section;
pub(crate) use unit::{Entry, Unit, Value};

/// Units that are looked at to tell what all of them are like: the first of a kernel are of assembly code.
const FIRST_UNITS: usize = 16;
/// The most units that are visited. A kernel with everything built in has 30 000.
const MAX_UNITS: usize = 1 << 20;

/// A part of a DWARF section.
pub(crate) type Slice<'data> = EndianSlice<'data, LittleEndian>;

/// The debug sections of a file. Cheap to share; holds no parsed state but the unit directory.
#[derive(Debug)]
pub(crate) struct Dwarf {
    info: Section,
    line: Section,
    abbrev: Bytes,
    strings: Bytes,
    line_strings: Bytes,
    string_offsets: Bytes,
    addresses: Bytes,
    range_lists: Bytes,
    ranges: Bytes,
    directory: Directory,
}

impl Dwarf {
    /// The DWARF of `elf`, whose bytes `file` reads; `None` where it has none. Without a file, everything is read from
    /// memory.
    pub(crate) fn new(elf: &Elf, file: Option<&Arc<File>>) -> Option<Self> {
        let large = |name| {
            let section = elf.section(name).filter(|section| section.has_contents())?;
            match file {
                Some(file) if !section.is_compressed() => {
                    Some(Section::in_file(Arc::clone(file), section.offset, section.size))
                }
                _ => Some(Section::in_memory(elf.contents(section)?)),
            }
        };
        let small = |name| elf.section(name).and_then(|section| elf.contents(section)).unwrap_or_default();
        let info = large(".debug_info")?;
        let abbrev = elf.contents(elf.section(".debug_abbrev")?)?;
        let aranges = small(".debug_aranges");
        Some(Self {
            directory: Directory::new(&aranges),
            info,
            line: large(".debug_line").unwrap_or_else(|| Section::in_memory(Bytes::default())),
            abbrev,
            strings: small(".debug_str"),
            line_strings: small(".debug_line_str"),
            string_offsets: small(".debug_str_offsets"),
            addresses: small(".debug_addr"),
            range_lists: small(".debug_rnglists"),
            ranges: small(".debug_ranges"),
        })
    }

    /// Reads the unit that starts at `offset` in `.debug_info`.
    pub(crate) fn unit(&self, offset: u64) -> Option<Unit> {
        Unit::read(self, offset)
    }

    /// The offset of the unit that `address`, a link-time code address, belongs to.
    pub(crate) fn unit_at(&self, address: u64) -> Option<u64> {
        self.directory.find(self, address)
    }

    /// Whether units have next to nothing here but the names of files with the rest (`-gsplit-dwarf`).
    pub(crate) fn is_split(&self) -> bool {
        let names_file = |unit: Unit| {
            let names = [gimli::DW_AT_dwo_name, gimli::DW_AT_GNU_dwo_name];
            unit.root().is_some_and(|root| names.into_iter().any(|name| root.has(name)))
        };
        self.all_units().take(FIRST_UNITS).filter_map(|offset| self.unit(offset)).any(names_file)
    }

    /// The length of `.debug_str` in bytes.
    pub(crate) fn strings_len(&self) -> usize {
        self.strings.len()
    }

    /// The offsets of all units, in the order of the section.
    pub(crate) fn all_units(&self) -> impl Iterator<Item = u64> + '_ {
        let mut next = 0;
        let units = iter::from_fn(move || {
            let offset = next;
            next = section::piece_len(&self.info, offset)?.checked_add(offset)?;
            Some(offset)
        });
        units.take(MAX_UNITS)
    }

    /// The offset of the unit that holds the byte `offset` of `.debug_info`. Visits every unit before it: only
    /// link-time optimization makes references across units, so that this is not worth an index.
    pub(crate) fn unit_offset_around(&self, offset: u64) -> Option<u64> {
        self.all_units().take_while(|&start| start <= offset).last()
    }

    fn slice(bytes: &Bytes) -> Slice<'_> {
        EndianSlice::new(bytes, LittleEndian)
    }
}
