//! Putting a relocatable object where the kernel put it.
//!
//! A module is not linked: its sections have no addresses, its symbols count from the start of their section, and its
//! debug sections have zeroes where addresses and offsets belong. What belongs there is in a relocation section each:
//!
//! ```text
//! Elf64_Rela: u64 offset | u32 type | u32 symbol | i64 addend      value = symbol + addend, at the offset
//! ```
//! Sources: System V ABI, AMD64 supplement, section 4.4; ELF for the Arm 64-bit Architecture, section 5.7.

use object::elf;
use vmcore_memory::{Architecture, le_u16, le_u32, le_u64};

use super::relocations::absolute_bytes;
use super::{Elf, SHN_LORESERVE, SHN_UNDEF, Section};

const RELA_SIZE: usize = 24;
const SYMBOL_SIZE: usize = 24;
/// `SHN_ABS`.
const SHN_ABS: u16 = 0xfff1;

impl Elf {
    /// Gives each allocated section the address that `place` knows for its name (none: it has no place any more), and
    /// brings symbols and debug sections in line with that.
    ///
    /// The error says what cannot be expressed: nothing is to be read of the file then.
    pub(crate) fn place_sections(&mut self, place: impl Fn(&str) -> Option<u64>) -> Result<(), String> {
        for section in self.sections.iter_mut().filter(|section| section.is_allocated()) {
            section.address = place(&section.name).unwrap_or(0);
        }
        let (at, symbols) = self.placed_symbols().ok_or("its symbol table is damaged")?;
        let mut replaced = Vec::new();
        for relocations in self.sections.iter().filter(|section| section.kind == elf::SHT_RELA.0) {
            let number = usize::try_from(relocations.info).unwrap_or(usize::MAX);
            let Some(target) = self.sections.get(number).filter(|target| is_read(target)) else { continue };
            let name = &target.name;
            let (Some(contents), Some(entries)) = (self.contents(target), self.contents(relocations)) else {
                return Err(format!("{name} or its relocations cannot be read"));
            };
            let mut contents = contents.to_vec();
            apply(self.architecture, &mut contents, (&entries, &symbols)).map_err(|why| format!("{name}: {why}"))?;
            replaced.push((number, contents));
        }
        replaced.push((at, symbols));
        for (number, contents) in replaced {
            if let Some(section) = self.sections.get_mut(number) {
                section.compression = None;
                section.size = contents.len() as u64;
                section.replaced = Some(contents.into());
            }
        }
        Ok(())
    }

    /// The symbol table with addresses for values, and its section number.
    fn placed_symbols(&self) -> Option<(usize, Vec<u8>)> {
        let at = self.sections.iter().position(|section| section.kind == elf::SHT_SYMTAB.0)?;
        let mut table = self.contents(self.sections.get(at)?)?.to_vec();
        for entry in table.as_chunks_mut::<SYMBOL_SIZE>().0 {
            let section = le_u16(entry, 6)?;
            let value = match self.sections.get(usize::from(section)) {
                Some(section) => section.address.wrapping_add(le_u64(entry, 8)?),
                None => continue,
            };
            entry.get_mut(8..16)?.copy_from_slice(&value.to_le_bytes());
        }
        Some((at, table))
    }
}

/// Whether anybody reads the section: location lists are large and nobody does.
fn is_read(section: &Section) -> bool {
    section.name.starts_with(".debug_") && !section.name.starts_with(".debug_loc") && section.has_contents()
}

fn apply(architecture: Architecture, contents: &mut [u8], (entries, symbols): (&[u8], &[u8])) -> Result<(), String> {
    for entry in entries.as_chunks::<RELA_SIZE>().0 {
        let fields = || Some((le_u64(entry, 0)?, le_u32(entry, 8)?, le_u32(entry, 12)?, le_u64(entry, 16)?));
        let (offset, kind, symbol, addend) = fields().ok_or("a relocation is cut short")?;
        let size = absolute_bytes(architecture, kind)
            .ok_or_else(|| format!("relocations of type {kind} are not known in debug information"))?;
        if size == 0 {
            continue;
        }
        let value = symbol_value(symbols, symbol).ok_or("a relocation names no symbol")?.wrapping_add(addend);
        let start = usize::try_from(offset).ok();
        let place = start.and_then(|start| contents.get_mut(start..)?.get_mut(..size));
        let place = place.ok_or("a relocation lies outside")?;
        place.copy_from_slice(value.to_le_bytes().get(..size).unwrap_or_default());
    }
    Ok(())
}

