//! Unwind entries: `.orc_unwind_ip`, `.orc_unwind` and, where the kernel has it, `.orc_header`.
//!
//! ```text
//! .orc_unwind_ip   s32 distance from this word to the code, in the order of addresses; in the file, up to 5.5, in that of
//!                  the object files
//! .orc_unwind      s16 sp_offset | s16 bp_offset | u16: sp_reg:4 bp_reg:4 type:2 end:1 (since 6.4: type:3 signal:1)
//! ```
//!
//! Source: `arch/x86/include/asm/orc_types.h`, `tools/objtool/orc_gen.c`.

use vmcore_memory::VirtAddr;

use crate::arch::Kind;
use crate::arch::x86_64::OrcForm;
use crate::vmlinux::code::{Code, Function, Owner};

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
    /// Nothing is known of the code from here on: what ends the rows of an object file.
    Terminator,
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
            Self::Terminator => return [0; 6],
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

/// Bytes from the stack pointer in the body to where the caller's was before the call.
const fn depth(function: &Function) -> u64 {
    match function.kind {
        Kind::Copy | Kind::Poll | Kind::Outermost | Kind::Exception | Kind::SwitchInEntry => 8,
        Kind::SwitchByBp => 16,
        Kind::Ordinary | Kind::SwitchBySp => 8 + function.frame,
    }
}

/// The unwind entries of the functions of the kernel or of a module, in the order of their addresses.
pub(crate) fn rows(code: &Code, owner: Owner) -> Vec<OrcRow> {
    let rows = |function: &Function| {
        let prologue = function.prologue;
        let at = |offset: u64, orc| OrcRow { offset: function.offset + offset, orc };
        let entry = at(0, Orc::call(Base::Sp, 8));
        match function.kind {
            Kind::Copy | Kind::Poll => vec![entry],
            Kind::Outermost => vec![at(0, Orc::Outermost)],
            Kind::Exception => vec![at(0, Orc::Registers { indirect: false })],
            Kind::SwitchInEntry => vec![at(0, Orc::Registers { indirect: true })],
            Kind::SwitchByBp => vec![entry, at(prologue, Orc::FramePointer)],
            Kind::SwitchBySp => vec![entry, at(prologue, Orc::call(Base::SpIndirect, depth(function)))],
            Kind::Ordinary => {
                let end = function.size - 1;
                vec![entry, at(prologue, Orc::call(Base::Sp, depth(function))), at(end, Orc::call(Base::Sp, 8))]
            }
        }
    };
    code.functions(owner).flat_map(rows).collect()
}

/// Rows of one object file; real ones have some hundreds.
const OBJECT_ROWS: usize = 24;

/// Rows as a linker leaves them before they are sorted: those of an object file together, a terminator behind them, and
/// the object files in another order than their code, whose sections the linker script distributes.
pub(crate) fn in_link_order(rows: &[OrcRow], text_size: u64) -> Vec<OrcRow> {
    let objects: Vec<&[OrcRow]> = rows.chunks(OBJECT_ROWS).collect();
    let object = |number: usize| {
        let end = objects.get(number + 1).and_then(|next| next.first()).map_or(text_size, |row| row.offset);
        let terminator = OrcRow { offset: end, orc: Orc::Terminator };
        objects.get(number).into_iter().copied().flatten().copied().chain([terminator])
    };
    let (odd, even) = ((1..objects.len()).step_by(2), (0..objects.len()).step_by(2));
    odd.chain(even).flat_map(object).collect()
}

/// The same rows as the kernel sorts them: by address, and where two are at one address the terminator first.
pub(crate) fn sorted(mut rows: Vec<OrcRow>) -> Vec<OrcRow> {
    rows.sort_by_key(|row| (row.offset, row.orc != Orc::Terminator));
    rows
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Generation;
    use crate::scenario::Module;
    use crate::vmlinux::code::CallGraph;

    #[test]
    fn unwind_rows_are_in_order_and_cover_each_body() {
        let module = Module { name: "gpu".to_owned(), functions: vec!["driver_busy_loop".to_owned()] };
        for generation in Generation::of_x86_64() {
            let code = Code::lay_out(&generation, CallGraph::of(&generation), std::slice::from_ref(&module));
            for owner in [Owner::Kernel, Owner::Module(0)] {
                let rows = rows(&code, owner);
                assert!(rows.is_sorted_by(|a, b| a.offset < b.offset));
                for function in code.functions(owner) {
                    let body = function.offset + function.body;
                    assert!(body < function.offset + function.size, "{}", function.name);
                    let row = rows.iter().rev().find(|row| row.offset <= body).unwrap();
                    let covered = match row.orc {
                        Orc::Call { offset, .. } => offset,
                        Orc::FramePointer => 16,
                        Orc::Outermost | Orc::Terminator | Orc::Registers { .. } => 8,
                    };
                    assert_eq!(covered, depth(function), "{}", function.name);
                }
            }
        }
    }

    #[test]
    fn link_order_is_none_of_addresses_and_sorts_into_them() {
        let rows: Vec<_> = (0..100).map(|row| OrcRow { offset: row * 16, orc: Orc::call(Base::Sp, 8) }).collect();
        let linked = in_link_order(&rows, 1600);
        let descents = linked.windows(2).filter(|pair| pair[0].offset > pair[1].offset).count();
        assert!(descents > 0);
        let sorted = sorted(linked);
        assert!(sorted.is_sorted_by_key(|row| row.offset));
        // Of two at one address the last one applies.
        for pair in sorted.windows(2).filter(|pair| pair[0].offset == pair[1].offset) {
            assert_eq!((pair[0].orc, pair[1].orc), (Orc::Terminator, Orc::call(Base::Sp, 8)));
        }
        let others: Vec<_> = sorted.into_iter().filter(|row| row.orc != Orc::Terminator).collect();
        assert_eq!(others, rows);
    }
}
