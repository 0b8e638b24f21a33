//! A directory of profiles, one for each build-id, so that a vmlinux is read once a kernel and not once a dump.
//!
//! ```text
//! BUILD-ID.profile   a profile whose sections are not compressed | zeroes up to a multiple of 8 | its indexes | a seal
//! seal               the version of the program | u32 its length | u64 bytes of the profile | u64 of the indexes
//!                    | u32 CRC-32 of all that comes before | u64 "vmcprof" 2
//! lock-0 … lock-f    held (`flock(2)`) while a profile is made, by the first digit of its build-id
//! ```
//!
//! The indexes are those that would be made of the profile by whoever opens it: of names, of code addresses, of types, of
//! call frames ([`Vmlinux::indexes`]). They are looked at where they are mapped, and believed as the profile is: both are under
//! the seal.
//!
//! What was cut short, changed, or made by another version of the program does not pass for an entry, and is made anew.
//! Entries appear by rename, so whoever reads one sees all of it; a lock only spares several runs the same work, and a run
//! that cannot have it works without. Above its limit the directory loses the entries that were not used for longest.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use vmcore_memory::{le_u32, le_u64};
use vmcore_os::UnfinishedFile;

use crate::bytes::Bytes;
use crate::elf::Role;
use crate::object_file::{ObjectFile, map};
use crate::{OpenError, Profile, ProfileError, Vmlinux};

/// Ends every entry. Another number where the contents of profiles change and the version of the program does not.
const MAGIC: u64 = u64::from_le_bytes(*b"vmcprof\x02");
/// Bytes of a seal behind the version.
const SEAL: usize = 32;
/// What the indexes begin at a multiple of.
const ALIGN: usize = 8;
const EXTENSION: &str = "profile";
/// No linker makes a longer build-id, in bytes.
const MAX_BUILD_ID: usize = 64;
/// How long to wait for another run that makes the same profile: most take a second.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
/// How old the time of the last use may be: writing it for each dump would be a waste.
const USE_IS_NEWS: Duration = Duration::from_secs(600);

/// Why the cache does not have a profile.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// There is none of the vmlinux.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// It could not be written.
    #[error("cannot write to {}: {source}", .directory.display())]
    Io {
        /// The cache's directory.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What was written cannot be read again.
    #[error("the profile that was written to {} cannot be read back", .0.display())]
    Lost(PathBuf),
}

/// A directory of profiles.
#[derive(Clone, Debug)]
pub struct ProfileCache {
    directory: PathBuf,
    limit: u64,
    version: String,
}

impl ProfileCache {
    /// The cache in `directory`, which is made when it is first needed, for the program of this `version`. It may have
    /// `limit` bytes, or one entry.
    #[must_use]
    pub fn new(directory: PathBuf, limit: u64, version: &str) -> Self {
        Self { directory, limit, version: version.to_owned() }
    }

    /// The profile of the kernel with this build-id, and where it is; `None` where there is none to be trusted.
    #[must_use]
    pub fn get(&self, build_id: &[u8]) -> Option<(Vmlinux, PathBuf)> {
        let path = self.path(build_id)?;
        let vmlinux = self.open(&path).ok().flatten().filter(|vmlinux| vmlinux.build_id() == Some(build_id))?;
        note_use(&path);
        Some((vmlinux, path))
    }

