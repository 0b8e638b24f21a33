//! Where the image is, by what a CPU had in its registers: only QEMU's own notes have those.
//!
//! ```text
//! IDTR -> gate of a vector -> run-time address of its handler -> CR3's page tables -> physical address
//! ```
//!
//! CR3 may be that of user mode under page-table isolation: it too maps the descriptors and the handlers. Bits 0 to 11,
//! flags or a PCID, are not part of the address; bit 12 then is, and chooses the half that user mode has.
//!
//! A gate (16 bytes): offset bits 0..16, selector u16, flags u16 (bit 15: present), offset bits 16..32 u16, bits 32..64
//! u32, reserved u32. Source: Intel SDM volume 3, "64-Bit Mode IDT"; `arch/x86/kernel/idt.c`, `arch/x86/mm/pti.c`.

use std::collections::BTreeSet;

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::QemuCpuState;
use vmcore_memory::{ReadPhysical, VirtAddr, le_u16, le_u32};

use super::ALIGNMENT;
use crate::arch::x86_64::image::IMAGE_BASE;
use crate::paging::{PageTables, PhysicalMask};

/// Vectors whose handlers are the same on every machine; that of page faults is not, in a guest of KVM before 5.8.
const HANDLERS: [(u64, [&str; 2]); 3] = [
    // The second names are those up to 5.7; 5.8 made all entries from `DEFINE_IDTENTRY`.
    (0, ["asm_exc_divide_error", "divide_error"]),
    (6, ["asm_exc_invalid_op", "invalid_op"]),
    (13, ["asm_exc_general_protection", "general_protection"]),
];
/// CR4.LA57: five levels of page tables.
const LA57: u64 = 1 << 12;
const GATE_SIZE: u64 = 16;
const PRESENT: u16 = 1 << 15;
/// As many CPUs as are asked; they agree unless some of them have not left their firmware.
const MAX_CPUS: usize = 64;

/// The deltas that the CPUs' registers lead to.
pub(super) fn deltas(
    cpus: &[QemuCpuState],
    physical: &dyn ReadPhysical,
    mask: PhysicalMask,
    vmlinux: &Vmlinux,
) -> BTreeSet<u64> {
    let symbol = |name: &str| vmlinux.symbols().address(name);
    cpus.iter().take(MAX_CPUS).filter_map(|cpu| delta(Cpu::of(cpu, mask), physical, symbol)).collect()
}

/// What of a CPU leads to the kernel.
struct Cpu {
    tables: PageTables,
    idt: VirtAddr,
}

impl Cpu {
    fn of(state: &QemuCpuState, mask: PhysicalMask) -> Self {
        let levels = if state.cr4 & LA57 == 0 { 4 } else { 5 };
        // It too has the bit of encryption where the tables are encrypted.
        let mask = mask.without(mask.bit_beyond_memory(state.cr3.get()));
        Self { tables: PageTables::x86_64(mask.root(state.cr3.get()), levels, mask), idt: state.idt.base }
    }
}

/// The delta that all handlers agree on.
fn delta(cpu: Cpu, physical: &dyn ReadPhysical, symbol: impl Fn(&str) -> Option<VirtAddr>) -> Option<u64> {
    let mut found = None;
    for (vector, names) in HANDLERS {
        let link = names.into_iter().find_map(&symbol)?;
        let handler = cpu.handler(vector, physical)?;
        let at = cpu.tables.translate(physical, handler).ok()?;
        let delta = at.get().wrapping_sub(link.get().wrapping_sub(IMAGE_BASE));
        if !delta.is_multiple_of(ALIGNMENT) || found.is_some_and(|other| other != delta) {
            return None;
        }
        found = Some(delta);
    }
    found
}

impl Cpu {
    /// The run-time address of the handler of `vector`.
    fn handler(&self, vector: u64, physical: &dyn ReadPhysical) -> Option<VirtAddr> {
        let mut gate = [0; GATE_SIZE as usize];
        let at = self.tables.translate(physical, self.idt.checked_add(vector * GATE_SIZE)?).ok()?;
        physical.read_physical(at, &mut gate).ok()?;
        if le_u16(&gate, 4)? & PRESENT == 0 {
            return None;
        }
        let (low, middle, high) = (le_u16(&gate, 0)?, le_u16(&gate, 6)?, le_u32(&gate, 8)?);
        Some(VirtAddr::new(u64::from(low) | u64::from(middle) << 16 | u64::from(high) << 32))
    }
}

