//! A module's symbols, from the table that it keeps for kallsyms: an ELF `.symtab` and `.strtab` in kernel memory, with
//! addresses already relocated.

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr, le_u16, le_u32, le_u64};

/// `sizeof(Elf64_Sym)`.
const ENTRY_SIZE: u64 = 24;
/// More symbols than any module keeps.
const MAX_SYMBOLS: u64 = 1 << 20;
/// `KSYM_NAME_LEN`.
const NAME_LEN: usize = 512;

/// The code symbols of one module, by address.
#[derive(Default)]
pub(super) struct ModuleSymbols {
    symbols: Vec<Entry>,
}

struct Entry {
    address: VirtAddr,
    size: u64,
    name: VirtAddr,
}

/// A symbol of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSymbol {
    /// Its name. From the dump: untrusted.
    pub name: String,
    /// Its run-time address.
    pub address: VirtAddr,
}

impl ModuleSymbols {
    pub(super) fn read<M: ReadVirtual + ?Sized>(
        memory: &M,
        symtab: VirtAddr,
        count: u64,
        strtab: VirtAddr,
        is_code: impl Fn(VirtAddr) -> bool,
    ) -> Result<Self, ReadError> {
        let bytes = memory.read_bytes(symtab, count.min(MAX_SYMBOLS) * ENTRY_SIZE)?;
        let parse = |entry: &[u8]| {
            let (name, section) = (le_u32(entry, 0)?, le_u16(entry, 6)?);
            let (address, size) = (VirtAddr::new(le_u64(entry, 8)?), le_u64(entry, 16)?);
            // Index 0 is an undefined symbol: one that the module imports.
            (section != 0 && is_code(address)).then(|| Entry {
                address,
                size,
                name: strtab.wrapping_add(u64::from(name)),
            })
        };
        let mut symbols: Vec<_> = bytes.chunks_exact(ENTRY_SIZE as usize).filter_map(parse).collect();
        // At equal addresses the sized symbol is the function, the other a label on it.
        symbols.sort_by_key(|entry| (entry.address, entry.size));
        Ok(Self { symbols })
    }

    /// Where the symbols `name` are.
    pub(super) fn named<M: ReadVirtual + ?Sized>(&self, memory: &M, name: &str) -> Vec<VirtAddr> {
        let is_named =
            |entry: &&Entry| memory.read_c_string(entry.name, NAME_LEN).is_ok_and(|own| own == name.as_bytes());
        self.symbols.iter().filter(is_named).map(|entry| entry.address).collect()
    }

    /// The last named symbol at or below `address` that reaches it.
    pub(super) fn find<M: ReadVirtual + ?Sized>(&self, memory: &M, address: VirtAddr) -> Option<ModuleSymbol> {
        let after = self.symbols.partition_point(|entry| entry.address <= address);
        let below = self.symbols.get(..after)?;
        let covers = |entry: &&Entry| entry.size == 0 || address.wrapping_sub(entry.address.get()).get() < entry.size;
        below.iter().rev().take(16).filter(covers).find_map(|entry| {
            let name = memory.read_c_string(entry.name, NAME_LEN).ok().filter(|name| !name.is_empty())?;
            Some(ModuleSymbol { name: String::from_utf8_lossy(&name).into_owned(), address: entry.address })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_memory::TestMemory;

    const SYMTAB: u64 = 0x1000;
    const STRTAB: u64 = 0x2000;
    const TEXT: u64 = 0xffff_ffff_c000_0000;

    /// Symbols of (name, section, offset in the module's code, size).
    fn read(symbols: &[(&str, u16, u64, u64)]) -> (TestMemory, ModuleSymbols) {
        let mut memory = TestMemory::default();
        let mut name_at = 1;
        for (entry, (name, section, offset, size)) in (SYMTAB..).step_by(24).zip(symbols) {
            memory.put_u32(entry, name_at);
            memory.put_u16(entry + 6, *section);
            memory.put_u64(entry + 8, TEXT + offset);
            memory.put_u64(entry + 16, *size);
            memory.put(STRTAB + u64::from(name_at), name.as_bytes());
            name_at += u32::try_from(name.len()).unwrap() + 1;
        }
        memory.put(STRTAB + u64::from(name_at), &[0]);
        let is_code = |address: VirtAddr| (TEXT..TEXT + 0x1000).contains(&address.get());
        let count = symbols.len() as u64;
        let read = ModuleSymbols::read(&memory, VirtAddr::new(SYMTAB), count, VirtAddr::new(STRTAB), is_code);
        (memory, read.unwrap())
    }

    fn name(found: &(TestMemory, ModuleSymbols), offset: u64) -> Option<String> {
        found.1.find(&found.0, VirtAddr::new(TEXT + offset)).map(|symbol| symbol.name)
    }

    #[test]
    fn symbols_cover_their_size() {
        let found = read(&[("second", 1, 0x100, 0x40), ("first", 1, 0, 0x20), ("imported", 0, 0x30, 0x40)]);
        assert_eq!(name(&found, 0x1f).as_deref(), Some("first"));
        assert_eq!(name(&found, 0x20), None, "between two functions");
        assert_eq!(name(&found, 0x100).as_deref(), Some("second"));
        assert_eq!(name(&found, 0x13f).as_deref(), Some("second"));
    }

    #[test]
    fn a_function_is_named_rather_than_a_label_on_it() {
        let found = read(&[("label", 1, 0, 0), ("function", 1, 0, 0x20), ("", 1, 0x10, 0x10), ("data", 2, 0x5000, 8)]);
        assert_eq!(name(&found, 0).as_deref(), Some("function"));
        assert_eq!(name(&found, 0x18).as_deref(), Some("function"), "a symbol without a name is passed over");
    }

    #[test]
    fn an_absurd_count_is_an_error() {
        let memory = TestMemory::default();
        let address = VirtAddr::new(SYMTAB);
        assert!(ModuleSymbols::read(&memory, address, u64::MAX, address, |_| true).is_err());
    }
}
