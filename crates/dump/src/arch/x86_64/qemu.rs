//! The `QEMU` note: one virtual CPU's whole state, control registers included.
//!
//! ```text
//! struct QEMUCPUState, version 1
//!    0  u32 version, u32 size
//!    8  u64 rax rbx rcx rdx rsi rdi rsp rbp r8..r15 rip rflags
//!  152  segments cs ds es fs gs ss ldt tr gdt idt, each: u32 selector, limit, flags, pad; u64 base
//!  392  u64 cr0..cr4
//!  432  u64 kernel_gs_base (QEMU 3.0 and later; the version number stayed 1)
//! ```
//!
//! Source: QEMU's `target/i386/arch_dump.c`.

use vmcore_memory::{FileOffset, PhysAddr, VirtAddr, arch::x86_64::Registers, le_u32, le_u64};

const SEGMENTS_AT: usize = 152;
const CONTROL_AT: usize = 392;
const KERNEL_GS_BASE_AT: usize = 432;

/// Where a CPU finds its interrupt or segment descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescriptorTable {
    /// The table's first byte.
    pub base: VirtAddr,
    /// The offset of the table's last byte.
    pub limit: u32,
}

/// The state of one virtual CPU when QEMU stopped the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuCpuState {
    /// The general registers; `orig_rax` is not in the note and is 0.
    pub registers: Registers,
    /// CR0 as found.
    pub cr0: u64,
    /// The last page fault's address.
    pub cr2: VirtAddr,
    /// The top page table's address: CR3 without its flag and PCID bits.
    pub cr3: PhysAddr,
    /// CR4 as found; bit 12 (LA57) set means five levels of page tables.
    pub cr4: u64,
    /// The interrupt descriptors.
    pub idt: DescriptorTable,
    /// The segment descriptors.
    pub gdt: DescriptorTable,
    /// The FS segment's base.
    pub fs_base: VirtAddr,
    /// The GS segment's base: the per-CPU area while kernel code runs.
    pub gs_base: VirtAddr,
    /// What SWAPGS would load: the per-CPU area while user code runs. Old QEMUs did not save it.
    pub kernel_gs_base: Option<VirtAddr>,
    /// Where the note's contents start in the file.
    pub file_offset: FileOffset,
}

impl QemuCpuState {
    pub(crate) fn parse(desc: &[u8], file_offset: FileOffset) -> Option<Self> {
        let size = usize::try_from(le_u32(desc, 4)?).ok()?;
        let desc = desc.get(..size)?;
        if le_u32(desc, 0)? != 1 || size < KERNEL_GS_BASE_AT {
            return None;
        }
        let word = |index: usize| le_u64(desc, 8 + index * 8);
        let selector = |index: usize| le_u32(desc, SEGMENTS_AT + index * 24).map(u64::from);
        let base = |index: usize| le_u64(desc, SEGMENTS_AT + index * 24 + 16).map(VirtAddr::new);
        let table = |index: usize| {
            Some(DescriptorTable { base: base(index)?, limit: le_u32(desc, SEGMENTS_AT + index * 24 + 4)? })
        };
        let control = |index: usize| le_u64(desc, CONTROL_AT + index * 8);
        Some(Self {
            registers: Registers {
                rax: word(0)?,
                rbx: word(1)?,
                rcx: word(2)?,
                rdx: word(3)?,
                rsi: word(4)?,
                rdi: word(5)?,
                rsp: word(6)?,
                rbp: word(7)?,
                r8: word(8)?,
                r9: word(9)?,
                r10: word(10)?,
                r11: word(11)?,
                r12: word(12)?,
                r13: word(13)?,
                r14: word(14)?,
                r15: word(15)?,
                rip: word(16)?,
                eflags: word(17)?,
                cs: selector(0)?,
                ss: selector(5)?,
                orig_rax: 0,
            },
            cr0: control(0)?,
            cr2: VirtAddr::new(control(2)?),
            cr3: PhysAddr::new(control(3)? & 0x000f_ffff_ffff_f000),
            cr4: control(4)?,
            idt: table(9)?,
            gdt: table(8)?,
            fs_base: base(3)?,
            gs_base: base(4)?,
            kernel_gs_base: le_u64(desc, KERNEL_GS_BASE_AT).map(VirtAddr::new),
            file_offset,
        })
    }
}
