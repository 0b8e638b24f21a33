//! One ORC entry, in any of its formats.

use vmcore_memory::le_u16;

use super::{OrcFormat, OrcLayout, OrcNumbering};

/// `sizeof(struct orc_entry)` in bytes; it is packed.
pub const ENTRY_SIZE: usize = 6;

/// The register that an offset is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// No rule.
    Undefined,
    /// The previous frame's stack pointer (the CFA).
    PrevSp,
    /// RAX.
    Ax,
    /// RDX.
    Dx,
    /// RDI.
    Di,
    /// RBP.
    Bp,
    /// RSP.
    Sp,
    /// R10.
    R10,
    /// R13.
    R13,
    /// The word at RBP plus the offset.
    BpIndirect,
    /// The word at RSP, plus the offset.
    SpIndirect,
}

impl Base {
    const fn from_bits(bits: u16, numbering: OrcNumbering) -> Option<Self> {
        Some(match (numbering, bits & 0xf) {
            (_, 0) => Self::Undefined,
            (OrcNumbering::PrevSpFirst, 1) | (OrcNumbering::AxFirst, 8) => Self::PrevSp,
            (OrcNumbering::PrevSpFirst, 10) | (OrcNumbering::AxFirst, 1) => Self::Ax,
            (_, 2) => Self::Dx,
            (OrcNumbering::PrevSpFirst, 3) | (OrcNumbering::AxFirst, 5) => Self::Di,
            (_, 4) => Self::Bp,
            (OrcNumbering::PrevSpFirst, 5) | (OrcNumbering::AxFirst, 3) => Self::Sp,
            (_, 6) => Self::R10,
            (_, 7) => Self::R13,
            (OrcNumbering::PrevSpFirst, 8) | (OrcNumbering::AxFirst, 10) => Self::BpIndirect,
            (_, 9) => Self::SpIndirect,
            _ => return None,
        })
    }
}

/// How RBP of the caller is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramePointer {
    /// It has not been changed.
    Unchanged,
    /// It is the word at this offset from the CFA.
    FromCfa(i16),
    /// It is the word at this offset from RBP.
    FromBp(i16),
}

/// What lies at the address that the entry computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The tables know nothing of this code.
    Undefined,
    /// There is no caller: the outermost frame.
    EndOfStack,
    /// A return address lies just below.
    Call,
    /// A full `struct pt_regs`.
    Regs,
    /// Only the part of `struct pt_regs` that the CPU pushes itself (RIP, CS, RFLAGS, RSP, SS).
    PartialRegs,
}

/// One decoded entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrcEntry {
    /// What `sp_offset` is added to.
    pub sp_base: Base,
    /// In bytes.
    pub sp_offset: i16,
    /// The rule for RBP.
    pub frame_pointer: FramePointer,
    /// What is found there.
    pub kind: Kind,
    /// The caller's address is its next instruction, not a return address.
    pub signal: bool,
}

impl OrcEntry {
    /// Decodes one entry; `None` for values that no kernel has written.
    #[must_use]
    pub fn decode(bytes: &[u8], format: OrcFormat) -> Option<Self> {
        let sp_offset = le_u16(bytes, 0)?.cast_signed();
        let bp_offset = le_u16(bytes, 2)?.cast_signed();
        let bits = le_u16(bytes, 4)?;
        let sp_base = Base::from_bits(bits, format.numbering)?;
        let frame_pointer = match Base::from_bits(bits >> 4, format.numbering)? {
            Base::Undefined => FramePointer::Unchanged,
            Base::PrevSp => FramePointer::FromCfa(bp_offset),
            Base::Bp => FramePointer::FromBp(bp_offset),
            _ => return None,
        };
        let (kind, signal) = kind_and_signal(bits, format.layout, sp_base)?;
        Some(Self { sp_base, sp_offset, frame_pointer, kind, signal })
    }

    /// The rule that a function has before its first instruction: just a return address on the stack.
    #[must_use]
    pub const fn at_function_entry() -> Self {
        Self {
            sp_base: Base::Sp,
            sp_offset: 8,
            frame_pointer: FramePointer::Unchanged,
            kind: Kind::Call,
            signal: false,
        }
    }
}

