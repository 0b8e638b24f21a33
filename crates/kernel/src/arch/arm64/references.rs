//! Which addresses code of arm64 mentions.
//!
//! ```text
//! adrp xD, page          the upper bits, counted from the instruction's own page
//! add  xD, xN, #low      the address itself, or one further on
//! ldr  xT, [xN, #low]    and all other loads and stores of one register with a constant offset: what is there
//! ```
//!
//! What else is written to a register is not looked at: some of the addresses may be none that the code has in mind, so
//! whoever uses one needs a proof of its own.
//!
//! Source: Arm Architecture Reference Manual, C4.1.

use std::collections::BTreeSet;

use vmcore_memory::VirtAddr;

/// Registers that can hold an address; `sp` and `xzr` share the last number.
const REGISTERS: usize = 32;

/// The addresses that the code at `start` forms.
pub(crate) fn references(code: &[u8], start: VirtAddr) -> BTreeSet<VirtAddr> {
    let mut registers = [None::<VirtAddr>; REGISTERS];
    let mut found = BTreeSet::new();
    let instructions = code.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    for (instruction, at) in instructions.zip((0..).step_by(4).map(|offset| start.wrapping_add(offset))) {
        let number = |shift: u32| (instruction >> shift & 0x1f) as usize;
        let of = |registers: &[Option<VirtAddr>; REGISTERS]| registers.get(number(5)).copied().flatten();
        match Reference::decode(instruction) {
            Some(Reference::Page(distance)) => {
                let page = VirtAddr::new((at.get() & !0xfff).wrapping_add_signed(distance));
                registers.get_mut(number(0)).into_iter().for_each(|register| *register = Some(page));
            }
            Some(Reference::Add(offset)) => {
                let sum = of(&registers).map(|base| base.wrapping_add(offset));
                found.extend(sum);
                registers.get_mut(number(0)).into_iter().for_each(|register| *register = sum);
            }
            Some(Reference::Access(offset)) => {
                found.extend(of(&registers).map(|base| VirtAddr::new(base.get().wrapping_add_signed(offset))));
            }
            None => {}
        }
    }
    found
}

/// An instruction that has to do with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    /// `adrp`: bytes from the instruction's page.
    Page(i64),
    /// `add` with a constant.
    Add(u64),
    /// A load or store at an offset.
    Access(i64),
}

impl Reference {
    const fn decode(instruction: u32) -> Option<Self> {
        let low = (instruction >> 10 & 0xfff) as u64;
        if instruction & 0x9f00_0000 == 0x9000_0000 {
            let pages = (instruction >> 5 & 0x7_ffff) << 2 | instruction >> 29 & 3;
            // Signed, 21 bits.
            return Some(Self::Page(((pages << 11).cast_signed() >> 11) as i64 * 4096));
        }
        if instruction & 0xff80_0000 == 0x9100_0000 {
            return Some(Self::Add(low << (12 * (instruction >> 22 & 1))));
        }
        // The size of an access is in the highest two bits; vectors of 128 bits are not told apart.
        if instruction & 0x3b00_0000 == 0x3900_0000 {
            return Some(Self::Access((low << (instruction >> 30)).cast_signed()));
        }
        // An offset of 9 bits that the register has before or after the access, or never; the last is of other instructions.
        if instruction & 0x3b20_0000 == 0x3800_0000 && instruction >> 10 & 3 != 2 {
            let after = instruction >> 10 & 3 == 1;
            let offset = ((instruction << 11).cast_signed() >> 23) as i64;
            return Some(Self::Access(if after { 0 } else { offset }));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &[u32], start: u64) -> Vec<u64> {
        let code: Vec<u8> = code.iter().flat_map(|instruction| instruction.to_le_bytes()).collect();
        references(&code, VirtAddr::new(start)).into_iter().map(VirtAddr::get).collect()
    }

    /// From `idle_cpu` of a 5.10 kernel, which uses `__per_cpu_offset` and `runqueues`, and from `find_module_all` of 6.1, where `modules`
    /// is 80 bytes behind another variable.
    #[test]
    fn what_real_code_mentions() {
        let code =
            [0x9000_9c22, 0x912a_0042, 0xb000_85a1, 0x913b_0021, 0xf860_d840, 0xd503_233f, 0x8b00_0021, 0xf944_b822];
        let (offsets, queues) = (0xffff_8000_1145_9a80, 0xffff_8000_1118_aec0u64);
        assert_eq!(found(&code, 0xffff_8000_100d_5228), [queues, queues + 2416, offsets]);
        let code = [0x9000_baf5, 0x9117_02b5, 0xa901_53f3, 0xa903_63f7, 0xaa00_03f8, 0xf845_0ea0];
        let modules = 0xffff_8000_098a_c610;
        assert_eq!(found(&code, 0xffff_8000_0815_0128), [modules - 80, modules]);
    }

    #[test]
    fn backwards_and_by_a_shifted_constant() {
        // adrp x1, -4096; add x1, x1, #1, lsl #12; ldrb w2, [x1, #3]; ldur x2, [x1, #-8]; ldr x2, [x1], #16; ldtr x2, [x1, #16];
        // str x2, [x1, #-16]!
        let code = [0xf0ff_ffe1, 0x9140_0421, 0x3940_0c22, 0xf85f_8022, 0xf841_0422, 0xf841_0822, 0xf81f_0c22];
        assert_eq!(found(&code, 0x10_0040), [0xf_fff0, 0xf_fff8, 0x10_0000, 0x10_0003]);
        // No page is known of x3.
        assert!(found(&[0x9102_0060, 0xf940_0401], 0x1000).is_empty());
        assert!(found(&[], 0x1000).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_code_is_survived(code in proptest::collection::vec(proptest::num::u8::ANY, 0..400), start: u64) {
            references(&code, VirtAddr::new(start));
        }
    }
}