    /// The profile of `vmlinux`, which is made and kept if there is none; `None` of one without a build-id.
    ///
    /// # Errors
    ///
    /// [`CacheError`] where there is no profile of it, or it cannot be kept.
    pub fn get_or_make(&self, vmlinux: &Vmlinux) -> Result<Option<(Vmlinux, PathBuf)>, CacheError> {
        let Some(build_id) = vmlinux.build_id() else { return Ok(None) };
        let Some(path) = self.path(build_id) else { return Ok(None) };
        if let Some(found) = self.get(build_id) {
            return Ok(Some(found));
        }
        let io_error = |source| CacheError::Io { directory: self.directory.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(io_error)?;
        let _lock = self.lock(&path);
        // Another run may have made it meanwhile.
        if let Some(found) = self.get(build_id) {
            return Ok(Some(found));
        }
        let profile = Profile::mappable(vmlinux)?;
        self.write(&path, profile.bytes(), &profile.opened().indexes()).map_err(io_error)?;
        self.make_room(&path);
        self.get(build_id).map(Some).ok_or(CacheError::Lost(path))
    }

    fn path(&self, build_id: &[u8]) -> Option<PathBuf> {
        let is_one = (1..=MAX_BUILD_ID).contains(&build_id.len());
        let name: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
        is_one.then(|| self.directory.join(name).with_extension(EXTENSION))
    }

    /// The entry at `path`; `None` where it is none of this version, or damaged.
    fn open(&self, path: &Path) -> Result<Option<Vmlinux>, OpenError> {
        let (handle, bytes) = map(path)?;
        let Some((profile, indexes)) = unsealed(&bytes, &self.version) else { return Ok(None) };
        let vmlinux = Vmlinux::from_file(ObjectFile::from_mapping(path, handle, profile, Role::Vmlinux)?)?;
        Ok(Some(vmlinux.with_indexes(&indexes)))
    }

    /// The lock for making an entry, or nothing where it is not to be had.
    fn lock(&self, path: &Path) -> Option<File> {
        let digit = path.file_name()?.to_str()?.chars().next()?;
        let name = self.directory.join(format!("lock-{digit}"));
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(name).ok()?;
        let began = Instant::now();
        while file.try_lock().is_err() {
            if began.elapsed() >= PATIENCE {
                return None;
            }
            thread::sleep(POLL);
        }
        Some(file)
    }

    fn write(&self, path: &Path, profile: &[u8], indexes: &[u8]) -> io::Result<()> {
        let mut file = UnfinishedFile::new_in(&self.directory)?;
        file.write_all(&sealed(profile, indexes, &self.version))?;
        file.as_file().sync_data()?;
        file.replace(path)
    }

    /// Removes what was not used for longest until the limit is kept, but not the entry at `kept`.
    fn make_room(&self, kept: &Path) {
        let mut entries: Vec<_> = self.entries().collect();
        entries.sort();
        let mut total = entries.iter().map(|entry| entry.size).fold(0, u64::saturating_add);
        for entry in entries.iter().filter(|entry| entry.path != kept) {
            if total <= self.limit {
                break;
            }
            // Whoever has it open keeps it. Another run may have been faster.
            let _ = fs::remove_file(&entry.path);
            total = total.saturating_sub(entry.size);
        }
    }

    fn entries(&self) -> impl Iterator<Item = Entry> {
        let files = self.directory.read_dir().into_iter().flatten().flatten();
        files.filter_map(|file| {
            let path = file.path();
            let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
            let is_entry = path.extension().is_some_and(|extension| extension == EXTENSION);
            is_entry.then_some(Entry { used: metadata.modified().ok()?, path, size: metadata.len() })
        })
    }
}

/// An entry of the directory, those first that were not used for longest.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    used: SystemTime,
    path: PathBuf,
    size: u64,
}

/// An entry.
fn sealed(profile: &[u8], indexes: &[u8], version: &str) -> Vec<u8> {
    let mut entry = profile.to_vec();
    entry.resize(entry.len().next_multiple_of(ALIGN), 0);
    entry.extend(indexes);
    entry.extend(version.as_bytes());
    entry.extend(u32::try_from(version.len()).unwrap_or(u32::MAX).to_le_bytes());
    entry.extend((profile.len() as u64).to_le_bytes());
    entry.extend((indexes.len() as u64).to_le_bytes());
    entry.extend(crc32fast::hash(&entry).to_le_bytes());
    entry.extend(MAGIC.to_le_bytes());
    entry
}

/// The profile and the indexes in an entry whose seal is whole.
fn unsealed(entry: &Bytes, version: &str) -> Option<(Bytes, Bytes)> {
    let end = entry.len().checked_sub(SEAL)?;
    let fields = entry.get(end..)?;
    if le_u64(fields, 24)? != MAGIC || usize::try_from(le_u32(fields, 0)?).ok()? != version.len() {
        return None;
    }
    let len = end.checked_sub(version.len())?;
    let summed = entry.get(..end.checked_add(20)?)?;
    if entry.get(len..end)? != version.as_bytes() || crc32fast::hash(summed) != le_u32(fields, 20)? {
        return None;
    }
    let (profile, indexes) = (le_u64(fields, 4)?, le_u64(fields, 12)?);
    let start = profile.checked_next_multiple_of(ALIGN as u64)?;
    Some((entry.slice(0, profile)?, entry.slice(start, indexes)?))
}

/// Keeps an entry from being the one that was not used for longest.
fn note_use(path: &Path) {
    let is_news = |file: &File| {
        let used = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
        Some(used.elapsed().is_ok_and(|age| age > USE_IS_NEWS))
    };
    if let Ok(file) = File::open(path)
        && is_news(&file) == Some(true)
    {
        // In a cache that others own, nothing is lost but the order.
        let _ = file.set_modified(SystemTime::now());
    }
}

#[cfg(test)]
mod tests;