fn kind_and_signal(bits: u16, layout: OrcLayout, sp_base: Base) -> Option<(Kind, bool)> {
    let bit = |n: u16| bits >> n & 1 != 0;
    if layout == OrcLayout::Type3 {
        let kind = match bits >> 8 & 7 {
            0 => Kind::Undefined,
            1 => Kind::EndOfStack,
            2 => Kind::Call,
            3 => Kind::Regs,
            4 => Kind::PartialRegs,
            _ => return None,
        };
        return Some((kind, bit(11)));
    }
    let end = bit(if layout == OrcLayout::End { 10 } else { 11 });
    let kind = match bits >> 8 & 3 {
        // Before 6.4 an empty hint is `sp_reg` undefined; `end` tells an outermost frame from unknown code.
        0 if sp_base == Base::Undefined && end => Kind::EndOfStack,
        0 if sp_base == Base::Undefined => Kind::Undefined,
        0 => Kind::Call,
        1 => Kind::Regs,
        2 => Kind::PartialRegs,
        _ => return None,
    };
    let signal = match layout {
        OrcLayout::SignalEnd => bit(10),
        _ => matches!(kind, Kind::Regs | Kind::PartialRegs),
    };
    Some((kind, signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn old(layout: OrcLayout) -> OrcFormat {
        OrcFormat { layout, numbering: OrcNumbering::PrevSpFirst }
    }

    fn entry(sp_offset: i16, bp_offset: i16, bits: u16) -> [u8; 6] {
        let mut bytes = [0; 6];
        bytes[..2].copy_from_slice(&sp_offset.to_le_bytes());
        bytes[2..4].copy_from_slice(&bp_offset.to_le_bytes());
        bytes[4..].copy_from_slice(&bits.to_le_bytes());
        bytes
    }

    #[test]
    fn a_call_frame_in_each_layout() {
        let expected = OrcEntry {
            sp_base: Base::Sp,
            sp_offset: 16,
            frame_pointer: FramePointer::FromCfa(-16),
            kind: Kind::Call,
            signal: false,
        };
        for (layout, kind) in [(OrcLayout::End, 0), (OrcLayout::SignalEnd, 0), (OrcLayout::Type3, 2)] {
            let bytes = entry(16, -16, 5 | 1 << 4 | kind << 8);
            assert_eq!(OrcEntry::decode(&bytes, old(layout)), Some(expected), "{layout:?}");
        }
    }

    #[test]
    fn the_outermost_frame_in_each_layout() {
        let kind = |bits, layout| OrcEntry::decode(&entry(0, 0, bits), old(layout)).map(|entry| entry.kind);
        assert_eq!(kind(1 << 10, OrcLayout::End), Some(Kind::EndOfStack));
        assert_eq!(kind(1 << 11, OrcLayout::SignalEnd), Some(Kind::EndOfStack));
        assert_eq!(kind(1 << 8, OrcLayout::Type3), Some(Kind::EndOfStack));
        assert_eq!(kind(0, OrcLayout::End), Some(Kind::Undefined));
        assert_eq!(kind(0, OrcLayout::Type3), Some(Kind::Undefined));
    }

    #[test]
    fn saved_registers_mean_an_exact_address() {
        let decode = |bits, layout| OrcEntry::decode(&entry(0, 0, bits), old(layout)).map(|e| (e.kind, e.signal));
        assert_eq!(decode(5 | 1 << 8, OrcLayout::End), Some((Kind::Regs, true)));
        assert_eq!(decode(5 | 2 << 8 | 1 << 10, OrcLayout::SignalEnd), Some((Kind::PartialRegs, true)));
        assert_eq!(decode(5 | 3 << 8 | 1 << 11, OrcLayout::Type3), Some((Kind::Regs, true)));
    }

    #[test]
    fn values_that_no_kernel_writes_are_refused() {
        assert_eq!(OrcEntry::decode(&entry(0, 0, 11), old(OrcLayout::Type3)), None);
        assert_eq!(OrcEntry::decode(&entry(0, 0, 5 | 2 << 4), old(OrcLayout::Type3)), None);
        assert_eq!(OrcEntry::decode(&entry(0, 0, 5 | 7 << 8), old(OrcLayout::Type3)), None);
        assert_eq!(OrcEntry::decode(&[0; 5], old(OrcLayout::End)), None);
    }

    #[test]
    fn registers_in_each_numbering() {
        let base = |bits: u16, numbering| {
            let format = OrcFormat { layout: OrcLayout::Type3, numbering };
            OrcEntry::decode(&entry(0, 0, bits | 2 << 8), format).map(|entry| entry.sp_base)
        };
        let of = |numbering| (0..11_u16).map(|bits| base(bits, numbering)).collect::<Option<Vec<_>>>().unwrap();
        let old = of(OrcNumbering::PrevSpFirst);
        use Base::*;
        assert_eq!(old, [Undefined, PrevSp, Dx, Di, Bp, Sp, R10, R13, BpIndirect, SpIndirect, Ax]);
        let new = of(OrcNumbering::AxFirst);
        assert_eq!(new, [Undefined, Ax, Dx, Sp, Bp, Di, R10, R13, PrevSp, SpIndirect, BpIndirect]);
        assert_eq!(base(11, OrcNumbering::AxFirst), None);
        // From the table of a 7.3 kernel: RBP is saved below the CFA.
        let format = OrcFormat { layout: OrcLayout::Type3, numbering: OrcNumbering::AxFirst };
        let saved = OrcEntry::decode(&entry(16, -16, 0x283), format).map(|entry| entry.frame_pointer);
        assert_eq!(saved, Some(FramePointer::FromCfa(-16)));
    }
}
