//! The two traits that everything reads through.

use crate::{PhysAddr, ReadError, VirtAddr, le_u32, le_u64};

/// The largest single read in bytes. No kernel object this tool reads is larger; a length from a damaged dump may be.
pub const MAX_READ: u64 = 64 << 20;

/// Physical memory of the crashed machine.
pub trait ReadPhysical: Send + Sync {
    /// Fills `buf` from `address` on. On an error the contents of `buf` are unspecified.
    ///
    /// # Errors
    ///
    /// A [`ReadError`] that names the first address that has no bytes.
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Whether a reader may read more than it needs in one go, to save calls. Where it is noted what is read, it may not.
    fn reads_around(&self) -> bool {
        true
    }

    /// The little-endian `u64` at `address`.
    ///
    /// # Errors
    ///
    /// As [`ReadPhysical::read_physical`].
    fn read_physical_u64(&self, address: PhysAddr) -> Result<u64, ReadError> {
        let mut bytes = [0; 8];
        self.read_physical(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl<T: ReadPhysical + ?Sized> ReadPhysical for &T {
    fn read_physical(&self, address: PhysAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        (**self).read_physical(address, buf)
    }

    fn reads_around(&self) -> bool {
        (**self).reads_around()
    }
}

/// Virtual memory of the crashed machine: the kernel's address space, or one process's.
pub trait ReadVirtual: Send + Sync {
    /// Fills `buf` from `address` on. On an error the contents of `buf` are unspecified.
    ///
    /// # Errors
    ///
    /// A [`ReadError`] that names the first address that could not be translated or read.
    fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError>;

    /// As [`ReadPhysical::reads_around`].
    fn reads_around(&self) -> bool {
        true
    }

    /// The `N` bytes at `address`.
    ///
    /// # Errors
    ///
    /// As [`ReadVirtual::read_virtual`].
    fn read_array<const N: usize>(&self, address: VirtAddr) -> Result<[u8; N], ReadError>
    where
        Self: Sized,
    {
        let mut bytes = [0; N];
        self.read_virtual(address, &mut bytes)?;
        Ok(bytes)
    }

    /// `len` bytes at `address`.
    ///
    /// # Errors
    ///
    /// As [`ReadVirtual::read_virtual`], and [`ReadError::BadRange`] above [`MAX_READ`].
    fn read_bytes(&self, address: VirtAddr, len: u64) -> Result<Vec<u8>, ReadError> {
        let bad_range = ReadError::BadRange { address: address.get(), len };
        let size = match usize::try_from(len) {
            Ok(size) if len <= MAX_READ => size,
            _ => return Err(bad_range),
        };
        let mut bytes = vec![0; size];
        self.read_virtual(address, &mut bytes)?;
        Ok(bytes)
    }

    /// The little-endian `u32` at `address`.
    ///
    /// # Errors
    ///
    /// As [`ReadVirtual::read_virtual`].
    fn read_u32(&self, address: VirtAddr) -> Result<u32, ReadError> {
        let mut bytes = [0; 4];
        self.read_virtual(address, &mut bytes)?;
        Ok(le_u32(&bytes, 0).unwrap_or_default())
    }

    /// The little-endian `u64` at `address`.
    ///
    /// # Errors
    ///
    /// As [`ReadVirtual::read_virtual`].
    fn read_u64(&self, address: VirtAddr) -> Result<u64, ReadError> {
        let mut bytes = [0; 8];
        self.read_virtual(address, &mut bytes)?;
        Ok(le_u64(&bytes, 0).unwrap_or_default())
    }

    /// The pointer at `address`.
    ///
    /// # Errors
    ///
    /// As [`ReadVirtual::read_virtual`].
    fn read_pointer(&self, address: VirtAddr) -> Result<VirtAddr, ReadError> {
        self.read_u64(address).map(VirtAddr::new)
    }

    /// The C string at `address` without its terminator, cut at `max` bytes. Bytes are as found: not checked for
    /// UTF-8, and not safe to print.
    ///
    /// # Errors
    ///
    /// As [`ReadVirtual::read_virtual`], where the string runs into memory that cannot be read before it ends.
    fn read_c_string(&self, address: VirtAddr, max: usize) -> Result<Vec<u8>, ReadError> {
        let most = if self.reads_around() { 256 } else { 8 };
        let mut string = Vec::new();
        let mut at = address;
        while string.len() < max {
            // Never past the end of a page in one read: the next page may be missing though the string ends before.
            let in_page = usize::try_from(crate::PAGE_SIZE - at.page_offset()).unwrap_or(1);
            let mut chunk = vec![0; in_page.min(max - string.len()).min(most)];
            self.read_virtual(at, &mut chunk)?;
            if let Some(end) = chunk.iter().position(|&byte| byte == 0) {
                string.extend(chunk.iter().take(end));
                return Ok(string);
            }
            at = at.wrapping_add(chunk.len() as u64);
            string.append(&mut chunk);
        }
        Ok(string)
    }
}

impl<T: ReadVirtual + ?Sized> ReadVirtual for &T {
    fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        (**self).read_virtual(address, buf)
    }

    fn reads_around(&self) -> bool {
        (**self).reads_around()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PAGE_SIZE;

    /// One readable page at 0x1000 that ends in "end" without a terminator.
    struct OnePage;

    impl ReadVirtual for OnePage {
        fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
            let mut page = vec![b'x'; PAGE_SIZE as usize];
            page[..6].copy_from_slice(b"hello\0");
            page[4093..].copy_from_slice(b"end");
            let start = address.get().checked_sub(0x1000).ok_or(ReadError::NonCanonical { address })? as usize;
            let bytes = page.get(start..start + buf.len()).ok_or(ReadError::NonCanonical { address })?;
            buf.copy_from_slice(bytes);
            Ok(())
        }
    }

    #[test]
    fn strings_end_at_the_terminator_the_limit_or_an_error() {
        assert_eq!(OnePage.read_c_string(VirtAddr::new(0x1000), 64), Ok(b"hello".to_vec()));
        assert_eq!(OnePage.read_c_string(VirtAddr::new(0x1000), 3), Ok(b"hel".to_vec()));
        assert_eq!(OnePage.read_c_string(VirtAddr::new(0x1ffd), 3), Ok(b"end".to_vec()));
        let error = OnePage.read_c_string(VirtAddr::new(0x1ffd), 64);
        assert_eq!(error, Err(ReadError::NonCanonical { address: VirtAddr::new(0x2000) }));
    }

    #[test]
    fn absurd_lengths_are_refused_before_allocating() {
        let error = OnePage.read_bytes(VirtAddr::new(0x1000), u64::MAX);
        assert_eq!(error, Err(ReadError::BadRange { address: 0x1000, len: u64::MAX }));
    }
}
