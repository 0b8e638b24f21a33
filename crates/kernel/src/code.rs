//! Code addresses: whose they are, what they are called, how they unwind.
//!
//! Code is in the kernel image, in modules, and in memory that the kernel generated: ftrace trampolines (copies of
//! `ftrace_caller` or `ftrace_regs_caller`, which unwind by the original's entries), BPF programs, probes.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use vmcore_debuginfo::{CallFrames, CfaBase, SourceFrame, Vmlinux};
use vmcore_memory::{Architecture, VirtAddr};
use vmcore_unwind::CfiRow;
use vmcore_unwind::orc::OrcEntry;

use crate::address_space::AddressSpace;
use crate::ftrace::Trampolines;
use crate::modules::{Module, Modules};
use crate::unwind_tables::UnwindTables;

/// All code of one kernel.
pub(crate) struct Code<'a> {
    vmlinux: &'a Vmlinux,
    kaslr_offset: u64,
    architecture: Architecture,
    /// Link-time ranges of the image's code.
    text: Vec<(VirtAddr, VirtAddr)>,
    orc: UnwindTables<'a>,
    call_frames: OnceLock<Option<CallFrames<'a>>>,
    pub(crate) modules: Modules,
    pub(crate) trampolines: OnceLock<Trampolines>,
}

/// A name for a code address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolName {
    /// The symbol. A module's is from the dump: untrusted.
    pub name: String,
    /// Bytes from the symbol's start.
    pub offset: u64,
    /// The module, if it is not the kernel itself.
    pub module: Option<String>,
}

impl<'a> Code<'a> {
    pub(crate) fn new(
        vmlinux: &'a Vmlinux,
        kaslr_offset: u64,
        architecture: Architecture,
        modules: Modules,
        orc: UnwindTables<'a>,
    ) -> Self {
        let symbols = vmlinux.symbols();
        // The .init.text of a running kernel has been freed, but the boot CPU's idle task was called from it.
        let text = [("_stext", "_etext"), ("_text", "_etext"), ("_sinittext", "_einittext")]
            .into_iter()
            .filter_map(|(start, end)| Some((symbols.address(start)?, symbols.address(end)?)))
            .collect();
        Self {
            vmlinux,
            kaslr_offset,
            architecture,
            text,
            orc,
            call_frames: OnceLock::new(),
            modules,
            trampolines: OnceLock::new(),
        }
    }

    pub(crate) fn link_address(&self, pc: VirtAddr) -> VirtAddr {
        pc.wrapping_sub(self.kaslr_offset)
    }

    pub(crate) fn is_image_text(&self, pc: VirtAddr) -> bool {
        let link = self.link_address(pc);
        self.text.iter().any(|(start, end)| (*start..*end).contains(&link))
    }

    /// Whether `pc` is in the code through which the kernel is entered.
    pub(crate) fn is_entry(&self, pc: VirtAddr) -> bool {
        let bound = |name| self.vmlinux.symbols().address(name);
        let range = bound("__entry_text_start").zip(bound("__entry_text_end"));
        let at = self.link_address(pc);
        range.is_some_and(|(start, end)| (start..end).contains(&at)) || self.is_fred_entry(at)
    }

    /// The entries of FRED are elsewhere (`arch/x86/entry/entry_64_fred.S`: `.noinstr.text`).
    fn is_fred_entry(&self, at: VirtAddr) -> bool {
        const ENTRIES: [&str; 3] = ["asm_fred_entrypoint_user", "asm_fred_exit_user", "asm_fred_entrypoint_kernel"];
        self.vmlinux.symbols().lookup(at).is_some_and(|symbol| ENTRIES.contains(&symbol.name))
    }

    /// Whether `pc` is code: of the image, of a module, or of an executable mapping that the kernel generated.
    pub(crate) fn is_text(&self, memory: &AddressSpace<'_>, pc: VirtAddr) -> bool {
        self.is_image_text(pc) || self.modules.find(pc).is_some() || is_executable(memory, pc)
    }

    pub(crate) fn orc(&self, memory: &AddressSpace<'_>, pc: VirtAddr) -> Option<OrcEntry> {
        if self.is_image_text(pc) {
            return self.image_orc(pc);
        }
        if let Some(module) = self.modules.find(pc) {
            return self.modules.orc(memory, module, self.orc.format()?)?.find(pc);
        }
        let original = self.trampolines(memory).original(pc)?;
        self.is_image_text(original).then(|| self.image_orc(original))?
    }

