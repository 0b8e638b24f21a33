//! Loaded modules: where their code is, their symbols and unwind tables, all from memory.
//!
//! Modules are on the list `modules`. Each keeps its own symbol table for kallsyms (`module.kallsyms`) and its ORC
//! tables (`module.arch`) in kernel memory, so that no module file is needed. Where there is one, of the same build and
//! with debug information, it adds source lines and inlined functions.
//!
//! Source: `include/linux/module.h`, `kernel/module/kallsyms.c`, `arch/x86/include/asm/module.h`.

mod identity;
mod layout;
mod symbols;
mod types;

use std::path::Path;
use std::sync::OnceLock;

use vmcore_debuginfo::{LoadedModule, ModuleDebug, ModuleFiles};
use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};
use vmcore_unwind::orc::{ENTRY_SIZE, OrcFormat, OrcTable};

use crate::Gap;
use crate::list::{Listed, list};

use layout::KallsymsLayout;
pub(crate) use layout::ModuleLayout;
pub use symbols::ModuleSymbol;
use symbols::ModuleSymbols;
pub(crate) use types::{ModuleTypes, Places};

/// More modules than any machine loads.
const MAX_MODULES: usize = 10_000;
/// `MODULE_NAME_LEN`.
const NAME_LEN: usize = 56;
/// More ORC entries than all modules of a machine have together; 80 MiB of tables.
const MAX_ORCS: u64 = 8 << 20;
/// The same for symbols, with some 100 MiB.
const MAX_SYMBOLS: u64 = 4 << 20;

/// One loaded module.
pub struct Module {
    /// The address of its `struct module`.
    pub address: VirtAddr,
    /// Its name. From the dump: untrusted.
    pub name: String,
    text: Vec<(VirtAddr, VirtAddr)>,
    /// How many entries its tables have; 0 where that makes no sense.
    symbol_count: u64,
    orc_count: u64,
    symbols: OnceLock<ModuleSymbols>,
    orc: OnceLock<Option<OrcTable<'static>>>,
    /// Its file, or why those that were found do not serve.
    debug: OnceLock<Result<ModuleDebug, Vec<String>>>,
}

impl Module {
    /// Whether `address` is in the module's code.
    #[must_use]
    pub fn contains(&self, address: VirtAddr) -> bool {
        self.text.iter().any(|(start, end)| (*start..*end).contains(&address))
    }

    /// Where the module's code is: from and up to.
    #[must_use]
    pub fn text(&self) -> &[(VirtAddr, VirtAddr)] {
        &self.text
    }

    /// The file that source lines of the module came from, once some were asked for.
    #[must_use]
    pub fn debug_file(&self) -> Option<&Path> {
        self.debug.get()?.as_ref().ok().map(ModuleDebug::path)
    }

    /// Why files that were found for the module are not used, once source lines were asked for.
    #[must_use]
    pub fn rejected_files(&self) -> &[String] {
        self.debug.get().and_then(|debug| debug.as_ref().err()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// All loaded modules, ordered by the address of their code; none by default, as in a kernel that was built without modules.
#[derive(Default)]
pub(crate) struct Modules {
    layout: Option<ModuleLayout>,
    modules: Vec<Module>,
    /// Why some may be missing.
    unread: Vec<Gap>,
    files: Option<ModuleFiles>,
}

impl Modules {
    /// Walks the module list whose head is at `head`. Symbols and tables are read when first asked for.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        memory: &M,
        head: Option<VirtAddr>,
        layout: Option<ModuleLayout>,
        gaps: &mut Vec<Gap>,
    ) -> Self {
        let unlisted = |why| Listed { gap: Some(Gap::new("modules", why)), ..Listed::default() };
        let listed = match (head, &layout) {
            (Some(head), Some(_)) => list(memory, head, MAX_MODULES, "module list"),
            (None, _) => unlisted("nothing says where their list is: their code has no names"),
            (_, None) => unlisted("the debug information has no module.list: their code has no names"),
        };
        let mut unread: Vec<_> = listed.gap.into_iter().collect();
        let mut modules = Vec::new();
        for (node, layout) in listed.nodes.into_iter().filter_map(|node| Some((node, layout.as_ref()?))) {
            let address = layout.list.container(node);
            match read_module(memory, address, layout) {
                Ok(module) => modules.push(module),
                Err(error) => unread.push(Gap::new(format!("module at {address}"), error)),
            }
        }
        let with_code = || modules.iter().any(|module| !module.text.is_empty());
        if layout.as_ref().is_some_and(|layout| layout.kallsyms.is_none()) && with_code() {
            let why = "the debug information has no module.kallsyms (CONFIG_KALLSYMS): their code has no names";
            gaps.push(Gap::new("symbols of modules", why));
        }
        gaps.extend_from_slice(&unread);
        gaps.extend(bound_tables(&mut modules));
        modules.sort_by_key(|module| (module.text.first().copied(), module.address));
        Self { layout, modules, unread, files: None }
    }

    /// Says where files of modules are.
    pub(crate) fn set_files(&mut self, files: ModuleFiles) {
        self.files = Some(files);
    }

    /// The debug information of `module`, if there is a file of the same build. Looked for once.
    pub(crate) fn debug<'a, M: ReadVirtual + ?Sized>(&self, memory: &M, module: &'a Module) -> Option<&'a ModuleDebug> {
        let find = || {
            let files = self.files.as_ref().ok_or_else(Vec::new)?;
            let layout = self.layout.as_ref().ok_or_else(Vec::new)?;
            let identity = layout.identity.read(memory, module.address).ok_or_else(Vec::new)?;
            let (build_id, sections) = (&identity.build_id, &identity.sections);
            files.open(&LoadedModule { name: &module.name, build_id, sections })
        };
        module.debug.get_or_init(find).as_ref().ok()
    }

