//! What the notes of a dump tell of user code: a CPU that ran it when the machine stopped has its data in the general
//! registers, and every CPU may have it in those of its floating-point unit. A dump that is given away keeps where that code
//! was, and nothing else of it.
//!
//! ```text
//! x86-64: pr_reg   112 r15 to di | orig_ax ip | 248 cs | flags sp ss        user_regs_struct
//! arm64:  pr_reg   112 x0 to x30 | 360 sp pc  | 376 pstate                  user_pt_regs
//! ```
//!
//! Source: `arch/x86/include/asm/user_64.h`, `arch/arm64/include/uapi/asm/ptrace.h`; QEMU's `target/i386/arch_dump.c` and
//! `target/arm/arch_dump.c`, which also writes `NT_FPREGSET` and `NT_ARM_SVE`.

use std::ops::Range;

use vmcore_memory::{Architecture, FileOffset, le_u32};

use crate::{Prstatus, QemuCpuState, RawNote};

/// Where `pr_reg` begins.
const PRSTATUS_REGISTERS: usize = 112;
/// `rax` to `rdi`, and `rbp` to `r15`: all but `rsp`.
const QEMU_GENERAL: [Range<usize>; 2] = [8..8 + 6 * 8, 8 + 7 * 8..8 + 16 * 8];
/// The selector of `cs`.
const QEMU_CS: usize = 152;
/// The privilege level of a selector: 3 is user code.
const PRIVILEGE: u64 = 3;

/// How many words `pr_reg` has of user code's data, in front of where that code was.
const fn general_words(architecture: Architecture) -> usize {
    match architecture {
        Architecture::X86_64 => 15,
        Architecture::Arm64 => 31,
    }
}

const fn general(architecture: Architecture) -> Range<usize> {
    PRSTATUS_REGISTERS..PRSTATUS_REGISTERS + general_words(architecture) * 8
}

impl RawNote {
    /// The general registers of a CPU of such a machine that ran user code, as an `NT_PRSTATUS` note has them; `None` of other
    /// notes, of kernel code, and where they are zero.
    #[must_use]
    pub fn user_registers(&self, architecture: Architecture) -> Option<&[u8]> {
        self.prstatus_of_user(architecture)?;
        self.desc.get(general(architecture)).filter(|registers| registers.iter().any(|&byte| byte != 0))
    }

    /// The note with those registers, and all of a floating-point unit, overwritten by zeroes; any other note as it is.
    #[must_use]
    pub fn without_user_registers(&self, architecture: Architecture) -> Self {
        let mut note = self.clone();
        let whole = 0..note.desc.len();
        let blank = match (self.prstatus_of_user(architecture), self.qemu_state_of_user()) {
            _ if self.is_of_vectors() => vec![whole],
            (Some(()), _) => vec![general(architecture)],
            (None, Some(())) => QEMU_GENERAL.to_vec(),
            (None, None) => Vec::new(),
        };
        for range in blank {
            if let Some(bytes) = note.desc.get_mut(range) {
                bytes.fill(0);
            }
        }
        note
    }

    /// Whether it has the registers of a floating-point or vector unit. Kernel code rarely uses them, so they are user code's
    /// whatever the CPU was doing.
    fn is_of_vectors(&self) -> bool {
        self.name == b"CORE" && self.kind == object::elf::NT_PRFPREG.0 || self.name == b"LINUX"
    }

    fn prstatus_of_user(&self, architecture: Architecture) -> Option<()> {
        let is_prstatus = self.name == b"CORE" && self.kind == object::elf::NT_PRSTATUS.0;
        let status = Prstatus::parse(architecture, &self.desc, FileOffset::new(0)).filter(|_| is_prstatus)?;
        (status.registers.are_saved() && status.registers.user_mode()).then_some(())
    }

