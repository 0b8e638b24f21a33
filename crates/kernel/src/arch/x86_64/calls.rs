//! Calls in code of x86-64.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CALL.

use vmcore_memory::{VirtAddr, le_u32};

/// Looks for `call rel32` to `target` at every byte of code that begins at `start`: four bytes in the middle of another
/// instruction that happen to lead exactly there are not to be expected.
pub(crate) fn has_call(code: &[u8], start: VirtAddr, target: VirtAddr) -> bool {
    const CALL: u8 = 0xe8;
    code.windows(5).enumerate().any(|(at, bytes)| {
        let distance = le_u32(bytes, 1).map(|distance| i64::from(distance.cast_signed()));
        let next = start.wrapping_add(at as u64 + 5);
        bytes.first() == Some(&CALL)
            && distance.is_some_and(|distance| next.wrapping_add(distance.cast_unsigned()) == target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_their_target() {
        // push %rbx; call +0x100; call -0x10; ret
        let code = [0x53, 0xe8, 0x00, 0x01, 0, 0, 0xe8, 0xf0, 0xff, 0xff, 0xff, 0xc3];
        let start = VirtAddr::new(0x1000);
        assert!(has_call(&code, start, VirtAddr::new(0x1106)));
        assert!(has_call(&code, start, VirtAddr::new(0xffb)));
        assert!(!has_call(&code, start, VirtAddr::new(0x1100)));
        assert!(!has_call(&code[..5], start, VirtAddr::new(0x1106)));
    }
}
