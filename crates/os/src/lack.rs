//! What the machine that a program runs on does not give it: that says nothing of the file at hand, and may be there another time.

use std::error::Error;
use std::io;

/// Something that the system, or a limit of the process, refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Descriptors of open files: `EMFILE`, `ENFILE`.
    Files,
    /// Memory: `ENOMEM`.
    Memory,
    /// Room on a file system: `ENOSPC`, `EDQUOT`.
    Room,
    /// The size of a file: `EFBIG`.
    FileSize,
    /// Mostly processes or threads: `EAGAIN`. Of files it is said where another program has a lease on one.
    Processes,
}

impl Lack {
    /// What the system refused; `None` for errors of other kinds, and for those that no system call gave.
    ///
    /// ```
    /// use std::io;
    ///
    /// use vmcore_os::Lack;
    ///
    /// assert_eq!(Lack::of(&io::Error::from_raw_os_error(28)), Some(Lack::Room));
    /// assert_eq!(Lack::of(&io::Error::new(io::ErrorKind::OutOfMemory, "a limit of its own")), None);
    /// ```
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        Some(match error.raw_os_error()? {
            libc::EMFILE | libc::ENFILE => Self::Files,
            libc::ENOMEM => Self::Memory,
            libc::ENOSPC | libc::EDQUOT => Self::Room,
            libc::EFBIG => Self::FileSize,
            libc::EAGAIN => Self::Processes,
            _ => return None,
        })
    }

    /// The same of an error, or the first of those that it comes from.
    #[must_use]
    pub fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let causes = std::iter::successors(Some(error), |&error| error.source());
        causes.filter_map(|error| error.downcast_ref()).find_map(Self::of)
    }

    /// What the user could do.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Files => "this process may not have more files open; raise that limit (ulimit -n)",
            Self::Memory => {
                "this process may not have more memory; raise that limit (ulimit -v), or use a larger machine"
            }
            Self::Room => "make room, or name a directory that has some; unpacked dumps go to that in TMPDIR",
            Self::FileSize => "this process may not write larger files; raise that limit (ulimit -f)",
            Self::Processes => {
                "try again; if it stays like that, this user may not have more processes and threads: raise that limit (ulimit -u)"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "it cannot be read: {}", self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn what_is_behind_an_error_counts() {
        let behind = |number| Lack::behind(&Outer(io::Error::from_raw_os_error(number)));
        assert_eq!(behind(libc::EMFILE), Some(Lack::Files));
        assert_eq!(behind(libc::ENOENT), None);
        assert_eq!(Lack::behind(&io::Error::from_raw_os_error(libc::EFBIG)), Some(Lack::FileSize));
    }
}
