//! Unwind entries: `.orc_unwind_ip`, `.orc_unwind` and, where the kernel has it, `.orc_header`.
//!
//! ```text
//! .orc_unwind_ip   s32 distance from this word to the code, in the order of addresses
//! .orc_unwind      s16 sp_offset | s16 bp_offset | u16: sp_reg:4 bp_reg:4 type:2 end:1 (since 6.4: type:3 signal:1)
//! ```
//!
//! Source: `arch/x86/include/asm/orc_types.h`, `tools/objtool/orc_gen.c`.

use vmcore_memory::VirtAddr;

use crate::generation::OrcForm;

/// What a call frame's address is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// RSP.
    Sp,
    /// The word at RSP.
    SpIndirect,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orc {
    Outermost,
    /// The return address is below `base + offset`.
    Call {
        base: Base,
        offset: u64,
    },
    /// `push %rbp; mov %rsp,%rbp`.
    FramePointer,
    /// A `struct pt_regs` is at RSP, or where the word at RSP points to.
    Registers {
        indirect: bool,
    },
}

/// From where in the text a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OrcRow {
    pub(crate) offset: u64,
    pub(crate) orc: Orc,
}

const REG_PREV_SP: u16 = 1;
const REG_BP: u16 = 4;
const REG_SP: u16 = 5;
const REG_SP_INDIRECT: u16 = 9;

impl Orc {
    pub(crate) const fn call(base: Base, offset: u64) -> Self {
        Self::Call { base, offset }
    }

    /// The entry's six bytes.
    fn encode(self, form: OrcForm) -> [u8; 6] {
        let (sp_offset, bp_offset, registers, kind) = match self {
            Self::Outermost => (0, 0, 0, EntryKind::Outermost),
            Self::Call { base: Base::Sp, offset } => (offset as i16, 0, REG_SP, EntryKind::Call),
            Self::Call { base: Base::SpIndirect, offset } => (offset as i16, 0, REG_SP_INDIRECT, EntryKind::Call),
            Self::FramePointer => (16, -16, REG_BP | REG_PREV_SP << 4, EntryKind::Call),
            Self::Registers { indirect: false } => (0, 0, REG_SP, EntryKind::Registers),
            Self::Registers { indirect: true } => (0, 0, REG_SP_INDIRECT, EntryKind::Registers),
        };
        let bits = registers | kind.bits(form);
        let [a, b] = i16::to_le_bytes(sp_offset);
        let [c, d] = i16::to_le_bytes(bp_offset);
        let [e, f] = bits.to_le_bytes();
        [a, b, c, d, e, f]
    }
}

#[derive(Clone, Copy)]
enum EntryKind {
    Outermost,
    Call,
    Registers,
}

impl EntryKind {
    /// The bits above the two register numbers.
    const fn bits(self, form: OrcForm) -> u16 {
        match (form, self) {
            (OrcForm::End, Self::Outermost) => 1 << 10,
            (OrcForm::End, Self::Call) => 0,
            (OrcForm::End, Self::Registers) => 1 << 8,
            (OrcForm::Type3, Self::Outermost) => 1 << 8,
            (OrcForm::Type3, Self::Call) => 2 << 8,
            // What an interrupt found was not a call: `signal`.
            (OrcForm::Type3, Self::Registers) => 3 << 8 | 1 << 11,
        }
    }
}

/// The contents of both sections, for text at `text` and the first section at `ips`; addresses are link-time addresses.
pub(crate) fn sections(rows: &[OrcRow], form: OrcForm, text: VirtAddr, ips: VirtAddr) -> (Vec<u8>, Vec<u8>) {
    let distance = |(index, row): (usize, &OrcRow)| {
        let word = ips.wrapping_add(index as u64 * 4);
        (text.wrapping_add(row.offset).wrapping_sub(word.get()).get() as u32).to_le_bytes()
    };
    let distances = rows.iter().enumerate().flat_map(distance).collect();
    (distances, rows.iter().flat_map(|row| row.orc.encode(form)).collect())
}
