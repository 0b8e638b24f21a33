//! One row in a file, whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fingerprint;
use crate::row::Row;

const VERSION: u64 = 1;
/// Bytes of a row file that are read: the largest document, and the row.
const MAX_FILE: u64 = 600 << 20;
/// A temporary file of this age is nobody's: no machine writes one row for so long.
const STALE: Duration = Duration::from_secs(3600);
const TEMPORARY: &str = ".tmp";

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Contents {
    row_version: u64,
    row: Row,
    /// The document as the analyzer wrote it, byte for byte.
    document: Option<String>,
}

/// Where the rows of one directory are.
#[derive(Clone, Debug)]
pub(super) struct Rows(PathBuf);

impl Rows {
    pub(super) fn of(directory: &Path) -> Self {
        Self(directory.join("rows"))
    }

    /// Many directories, so that none has more files than a file system likes.
    fn path(&self, key: &str) -> Option<PathBuf> {
        // Of a plan, which may come from anywhere: it must not leave the directory.
        let is_key = key.len() >= 2 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(self.0.join(key.get(..2)?).join(key).with_extension("json")).filter(|_| is_key)
    }

    /// The row with this key and its document; `None` where there is none that is whole.
    pub(super) fn get(&self, key: &str) -> Option<(Row, Option<String>)> {
        let path = self.path(key)?;
        if fs::metadata(&path).ok()?.len() > MAX_FILE {
            return None;
        }
        let Contents { row_version, row, document } = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        (row_version == VERSION).then_some((row, document))
    }

    /// Writes a row, in place of one that is there.
    pub(super) fn put(&self, key: &str, row: Row, document: Option<String>) -> io::Result<()> {
        let path = self.path(key).ok_or(io::ErrorKind::InvalidInput)?;
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let contents = Contents { row_version: VERSION, row, document };
        write_whole(&path, serde_json::to_string(&contents)?.as_bytes())
    }

    /// Removes what killed runs have left. Such files are told by their age alone: locks are not seen by other machines
    /// on every file system.
    pub(super) fn remove_stale(&self) {
        let directories = self.0.read_dir().into_iter().flatten().flatten();
        for file in directories.filter_map(|directory| directory.path().read_dir().ok()).flatten().flatten() {
            let is_ours = file.file_name().as_encoded_bytes().ends_with(TEMPORARY.as_bytes());
            let changed = file.metadata().and_then(|metadata| metadata.modified());
            let is_old = || changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > STALE));
            if is_ours && is_old() {
                // Somebody else may have been faster.
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

/// Writes a file under another name, and gives it its own when all of it is on the disk.
pub(super) fn write_whole(path: &Path, contents: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    // Different on every machine and in every process, without asking for either's name.
    let unique =
        (std::time::SystemTime::now(), std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed), &raw const NUMBER);
    let name = format!(".{}{TEMPORARY}", fingerprint::hex(format!("{unique:?}").as_bytes()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(contents)?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}
