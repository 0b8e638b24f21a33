//! The notes with the registers of CPUs, as a crash kernel or QEMU writes them.

use vmcore_dump::RawNote;
use vmcore_memory::{PhysAddr, arch::x86_64::Registers};

use super::{Cpu, Machine};
use crate::SynthError;
use crate::stack::pt_regs;
use crate::vmlinux::image::CRASH_NOTE_AREA;

/// `NT_PRSTATUS`.
const NT_PRSTATUS: u32 = 1;
/// CR0 with paging and protection on; CR4 with PAE and SSE, and its bit for five levels of page tables.
const CR0: u64 = 0x8005_0033;
const CR4: u64 = 0x6f0;
const CR4_LA57: u64 = 1 << 12;

/// The `NT_PRSTATUS` note of a CPU: `pr_pid` at 32, the registers at 112, then the bases of FS and GS.
pub(crate) fn prstatus_note(pid: i32, registers: &Registers, gs_base: u64) -> RawNote {
    const SIZE: usize = 336;
    let mut desc = vec![0; 32];
    desc.extend(pid.to_le_bytes());
    desc.resize(112, 0);
    desc.extend(pt_regs(registers));
    desc.extend(0u64.to_le_bytes());
    desc.extend(gs_base.to_le_bytes());
    desc.resize(SIZE, 0);
    RawNote { name: b"CORE".to_vec(), kind: NT_PRSTATUS, desc }
}

/// The `QEMU` note of a virtual CPU, `struct QEMUCPUState` of QEMU's `target/i386/arch_dump.c`: version and size, the
/// general registers, ten segments of 24 bytes, five control registers, `kernel_gs_base`.
pub(crate) fn qemu_note(registers: &Registers, gs: (u64, u64), root: PhysAddr, levels: u8) -> RawNote {
    const SIZE: u32 = 440;
    const GS_SEGMENT: usize = 4;
    let r = registers;
    let general = [
        r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
        r.rip, r.eflags,
    ];
    let mut desc: Vec<u8> = [1, SIZE].into_iter().flat_map(u32::to_le_bytes).collect();
    desc.extend(general.iter().flat_map(|word| word.to_le_bytes()));
    for segment in 0..10 {
        // cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt.
        let selector = match segment {
            0 => r.cs,
            5 => r.ss,
            _ => 0,
        };
        desc.extend((selector as u32).to_le_bytes());
        desc.extend([0; 12]);
        desc.extend(if segment == GS_SEGMENT { gs.0 } else { 0 }.to_le_bytes());
    }
    let five = if levels >= 5 { CR4_LA57 } else { 0 };
    let control = [CR0, 0, 0, root.get(), CR4 | five, gs.1];
    desc.extend(control.iter().flat_map(|word| word.to_le_bytes()));
    RawNote { name: b"QEMU".to_vec(), kind: 0, desc }
}

impl Machine<'_> {
    /// Copies a note to the CPU's `crash_notes`, from where a crash kernel takes it.
    pub(crate) fn keep_crash_note(&mut self, cpu: &Cpu, note: &RawNote) -> Result<(), SynthError> {
        let at = self.percpu_variable(CRASH_NOTE_AREA, cpu.offset)?;
        let mut bytes = Vec::new();
        for word in [note.name.len() + 1, note.desc.len(), NT_PRSTATUS as usize] {
            bytes.extend((word as u32).to_le_bytes());
        }
        bytes.extend(b"CORE\0\0\0\0");
        bytes.extend(&note.desc);
        self.space.write(at, &bytes)
    }
}
