//! How many swap types are swap devices (`MAX_SWAPFILES`), on which the meaning of all others depends.
//!
//! The number is a macro, in no debug information. It is the length of the array `swap_info`: its type says it in DWARF,
//! its size in a vmlinux's symbol table. A kernel's own symbol table has no sizes, and BTF has all arrays but does not
//! say of which variable: since 6.16 more than one of pointers to `struct swap_info_struct` (the per-CPU swap cluster has
//! one too). So each length has to pass what is known of the number otherwise:
//!
//! - Types are 5 bits. What is not a device is special: `hwpoison`, the migration types, up to four for device memory,
//!   one each for markers and for what could not be read back (`include/linux/swap.h`). A length that leaves fewer of them is
//!   not it, and one of BTF's that leaves more is not, either.
//! - The array ends before the next symbol begins.
//!
//! Where none or several pass, the number is not known, and so is the meaning of every entry.

use vmcore_debuginfo::Vmlinux;

use super::{SwapFields, SwapLayout};
use crate::Gap;

/// `1 << MAX_SWAPFILES_SHIFT`.
const TYPES: u64 = 32;
/// Types for device memory (2, since 5.14 4, since 6.15 3), markers (1), and from 5.19 to 6.1 `SWP_SWAPIN_ERROR` (1): depending on
/// the configuration, or none.
const OPTIONAL_TYPES: u64 = 6;

impl SwapLayout {
    /// The layout of the kernel that `vmlinux` describes; `gaps` learns where it is not known.
    pub(crate) fn establish(vmlinux: &Vmlinux, page_levels: u8, gaps: &mut Vec<Gap>) -> Self {
        let (symbols, types) = (vmlinux.symbols(), vmlinux.types());
        let layout = Self {
            fields: Some(SwapFields::X86_64),
            max_swapfiles: None,
            hwpoison: symbols.address("memory_failure").is_some(),
            read_exclusive: types.enumerator("PG_anon_exclusive").is_some(),
            // SWP_PFN_BITS is MAX_PHYSMEM_BITS - PAGE_SHIFT: 52 and 46 bits of physical address with 5 and 4 levels.
            pfn_bits: if page_levels >= 5 { 40 } else { 34 },
        };
        let fits_before_next = |slots: u64| {
            let Some(start) = symbols.address("swap_info") else { return true };
            let last = slots.checked_mul(8).and_then(|bytes| start.checked_add(bytes.checked_sub(1)?));
            last.and_then(|last| symbols.lookup(last)).is_some_and(|symbol| symbol.address == start)
        };
        // The first two are of the variable itself.
        let declared = types.variable_array_len("swap_info");
        let sized = || symbols.size("swap_info").map(|bytes| bytes / 8);
        let max_swapfiles = declared
            .filter(|&slots| layout.may_be(slots))
            .or_else(|| sized().filter(|&slots| layout.may_be(slots)))
            .or_else(|| layout.only_possible(&types.pointer_array_lens("swap_info_struct"), fits_before_next));
        if max_swapfiles.is_none() {
            let why = "how many types are swap devices (MAX_SWAPFILES) is not known, so an entry for a page that is \
                       under migration or being split cannot be told from one for a page that is swapped out";
            gaps.push(Gap::new("swap entries", why));
        }
        Self { max_swapfiles, ..layout }
    }

    /// The one of `lengths` that may be `MAX_SWAPFILES`; `None` where it is none or several.
    fn only_possible(&self, lengths: &[u64], fits: impl Fn(u64) -> bool) -> Option<u64> {
        let mut possible = lengths.iter().copied().filter(|&slots| self.leaves_room(slots) && fits(slots));
        let first = possible.next()?;
        possible.all(|other| other == first).then_some(first)
    }

    /// Whether what is said to be the number can be it: the special types that every kernel has are left, and some device. A
    /// vendor's kernel may have special types of its own.
    fn may_be(&self, slots: u64) -> bool {
        slots > 0 && TYPES.checked_sub(slots).is_some_and(|special| special >= self.always())
    }

    /// Whether the types from `slots` on are as many as a kernel can have special ones.
    fn leaves_room(&self, slots: u64) -> bool {
        let special = self.always()..=self.always() + OPTIONAL_TYPES;
        TYPES.checked_sub(slots).is_some_and(|left| special.contains(&left))
    }

    /// How many special types every kernel has that is built like this one.
    fn always(&self) -> u64 {
        u64::from(self.hwpoison) + if self.read_exclusive { 3 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(hwpoison: bool, read_exclusive: bool) -> SwapLayout {
        SwapLayout { hwpoison, read_exclusive, ..SwapLayout::UNKNOWN }
    }

    #[test]
    fn lengths_of_real_kernels_leave_room_for_their_special_types() {
        for (slots, hwpoison, read_exclusive) in [
            (30, false, false), // 4.19 without memory failure
            (29, true, false),
            (27, true, false), // 5.10 with device memory
            (25, true, false), // 5.14
            (22, true, true),  // 5.19 to 6.1 with all that they may have
            (23, true, true),  // 6.1, 6.12
            (24, true, true),  // 6.18, 7.3
            (27, true, true),
        ] {
            assert!(layout(hwpoison, read_exclusive).leaves_room(slots), "{slots}");
        }
        assert!(!layout(true, true).leaves_room(10));
        assert!(!layout(true, true).leaves_room(29));
        assert!(!layout(true, true).leaves_room(33));
        assert!(!layout(false, false).leaves_room(31));
        assert!(layout(true, true).may_be(20) && layout(true, true).may_be(28));
        assert!(!layout(true, true).may_be(29) && !layout(true, true).may_be(0) && !layout(true, true).may_be(33));
    }

    #[test]
    fn of_several_arrays_only_one_that_can_be_it_counts() {
        let layout = layout(true, true);
        let only = |lengths: &[u64]| layout.only_possible(lengths, |_| true);
        // BTF of 6.16 and later: that of the per-CPU swap cluster is the other.
        assert_eq!(only(&[10, 24]), Some(24));
        assert_eq!(only(&[23, 23]), Some(23));
        assert_eq!(only(&[23, 24]), None);
        assert_eq!(layout.only_possible(&[23, 24], |slots| slots < 24), Some(23));
        assert_eq!(only(&[10]), None);
        assert_eq!(only(&[0]), None);
        assert_eq!(only(&[]), None);
    }
}