    fn image_orc(&self, pc: VirtAddr) -> Option<OrcEntry> {
        self.orc.find(self.link_address(pc))
    }

    /// DWARF call-frame information for code of the image. The index is built when it is first needed.
    pub(crate) fn cfi(&self, pc: VirtAddr) -> Option<CfiRow> {
        if !self.is_image_text(pc) {
            return None;
        }
        let call_frames = || self.vmlinux.call_frames(self.architecture);
        let row = self.call_frames.get_or_init(call_frames).as_ref()?.find(self.link_address(pc))?;
        Some(CfiRow {
            cfa_from_bp: row.cfa_base == CfaBase::Bp,
            cfa_offset: row.cfa_offset,
            return_address: row.return_address,
            saved_bp: row.saved_bp,
        })
    }

    /// The source frames of run-time addresses, in their order. Each file is asked for all of its addresses at once,
    /// which it answers in parallel.
    pub(crate) fn source_frames(&self, memory: &AddressSpace<'_>, addresses: &[VirtAddr]) -> Vec<Vec<SourceFrame>> {
        let mut frames = vec![Vec::new(); addresses.len()];
        let mut image = Vec::new();
        // By the module's own address.
        let mut modules: BTreeMap<VirtAddr, (&Module, Vec<usize>)> = BTreeMap::new();
        for (at, &address) in addresses.iter().enumerate() {
            if self.is_image_text(address) {
                image.push(at);
            } else if let Some(module) = self.modules.find(address) {
                modules.entry(module.address).or_insert_with(|| (module, Vec::new())).1.push(at);
            }
        }
        let mut fill = |places: &[usize], answers: Vec<Vec<SourceFrame>>| {
            for (&at, answer) in places.iter().zip(answers) {
                if let Some(frames) = frames.get_mut(at) {
                    *frames = answer;
                }
            }
        };
        let of = |places: &[usize]| -> Vec<VirtAddr> {
            places.iter().filter_map(|&at| addresses.get(at).copied()).collect()
        };
        let links: Vec<_> = of(&image).into_iter().map(|address| self.link_address(address)).collect();
        fill(&image, self.vmlinux.source_frames(&links));
        for (module, places) in modules.into_values() {
            if let Some(debug) = self.modules.debug(memory, module) {
                fill(&places, debug.source_frames(&of(&places)));
            }
        }
        frames
    }

    fn trampolines(&self, memory: &AddressSpace<'_>) -> &Trampolines {
        self.trampolines.get_or_init(|| Trampolines::read(memory, self.vmlinux, self.kaslr_offset))
    }

    /// The symbol that covers `lookup`, with the offset of `pc` in it. They differ by one for a return address.
    pub(crate) fn symbol(&self, memory: &AddressSpace<'_>, pc: VirtAddr, lookup: VirtAddr) -> Option<SymbolName> {
        if self.is_image_text(lookup) {
            let symbol = self.vmlinux.symbols().lookup(self.link_address(lookup))?;
            let offset = self.link_address(pc).wrapping_sub(symbol.address.get()).get();
            return Some(SymbolName { name: symbol.name.to_owned(), offset, module: None });
        }
        if let Some(module) = self.modules.find(lookup) {
            let symbol = self.modules.symbol(memory, module, lookup)?;
            let offset = pc.wrapping_sub(symbol.address.get()).get();
            return Some(SymbolName { name: symbol.name, offset, module: Some(module.name.clone()) });
        }
        let start = self.trampolines(memory).start(lookup)?;
        // The name and module that the kernel itself gives it in kallsyms (FTRACE_TRAMPOLINE_MOD).
        Some(SymbolName {
            name: "ftrace_trampoline".to_owned(),
            offset: pc.wrapping_sub(start.get()).get(),
            module: Some("__builtin__ftrace".to_owned()),
        })
    }
}

/// Whether the kernel's page tables map `pc` for execution.
fn is_executable(memory: &AddressSpace<'_>, pc: VirtAddr) -> bool {
    if !pc.is_kernel_half() {
        return false;
    }
    let Some(tables) = memory.tables() else { return false };
    tables.is_executable(memory.physical(), pc)
}