/// The value of a symbol in a table that is in place; 0 for one that is defined elsewhere, as weak ones may be.
fn symbol_value(symbols: &[u8], number: u32) -> Option<u64> {
    let start = usize::try_from(number).ok()?.checked_mul(SYMBOL_SIZE)?;
    let entry = symbols.get(start..)?.get(..SYMBOL_SIZE)?;
    match le_u16(entry, 6)? {
        SHN_UNDEF => Some(0),
        section if section < SHN_LORESERVE || section == SHN_ABS => le_u64(entry, 8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of a null symbol and ones with (section, value).
    fn symbols(values: &[(u16, u64)]) -> Vec<u8> {
        let mut table = vec![0; SYMBOL_SIZE];
        for (section, value) in values {
            table.extend([0; 6]);
            table.extend(section.to_le_bytes());
            table.extend(value.to_le_bytes());
            table.extend([0; 8]);
        }
        table
    }

    fn rela(offset: u64, kind: u32, symbol: u32, addend: i64) -> Vec<u8> {
        [&offset.to_le_bytes()[..], &kind.to_le_bytes(), &symbol.to_le_bytes(), &addend.to_le_bytes()].concat()
    }

    #[test]
    fn values_are_symbol_plus_addend() {
        let symbols = symbols(&[(1, 0xffff_ffff_c000_0000), (SHN_ABS, 7), (SHN_UNDEF, 99)]);
        let entries = [rela(0, 1, 1, 0x10), rela(8, 10, 2, -2), rela(12, 11, 3, 5), rela(4096, 0, 9, 0)].concat();
        let mut contents = vec![0xee; 20];
        apply(Architecture::X86_64, &mut contents, (&entries, &symbols)).unwrap();
        assert_eq!(contents[..8], 0xffff_ffff_c000_0010u64.to_le_bytes());
        assert_eq!(contents[8..16], [5, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(contents[16..], [0xee; 4]);
    }

    #[test]
    fn numbers_of_arm64_are_its_own() {
        let symbols = symbols(&[(1, 0xffff_8000_7a00_0000), (2, 0x30)]);
        let entries = [rela(0, 257, 1, 0x10), rela(8, 258, 2, 4), rela(4096, 0, 9, 0)].concat();
        let mut contents = vec![0xee; 16];
        apply(Architecture::Arm64, &mut contents, (&entries, &symbols)).unwrap();
        assert_eq!(contents[..8], 0xffff_8000_7a00_0010u64.to_le_bytes());
        assert_eq!(contents[8..], [0x34, 0, 0, 0, 0xee, 0xee, 0xee, 0xee]);
        for (architecture, kind) in [(Architecture::Arm64, 1), (Architecture::X86_64, 257)] {
            assert!(apply(architecture, &mut contents, (&rela(0, kind, 1, 0), &symbols)).is_err());
        }
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let symbols = symbols(&[(0xffff, 1)]);
        let fails = |entry: Vec<u8>| apply(Architecture::X86_64, &mut [0; 8], (&entry, &symbols)).unwrap_err();
        assert!(fails(rela(0, 2, 0, 0)).contains("type 2"));
        assert!(fails(rela(0, 1, 9, 0)).contains("no symbol"));
        assert!(fails(rela(0, 1, 1, 0)).contains("no symbol"), "an extended section number");
        for offset in [1, 8, u64::MAX] {
            assert!(fails(rela(offset, 1, 0, 0)).contains("outside"), "{offset}");
        }
    }
}
