//! A range of bytes that is shared, never copied: part of the mapped file, or of a section restored to memory.

use std::{fmt, ops::Deref, sync::Arc};

use vmcore_os::Mapping;

enum Backing {
    Mapped(Mapping),
    Owned(Vec<u8>),
}

impl Backing {
    fn all(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A cheaply cloned part of a mapped file or of a buffer, which it keeps alive.
#[derive(Clone)]
pub(crate) struct Bytes {
    backing: Arc<Backing>,
    start: usize,
    end: usize,
}

impl Bytes {
    pub(crate) fn mapped(map: Mapping) -> Self {
        let end = map.len();
        Self { backing: Arc::new(Backing::Mapped(map)), start: 0, end }
    }

    /// The `len` bytes from `offset` on; `None` where they are not all inside `self`.
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Option<Self> {
        let start = self.start.checked_add(usize::try_from(offset).ok()?)?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        (end <= self.end).then(|| Self { backing: Arc::clone(&self.backing), start, end })
    }

    /// The same bytes in memory of this process, if they are those of a file: what is looked at as text must not change
    /// once it was found to be UTF-8.
    pub(crate) fn into_memory(self) -> Self {
        match &*self.backing {
            Backing::Mapped(_) => self.to_vec().into(),
            Backing::Owned(_) => self,
        }
    }
}

/// Bytes of a file as text. What is not UTF-8 is replaced. They are copied first and looked at then, as the file may change
/// in between.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

impl Default for Bytes {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { backing: Arc::new(Backing::Owned(bytes)), start: 0, end }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.backing.all().get(self.start..self.end).unwrap_or_default()
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.end - self.start)
    }
}

/// Bytes of the longest name that is read; the kernel's own limit (`KSYM_NAME_LEN`) is 512. Millions of entries may
/// name one long string, so without a limit a small file could ask for any amount of time and memory.
const MAX_NAME: usize = 4096;

/// The string at `offset` of a string table, without its terminator; `None` where it has none, or none that is near.
pub(crate) fn c_string(strings: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    let rest = rest.get(..MAX_NAME).unwrap_or(rest);
    rest.get(..memchr::memchr(0, rest)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_stay_inside_their_parent() {
        let bytes = Bytes::from(vec![0, 1, 2, 3, 4, 5]);
        let middle = bytes.slice(2, 3).unwrap();
        assert_eq!(&*middle, [2, 3, 4]);
        assert_eq!(&*middle.slice(1, 2).unwrap(), [3, 4]);
        assert!(middle.slice(1, 3).is_none(), "the parent's byte 5 is not the slice's");
        assert!(bytes.slice(u64::MAX, 1).is_none());
        assert!(bytes.slice(1, u64::MAX).is_none());
        assert!(bytes.slice(6, 0).unwrap().is_empty());
    }

    #[test]
    fn a_name_without_a_near_end_is_none() {
        let mut strings = vec![b'a'; 2 * MAX_NAME];
        strings.push(0);
        assert_eq!(c_string(&strings, 0), None);
        let longest = u32::try_from(strings.len() - MAX_NAME).unwrap();
        assert_eq!(c_string(&strings, longest - 1), None);
        assert_eq!(c_string(&strings, longest).map(<[u8]>::len), Some(MAX_NAME - 1));
        assert_eq!(c_string(&strings, u32::MAX), None);
    }
}