    fn qemu_state_of_user(&self) -> Option<()> {
        QemuCpuState::parse(&self.desc, FileOffset::new(0)).filter(|_| self.name == b"QEMU")?;
        (u64::from(le_u32(&self.desc, QEMU_CS)?) & PRIVILEGE == PRIVILEGE).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CS: usize = PRSTATUS_REGISTERS + 17 * 8;
    const X86: Architecture = Architecture::X86_64;

    fn prstatus(cs: u64) -> RawNote {
        let mut desc = vec![0xaa; 336];
        desc[CS..CS + 8].copy_from_slice(&cs.to_le_bytes());
        RawNote { name: b"CORE".to_vec(), kind: object::elf::NT_PRSTATUS.0, desc }
    }

    fn qemu(cs: u32) -> RawNote {
        let mut desc = vec![0xbb; 440];
        desc[..8].copy_from_slice(&[1, 0, 0, 0, 0xb8, 1, 0, 0]);
        desc[QEMU_CS..QEMU_CS + 4].copy_from_slice(&cs.to_le_bytes());
        RawNote { name: b"QEMU".to_vec(), kind: 0, desc }
    }

    fn registers(architecture: Architecture, note: &RawNote) -> vmcore_memory::Registers {
        Prstatus::parse(architecture, &note.desc, FileOffset::new(0)).unwrap().registers
    }

    #[test]
    fn of_user_code_only_its_place_stays() {
        let note = prstatus(0x33);
        assert_eq!(note.user_registers(X86).unwrap(), [0xaa; 120]);
        let blank = note.without_user_registers(X86);
        assert_eq!(blank.user_registers(X86), None);
        let (before, after) = (registers(X86, &note), registers(X86, &blank));
        let (before, after) = (before.x86_64().unwrap(), after.x86_64().unwrap());
        assert_eq!((after.rip, after.rsp, after.rbx, after.rdi), (before.rip, before.rsp, 0, 0));
        assert_eq!(blank.desc[..112], note.desc[..112]);
        let (note, blank) = (qemu(0x33), qemu(0x33).without_user_registers(X86));
        let state = |note: &RawNote| QemuCpuState::parse(&note.desc, FileOffset::new(0)).unwrap();
        let registers = state(&blank).registers;
        assert_eq!((registers.rax, registers.rdi, registers.rbp, registers.r15), (0, 0, 0, 0));
        assert_eq!((registers.rsp, registers.rip), (state(&note).registers.rsp, state(&note).registers.rip));
        assert_eq!(state(&blank).cr3, state(&note).cr3);
    }

    #[test]
    fn of_arm64_too() {
        let arm64 = Architecture::Arm64;
        let note = |pstate: u64| {
            let mut desc = vec![0xaa; 392];
            desc[376..384].copy_from_slice(&pstate.to_le_bytes());
            RawNote { name: b"CORE".to_vec(), kind: object::elf::NT_PRSTATUS.0, desc }
        };
        let user = note(0x8000_1000);
        assert_eq!(user.user_registers(arm64).unwrap(), [0xaa; 31 * 8]);
        let blank = user.without_user_registers(arm64);
        let (before, after) = (registers(arm64, &user), registers(arm64, &blank));
        assert_eq!((after.pc(), after.sp(), after.user_mode()), (before.pc(), before.sp(), true));
        assert!(blank.desc[112..360].iter().all(|&byte| byte == 0));
        let kernel = note(0x6040_00c5);
        assert_eq!((kernel.user_registers(arm64), kernel.without_user_registers(arm64)), (None, kernel.clone()));
    }

    #[test]
    fn vector_registers_are_user_code_s_whatever_the_cpu_did() {
        for (name, kind) in [("CORE", 2), ("LINUX", 0x405), ("LINUX", 0x202)] {
            let note = RawNote { name: name.into(), kind, desc: b"ams/crowd --busy".to_vec() };
            assert_eq!(note.without_user_registers(Architecture::Arm64).desc, [0; 16]);
        }
    }

    #[test]
    fn kernel_code_and_other_notes_stay_as_they_are() {
        for note in [prstatus(0x10), qemu(0x10), RawNote { name: b"VMCOREINFO".to_vec(), ..prstatus(0x33) }] {
            assert_eq!(note.without_user_registers(X86), note);
            assert_eq!(note.user_registers(X86), None);
        }
        let short = RawNote { desc: vec![0xff; 200], ..prstatus(0x33) };
        assert_eq!(short.without_user_registers(X86), short);
    }
}
