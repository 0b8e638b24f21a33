//! What the notes of a dump tell of user code: a CPU that ran it when the machine stopped has its data in the general
//! registers. A dump that is given away keeps where that code was, and nothing else of it.
//!
//! Source: `arch/x86/include/asm/user_64.h`, `struct user_regs_struct`; QEMU's `target/i386/arch_dump.c`.

use std::ops::Range;

use vmcore_memory::{Architecture, FileOffset, le_u32, le_u64};

use crate::{Prstatus, QemuCpuState, RawNote};

/// `r15` to `di` of `pr_reg`: the words before `orig_ax`.
const PRSTATUS_GENERAL: Range<usize> = 112..112 + 15 * 8;
/// `cs` of `pr_reg`.
const PRSTATUS_CS: usize = 112 + 17 * 8;
/// `rax` to `rdi`, and `rbp` to `r15`: all but `rsp`.
const QEMU_GENERAL: [Range<usize>; 2] = [8..8 + 6 * 8, 8 + 7 * 8..8 + 16 * 8];
/// The selector of `cs`.
const QEMU_CS: usize = 152;
/// The privilege level of a selector: 3 is user code.
const PRIVILEGE: u64 = 3;

impl RawNote {
    /// The general registers of a CPU that ran user code, as an `NT_PRSTATUS` note has them; `None` of other notes, of
    /// kernel code, and where they are zero.
    #[must_use]
    pub fn user_registers(&self) -> Option<&[u8]> {
        self.prstatus_of_user()?;
        self.desc.get(PRSTATUS_GENERAL).filter(|registers| registers.iter().any(|&byte| byte != 0))
    }

    /// The note with those registers overwritten by zeroes; any other note as it is.
    #[must_use]
    pub fn without_user_registers(&self) -> Self {
        let mut note = self.clone();
        let blank = match (self.prstatus_of_user(), self.qemu_state_of_user()) {
            (Some(()), _) => vec![PRSTATUS_GENERAL],
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

    fn prstatus_of_user(&self) -> Option<()> {
        let is_prstatus = self.name == b"CORE" && self.kind == object::elf::NT_PRSTATUS.0;
        Prstatus::parse(Architecture::X86_64, &self.desc, FileOffset::new(0)).filter(|_| is_prstatus)?;
        (le_u64(&self.desc, PRSTATUS_CS)? & PRIVILEGE == PRIVILEGE).then_some(())
    }

    fn qemu_state_of_user(&self) -> Option<()> {
        QemuCpuState::parse(&self.desc, FileOffset::new(0)).filter(|_| self.name == b"QEMU")?;
        (u64::from(le_u32(&self.desc, QEMU_CS)?) & PRIVILEGE == PRIVILEGE).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prstatus(cs: u64) -> RawNote {
        let mut desc = vec![0xaa; 336];
        desc[PRSTATUS_CS..PRSTATUS_CS + 8].copy_from_slice(&cs.to_le_bytes());
        RawNote { name: b"CORE".to_vec(), kind: object::elf::NT_PRSTATUS.0, desc }
    }

    fn qemu(cs: u32) -> RawNote {
        let mut desc = vec![0xbb; 440];
        desc[..8].copy_from_slice(&[1, 0, 0, 0, 0xb8, 1, 0, 0]);
        desc[QEMU_CS..QEMU_CS + 4].copy_from_slice(&cs.to_le_bytes());
        RawNote { name: b"QEMU".to_vec(), kind: 0, desc }
    }

    #[test]
    fn of_user_code_only_its_place_stays() {
        let note = prstatus(0x33);
        assert_eq!(note.user_registers().unwrap(), [0xaa; 120]);
        let blank = note.without_user_registers();
        assert_eq!(blank.user_registers(), None);
        let before =
            *Prstatus::parse(Architecture::X86_64, &note.desc, FileOffset::new(0)).unwrap().registers.x86_64().unwrap();
        let after = *Prstatus::parse(Architecture::X86_64, &blank.desc, FileOffset::new(0))
            .unwrap()
            .registers
            .x86_64()
            .unwrap();
        assert_eq!((after.rip, after.rsp, after.rbx, after.rdi), (before.rip, before.rsp, 0, 0));
        assert_eq!(blank.desc[..112], note.desc[..112]);
        let (note, blank) = (qemu(0x33), qemu(0x33).without_user_registers());
        let state = |note: &RawNote| QemuCpuState::parse(&note.desc, FileOffset::new(0)).unwrap();
        let registers = state(&blank).registers;
        assert_eq!((registers.rax, registers.rdi, registers.rbp, registers.r15), (0, 0, 0, 0));
        assert_eq!((registers.rsp, registers.rip), (state(&note).registers.rsp, state(&note).registers.rip));
        assert_eq!(state(&blank).cr3, state(&note).cr3);
    }

    #[test]
    fn kernel_code_and_other_notes_stay_as_they_are() {
        for note in [prstatus(0x10), qemu(0x10), RawNote { name: b"VMCOREINFO".to_vec(), ..prstatus(0x33) }] {
            assert_eq!(note.without_user_registers(), note);
            assert_eq!(note.user_registers(), None);
        }
        let short = RawNote { desc: vec![0xff; 200], ..prstatus(0x33) };
        assert_eq!(short.without_user_registers(), short);
    }
}
