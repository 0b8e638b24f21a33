//! The little that a detector reads besides the snapshot: page tables, `struct page`, code and stack bytes. A trait, so
//! that a test can put hand-made memory behind it.

use vmcore_kernel::{Kernel, Page, PreemptCount, Source, paging::Walk};
use vmcore_memory::{Architecture, PAGE_SHIFT, Pfn, ReadError, ReadVirtual, VirtAddr};

/// Reads what evidence is made of.
pub trait Reader: Sync {
    /// Walks the page tables of the process with this `mm_struct`.
    ///
    /// # Errors
    ///
    /// Where its top-level table cannot be found; an unreadable table further down is the walk's outcome.
    fn walk_user(&self, mm: VirtAddr, address: VirtAddr) -> Result<Walk, ReadError>;

    /// log2 of the size of a base page.
    fn page_shift(&self) -> u32 {
        PAGE_SHIFT
    }

    /// The size of a base page, in bytes.
    fn page_size(&self) -> u64 {
        1 << self.page_shift()
    }

    /// What one PMD entry covers, in bytes: a transparent huge page. A table is a page of entries of 8 bytes.
    fn huge_page_size(&self) -> u64 {
        self.page_size() / 8 * self.page_size()
    }

    /// The address of a frame's `struct page`.
    fn page_address(&self, pfn: Pfn) -> Option<VirtAddr>;

    /// Reads a `struct page`.
    ///
    /// # Errors
    ///
    /// Where it is not in the dump.
    fn page(&self, address: VirtAddr) -> Result<Page, ReadError>;

    /// Whether the number of this page flag is known: of one that is not, a page cannot say that it is clear.
    fn knows_page_flag(&self, _name: &str) -> bool {
        true
    }

    /// A member of the object at `object`; `None` where this kernel's type has no such member.
    fn member(&self, object: VirtAddr, type_name: &'static str, path: &'static str) -> Option<Source>;

    /// The machine's architecture.
    fn architecture(&self) -> Architecture {
        Architecture::default()
    }

    /// The CPU's preemption count and where it lies; `None` where it cannot be read.
    fn preempt_count(&self, _cpu: u32) -> Option<(Source, PreemptCount)> {
        None
    }

    /// The address of the function with this exact name in the running kernel.
    fn function(&self, _name: &str) -> Option<VirtAddr> {
        None
    }

    /// The function that covers an address, and the address's offset in it.
    fn function_at(&self, _address: VirtAddr) -> Option<(String, u64)> {
        None
    }

    /// Fills `buf` with code, from the dump or else as the kernel was linked; `false` where neither has it.
    fn code(&self, address: VirtAddr, buf: &mut [u8]) -> bool {
        self.read(address, buf).is_ok()
    }

    /// Whether the page tables of the kernel, or of the process with this `mm_struct`, map an address: not where they say that
    /// nothing is there, but where they cannot be read, or the page is not in the dump.
    fn is_mapped(&self, _mm: Option<VirtAddr>, _address: VirtAddr) -> bool {
        true
    }

    /// Fills `buf` with memory of the process with this `mm_struct`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    fn read_user(&self, _mm: VirtAddr, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        Err(ReadError::BadRange { address: address.get(), len: buf.len() as u64 })
    }

    /// Fills `buf` with kernel memory.
    ///
    /// # Errors
    ///
    /// Where it cannot be read.
    fn read(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError>;
}