#[cfg(test)]
mod tests {
    use vmcore_memory::PhysAddr;

    use super::*;
    use crate::test_memory::TestMemory;

    const IDT: u64 = 0xffff_fe00_0000_0000;
    /// 10 MiB in the image, which was moved by 416 MiB virtually and begins at 32 MiB.
    const HANDLER: u64 = 0xffff_ffff_81a0_0000 + 0x1a00_0000;
    const TEXT: u64 = 0x2a0_0000;

    fn symbol(name: &str) -> Option<VirtAddr> {
        let handlers = ["divide_error", "invalid_op", "general_protection"];
        let index = handlers.iter().position(|handler| *handler == name)?;
        Some(VirtAddr::new(0xffff_ffff_81a0_0000 + index as u64 * 0x100))
    }

    /// A CPU with one page of descriptors and 2 MiB of text, and the gate of a vector.
    fn machine() -> (TestMemory, Cpu, impl Fn(&mut TestMemory, u64, u64)) {
        let mut memory = TestMemory::default();
        let mut entry = |table: u64, index: u64, value: u64| memory.put_u64(table + index * 8, value);
        entry(0x1000, 508, 0x2067);
        entry(0x2000, 0, 0x3067);
        entry(0x3000, 0, 0x4067);
        entry(0x4000, 0, 0x9061);
        entry(0x1000, 511, 0x5067);
        entry(0x5000, 510, 0x6067);
        entry(0x6000, (HANDLER >> 21) & 0x1ff, (TEXT & !0x1f_ffff) | 0xe1);
        let gate = |memory: &mut TestMemory, vector: u64, handler: u64| {
            memory.put_u64(0x9000 + vector * 16, (handler & 0xffff) | 0x8e00_0010_0000 | (handler & 0xffff_0000) << 32);
            memory.put_u64(0x9008 + vector * 16, handler >> 32);
        };
        for (index, (vector, _)) in HANDLERS.iter().enumerate() {
            gate(&mut memory, *vector, HANDLER + index as u64 * 0x100);
        }
        let tables = PageTables::x86_64(PhysAddr::new(0x1000), 4, PhysicalMask::ALL);
        (memory, Cpu { tables, idt: VirtAddr::new(IDT) }, gate)
    }

    #[test]
    fn gates_lead_to_the_image() {
        let (memory, cpu, _) = machine();
        // Of the link-time address, 0x1a0_0000 are from the base on.
        assert_eq!(delta(cpu, &memory, symbol), Some(TEXT - 0x1a0_0000));
    }

    #[test]
    fn handlers_must_agree_and_be_aligned() {
        for (vector, handler) in [(6, HANDLER + 0x110), (13, HANDLER), (0, HANDLER + 0x100), (0, 0x1234)] {
            let (mut memory, cpu, gate) = machine();
            gate(&mut memory, vector, handler);
            assert_eq!(delta(cpu, &memory, symbol), None, "{vector} {handler:#x}");
        }
        let (mut memory, cpu, gate) = machine();
        for (vector, offset) in [(0, 0x8), (6, 0x108), (13, 0x208)] {
            gate(&mut memory, vector, HANDLER + offset);
        }
        assert_eq!(delta(cpu, &memory, symbol), None, "not aligned");
    }

    #[test]
    fn what_is_not_there() {
        let (mut memory, cpu, _) = machine();
        memory.put_u64(0x9000 + 6 * 16, 0);
        assert_eq!(delta(cpu, &memory, symbol), None, "a gate that is not present");
        let (memory, cpu, _) = machine();
        let last = Cpu { idt: VirtAddr::new(u64::MAX - 0x10), ..cpu };
        assert_eq!(delta(last, &memory, symbol), None);
        let (memory, cpu, _) = machine();
        assert_eq!(delta(cpu, &memory, |_| None), None, "another kernel's symbols");
    }
}
