//! Who analyzes what, so that processes which share a store do not do the same twice.
//!
//! A process is known by a file beside the store on which it holds a lock (`flock(2)`) as long as it lives. Whoever finds
//! a claim of a file that can be locked, or is gone, knows that its process has ended, however it ended, and takes over.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::Store;
use crate::TriageError;

/// What became of a wish to analyze something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is the caller's to analyze.
    Mine,
    /// It is being analyzed now, by another process or another thread of this one.
    Taken,
    /// There is a row already.
    Done,
}

/// This process, to others that use the store. Its file is made with its first claim.
#[derive(Clone, Debug, Default)]
pub(super) struct Worker(Arc<Mutex<Option<LockFile>>>);

#[derive(Debug)]
struct LockFile {
    name: String,
    path: PathBuf,
    _locked: File,
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // One that stays is removed by whoever finds it.
        let _ = fs::remove_file(&self.path);
    }
}

impl Worker {
    fn name(&self, store: &Path) -> Result<String, TriageError> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &*file {
            return Ok(file.name.clone());
        }
        let (name, path, locked) = create(store)?;
        *file = Some(LockFile { name: name.clone(), path, _locked: locked });
        Ok(name)
    }
}

fn create(store: &Path) -> Result<(String, PathBuf, File), TriageError> {
    remove_left_over(store);
    for number in 0u32.. {
        let name = format!("worker-{}-{number}", std::process::id());
        let path = beside(store, &name);
        match File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                // Who may use the store must see whether this process lives.
                let _ = store.metadata().and_then(|store| file.set_permissions(store.permissions()));
                // Where there are no locks at all, the process is thought to live as long as its file is there.
                let _ = file.lock();
                // Before it was locked, another process may have taken it for a left-over one.
                if is_at(&file, &path) {
                    return Ok((name, path, file));
                }
            }
            // Of a process of the same number, on another machine or before.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 10_000 => {}
            Err(cause) => return Err(TriageError::Output { path, cause }),
        }
    }
    Err(TriageError::Output { path: store.to_owned(), cause: io::ErrorKind::AlreadyExists.into() })
}

/// Whether a file still has this name.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), path.metadata()), (Ok(open), Ok(there)) if identity(&open) == identity(&there))
}

/// Removes the files of processes that were killed, of which no claim may be left to tell.
fn remove_left_over(store: &Path) {
    let directory = store.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(own) = store.file_name().and_then(|name| name.to_str()) else { return };
    for entry in directory.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let worker = name.to_str().and_then(|name| name.strip_prefix(own)?.strip_prefix('-'));
        // A link or a pipe is none of them.
        if let Some(worker) =
            worker.filter(|worker| is_worker(worker) && entry.file_type().is_ok_and(|kind| kind.is_file()))
        {
            is_alive(store, worker);
        }
    }
}

/// Whether it is the name of a process: `worker-PID-NUMBER`.
fn is_worker(name: &str) -> bool {
    let numbers = name.strip_prefix("worker-").and_then(|rest| rest.split_once('-'));
    numbers.is_some_and(|(pid, number)| pid.parse::<u32>().is_ok() && number.parse::<u32>().is_ok())
}

fn beside(store: &Path, name: &str) -> PathBuf {
    let mut path = OsString::from(store);
    path.push(format!("-{name}"));
    path.into()
}

/// Whether a process lives, or may. The file of one that does not is removed.
fn is_alive(store: &Path, worker: &str) -> bool {
    let path = beside(store, worker);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => {
            let _ = fs::remove_file(path);
            false
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => true,
    }
}

impl Store {
    /// Asks for content to analyze. With `again`, a row that is there does not count unless this process has written it.
    pub(crate) fn claim(&mut self, key: &str, tool: &str, again: bool) -> Result<Claim, TriageError> {
        let failed = self.failed();
        let worker = self.worker.name(&self.path)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let done: Option<i64> = transaction
            .query_row("SELECT 1 FROM dumps WHERE key = ? AND tool = ?", params![key, tool], |row| row.get(0))
            .optional()
            .map_err(&failed)?;
        if done.is_some() && !again {
            return Ok(Claim::Done);
        }
        let holder: Option<String> = transaction
            .query_row("SELECT worker FROM claims WHERE key = ? AND tool = ?", params![key, tool], |row| row.get(0))
            .optional()
            .map_err(&failed)?;
        if holder.is_some_and(|holder| holder == worker || is_alive(&self.path, &holder)) {
            return Ok(Claim::Taken);
        }
        transaction
            .execute("INSERT OR REPLACE INTO claims (key, tool, worker) VALUES (?, ?, ?)", params![key, tool, worker])
            .map_err(&failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Claim::Mine)
    }
}
