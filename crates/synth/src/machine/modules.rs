//! Loaded modules: their code, and what they keep of their own files in memory, symbols and unwind entries.
//!
//! Source: `include/linux/module.h`, `kernel/module/main.c`, `arch/x86/include/asm/module.h`.

use vmcore_memory::VirtAddr;

use super::Machine;
use crate::SynthError;
use crate::scenario::Module;
use crate::vmlinux::code::{Function, MODULE_SPACING, Owner};
use crate::vmlinux::image::TEXT;
use crate::vmlinux::orc;

/// `STT_FUNC`, local.
const LOCAL_FUNCTION: u8 = 2;
/// Any section that is not `SHN_UNDEF`.
const SECTION: u16 = 1;

impl Machine<'_> {
    /// Loads the modules, the last one loaded first in the kernel's list.
    pub(crate) fn add_modules(&mut self, modules: &[Module]) -> Result<(), SynthError> {
        let mut nodes = vec![self.variable("modules")?];
        for (number, module) in modules.iter().enumerate().rev() {
            nodes.push(self.add_module(number, module)?);
        }
        self.link(&nodes)
    }

    /// Loads a module, and returns its place in the list.
    fn add_module(&mut self, number: usize, module: &Module) -> Result<VirtAddr, SynthError> {
        let kind = "module";
        let object = self.new_object(kind)?;
        let name = self.member(object, kind, "name")?;
        self.space.write(name, module.name.as_bytes())?;
        let (base, size) = self.load_module_code(number)?;
        if self.has(kind, "mem") {
            // Since 6.4 (kernel commit ac3b43283923).
            let text = self.generation.types().enumerator("MOD_TEXT").unwrap_or_default();
            self.put(object, kind, &format!("mem[{text}].base"), base.get())?;
            self.put(object, kind, &format!("mem[{text}].size"), size)?;
        } else {
            for (member, value) in [("base", base.get()), ("size", size), ("text_size", size)] {
                self.put(object, kind, &format!("core_layout.{member}"), value)?;
            }
        }
        let symbols = self.write_module_symbols(number)?;
        self.put(object, kind, "kallsyms", symbols.get())?;
        self.write_module_orc(object, number)?;
        self.member(object, kind, "list")
    }

    /// Start and size of the module's code in memory: whole pages.
    fn load_module_code(&mut self, number: usize) -> Result<(VirtAddr, u64), SynthError> {
        let kaslr = self.space.regions.kaslr;
        let text = self.image.code.modules.get(number);
        let text = text.ok_or_else(|| SynthError::scenario(format!("there is no module {number}")))?;
        let size = (text.bytes.len() as u64).max(1).next_multiple_of(4096);
        if size >= MODULE_SPACING / 2 {
            return Err(SynthError::scenario("a module has more code than there is room for"));
        }
        let base = TEXT.wrapping_add(kaslr).wrapping_add(text.offset);
        self.space.map_fresh(base, size);
        self.space.write(base, &text.bytes)?;
        Ok((base, size))
    }

    /// `struct mod_kallsyms`, with a symbol for each function.
    fn write_module_symbols(&mut self, number: usize) -> Result<VirtAddr, SynthError> {
        let kaslr = self.space.regions.kaslr;
        // The first symbol is no symbol, the first name no name.
        let (mut symbols, mut names) = (vec![0; 24], vec![0]);
        for function in self.image.code.functions(Owner::Module(number)) {
            symbols.extend(symbol(function, names.len(), kaslr));
            names.extend(function.name.bytes());
            names.push(0);
        }
        let count = symbols.len() as u64 / 24;
        let kallsyms = self.new_object("mod_kallsyms")?;
        let [symbols, names] = [self.keep(&symbols)?, self.keep(&names)?];
        for (member, value) in [("symtab", symbols.get()), ("num_symtab", count), ("strtab", names.get())] {
            self.put(kallsyms, "mod_kallsyms", member, value)?;
        }
        Ok(kallsyms)
    }

    fn write_module_orc(&mut self, object: VirtAddr, number: usize) -> Result<(), SynthError> {
        let rows = self.image.code.orc(Owner::Module(number));
        let kaslr = self.space.regions.kaslr;
        let text = self.image.code.modules.get(number).map_or(0, |text| text.offset);
        // In reach of the code, whose distances from here have 32 bits: behind it, in the second half of its room.
        let size = rows.len() as u64 * 4;
        let ips = TEXT.wrapping_add(kaslr).wrapping_add(text + MODULE_SPACING / 2);
        self.space.map_fresh(ips, size.max(1));
        let (distances, entries) = orc::sections(&rows, self.generation.facts.orc, TEXT.wrapping_add(kaslr), ips);
        self.space.write(ips, &distances)?;
        let entries = self.keep(&entries)?;
        for (member, value) in
            [("num_orcs", rows.len() as u64), ("orc_unwind_ip", ips.get()), ("orc_unwind", entries.get())]
        {
            self.put(object, "module", &format!("arch.{member}"), value)?;
        }
        Ok(())
    }

    /// Memory with these bytes.
    fn keep(&mut self, bytes: &[u8]) -> Result<VirtAddr, SynthError> {
        let at = self.space.allocate_object(bytes.len() as u64);
        self.space.write(at, bytes)?;
        Ok(at)
    }
}

/// An `Elf64_Sym`.
fn symbol(function: &Function, name: usize, kaslr: u64) -> Vec<u8> {
    let mut symbol = (name as u32).to_le_bytes().to_vec();
    symbol.extend([LOCAL_FUNCTION, 0]);
    symbol.extend(SECTION.to_le_bytes());
    symbol.extend(TEXT.wrapping_add(kaslr).wrapping_add(function.offset).get().to_le_bytes());
    symbol.extend(function.size.to_le_bytes());
    symbol
}
