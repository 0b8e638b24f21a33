//! Loaded modules: their code, and what they keep of their own files in memory, symbols and, where the machine has such, unwind entries.
//!
//! Source: `include/linux/module.h`, `kernel/module/main.c`.

use vmcore_memory::VirtAddr;

use super::Machine;
use crate::SynthError;
use crate::arch::Target;
use crate::scenario::Module;
use crate::vmlinux::code::{Function, Owner};

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
        match self.generation.target() {
            Target::X86_64(facts) => self.write_module_orc(facts, object, number)?,
            Target::Arm64(_) => {}
        }
        self.member(object, kind, "list")
    }

    /// Start and size of the module's code in memory: whole pages.
    fn load_module_code(&mut self, number: usize) -> Result<(VirtAddr, u64), SynthError> {
        let (_, spacing) = self.generation.target().instructions().modules();
        let text = self.image.code.modules.get(number);
        let text = text.ok_or_else(|| SynthError::scenario(format!("there is no module {number}")))?;
        let size = (text.bytes.len() as u64).max(1).next_multiple_of(self.space.regions.paging.page_size());
        if size >= spacing / 2 {
            return Err(SynthError::scenario("a module has more code than there is room for"));
        }
        let base = self.code_at(text.offset);
        self.space.map_fresh(base, size);
        self.space.write(base, &text.bytes)?;
        Ok((base, size))
    }

    /// `struct mod_kallsyms`, with a symbol for each function.
    fn write_module_symbols(&mut self, number: usize) -> Result<VirtAddr, SynthError> {
        // The first symbol is no symbol, the first name no name.
        let (mut symbols, mut names) = (vec![0; 24], vec![0]);
        for function in self.image.code.functions(Owner::Module(number)) {
            symbols.extend(symbol(function, names.len(), self.code_at(function.offset)));
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

    /// Memory with these bytes.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Result<VirtAddr, SynthError> {
        let at = self.space.allocate_object(bytes.len() as u64);
        self.space.write(at, bytes)?;
        Ok(at)
    }
}

/// An `Elf64_Sym`.
fn symbol(function: &Function, name: usize, at: VirtAddr) -> Vec<u8> {
    let mut symbol = (name as u32).to_le_bytes().to_vec();
    symbol.extend([LOCAL_FUNCTION, 0]);
    symbol.extend(SECTION.to_le_bytes());
    symbol.extend(at.get().to_le_bytes());
    symbol.extend(function.size.to_le_bytes());
    symbol
}
