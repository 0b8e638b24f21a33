//! The store: one SQLite file with a row for each dump's content and version of the program.
//!
//! It is in WAL mode, so that readers and several writers get on, and so that a process which is killed at any moment
//! loses at most what it had not yet written: SQLite rolls back what was unfinished when the file is next opened. The
//! schema's version is `PRAGMA user_version`; a store of an older one is brought up to date when it is opened, in one
//! transaction. The tables are in `schema.sql` and described in `docs/triage.md`.

mod claims;
mod parts;
mod rows;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::TriageError;
pub(crate) use claims::Claim;
use claims::Worker;

/// The steps from an empty store to the present schema: step N brings a store of version N to N + 1. None is ever
/// changed; new ones are added at the end.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];
/// How long one process waits for another's transaction; each takes milliseconds.
const BUSY: Duration = Duration::from_secs(60);

/// An open store. Each thread that uses one opens its own.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
    worker: Worker,
}

impl Store {
    /// Opens the store in the file `path`, which is made, for its owner alone, if it is not there.
    ///
    /// # Errors
    ///
    /// [`TriageError::Store`], [`TriageError::NewerStore`] or [`TriageError::Output`].
    pub fn open(path: &Path) -> Result<Self, TriageError> {
        let output = |cause| TriageError::Output { path: path.to_owned(), cause };
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(output)?;
        }
        make(path).map_err(output)?;
        let failed = |cause| TriageError::Store { path: path.to_owned(), cause };
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "wal").map_err(failed)?;
        // Safe against kills in WAL mode; a power cut may lose the newest rows, not the store.
        connection.pragma_update(None, "synchronous", "normal").map_err(failed)?;
        connection.pragma_update(None, "foreign_keys", "on").map_err(failed)?;
        let mut store = Self { path: path.to_owned(), connection, worker: Worker::default() };
        store.migrate()?;
        Ok(store)
    }

    /// Opens a store that is there, to read it: also where nothing can be written, as on a full disk or in a snapshot.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_to_read(path: &Path) -> Result<Self, TriageError> {
        match Self::open(path) {
            Err(TriageError::Store { cause, .. }) if cannot_write(&cause) => Self::open_read_only(path),
            opened => opened,
        }
    }

    fn open_read_only(path: &Path) -> Result<Self, TriageError> {
        let failed = |cause| TriageError::Store { path: path.to_owned(), cause };
        let open = |uri: &str| {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(uri, flags)?;
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            // That rows can be read is found out by reading one.
            connection
                .query_row("SELECT count(*) FROM (SELECT 1 FROM dumps LIMIT 1)", [], |row| row.get::<_, i64>(0))?;
            Ok((connection, version))
        };
        let uri = uri(path);
        let opened = open(&uri).or_else(|error| {
            // Without the files that make one of readers and writers, it is as it was left, if it was left whole.
            let mut log = path.as_os_str().to_owned();
            log.push("-wal");
            let is_whole = fs::metadata(log).map_or(true, |log| log.len() == 0);
            if is_whole { open(&format!("{uri}?immutable=1")) } else { Err(error) }
        });
        let (connection, found) = opened.map_err(failed)?;
        let known = MIGRATIONS.len() as i64;
        if found > known {
            return Err(TriageError::NewerStore { path: path.to_owned(), found, known });
        }
        Ok(Self { path: path.to_owned(), connection, worker: Worker::default() })
    }

    /// Another connection to the same store, of the same worker.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub(crate) fn again(&self) -> Result<Self, TriageError> {
        Ok(Self { worker: self.worker.clone(), ..Self::open(&self.path)? })
    }

    fn migrate(&mut self) -> Result<(), TriageError> {
        let known = MIGRATIONS.len() as i64;
        let path = self.path.clone();
        let failed = |cause| TriageError::Store { path: path.clone(), cause };
        let found: i64 = self.connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if found == known {
            return Ok(());
        }
        // Two processes that make one store: the second waits here, and finds it made.
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        if found > known {
            return Err(TriageError::NewerStore { path, found, known });
        }
        for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
            transaction.execute_batch(step).map_err(failed)?;
        }
        transaction.pragma_update(None, "user_version", known).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> TriageError + use<> {
        let path = self.path.clone();
        move |cause| TriageError::Store { path: path.clone(), cause }
    }
}

/// Makes the store's file before SQLite would: for its owner only, as what dumps say is not for everybody. SQLite gives the files
/// beside it the same mode.
fn make(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(there) if there.is_file() => {}
        // SQLite would wait for whoever writes to a pipe.
        Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        Err(_) => {
            // Why it cannot be made, SQLite says, too. Another process may have been faster, and a link may name what is to be made.
            let _ = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        }
    }
    Ok(())
}

/// Whether the store may still be read.
fn cannot_write(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
    let code = error.sqlite_error_code();
    matches!(code, Some(CannotOpen | DiskFull | PermissionDenied | ReadOnly | SystemIoFailure))
}

/// A path as SQLite takes it in a URI.
fn uri(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte);
    let bytes = path.as_os_str().as_encoded_bytes();
    let escaped = |&byte: &u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    format!("file:{}", bytes.iter().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests;
