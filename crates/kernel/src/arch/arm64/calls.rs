//! Calls in code of arm64.
//!
//! Source: Arm Architecture Reference Manual, C6.2, BL.

use vmcore_memory::VirtAddr;

/// Whether code that begins at `start` has a `bl` to `target`.
pub(crate) fn has_call(code: &[u8], start: VirtAddr, target: VirtAddr) -> bool {
    let instructions = code.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    let places = (0..).step_by(4).map(|offset| start.wrapping_add(offset));
    instructions.zip(places).any(|(instruction, at)| {
        // In words, signed, 26 bits.
        let distance = i64::from((instruction << 6).cast_signed() >> 4);
        instruction >> 26 == 0b10_0101 && at.wrapping_add(distance.cast_unsigned()) == target
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_their_target() {
        // paciasp; bl +0x100; bl -0x10; b +0x20; ret
        let code = [0xd503_233f, 0x9400_0040, 0x97ff_fffc, 0x1400_0008, 0xd65f_03c0_u32].map(u32::to_le_bytes).concat();
        let start = VirtAddr::new(0x1000);
        assert!(has_call(&code, start, VirtAddr::new(0x1104)));
        assert!(has_call(&code, start, VirtAddr::new(0xff8)));
        // What is branched to is not called.
        assert!(!has_call(&code, start, VirtAddr::new(0x102c)));
        assert!(!has_call(&code[..7], start, VirtAddr::new(0x1104)));
    }
}
