//! Taint bits as the letters that the kernel prints.
//!
//! Source: `taint_flags` in `kernel/panic.c`; the bits are part of the user interface, and never change
//! (`Documentation/admin-guide/tainted-kernels.rst`).

/// By bit.
const LETTERS: &str = "PFSRMBUDAWCIOELKXTNJ";

/// The letters of the bits that are set, in the order of the bits; `?` for one without a letter. Empty for 0.
#[must_use]
pub(crate) fn letters(mask: u64) -> String {
    let mut letters: String =
        LETTERS.chars().enumerate().filter(|(bit, _)| mask >> bit & 1 != 0).map(|(_, letter)| letter).collect();
    if mask >> LETTERS.len() != 0 {
        letters.push('?');
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn letters_stand_in_the_order_of_their_bits() {
        assert_eq!(letters(0), "");
        assert_eq!(letters(1 << 12 | 1 << 13), "OE");
        assert_eq!(letters(1 | 1 << 14 | 1 << 9), "PWL");
        assert_eq!(letters(1 << 40), "?");
    }
}