/// The methods of a [`Reader`] that a test has no use for: no page can be read, and with `members` no type has any.
#[cfg(test)]
macro_rules! nothing_is_there {
    (pages) => {
        fn walk_user(
            &self,
            _: vmcore_memory::VirtAddr,
            address: vmcore_memory::VirtAddr,
        ) -> Result<vmcore_kernel::paging::Walk, vmcore_memory::ReadError> {
            Err(vmcore_memory::ReadError::NonCanonical { address })
        }

        fn page(
            &self,
            address: vmcore_memory::VirtAddr,
        ) -> Result<vmcore_kernel::Page, vmcore_memory::ReadError> {
            Err(vmcore_memory::ReadError::NonCanonical { address })
        }
    };
    (addresses) => {
        fn page_address(&self, _: vmcore_memory::Pfn) -> Option<vmcore_memory::VirtAddr> {
            None
        }
    };
    (members) => {
        fn member(
            &self,
            _: vmcore_memory::VirtAddr,
            _: &'static str,
            _: &'static str,
        ) -> Option<vmcore_kernel::Source> {
            None
        }
    };
    (memory) => {
        fn read(&self, address: vmcore_memory::VirtAddr, _: &mut [u8]) -> Result<(), vmcore_memory::ReadError> {
            Err(vmcore_memory::ReadError::NonCanonical { address })
        }
    };
    ($($what:ident)+) => {
        $(crate::reader::nothing_is_there! { $what })+
    };
}
#[cfg(test)]
pub(crate) use nothing_is_there;

impl Reader for Kernel<'_> {
    fn walk_user(&self, mm: VirtAddr, address: VirtAddr) -> Result<Walk, ReadError> {
        Self::walk_user(self, mm, address)
    }

    fn page_shift(&self) -> u32 {
        Self::page_shift(self)
    }

    fn page_address(&self, pfn: Pfn) -> Option<VirtAddr> {
        Self::page_address(self, pfn)
    }

    fn page(&self, address: VirtAddr) -> Result<Page, ReadError> {
        Self::page(self, address)
    }

    fn member(&self, object: VirtAddr, type_name: &'static str, path: &'static str) -> Option<Source> {
        let member = self.vmlinux().types().member(type_name, path)?;
        Some(Source { type_name: Some(type_name), path, address: object.checked_add(member.offset)? })
    }

    fn knows_page_flag(&self, name: &str) -> bool {
        self.vmlinux().types().enumerator(name).is_some()
    }

    fn architecture(&self) -> Architecture {
        Self::architecture(self)
    }

    fn preempt_count(&self, cpu: u32) -> Option<(Source, PreemptCount)> {
        Self::preempt_count(self, cpu)
    }

    fn function(&self, name: &str) -> Option<VirtAddr> {
        self.symbol(name)
    }

    fn function_at(&self, address: VirtAddr) -> Option<(String, u64)> {
        let symbol = self.name_code(address, address)?;
        Some((symbol.name, symbol.offset))
    }

    fn code(&self, address: VirtAddr, buf: &mut [u8]) -> bool {
        if self.memory().read_virtual(address, buf).is_ok() {
            return true;
        }
        let linked = self.vmlinux().read_static(self.link_address(address), buf.len() as u64);
        let Some(code) = linked.filter(|code| code.len() == buf.len() && self.is_image_text(address)) else {
            return false;
        };
        buf.copy_from_slice(code);
        true
    }

    fn is_mapped(&self, mm: Option<VirtAddr>, address: VirtAddr) -> bool {
        let translated = match mm {
            Some(mm) => self.user_tables(mm).and_then(|tables| tables.translate(self.memory().physical(), address)),
            // Not by the bounds of the direct map, which reach beyond memory.
            None => match self.memory().tables() {
                Some(tables) => tables.translate(self.memory().physical(), address),
                None => return true,
            },
        };
        !matches!(translated, Err(ReadError::NotMapped { .. } | ReadError::NonCanonical { .. }))
    }

    fn read_user(&self, mm: VirtAddr, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let (tables, physical) = (self.user_tables(mm)?, self.memory().physical());
        let mut at = address;
        for part in pages(address, buf) {
            physical.read_physical(tables.translate(physical, at)?, part)?;
            at = at.wrapping_add(part.len() as u64);
        }
        Ok(())
    }

    fn read(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.memory().read_virtual(address, buf)
    }
}

/// `buf`, which is for memory at `address`, cut at the borders of pages. Pages are no smaller than 4096 bytes.
fn pages(address: VirtAddr, buf: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    let to_page_end = usize::try_from(4096 - address.page_offset()).unwrap_or(buf.len()).min(buf.len());
    let (first, others) = buf.split_at_mut(to_page_end);
    std::iter::once(first).filter(|first| !first.is_empty()).chain(others.chunks_mut(4096))
}
