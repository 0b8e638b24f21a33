//! One row in a file or an object, whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vmcore_os::open_file_or_disk;
use vmcore_remote::{Address, Client, RemoteError};

use super::plan::MAX_PLAN;
use crate::row::Row;
use crate::servers::Servers;
use crate::{TriageError, fingerprint};

const VERSION: u64 = 1;
/// Bytes of a row file that are read: the largest document, and the row.
const MAX_FILE: u64 = 600 << 20;
/// A temporary file of this age is nobody's: no machine writes one row for so long.
const STALE: Duration = Duration::from_secs(3600);
const TEMPORARY: &str = ".tmp";
/// The plan, beside the rows.
pub(super) const PLAN: &str = "plan.jsonl";

/// What a file holds.
#[derive(Serialize, Deserialize)]
struct Contents {
    row_version: u64,
    row: Row,
    /// The document as the analyzer wrote it, byte for byte.
    document: Option<String>,
}

/// A row and its document.
type Kept = (Row, Option<String>);

/// Where the plan and the rows of a pile are.
#[derive(Clone)]
pub(super) enum Rows {
    /// A directory that all machines see.
    Directory(PathBuf),
    /// A prefix of a store of objects.
    Objects { client: Arc<Client>, root: Address },
}

impl Rows {
    pub(super) fn of(place: &Path, servers: &Servers) -> Result<Self, TriageError> {
        Ok(match Address::of_path(place)? {
            Some(root) => Self::Objects { client: (servers.client)(), root },
            None => Self::Directory(place.to_owned()),
        })
    }

    /// Many directories, so that none has more files than a file system likes.
    fn name(key: &str) -> Option<String> {
        // Of a plan, which may come from anywhere: it must not leave the directory.
        let is_key = key.len() >= 2 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(format!("rows/{}/{key}.json", key.get(..2)?)).filter(|_| is_key)
    }

    /// The row with this key and its document; `None` where there is none that is whole.
    pub(super) fn get(&self, key: &str) -> Result<Option<Kept>, TriageError> {
        let Some(name) = Self::name(key) else { return Ok(None) };
        let bytes = match self {
            Self::Directory(directory) => read_whole(&directory.join(name), MAX_FILE).ok(),
            Self::Objects { client, root } => match client.get(&root.join(&name), MAX_FILE) {
                Ok(bytes) => Some(bytes),
                Err(RemoteError::NotThere { .. }) => None,
                Err(error) => return Err(error.into()),
            },
        };
        let contents = bytes.and_then(|bytes| serde_json::from_slice::<Contents>(&bytes).ok());
        Ok(contents.filter(|it| it.row_version == VERSION).map(|it| (it.row, it.document)))
    }

    /// The same of several keys, at the same time where that is quicker.
    pub(super) fn get_all(&self, keys: &[&str]) -> Result<Vec<Option<Kept>>, TriageError> {
        if matches!(self, Self::Directory(_)) {
            return keys.iter().map(|key| self.get(key)).collect();
        }
        thread::scope(|scope| {
            let asked: Vec<_> = keys.iter().map(|key| scope.spawn(|| self.get(key))).collect();
            asked.into_iter().map(|asked| asked.join().unwrap_or(Ok(None))).collect()
        })
    }

    /// Writes a row, in place of one that is there: of objects, one that is there stays unless `replace` says otherwise.
    pub(super) fn put(&self, key: &str, row: Row, document: Option<String>, replace: bool) -> Result<(), TriageError> {
        let output = |cause| TriageError::Output { path: PathBuf::from(key), cause };
        let name = Self::name(key).ok_or_else(|| output(io::ErrorKind::InvalidInput.into()))?;
        let contents = Contents { row_version: VERSION, row, document };
        let text = serde_json::to_string(&contents).map_err(|error| output(error.into()))?;
        self.put_file(&name, text.as_bytes(), replace)
    }

    /// Puts a plan where `merge` looks for it, if it is not there.
    pub(super) fn keep_plan(&self, plan: &Path, servers: &Servers) -> Result<(), TriageError> {
        let bytes = || match Address::of_path(plan)? {
            Some(address) => Ok((servers.client)().get(&address, MAX_PLAN)?),
            None => read_whole(plan, MAX_PLAN).map_err(|cause| TriageError::Input { path: plan.to_owned(), cause }),
        };
        match self {
            Self::Directory(directory) if directory.join(PLAN).exists() => Ok(()),
            Self::Objects { root, .. } if plan == Path::new(&root.join(PLAN).to_string()) => Ok(()),
            _ => self.put_file(PLAN, &bytes()?, false),
        }
    }

    fn put_file(&self, name: &str, bytes: &[u8], replace: bool) -> Result<(), TriageError> {
        match self {
            Self::Directory(directory) => {
                let path = directory.join(name);
                let output = |cause| TriageError::Output { path: path.clone(), cause };
                if let Some(directory) = path.parent() {
                    fs::create_dir_all(directory).map_err(output)?;
                }
                write_whole(&path, bytes).map_err(output)
            }
            Self::Objects { client, root } if replace => Ok(client.replace(&root.join(name), bytes)?),
            // Somebody else was faster: what they wrote is as good.
            Self::Objects { client, root } => Ok(client.put_new(&root.join(name), bytes).map(drop)?),
        }
    }

    /// Removes what killed runs have left. Such files are told by their age alone: locks are not seen by other machines
    /// on every file system.
    pub(super) fn remove_stale(&self) {
        // Objects appear whole, and nothing is left of those that do not.
        let Self::Directory(directory) = self else { return };
        let directories = directory.join("rows").read_dir().into_iter().flatten().flatten();
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

/// A file of at most `limit` bytes.
fn read_whole(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_file_or_disk(path)?;
    let mut bytes = Vec::new();
    if file.take(limit + 1).read_to_end(&mut bytes)? as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
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
