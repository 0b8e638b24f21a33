//! The four kinds of number that a dump reader could confuse, each a type of its own.

use std::fmt;

/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// The pages that dumps are read and written in, in bytes: the smallest that a machine has. Those of the kernel may be larger;
/// each of them begins with one of these, and lies in one piece in physical memory.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a raw number; any value is accepted.
            #[must_use]
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The raw number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// `self + bytes`, or `None` where that leaves the 64-bit space.
            #[must_use]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// `self - bytes`, or `None` below zero.
            #[must_use]
            pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
                match self.0.checked_sub(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// `self + bytes` modulo 2^64, as the machine itself computes addresses.
            #[must_use]
            pub const fn wrapping_add(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// `self - bytes` modulo 2^64.
            #[must_use]
            pub const fn wrapping_sub(self, bytes: u64) -> Self {
                Self(self.0.wrapping_sub(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// A physical address of the crashed machine, in bytes.
    PhysAddr
}
address! {
    /// A virtual address of the crashed machine: the kernel's, or a process's in its own `mm`.
    VirtAddr
}
address! {
    /// A page-frame number: a physical address divided by the page size, which is [`PAGE_SIZE`] unless it is a kernel's own
    /// number ([`PhysAddr::frame`]).
    Pfn
}
address! {
    /// A byte offset from the start of a file.
    FileOffset
}

impl PhysAddr {
    /// The frame that this address lies in.
    #[must_use]
    pub const fn pfn(self) -> Pfn {
        Pfn(self.0 >> PAGE_SHIFT)
    }

    /// The number by which a kernel with pages of `1 << page_shift` bytes knows the frame that this address lies in.
    #[must_use]
    pub const fn frame(self, page_shift: u32) -> Pfn {
        Pfn(self.0 >> page_shift)
    }

    /// The offset of this address in its page, in bytes.
    #[must_use]
    pub const fn page_offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }
}

impl Pfn {
    /// The physical address of the frame's first byte, or `None` where no 64-bit address can hold it.
    #[must_use]
    pub const fn phys_addr(self) -> Option<PhysAddr> {
        match self.0.checked_mul(PAGE_SIZE) {
            Some(raw) => Some(PhysAddr(raw)),
            None => None,
        }
    }
}

impl VirtAddr {
    /// The offset of this address in its base page, in bytes.
    #[must_use]
    pub const fn page_offset(self) -> u64 {
        self.0 & (PAGE_SIZE - 1)
    }

    /// Whether the address lies in the upper, kernel half of the address space (for 4 and 5 levels alike).
    #[must_use]
    pub const fn is_kernel_half(self) -> bool {
        self.0 >> 63 == 1
    }

    /// Whether this is a null pointer.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_checked_at_both_ends() {
        assert_eq!(VirtAddr::new(u64::MAX).checked_add(1), None);
        assert_eq!(VirtAddr::new(0).checked_sub(1), None);
        assert_eq!(VirtAddr::new(u64::MAX).wrapping_add(2), VirtAddr::new(1));
        assert_eq!(Pfn::new(u64::MAX).phys_addr(), None);
    }

    #[test]
    fn frames_and_offsets() {
        let address = PhysAddr::new(0x1234_5678);
        assert_eq!(address.pfn(), Pfn::new(0x12345));
        assert_eq!(address.page_offset(), 0x678);
        assert_eq!(address.pfn().phys_addr(), Some(PhysAddr::new(0x1234_5000)));
    }

    #[test]
    fn halves_of_the_address_space() {
        assert!(VirtAddr::new(0xffff_8880_0000_0000).is_kernel_half());
        assert!(!VirtAddr::new(0x7fff_ffff_f000).is_kernel_half());
    }
}
