//! The symbol table of a vmlinux: names to link-time addresses and back.
//!
//! ```text
//! Elf64_Sym: u32 name | u8 type and binding | u8 other | u16 section | u64 value | u64 size
//! ```
//! Source: System V gABI, "Symbol Table". Nothing is copied: both directions are indexes into the mapped table, each
//! built when it is first asked for.

mod by_address;

use std::sync::OnceLock;

use vmcore_memory::{VirtAddr, le_u16, le_u32, le_u64};

use crate::{
    bytes::Bytes,
    elf::{Elf, SHN_LORESERVE, SHN_UNDEF},
    name_index::NameIndex,
};
use by_address::AddressIndex;

/// Size of an `Elf64_Sym`, in bytes.
const ENTRY_SIZE: usize = 24;
/// Symbols beyond this number are not read. A kernel has some 200 000.
const MAX_SYMBOLS: usize = 1 << 26;

/// A symbol of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'table> {
    /// The name as linked, compiler suffixes such as `.isra.0` included.
    pub name: &'table str,
    /// Link-time address of its first byte.
    pub address: VirtAddr,
    /// Bytes that belong to it: the size in the table or, for an assembly label that has none, the distance to the
    /// next symbol or to the end of the code around it.
    pub size: u64,
}

/// `STT_*`: what a symbol names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Function,
    Object,
    /// Assembly labels and linker-script symbols.
    Untyped,
    /// Sections, source files and thread-local symbols, which have no address of their own.
    Other,
}

/// `STB_*`, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Global,
    Weak,
    Local,
}

/// One entry of the table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    name: u32,
    kind: Kind,
    binding: Binding,
    section: u16,
    value: u64,
    size: u64,
}

impl Entry {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let info = bytes.get(4).copied()?;
        let kind = match info & 0xf {
            0 => Kind::Untyped,
            1 => Kind::Object,
            2 | 10 => Kind::Function,
            _ => Kind::Other,
        };
        let binding = match info >> 4 {
            0 => Binding::Local,
            2 => Binding::Weak,
            _ => Binding::Global,
        };
        let section = le_u16(bytes, 6)?;
        Some(Self {
            name: le_u32(bytes, 0)?,
            kind,
            binding,
            section,
            value: le_u64(bytes, 8)?,
            size: le_u64(bytes, 16)?,
        })
    }

    /// Whether the entry gives a value to a name.
    fn is_definition(&self) -> bool {
        self.kind != Kind::Other && self.section != SHN_UNDEF && self.name != 0
    }
}

/// A stretch of link-time addresses that symbols can lie in: an allocated section that is not linked at address 0.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    end: u64,
    executable: bool,
}

/// The symbols of a vmlinux. All addresses are link-time addresses: add the KASLR offset for the dump's.
#[derive(Debug)]
pub struct SymbolTable {
    entries: Bytes,
    strings: Bytes,
    /// By section number; `None` where the section holds no addresses.
    spans: Vec<Option<Span>>,
    by_name: OnceLock<NameIndex>,
    code: OnceLock<AddressIndex>,
    data: OnceLock<AddressIndex>,
}

impl SymbolTable {
    /// The table of `elf`; `None` where there is none, or its bytes are not in the file.
    pub(crate) fn new(elf: &Elf) -> Option<Self> {
        let (symbols, strings) = elf.symbol_table()?;
        let spans = elf.sections.iter().map(|section| {
            // Per-CPU data is linked at address 0 up to Linux 6.14: its symbols are offsets, and would claim every
            // small number that is looked up.
            let holds_addresses = section.is_allocated() && section.address != 0;
            let end = section.address.checked_add(section.size)?;
            holds_addresses.then(|| Span { start: section.address, end, executable: section.is_executable() })
        });
        Some(Self {
            entries: elf.contents(symbols)?,
            strings: elf.contents(strings)?,
            spans: spans.collect(),
            by_name: OnceLock::new(),
            code: OnceLock::new(),
            data: OnceLock::new(),
        })
    }

