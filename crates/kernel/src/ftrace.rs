//! ftrace trampolines: copies of `ftrace_caller` or `ftrace_regs_caller` in generated memory, one for each tracer that
//! has functions of its own. Code in them unwinds by the entries of the original.
//!
//! Source: `arch/x86/kernel/ftrace.c` (`create_trampoline`), `include/linux/ftrace.h`.

use std::collections::HashSet;

use vmcore_debuginfo::Vmlinux;
use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use crate::layout::Resolver;

/// More tracers than anybody registers.
const MAX_OPS: usize = 4096;

/// The generated trampolines of one kernel.
#[derive(Default)]
pub(crate) struct Trampolines {
    trampolines: Vec<Trampoline>,
}

struct Trampoline {
    start: VirtAddr,
    size: u64,
    original: VirtAddr,
}

impl Trampolines {
    /// Walks `ftrace_ops_list`. Empty where the kernel has no ftrace.
    pub(crate) fn read<M: ReadVirtual + ?Sized>(memory: &M, vmlinux: &Vmlinux, kaslr_offset: u64) -> Self {
        let mut trampolines = Vec::new();
        // A list that breaks off still gives the trampolines before the break.
        let _ = collect(memory, vmlinux, kaslr_offset, &mut trampolines);
        Self { trampolines }
    }

    fn find(&self, pc: VirtAddr) -> Option<&Trampoline> {
        self.trampolines.iter().find(|trampoline| pc.wrapping_sub(trampoline.start.get()).get() < trampoline.size)
    }

    /// The run-time address in the original of the instruction that `pc` is a copy of.
    pub(crate) fn original(&self, pc: VirtAddr) -> Option<VirtAddr> {
        let trampoline = self.find(pc)?;
        Some(trampoline.original.wrapping_add(pc.wrapping_sub(trampoline.start.get()).get()))
    }

    /// The start of the trampoline that holds `pc`.
    pub(crate) fn start(&self, pc: VirtAddr) -> Option<VirtAddr> {
        Some(self.find(pc)?.start)
    }
}

fn collect<M: ReadVirtual + ?Sized>(
    memory: &M,
    vmlinux: &Vmlinux,
    kaslr_offset: u64,
    trampolines: &mut Vec<Trampoline>,
) -> Result<(), ReadError> {
    let types = Resolver::new(vmlinux.types());
    let symbol = |name| vmlinux.symbols().address(name).map(|address| address.wrapping_add(kaslr_offset));
    let field = |path| types.optional("ftrace_ops", path);
    let (Some(head), Some(next), Some(start), Some(size), Some(flags)) =
        (symbol("ftrace_ops_list"), field("next"), field("trampoline"), field("trampoline_size"), field("flags"))
    else {
        return Ok(());
    };
    // The bit has moved over time; the enumerator has kept its name.
    let saves_registers_bit = types.types().enumerator("FTRACE_OPS_FL_SAVE_REGS").unwrap_or_default().cast_unsigned();
    let mut ops = memory.read_pointer(head)?;
    let mut seen = HashSet::new();
    // The list ends with `ftrace_list_end`, whose `next` is null.
    while !ops.is_null() && seen.len() < MAX_OPS && seen.insert(ops) {
        let saves_registers = flags.read(memory, ops)? & saves_registers_bit != 0;
        let original = symbol(if saves_registers { "ftrace_regs_caller" } else { "ftrace_caller" });
        let start = start.read_pointer(memory, ops)?;
        if let Some(original) = original.filter(|_| !start.is_null()) {
            trampolines.push(Trampoline { start, size: size.read(memory, ops)?, original });
        }
        ops = next.read_pointer(memory, ops)?;
    }
    Ok(())
}
