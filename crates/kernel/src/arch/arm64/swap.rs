//! Swap entries of arm64: the fields of an entry in a page table whose page is not present.
//!
//! ```text
//! kernel     type       offset      mapped, but not for the hardware
//! 6.12       bits 6-10  bits 12-61  bit 11
//! 6.1        bits 3-7   bits 8-57   bit 58 (PROT_NONE), 59 (a huge page in the middle of a split)
//! older      bits 2-7   bits 8-57   as above
//! ```
//!
//! These are macros, in no debug information. The kernel's own code tells: functions that look at such entries take the
//! offset out of one by `ubfx X, X, #12, #50` or `#8, #50`, which no other field of 50 bits needs. What tells the last two apart is
//! that bit 2 marks a page that belongs to one process alone, for which there is a flag of pages (`PG_anon_exclusive`).
//!
//! Source: `arch/arm64/include/asm/pgtable.h`, `pgtable-prot.h`.

use std::collections::BTreeSet;

use vmcore_debuginfo::Vmlinux;
use vmcore_memory::{ReadVirtual, le_u32};

use crate::pte::{SwapFields, Unreachable};

/// Functions that look at swap entries of processes.
const FUNCTIONS: [&str; 6] = [
    "do_swap_page",
    "migration_entry_wait",
    "__migration_entry_wait",
    "remove_migration_pte",
    "swapin_walk_pmd_entry",
    "unuse_pte_range",
];
/// More code than any of them has, in bytes.
const MAX_CODE: u64 = 16 << 10;
/// `__SWP_OFFSET_BITS`.
const OFFSET_BITS: u32 = 50;

impl SwapFields {
    /// Those of arm64 as 6.12 has them.
    pub const ARM64_FROM_BIT_12: Self = Self {
        type_shift: 6,
        type_bits: 5,
        offset_shift: 12,
        inverted: false,
        unreachable: Unreachable::ByOneBit(1 << 11),
    };
    /// Those of arm64 as 6.1 has them: bit 2 has a meaning of its own.
    pub const ARM64_FROM_BIT_8: Self = Self {
        type_shift: 3,
        type_bits: 5,
        offset_shift: 8,
        inverted: false,
        unreachable: Unreachable::ByBits { inaccessible: 1 << 58, splitting: 1 << 59 },
    };
    /// Those of arm64 before.
    pub const ARM64_WITHOUT_EXCLUSIVE: Self = Self { type_shift: 2, type_bits: 6, ..Self::ARM64_FROM_BIT_8 };
}

/// The fields of this kernel's swap entries, by its code; `None` where that does not tell. `has_exclusive` says whether
/// the kernel knows pages that belong to one process alone.
pub(crate) fn swap_fields<M: ReadVirtual + ?Sized>(
    memory: &M,
    vmlinux: &Vmlinux,
    kaslr_offset: u64,
    has_exclusive: bool,
) -> Option<SwapFields> {
    let symbols = vmlinux.symbols();
    let code = FUNCTIONS.into_iter().filter_map(|name| {
        let address = symbols.address(name)?.wrapping_add(kaslr_offset);
        // Up to where the next one begins, where symbols have no sizes.
        let size = symbols.size(name).filter(|&size| size != 0);
        let size = size.or_else(|| Some(symbols.lookup(symbols.address(name)?)?.size))?;
        memory.read_bytes(address, size.min(MAX_CODE) & !3).ok()
    });
    let shifts: BTreeSet<u32> = code.flat_map(|code| fields_of_50_bits(&code)).collect();
    by_offset(&shifts, has_exclusive)
}

fn by_offset(shifts: &BTreeSet<u32>, has_exclusive: bool) -> Option<SwapFields> {
    match (shifts.contains(&12), shifts.contains(&8)) {
        (true, false) => Some(SwapFields::ARM64_FROM_BIT_12),
        (false, true) if has_exclusive => Some(SwapFields::ARM64_FROM_BIT_8),
        (false, true) => Some(SwapFields::ARM64_WITHOUT_EXCLUSIVE),
        _ => None,
    }
}

/// The lowest bits of the fields of 50 bits that the code takes out of registers: `ubfx Xd, Xn, #lsb, #50`, which is `ubfm`
/// with `immr` = lsb and `imms` = lsb + 49.
fn fields_of_50_bits(code: &[u8]) -> Vec<u32> {
    let instructions = (0..code.len()).step_by(4).filter_map(|at| le_u32(code, at));
    let fields = instructions.filter(|instruction| instruction >> 22 == 0xd340_0000 >> 22).map(|instruction| {
        let (lowest, highest) = (instruction >> 16 & 0x3f, instruction >> 10 & 0x3f);
        (lowest, highest)
    });
    fields.filter(|(lowest, highest)| lowest + OFFSET_BITS - 1 == *highest).map(|(lowest, _)| lowest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(instructions: &[u32]) -> Vec<u8> {
        instructions.iter().flat_map(|instruction| instruction.to_le_bytes()).collect()
    }

    /// `ubfx x1, x1, #12, #9`; `ubfx x19, x19, #8, #50` and `ubfx x0, x1, #12, #50`, of `do_swap_page` of 6.1 and
    /// `migration_entry_wait` of 6.12; a `ret`.
    const TABLE_INDEX: u32 = 0xd34c_5021;
    const FROM_8: u32 = 0xd348_e673;
    const FROM_12: u32 = 0xd34c_f420;
    const RET: u32 = 0xd65f_03c0;

    #[test]
    fn the_code_tells_where_the_offset_is() {
        assert_eq!(fields_of_50_bits(&code(&[TABLE_INDEX, FROM_8, RET])), [8]);
        assert_eq!(fields_of_50_bits(&code(&[RET, FROM_12, FROM_12])), [12, 12]);
        let shifts = |shifts: &[u32]| shifts.iter().copied().collect::<BTreeSet<u32>>();
        assert_eq!(by_offset(&shifts(&[12]), true), Some(SwapFields::ARM64_FROM_BIT_12));
        assert_eq!(by_offset(&shifts(&[8]), true), Some(SwapFields::ARM64_FROM_BIT_8));
        assert_eq!(by_offset(&shifts(&[8]), false), Some(SwapFields::ARM64_WITHOUT_EXCLUSIVE));
        assert_eq!(by_offset(&shifts(&[8, 12]), true), None, "what contradicts itself tells nothing");
        assert_eq!(by_offset(&shifts(&[]), true), None);
    }
}
