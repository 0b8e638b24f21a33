//! Which bits of a page-table entry are the physical address, on machines that encrypt memory.
//!
//! ```text
//! AMD SME, SEV    one bit, the C-bit, is set in the entry of every encrypted page and table (CPUID 8000001f EBX says
//!                 which: 47, 51, or lower where the machine has fewer address bits)
//! Intel TDX       the highest bit of the guest's physical addresses (47 or 51) is set in the entry of a page that is
//!                 shared with the host
//! ```
//!
//! Neither is part of the address: the kernel takes them out by its variable `physical_mask`. Sources:
//! `arch/x86/mm/mem_encrypt_amd.c`, `arch/x86/coco/tdx/tdx.c`, `__PHYSICAL_MASK` in `arch/x86/include/asm/page_types.h`.

use vmcore_memory::PhysAddr;

/// Bits 12 to 51: where an entry has the address, and the bit that says how memory is encrypted.
const ADDRESS_BITS: u64 = 0x000f_ffff_ffff_f000;
/// The bits that a hypervisor or CPU with 48 or 52 bits of physical address uses.
const USUAL_BITS: [u32; 2] = [47, 51];
/// The lowest bit that is taken for one of encryption: no CPU that encrypts has fewer bits of physical address.
const LOWEST_BIT: u32 = 32;

/// Which bits of an entry are its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysicalMask {
    mask: u64,
    memory_end: u64,
}

impl PhysicalMask {
    /// All bits: as on a machine that encrypts nothing.
    pub const ALL: Self = Self { mask: ADDRESS_BITS, memory_end: u64::MAX };

    /// For a machine whose memory ends at `end`. An address beyond it that would be inside without bit 47 or 51 is
    /// taken without: no machine has a device at just such an address, 128 TiB or more above its memory.
    #[must_use]
    pub const fn of_memory_up_to(end: PhysAddr) -> Self {
        Self { mask: ADDRESS_BITS, memory_end: end.get() }
    }

    /// Takes `bit` out of addresses too, if it can be a bit of encryption: one alone, above the memory that there is.
    #[must_use]
    pub const fn without(self, bit: u64) -> Self {
        if !bit.is_power_of_two() || bit & ADDRESS_BITS == 0 || bit < 1 << LOWEST_BIT {
            return self;
        }
        Self { mask: self.mask & !bit, ..self }
    }

    /// The bit by which `entry` differs from the entry of a table or page known to be at `address`: 0 where it does not
    /// differ, `None` where it can only be another address.
    #[must_use]
    pub const fn bit_between(self, entry: u64, address: PhysAddr) -> Option<u64> {
        let difference = (entry ^ address.get()) & ADDRESS_BITS;
        match difference {
            0 => Some(0),
            bit if bit.is_power_of_two() && bit >= 1 << LOWEST_BIT && entry & bit != 0 && bit >= self.memory_end => {
                Some(bit)
            }
            _ => None,
        }
    }

    /// The bit without which the address in `raw`, if it is beyond memory, is inside; 0 where there is none.
    #[must_use]
    pub const fn bit_beyond_memory(self, raw: u64) -> u64 {
        let address = raw & ADDRESS_BITS;
        if address < self.memory_end || address == 0 {
            return 0;
        }
        let bit = 1 << (63 - address.leading_zeros());
        if bit >= 1 << LOWEST_BIT && bit >= self.memory_end && address ^ bit < self.memory_end { bit } else { 0 }
    }

    /// The address of the top table by the register CR3, whose flags and PCID are not part of it.
    #[must_use]
    pub fn root(self, cr3: u64) -> PhysAddr {
        PhysAddr::new(self.address(cr3))
    }

    /// The bit that is known to be none of an address; 0 where there is none.
    #[must_use]
    pub const fn encryption_bit(self) -> u64 {
        ADDRESS_BITS & !self.mask
    }

    /// The address in an entry.
    pub(crate) fn address(self, entry: u64) -> u64 {
        let address = entry & self.mask;
        if address < self.memory_end {
            return address;
        }
        let without = USUAL_BITS.into_iter().map(|bit| address & !(1 << bit));
        without.into_iter().find(|&without| without < self.memory_end).unwrap_or(address)
    }

    /// As [`PhysicalMask::address`], of an entry that is not present: the kernel stores the address inverted as a
    /// defence against L1TF (`asm/pgtable-invert.h`), which shows in its topmost bit being set.
    pub(crate) fn inverted_address(self, entry: u64) -> u64 {
        let top = 1 << (63 - self.mask.leading_zeros());
        if entry & top == 0 { self.address(entry) } else { self.address(entry ^ self.mask) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C_BIT: u64 = 1 << 47;

    fn gib(count: u64) -> PhysicalMask {
        PhysicalMask::of_memory_up_to(PhysAddr::new(count << 30))
    }

    #[test]
    fn the_usual_bits_are_no_part_of_an_address_beyond_memory() {
        for bit in [1 << 47, 1 << 51] {
            assert_eq!(gib(4).address(bit | 0x1234_5067), 0x1234_5000);
            // A device, and memory above what the dump has.
            assert_eq!(gib(4).address(bit | 0x38_0000_0000 | 0x67), bit | 0x38_0000_0000);
        }
        assert_eq!(gib(4).address(0x3800_0000_0067), 0x3800_0000_0000);
        // A machine that has so much memory.
        assert_eq!(gib(200 << 10).address(C_BIT | 0x67), C_BIT);
    }

    #[test]
    fn a_bit_that_is_known_is_taken_out_of_all_addresses() {
        let mask = gib(4).without(1 << 43);
        assert_eq!(mask.address(1 << 43 | 0x38_0000_0067), 0x38_0000_0000);
        assert_eq!(mask.encryption_bit(), 1 << 43);
        for not_one in [0, 1 << 12, 1 << 31, 1 << 52, 3 << 46] {
            assert_eq!(gib(4).without(not_one), gib(4), "{not_one:#x}");
        }
    }

    #[test]
    fn an_entry_of_a_known_table_tells_the_bit() {
        let at = PhysAddr::new(0x2f0_0000);
        assert_eq!(gib(4).bit_between(at.get() | 0x67, at), Some(0));
        assert_eq!(gib(4).bit_between(at.get() | C_BIT | 0x67, at), Some(C_BIT));
        assert_eq!(gib(4).bit_between(at.get() | 3 << 46, at), None);
        assert_eq!(gib(4).bit_between((at.get() + 0x1000) | 0x67, at), None);
        // Bits that memory has itself.
        assert_eq!(gib(8).bit_between(at.get() | 1 << 32, at), None);
    }

    #[test]
    fn the_bit_is_not_inverted_with_the_address() {
        for bit in [1u64 << 47, 1 << 51] {
            let mask = gib(4).without(bit);
            let stored = (0x1234_5000 ^ mask.mask) | bit | 0x100;
            assert_eq!(mask.inverted_address(stored), 0x1234_5000);
        }
        assert_eq!(gib(4).inverted_address(0x1234_5000 ^ ADDRESS_BITS), 0x1234_5000);
        // Before the defence.
        assert_eq!(gib(4).inverted_address(0x1234_5100), 0x1234_5000);
    }
}
