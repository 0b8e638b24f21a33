//! `NT_PRSTATUS`: one CPU's registers.
//!
//! ```text
//! struct elf_prstatus, 336 bytes on x86-64, 392 on arm64
//!   32  pr_pid        the task that ran (kexec), or the vCPU's number plus one (QEMU)
//!  112  pr_reg        x86-64: user_regs_struct, the 21 words of pt_regs, then fs_base, gs_base, ds, es, fs, gs
//!                     arm64: user_pt_regs, x0 to x30, sp, pc, pstate
//!  328  pr_fpvalid    (384 on arm64)
//! ```
//!
//! Source: `include/linux/elfcore.h`, `arch/x86/include/asm/user_64.h`; QEMU's `target/i386/arch_dump.c`.

use vmcore_memory::arch::{arm64, x86_64};
use vmcore_memory::{Architecture, FileOffset, Registers, le_u32, le_u64};

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
    /// The FS segment's base; 0 where there are no segments. A dying kernel's is that of a task; only QEMU's is the CPU's own.
    pub fs_base: u64,
    /// The GS segment's base; 0 where there are no segments. The kernel writes what its saving code found; QEMU writes the CPU's own.
    pub gs_base: u64,
    /// Where `note` starts in the file.
    pub file_offset: FileOffset,
    /// The note's contents, as long as the machine has them: to be compared with the kernel's per-CPU `crash_notes`.
    pub note: Vec<u8>,
}

impl Prstatus {
    /// The length of a note's contents, in bytes.
    #[must_use]
    pub const fn len_on(architecture: Architecture) -> usize {
        match architecture {
            Architecture::X86_64 => 336,
            Architecture::Arm64 => 392,
        }
    }

    /// The architecture whose notes are so long, where a file does not say which it is of.
    pub(crate) const fn architecture_of(len: usize) -> Architecture {
        if len == Self::len_on(Architecture::Arm64) { Architecture::Arm64 } else { Architecture::X86_64 }
    }

    /// Reads the contents of a note, which start at `file_offset`; `None` where they are too short.
    #[must_use]
    pub fn parse(architecture: Architecture, desc: &[u8], file_offset: FileOffset) -> Option<Self> {
        let note = desc.get(..Self::len_on(architecture))?;
        let words = note.get(REGISTERS_AT..)?;
        let (registers, fs_base, gs_base) = match architecture {
            Architecture::X86_64 => {
                let registers = x86_64::Registers::from_pt_regs(words)?;
                (Registers::X86_64(registers), le_u64(note, FS_BASE_AT)?, le_u64(note, GS_BASE_AT)?)
            }
            Architecture::Arm64 => (arm64::Registers::from_user_pt_regs(words)?.into(), 0, 0),
        };
        Some(Self {
            pid: le_u32(note, PID_AT)?.cast_signed(),
            registers,
            fs_base,
            gs_base,
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
        let mut desc = vec![0; 336];
        desc[32..36].copy_from_slice(&(-7i32).to_le_bytes());
        for word in 0..27u64 {
            let at = 112 + word as usize * 8;
            desc[at..at + 8].copy_from_slice(&(0x100 + word).to_le_bytes());
        }
        let prstatus = Prstatus::parse(Architecture::X86_64, &desc, FileOffset::new(9)).unwrap();
        assert_eq!(prstatus.pid, -7);
        let registers = prstatus.registers.x86_64().unwrap();
        assert_eq!((registers.r15, registers.rip, registers.ss), (0x100, 0x110, 0x114));
        assert_eq!((prstatus.fs_base, prstatus.gs_base), (0x115, 0x116));
        assert_eq!((prstatus.file_offset, prstatus.note), (FileOffset::new(9), desc.clone()));
        assert_eq!(Prstatus::parse(Architecture::X86_64, &desc[..335], FileOffset::new(0)), None);
    }

    #[test]
    fn a_note_of_arm64_has_other_registers() {
        let mut desc = vec![0; 392];
        desc[32..36].copy_from_slice(&2i32.to_le_bytes());
        for word in 0..34u64 {
            let at = 112 + word as usize * 8;
            desc[at..at + 8].copy_from_slice(&(0x100 + word).to_le_bytes());
        }
        assert_eq!(Prstatus::architecture_of(desc.len()), Architecture::Arm64);
        let prstatus = Prstatus::parse(Architecture::Arm64, &desc, FileOffset::new(9)).unwrap();
        let Registers::Arm64(registers) = prstatus.registers else { panic!("{prstatus:?}") };
        assert_eq!((prstatus.pid, registers.x[0], registers.x[30]), (2, 0x100, 0x11e));
        assert_eq!((registers.sp.get(), registers.pc.get(), registers.pstate), (0x11f, 0x120, 0x121));
        assert_eq!(Prstatus::parse(Architecture::Arm64, &desc[..391], FileOffset::new(0)), None);
    }
}
