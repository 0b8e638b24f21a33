//! One ORC entry, in any of its three bit layouts.

use vmcore_memory::le_u16;

/// `sizeof(struct orc_entry)` in bytes; it is packed.
pub const ENTRY_SIZE: usize = 6;

/// Which bits of an entry mean what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrcLayout {
    /// `type:2 end:1`, up to 6.2.
    End,
    /// `type:2 signal:1 end:1`, 6.3.
    SignalEnd,
    /// `type:3 signal:1`, since 6.4.
    Type3,
}

/// The register that an offset is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// No rule.
    Undefined,
    /// The previous frame's stack pointer (the CFA).
    PrevSp,
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
    const fn from_bits(bits: u16) -> Option<Self> {
        Some(match bits & 0xf {
            0 => Self::Undefined,
            1 => Self::PrevSp,
            2 => Self::Dx,
            3 => Self::Di,
            4 => Self::Bp,
            5 => Self::Sp,
            6 => Self::R10,
            7 => Self::R13,
            8 => Self::BpIndirect,
            9 => Self::SpIndirect,
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
    pub fn decode(bytes: &[u8], layout: OrcLayout) -> Option<Self> {
        let sp_offset = le_u16(bytes, 0)?.cast_signed();
        let bp_offset = le_u16(bytes, 2)?.cast_signed();
        let bits = le_u16(bytes, 4)?;
        let sp_base = Base::from_bits(bits)?;
        let frame_pointer = match Base::from_bits(bits >> 4)? {
            Base::Undefined => FramePointer::Unchanged,
            Base::PrevSp => FramePointer::FromCfa(bp_offset),
            Base::Bp => FramePointer::FromBp(bp_offset),
            _ => return None,
        };
        let (kind, signal) = kind_and_signal(bits, layout, sp_base)?;
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
            assert_eq!(OrcEntry::decode(&bytes, layout), Some(expected), "{layout:?}");
        }
    }

    #[test]
    fn the_outermost_frame_in_each_layout() {
        let kind = |bits, layout| OrcEntry::decode(&entry(0, 0, bits), layout).map(|entry| entry.kind);
        assert_eq!(kind(1 << 10, OrcLayout::End), Some(Kind::EndOfStack));
        assert_eq!(kind(1 << 11, OrcLayout::SignalEnd), Some(Kind::EndOfStack));
        assert_eq!(kind(1 << 8, OrcLayout::Type3), Some(Kind::EndOfStack));
        assert_eq!(kind(0, OrcLayout::End), Some(Kind::Undefined));
        assert_eq!(kind(0, OrcLayout::Type3), Some(Kind::Undefined));
    }

    #[test]
    fn saved_registers_mean_an_exact_address() {
        let decode = |bits, layout| OrcEntry::decode(&entry(0, 0, bits), layout).map(|e| (e.kind, e.signal));
        assert_eq!(decode(5 | 1 << 8, OrcLayout::End), Some((Kind::Regs, true)));
        assert_eq!(decode(5 | 2 << 8 | 1 << 10, OrcLayout::SignalEnd), Some((Kind::PartialRegs, true)));
        assert_eq!(decode(5 | 3 << 8 | 1 << 11, OrcLayout::Type3), Some((Kind::Regs, true)));
    }

    #[test]
    fn values_that_no_kernel_writes_are_refused() {
        assert_eq!(OrcEntry::decode(&entry(0, 0, 10), OrcLayout::Type3), None);
        assert_eq!(OrcEntry::decode(&entry(0, 0, 5 | 2 << 4), OrcLayout::Type3), None);
        assert_eq!(OrcEntry::decode(&entry(0, 0, 5 | 7 << 8), OrcLayout::Type3), None);
        assert_eq!(OrcEntry::decode(&[0; 5], OrcLayout::End), None);
    }
}