    /// The modules.
    pub(crate) fn all(&self) -> &[Module] {
        &self.modules
    }

    /// Why modules may be missing; empty where the whole list was read.
    pub(crate) fn unread(&self) -> &[Gap] {
        &self.unread
    }

    /// The module whose code holds `address`.
    pub(crate) fn find(&self, address: VirtAddr) -> Option<&Module> {
        self.modules.iter().find(|module| module.contains(address))
    }

    /// The symbol of `module` that covers `address`.
    pub(crate) fn symbol<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        module: &Module,
        address: VirtAddr,
    ) -> Option<ModuleSymbol> {
        self.symbols(memory, module).find(memory, address)
    }

    /// The code of all modules called `name`, each with its module.
    pub(crate) fn named<M: ReadVirtual + ?Sized>(&self, memory: &M, name: &str) -> Vec<(VirtAddr, String)> {
        let of_module = |module: &Module| {
            let addresses = self.symbols(memory, module).named(memory, name).into_iter();
            addresses.map(|address| (address, module.name.clone())).collect::<Vec<_>>()
        };
        self.modules.iter().flat_map(of_module).collect()
    }

    fn symbols<'a, M: ReadVirtual + ?Sized>(&self, memory: &M, module: &'a Module) -> &'a ModuleSymbols {
        let read = || {
            let layout = self.layout.as_ref()?.kallsyms.as_ref()?;
            read_symbols(memory, module, layout).ok()
        };
        module.symbols.get_or_init(|| read().unwrap_or_default())
    }

    /// The ORC tables of `module`, if it has any that can be read.
    pub(crate) fn orc<'a, M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        module: &'a Module,
        format: OrcFormat,
    ) -> Option<&'a OrcTable<'static>> {
        module.orc.get_or_init(|| self.read_orc(memory, module, format)).as_ref()
    }

    fn read_orc<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        module: &Module,
        format: OrcFormat,
    ) -> Option<OrcTable<'static>> {
        let layout = self.layout.as_ref()?;
        let count = module.orc_count;
        let ips_address = layout.orc_unwind_ip?.read_pointer(memory, module.address).ok()?;
        let entries_address = layout.orc_unwind?.read_pointer(memory, module.address).ok()?;
        let ips = memory.read_bytes(ips_address, count * 4).ok()?;
        let entries = memory.read_bytes(entries_address, count * ENTRY_SIZE as u64).ok()?;
        Some(OrcTable::new(ips, ips_address, entries, format))
    }
}

fn read_symbols<M: ReadVirtual + ?Sized>(
    memory: &M,
    module: &Module,
    layout: &KallsymsLayout,
) -> Result<ModuleSymbols, ReadError> {
    let kallsyms = layout.pointer.read_pointer(memory, module.address)?;
    let symtab = layout.symtab.read_pointer(memory, kallsyms)?;
    let strtab = layout.strtab.read_pointer(memory, kallsyms)?;
    ModuleSymbols::read(memory, symtab, module.symbol_count, strtab, |address| module.contains(address))
}

fn read_module<M: ReadVirtual + ?Sized>(
    memory: &M,
    address: VirtAddr,
    layout: &ModuleLayout,
) -> Result<Module, ReadError> {
    let name = memory.read_c_string(layout.name.address(address), NAME_LEN)?;
    let mut text = Vec::new();
    for (base, size) in &layout.regions {
        let start = base.read_pointer(memory, address)?;
        let end = start.checked_add(size.read(memory, address)?);
        if let Some(end) = end.filter(|&end| start.is_kernel_half() && start < end) {
            text.push((start, end));
        }
    }
    let name = String::from_utf8_lossy(&name).into_owned();
    let symbol_count = layout.kallsyms.as_ref().and_then(|kallsyms| kallsyms.count(memory, address).ok());
    let orc_count = layout.num_orcs.and_then(|count| count.read(memory, address).ok());
    Ok(Module {
        address,
        name,
        text,
        symbol_count: symbol_count.unwrap_or_default(),
        orc_count: orc_count.unwrap_or_default(),
        symbols: OnceLock::new(),
        orc: OnceLock::new(),
        debug: OnceLock::new(),
    })
}

