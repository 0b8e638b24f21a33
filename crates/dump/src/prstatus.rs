//! `NT_PRSTATUS`: one CPU's registers.
//!
//! ```text
//! struct elf_prstatus, 336 bytes on x86-64
//!   32  pr_pid        the task that ran (kexec), or the vCPU's number plus one (QEMU)
//!  112  pr_reg        user_regs_struct: the 21 words of pt_regs, then fs_base, gs_base, ds, es, fs, gs
//!  328  pr_fpvalid
//! ```
//!
//! Source: `include/linux/elfcore.h`, `arch/x86/include/asm/user_64.h`; QEMU's `target/i386/arch_dump.c`.

use vmcore_memory::{FileOffset, Registers, arch::x86_64, le_u32, le_u64};

const DESC_LEN: usize = 336;
const PID_AT: usize = 32;
const REGISTERS_AT: usize = 112;
const FS_BASE_AT: usize = REGISTERS_AT + 21 * 8;
const GS_BASE_AT: usize = FS_BASE_AT + 8;

/// The registers of one CPU, as its `NT_PRSTATUS` note has them.
///
/// The order of notes is not CPU numbers: a CPU that did not answer the dying kernel has no note at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prstatus {
    /// `pr_pid` as found. The kernel writes the current task's pid (0 for any idle task); QEMU writes the vCPU's
    /// index plus one.
    pub pid: i32,
    /// The general registers.
    pub registers: Registers,
    /// The FS segment's base. A dying kernel's is that of a task; only QEMU's is the CPU's own.
    pub fs_base: u64,
    /// The GS segment's base. The kernel writes what its saving code found; QEMU writes the CPU's own.
    pub gs_base: u64,
    /// Where `note` starts in the file.
    pub file_offset: FileOffset,
    /// The note's contents, 336 bytes: to be compared with the kernel's per-CPU `crash_notes`.
    pub note: Vec<u8>,
}

impl Prstatus {
    /// Reads the contents of a note, which start at `file_offset`; `None` where they are too short.
    #[must_use]
    pub fn parse(desc: &[u8], file_offset: FileOffset) -> Option<Self> {
        let note = desc.get(..DESC_LEN)?;
        Some(Self {
            pid: le_u32(note, PID_AT)?.cast_signed(),
            registers: x86_64::Registers::from_pt_regs(note.get(REGISTERS_AT..)?)?.into(),
            fs_base: le_u64(note, FS_BASE_AT)?,
            gs_base: le_u64(note, GS_BASE_AT)?,
            file_offset,
            note: note.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_kernel_puts_them() {
        let mut desc = vec![0; DESC_LEN];
        desc[32..36].copy_from_slice(&(-7i32).to_le_bytes());
        for word in 0..27u64 {
            let at = 112 + word as usize * 8;
            desc[at..at + 8].copy_from_slice(&(0x100 + word).to_le_bytes());
        }
        let prstatus = Prstatus::parse(&desc, FileOffset::new(9)).unwrap();
        assert_eq!(prstatus.pid, -7);
        let registers = prstatus.registers.x86_64().unwrap();
        assert_eq!((registers.r15, registers.rip, registers.ss), (0x100, 0x110, 0x114));
        assert_eq!((prstatus.fs_base, prstatus.gs_base), (0x115, 0x116));
        assert_eq!((prstatus.file_offset, prstatus.note), (FileOffset::new(9), desc.clone()));
        assert_eq!(Prstatus::parse(&desc[..335], FileOffset::new(0)), None);
    }
}