    /// The link-time address (for a per-CPU variable, the offset) of the symbol `name`. Where several have that name:
    /// the first global one, else the first weak, else the first local.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<VirtAddr> {
        self.best(name).map(|entry| VirtAddr::new(entry.value))
    }

    /// The size of the symbol `name` as the table has it, in bytes; `None` where there is no such symbol or it has no
    /// size. Where several have that name, that of the one [`SymbolTable::address`] gives.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<u64> {
        self.best(name).map(|entry| entry.size).filter(|&size| size != 0)
    }

    /// The addresses of all symbols `name`, in the order of the table. Static functions and variables of different
    /// files often share a name.
    pub fn addresses<'a>(&'a self, name: &'a str) -> impl Iterator<Item = VirtAddr> + 'a {
        self.named(name).map(|entry| VirtAddr::new(entry.value))
    }

    /// The symbol that `address` lies in, as the kernel's own traces name it.
    ///
    /// That is the one that starts nearest below and has not ended. A label without a size, as the entry code has
    /// them, goes on to the next symbol. Where several start at the same address: one with a size before one
    /// without, functions before objects before labels, global before weak before local, the one with fewer
    /// leading underscores, the first in the table. Symbols of per-CPU sections linked at 0 and absolute symbols are
    /// never found.
    #[must_use]
    pub fn lookup(&self, address: VirtAddr) -> Option<Symbol<'_>> {
        let span = self.spans.iter().flatten().find(|span| (span.start..span.end).contains(&address.get()))?;
        let index = if span.executable {
            self.code.get_or_init(|| AddressIndex::build(self, true))
        } else {
            self.data.get_or_init(|| AddressIndex::build(self, false))
        };
        let found = index.find(address.get())?;
        let entry = self.entry(found.entry)?;
        let size = if entry.size == 0 { found.extent } else { entry.size };
        Some(Symbol { name: self.name(&entry)?, address: VirtAddr::new(entry.value), size })
    }

    /// How many entries the table has, undefined and nameless ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.entries.len() / ENTRY_SIZE).min(MAX_SYMBOLS)
    }

    /// Whether the table has no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Builds the indexes for names and for code addresses now, on two threads where there are two: what a caller that
    /// knows that it needs both does while it waits for something else.
    pub fn prepare(&self) {
        rayon::join(|| self.name_index(), || self.code.get_or_init(|| AddressIndex::build(self, true)));
    }

    fn best(&self, name: &str) -> Option<Entry> {
        // min_by_key returns the first of equal elements.
        self.named(name).min_by_key(|entry| entry.binding)
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Entry> + 'a {
        let candidates = self.name_index().candidates(name.as_bytes());
        candidates.filter_map(|at| self.entry(at)).filter(|entry| self.name_bytes(entry) == Some(name.as_bytes()))
    }

    fn name_index(&self) -> &NameIndex {
        self.by_name.get_or_init(|| {
            // Backwards, because the index finds first what came last.
            let definitions = self.entries_with_numbers().rev().filter(|(_, entry)| entry.is_definition());
            NameIndex::build(self.len(), definitions.filter_map(|(at, entry)| Some((at, self.name_bytes(&entry)?))))
        })
    }

    fn entries_with_numbers(&self) -> impl DoubleEndedIterator<Item = (u32, Entry)> + '_ {
        let entries = self.entries.as_chunks::<ENTRY_SIZE>().0.iter().take(MAX_SYMBOLS).enumerate();
        entries.filter_map(|(at, bytes)| Some((u32::try_from(at).ok()?, Entry::parse(bytes)?)))
    }

    fn entry(&self, at: u32) -> Option<Entry> {
        let start = usize::try_from(at).ok()?.checked_mul(ENTRY_SIZE)?;
        Entry::parse(self.entries.get(start..)?.get(..ENTRY_SIZE)?)
    }

    fn name_bytes(&self, entry: &Entry) -> Option<&[u8]> {
        c_string(&self.strings, entry.name)
    }

    fn name(&self, entry: &Entry) -> Option<&str> {
        std::str::from_utf8(self.name_bytes(entry)?).ok()
    }

    /// The span that `entry` lies in; `None` for absolute and per-CPU symbols and for those, such as the end markers
    /// of linker scripts, whose address is not inside their section.
    fn span(&self, entry: &Entry) -> Option<Span> {
        if entry.section >= SHN_LORESERVE {
            return None;
        }
        let span = self.spans.get(usize::from(entry.section)).copied().flatten()?;
        (span.start..span.end).contains(&entry.value).then_some(span)
    }
}

/// The string at `offset` of a string table, without its terminator; `None` where it has none.
pub(crate) fn c_string(strings: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    rest.get(..memchr::memchr(0, rest)?)
}
