//! The notes with the registers of CPUs, as a crash kernel or QEMU writes them.

use vmcore_dump::RawNote;
use vmcore_memory::Registers;

use super::{Cpu, Machine, x86_64};
use crate::SynthError;
use crate::arch::registers;
use crate::vmlinux::image::CRASH_NOTE_AREA;

/// `NT_PRSTATUS`.
const NT_PRSTATUS: u32 = 1;
/// The `NT_PRSTATUS` note of a CPU: `pr_pid` at 32, the registers at 112; `struct elf_prstatus` ends with what the FPU is.
/// On x86-64 the bases of FS and GS are the last registers.
pub(crate) fn prstatus_note(pid: i32, registers: &Registers, gs_base: u64) -> RawNote {
    let mut desc = vec![0; 32];
    desc.extend(pid.to_le_bytes());
    desc.resize(112, 0);
    desc.extend(registers::bytes(registers));
    let size = match registers {
        Registers::X86_64(_) => {
            desc.extend(0u64.to_le_bytes());
            desc.extend(gs_base.to_le_bytes());
            336
        }
        Registers::Arm64(_) => 392,
    };
    desc.resize(size, 0);
    RawNote { name: b"CORE".to_vec(), kind: NT_PRSTATUS, desc }
}

impl Machine<'_> {
    /// What QEMU says of a virtual CPU.
    pub(crate) fn add_qemu_notes(&self, number: i32, cpu: &Cpu, registers: &Registers, notes: &mut Vec<RawNote>) {
        match registers {
            Registers::X86_64(general) => {
                // While user code runs, GS is its own.
                let gs = if registers.user_mode() { (0, cpu.offset) } else { (cpu.offset, 0) };
                let tables = self.space.page_tables();
                notes.push(prstatus_note(number, registers, gs.0));
                notes.push(x86_64::qemu_note(general, gs, tables.root, tables.paging.levels()));
            }
            Registers::Arm64(_) => notes.push(prstatus_note(number, registers, 0)),
        }
    }

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
