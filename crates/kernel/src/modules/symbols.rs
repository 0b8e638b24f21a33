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