/// Takes the tables from modules, in their order, once all before them have as many entries as a machine can have. All
/// modules of a hostile dump may share one page of memory, so that what the dump holds is no limit.
fn bound_tables(modules: &mut [Module]) -> Option<Gap> {
    let (mut symbols, mut orcs) = (MAX_SYMBOLS, MAX_ORCS);
    let mut without = 0;
    for module in modules {
        let left = symbols.checked_sub(module.symbol_count).zip(orcs.checked_sub(module.orc_count));
        match left {
            Some(left) => (symbols, orcs) = left,
            None => {
                (module.symbol_count, module.orc_count) = (0, 0);
                without += 1;
            }
        }
    }
    let why = || format!("{without} claim more symbols or unwind entries than can be: theirs are not read");
    (without > 0).then(|| Gap::new("modules", why()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(address: u64, symbol_count: u64, orc_count: u64) -> Module {
        let text = Vec::new();
        let (name, symbols, orc, debug) = (String::new(), OnceLock::new(), OnceLock::new(), OnceLock::new());
        Module { address: VirtAddr::new(address), name, text, symbol_count, orc_count, symbols, orc, debug }
    }

    const HEAD: u64 = 0xffff_ffff_8200_0000;
    const MODULE: u64 = 0xffff_ffff_c000_0000;

    /// A list with one module.
    fn memory() -> crate::test_memory::TestMemory {
        let mut memory = crate::test_memory::TestMemory::default();
        for (at, value) in [(HEAD, MODULE + 8), (HEAD + 8, MODULE + 8), (MODULE + 8, HEAD), (MODULE + 16, HEAD)] {
            memory.put_u64(at, value);
        }
        memory.put(MODULE + 0x18, b"fuse\0");
        memory.put_u64(MODULE + 0x50, MODULE + 0x1000);
        memory.put_u64(MODULE + 0x58, 0x1000);
        memory
    }

    fn names_and_gaps(head: Option<u64>, layout: Option<ModuleLayout>) -> (Vec<String>, Vec<String>, bool) {
        let mut gaps = Vec::new();
        let modules = Modules::read(&memory(), head.map(VirtAddr::new), layout, &mut gaps);
        let names = modules.all().iter().map(|module| module.name.clone()).collect();
        (names, gaps.iter().map(ToString::to_string).collect(), modules.unread().is_empty())
    }

    #[test]
    fn modules_without_a_table_of_symbols_are_listed() {
        let (names, gaps, all) = names_and_gaps(Some(HEAD), Some(ModuleLayout::for_tests()));
        assert_eq!((names, all), (vec!["fuse".to_owned()], true));
        assert!(matches!(gaps.as_slice(), [gap] if gap.starts_with("symbols of modules: ")), "{gaps:?}");
        let mut gaps = Vec::new();
        let modules = Modules::read(&memory(), Some(VirtAddr::new(HEAD)), Some(ModuleLayout::for_tests()), &mut gaps);
        let address = VirtAddr::new(MODULE + 0x1010);
        let module = modules.find(address).unwrap();
        assert_eq!(modules.symbol(&memory(), module, address), None);
    }

    #[test]
    fn a_list_that_cannot_be_walked_is_a_gap() {
        for (head, layout) in [(Some(HEAD), None), (None, Some(ModuleLayout::for_tests())), (None, None)] {
            let (names, gaps, all) = names_and_gaps(head, layout);
            assert_eq!((names.len(), gaps.len(), all), (0, 1, false), "{gaps:?}");
        }
        assert!(Modules::default().unread().is_empty(), "a kernel without modules lacks nothing");
    }

    #[test]
    fn the_tables_of_all_modules_have_one_limit() {
        let mut modules: Vec<_> = (0..10_000).map(|number| module(number, 1 << 20, 4 << 20)).collect();
        assert!(bound_tables(&mut modules).is_some());
        assert_eq!(modules.iter().map(|module| module.symbol_count).sum::<u64>(), 2 << 20);
        assert_eq!(modules.iter().map(|module| module.orc_count).sum::<u64>(), MAX_ORCS);
        // One that lies does not cost the others theirs.
        let mut modules = [module(1, u64::MAX, 10), module(2, 1000, u64::MAX), module(3, 5000, 20_000)];
        assert!(bound_tables(&mut modules).is_some());
        assert_eq!(modules.map(|module| module.orc_count), [0, 0, 20_000]);
        assert!(bound_tables(&mut [module(1, 5000, 20_000)]).is_none());
    }
}
