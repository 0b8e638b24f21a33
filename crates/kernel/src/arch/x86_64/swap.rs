//! Swap entries of x86-64: the fields of an entry in a page table whose page is not present.
//!
//! ```text
//! 63   59 58                                   9 8        1 0
//! | type | offset, every bit inverted           | software | 0 |
//! ```
//!
//! The offset has been inverted since the fix of L1TF (`__swp_entry()`, 4.19).
//!
//! Source: `arch/x86/include/asm/pgtable_64.h`.

use crate::pte::{SwapFields, Unreachable};

impl SwapFields {
    /// Those of x86-64, since the fix of L1TF.
    pub const X86_64: Self =
        Self { type_shift: 59, type_bits: 5, offset_shift: 9, inverted: true, unreachable: Unreachable::Apart };
}
