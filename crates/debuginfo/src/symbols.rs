//! The symbol table of a vmlinux: names to link-time addresses and back.
//!
//! ```text
//! Elf64_Sym: u32 name | u8 type and binding | u8 other | u16 section | u64 value | u64 size
//! ```
//! Source: System V gABI, "Symbol Table". Both directions are indexes into the mapped table, each built when it is
//! first asked for; only the names are copied.

mod by_address;
mod promoted;

use std::sync::OnceLock;

use vmcore_memory::{VirtAddr, le_u16, le_u32, le_u64};

use crate::{
    bytes::{Bytes, c_string},
    column::{Columns, ColumnsWriter},
    elf::{Elf, SHN_LORESERVE, SHN_UNDEF, write::NewSymbol},
    name_index::NameIndex,
};
use by_address::AddressIndex;
use promoted::Promoted;

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

/// `STT_*`: what a symbol names, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    info: u8,
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
        let (value, size) = (le_u64(bytes, 8)?, le_u64(bytes, 16)?);
        Some(Self { name: le_u32(bytes, 0)?, info, kind, binding, section, value, size })
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
    /// Asked for names that the table does not have.
    promoted: OnceLock<Promoted>,
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
            strings: elf.contents(strings)?.into_memory(),
            spans: spans.collect(),
            by_name: OnceLock::new(),
            promoted: OnceLock::new(),
            code: OnceLock::new(),
            data: OnceLock::new(),
        })
    }

    /// The link-time address (for a per-CPU variable, the offset) of the symbol `name`. Where several have that name:
    /// the first global one, else the first weak, else the first local. Where none has: what link-time optimization has made of the
    /// one symbol of this name, such as `NAME.llvm.123`.
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
    /// files often share a name. Where none has: of what link-time optimization has made of them.
    pub fn addresses<'a>(&'a self, name: &'a str) -> impl Iterator<Item = VirtAddr> + 'a {
        let promoted = self.named(name).next().is_none().then(|| self.promoted(name));
        self.named(name).chain(promoted.into_iter().flatten()).map(|entry| VirtAddr::new(entry.value))
    }

    /// The symbol that `address` lies in, as the kernel's own traces name it.
    ///
    /// That is the one that starts nearest below and has not ended. A label without a size, as the entry code has
    /// them, goes on to the next symbol. Where several start at the same address: one with a size before one
    /// without, functions before objects before labels, global before weak before local, the shorter one, the one with
    /// fewer leading underscores, the first in the table. Symbols of per-CPU sections linked at 0 and absolute symbols are
    /// never found.
    #[must_use]
    pub fn lookup(&self, address: VirtAddr) -> Option<Symbol<'_>> {
        let span = self.spans.iter().flatten().find(|span| (span.start..span.end).contains(&address.get()))?;
        let index =
            if span.executable { self.code() } else { self.data.get_or_init(|| AddressIndex::build(self, false)) };
        let found = index.find(address.get())?;
        let entry = self.entry(found.entry)?;
        let size = if entry.size == 0 { found.extent } else { entry.size };
        Some(Symbol { name: self.name(&entry)?, address: VirtAddr::new(entry.value), size })
    }

    /// All symbols that give a value to a name, in the order of the table. The size is the table's: 0 where it has none.
    pub fn all(&self) -> impl Iterator<Item = Symbol<'_>> {
        let definitions = self.entries_with_numbers().filter(|(_, entry)| entry.is_definition());
        definitions.filter_map(|(_, entry)| {
            Some(Symbol { name: self.name(&entry)?, address: VirtAddr::new(entry.value), size: entry.size })
        })
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

    /// Keeps the indexes, which are made for that, for [`SymbolTable::take`].
    pub(crate) fn keep(&self, to: &mut ColumnsWriter) {
        self.name_index().keep(to);
        self.code().keep(to);
    }

    /// Takes indexes that were kept, if they can be those of this table; whether they can.
    pub(crate) fn take(&self, columns: &mut Columns<'_>) -> bool {
        let Some(by_name) = NameIndex::kept(self.len(), columns) else { return false };
        let Some(code) = AddressIndex::kept(columns) else { return false };
        self.by_name.set(by_name).is_ok() && self.code.set(code).is_ok()
    }

    /// The entries that a profile needs, with the section numbers that `numbers` gives for theirs. Left out is what
    /// nobody looks up and yet is a third of the table: local labels in data without a size (the compiler's constants,
    /// the records of exported symbols), and from Linux 6.2 on the padding before each function (`__pfx_*`).
    pub(crate) fn worth_keeping<'a>(&'a self, numbers: &'a [u16]) -> impl Iterator<Item = NewSymbol<'a>> + 'a {
        self.entries_with_numbers().filter(|(_, entry)| entry.is_definition()).filter_map(|(_, entry)| {
            let span = self.spans.get(usize::from(entry.section)).copied().flatten();
            let is_label = entry.kind == Kind::Untyped && entry.binding == Binding::Local && entry.size == 0;
            if is_label && span.is_some_and(|span| !span.executable) {
                return None;
            }
            let section = match numbers.get(usize::from(entry.section)) {
                Some(0) => return None,
                Some(&number) => number,
                None => entry.section,
            };
            let name = self.name_bytes(&entry).filter(|name| !name.starts_with(b"__pfx_"))?;
            Some(NewSymbol { name, info: entry.info, section, value: entry.value, size: entry.size })
        })
    }

    fn best(&self, name: &str) -> Option<Entry> {
        // min_by_key returns the first of equal elements.
        self.named(name).min_by_key(|entry| entry.binding).or_else(|| self.only_promoted(name))
    }

    /// The entry of the static symbol `name` that was made global under another name; `None` where there are several.
    fn only_promoted(&self, name: &str) -> Option<Entry> {
        let mut entries = self.promoted(name);
        let first = entries.next()?;
        entries.all(|other| other.value == first.value).then_some(first)
    }

    fn promoted<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Entry> + 'a {
        let entries = self.promoted.get_or_init(|| Promoted::find(self)).of(name).filter_map(|at| self.entry(at));
        let is_named = |entry: &Entry| self.name_bytes(entry).and_then(promoted::source_name) == Some(name.as_bytes());
        entries.filter(is_named)
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

    fn code(&self) -> &AddressIndex {
        self.code.get_or_init(|| AddressIndex::build(self, true))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, RODATA, TEXT};

    /// `name+offset/size` of an address in `.text`, as the kernel prints it.
    fn at(vmlinux: &crate::Vmlinux, offset: u64) -> String {
        let address = VirtAddr::new(TEXT + offset);
        vmlinux.symbols().lookup(address).map_or("nothing".into(), |symbol| {
            format!("{}+{:#x}/{:#x}", symbol.name, address.get() - symbol.address.get(), symbol.size)
        })
    }

    #[test]
    fn addresses_have_the_names_that_the_kernel_prints() {
        let vmlinux = Fixture::new().open();
        assert_eq!(at(&vmlinux, 0x100), "schedule+0x0/0x80");
        assert_eq!(at(&vmlinux, 0x17f), "schedule+0x7f/0x80");
        assert_eq!(at(&vmlinux, 0x180), "nothing", "padding behind a function");
        assert_eq!(at(&vmlinux, 0x210), "wait+0x10/0x40", "of aliases, the global one with fewer underscores");
        assert_eq!(at(&vmlinux, 0x43f), "entry_SYSCALL_64+0x3f/0x100");
        assert_eq!(at(&vmlinux, 0x4ae), "entry_SYSCALL_64_after_hwframe+0x6e/0xc0");
        assert_eq!(at(&vmlinux, 0x500), "nothing", "a label ends with the code around it");
        assert_eq!(at(&vmlinux, 0x10), "_text+0x10/0xf0", "a label ends where the next symbol starts");
        assert_eq!(at(&vmlinux, 0x610), "helper+0x10/0x20", "absolute symbols are no addresses");
        assert_eq!(at(&vmlinux, 0x1000), "nothing", "a marker at the end of its section");
    }

    #[test]
    fn per_cpu_offsets_are_not_addresses() {
        let vmlinux = Fixture::new().open();
        let symbols = vmlinux.symbols();
        assert_eq!(symbols.address("runqueues"), Some(VirtAddr::new(0x40)));
        assert_eq!(symbols.size("runqueues"), Some(0x100));
        for small in [0, 0x40, 0x60, 0xfff] {
            assert_eq!(symbols.lookup(VirtAddr::new(small)), None);
        }
    }

    #[test]
    fn names_have_the_address_of_their_best_definition() {
        let vmlinux = Fixture::new().open();
        let symbols = vmlinux.symbols();
        assert_eq!(symbols.address("handler"), Some(VirtAddr::new(TEXT + 0x910)), "global before weak");
        let both = [0x600, 0x700].map(|offset| VirtAddr::new(TEXT + offset));
        assert_eq!(symbols.addresses("helper").collect::<Vec<_>>(), both, "in the order of the table");
        assert_eq!(symbols.address("helper"), Some(both[0]));
        assert_eq!(symbols.address("absolute"), Some(VirtAddr::new(TEXT + 0x610)));
        assert_eq!(symbols.address("elsewhere"), None, "undefined");
        assert_eq!(symbols.address("no_such_symbol"), None);
        assert_eq!(symbols.address(""), None);
        assert_eq!(symbols.size("_text"), None);
        assert!(!symbols.is_empty() && symbols.len() == 21);
    }

    #[test]
    fn data_has_symbols_too() {
        let vmlinux = Fixture::new().open();
        let symbol = vmlinux.symbols().lookup(VirtAddr::new(RODATA + 0x81)).unwrap();
        assert_eq!(symbol, Symbol { name: "table", address: VirtAddr::new(RODATA + 0x80), size: 0x40 });
    }
}
