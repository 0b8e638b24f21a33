//! Files that are being written: the one list of them, and what keeps it short.
//!
//! Whatever ends the process removes the files on the list: [`end`](crate::end), and the signals that ask it to end
//! ([`remove_unfinished_on_signals`]). Nothing can do so for SIGKILL or a power cut; what they leave is removed by the
//! next run that writes a file to the same directory. Who still writes a file holds a lock on it (`flock(2)`), so a
//! file that can be locked is nobody's.

#![allow(unsafe_code)]

use std::ffi::{CString, OsStr, c_char};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::{mem, ptr};

use tempfile::{Builder, NamedTempFile};

/// Files at a time. Of more, those that find no place are removed by the next run.
const SLOTS: usize = 64;
const PREFIX: &str = ".vmcore-thp-";
const SUFFIX: &str = ".part";
/// How often a new file may be taken for a left-over one before that is an error.
const ATTEMPTS: usize = 8;

/// Each null, or a C string that is never freed: whoever ends the process may be reading it.
static UNFINISHED: [AtomicPtr<c_char>; SLOTS] = [const { AtomicPtr::new(ptr::null_mut()) }; SLOTS];

/// Removes every file on the list. Safe in a signal handler: no allocation, no lock.
pub(crate) fn remove_all() {
    for slot in &UNFINISHED {
        let path = slot.swap(ptr::null_mut(), Ordering::AcqRel);
        if !path.is_null() {
            // SAFETY: not null, so it came from `CString::into_raw` and was not freed: a C string.
            unsafe { libc::unlink(path) };
        }
    }
}

/// A place on the list.
#[derive(Debug)]
struct Listed(Option<usize>);

impl Listed {
    fn new(path: &Path) -> Self {
        // A path that the system has opened has no zero in it.
        let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return Self(None) };
        let path = path.into_raw();
        let take = |slot: &AtomicPtr<c_char>| {
            slot.compare_exchange(ptr::null_mut(), path, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        Self(UNFINISHED.iter().position(take))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(slot) = self.0.and_then(|index| UNFINISHED.get(index)) {
            slot.store(ptr::null_mut(), Ordering::Release);
        }
    }
}

/// A file that is being written, in the directory that it will stay in, readable by its owner only. It goes away with
/// this value, or with the process, unless it is given its name.
#[derive(Debug)]
pub struct UnfinishedFile {
    // Dropped in this order: the file is removed, and then off the list.
    file: NamedTempFile,
    _listed: Listed,
}

impl UnfinishedFile {
    /// A new file in `directory`. What killed runs have left there is removed.
    ///
    /// # Errors
    ///
    /// As `open(2)`.
    pub fn new_in(directory: &Path) -> io::Result<Self> {
        remove_left_over(directory);
        for _ in 0..ATTEMPTS {
            let file = Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile_in(directory)?;
            let listed = Listed::new(file.path());
            // Not every file system has locks; without, nobody takes this file for a left-over one either.
            let _ = file.as_file().lock();
            // Between the last two steps, another run may have removed it.
            if file.as_file().metadata()?.nlink() > 0 {
                return Ok(Self { file, _listed: listed });
            }
        }
        Err(io::Error::other("other runs keep removing the new file"))
    }

    /// Where it is now.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The open file.
    #[must_use]
    pub fn as_file(&self) -> &File {
        self.file.as_file()
    }

    /// Gives the file its name, in place of whatever has it, all at once.
    ///
    /// # Errors
    ///
    /// As `rename(2)`; the file is then removed.
    pub fn replace(self, path: &Path) -> io::Result<()> {
        self.file.persist(path).map(drop).map_err(|error| error.error)
    }

    /// Gives the file its name, which nothing may have yet.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or as `rename(2)`; the file is then removed.
    pub fn name(self, path: &Path) -> io::Result<()> {
        self.file.persist_noclobber(path).map(drop).map_err(|error| error.error)
    }
}

impl Write for UnfinishedFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // Not through `NamedTempFile`, whose errors tell a name that means nothing to anybody.
        self.file.as_file_mut().write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

/// Removes the files in `directory` that runs have left which were killed.
fn remove_left_over(directory: &Path) {
    // A directory that may be written but not read shows nothing; then nothing is removed.
    let Ok(entries) = directory.read_dir() else { return };
    for entry in entries.flatten() {
        if !is_ours(&entry.file_name()) || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if file.try_lock().is_ok() {
            // Another run may have been faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn is_ours(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(PREFIX.as_bytes()) && name.ends_with(SUFFIX.as_bytes())
}

/// From now on, SIGINT, SIGTERM, SIGHUP and SIGABRT (a panic of a program that does not unwind) remove every unfinished file
/// before they end the process as they always do: a shell sees status 128 and the signal's number. A signal that is ignored, as `nohup` does, stays ignored. A file that
/// grows beyond `ulimit -f` is an error of the write, not the end of the process by SIGXFSZ.
///
/// For programs only, and at their start: it takes these signals for the whole process.
///
/// # Errors
///
/// As `sigaction(2)`.
pub fn remove_unfinished_on_signals() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGABRT] {
        if action_of(signal)? != libc::SIG_IGN {
            set_action(signal, remove_and_end as *const () as usize)?;
        }
    }
    set_action(libc::SIGXFSZ, libc::SIG_IGN)
}

pub(crate) extern "C" fn remove_and_end(signal: libc::c_int) {
    remove_all();
    // SAFETY: both are safe in a handler. The signal is blocked until it returns, and then ends the process as it would
    // have without a handler: whoever waits for it must see that it was a signal.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

pub(crate) fn action_of(signal: libc::c_int) -> io::Result<libc::sighandler_t> {
    // SAFETY: `sigaction` is a C structure of integers, for which zeroes are valid.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: a null pointer asks only for what is there, which is written to `action`.
    match unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } {
        0 => Ok(action.sa_sigaction),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn set_action(signal: libc::c_int, handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: as above: an empty mask, and no flags but the alternative stack that the runtime gives every thread.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_ONSTACK;
    // SAFETY: `action` is initialized, and the handler, if it is one, takes the signal's number and uses only atomics and
    // system calls that are safe in a handler.
    match unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            directory.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("name");
        for contents in ["one", "two"] {
            let mut file = UnfinishedFile::new_in(directory.path()).unwrap();
            file.write_all(contents.as_bytes()).unwrap();
            file.replace(&path).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), contents);
        }
        let third = UnfinishedFile::new_in(directory.path()).unwrap();
        assert_eq!(third.name(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(names(directory.path()), ["name"]);
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        for name in [".vmcore-thp-0123.part", ".vmcore-thp-notes", "0123.part"] {
            std::fs::write(directory.path().join(name), "x").unwrap();
        }
        std::fs::create_dir(directory.path().join(".vmcore-thp-directory.part")).unwrap();
        let first = UnfinishedFile::new_in(directory.path()).unwrap();
        let second = UnfinishedFile::new_in(directory.path()).unwrap();
        assert!(first.path().exists() && second.path().exists(), "who still writes keeps the file");
        drop((first, second));
        assert_eq!(names(directory.path()), [".vmcore-thp-directory.part", ".vmcore-thp-notes", "0123.part"]);
    }
}
