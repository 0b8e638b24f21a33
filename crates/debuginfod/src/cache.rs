//! The cache: one directory for each build-id, one file for each thing that is known of it.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use vmcore_os::UnfinishedFile;

/// For how long it is not asked again for what no server had, unless the cache says otherwise.
const DEFAULT_MISS: Duration = Duration::from_secs(600);
const MISS_FILE: &str = "cache_miss_s";
/// The cache and what is in it are for its owner alone.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o400;

/// The place of the debug information of one build-id.
#[derive(Debug)]
pub(crate) struct Place {
    cache: PathBuf,
    directory: PathBuf,
    file: PathBuf,
}

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The file is there.
    Present,
    /// It was not to be had a short time ago.
    Missed,
    /// Nothing.
    Unknown,
}

impl Place {
    /// `CACHE/HEX/debuginfo`.
    pub(crate) fn new(cache: &Path, build_id: &str) -> Self {
        let directory = cache.join(build_id);
        Self { cache: cache.into(), file: directory.join("debuginfo"), directory }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn state(&self) -> State {
        let Ok(metadata) = fs::metadata(&self.file) else { return State::Unknown };
        if !metadata.is_file() {
            return State::Unknown;
        }
        if metadata.len() > 0 {
            // Older clients marked a miss with a file that may not be read, and then forget it, as here.
            return if File::open(&self.file).is_ok() { State::Present } else { State::Unknown };
        }
        // A clock that went back makes a new file of it.
        let age = metadata.modified().ok().map(|time| time.elapsed().unwrap_or_default());
        if age.is_some_and(|age| age <= self.miss_lasts()) { State::Missed } else { State::Unknown }
    }

    fn miss_lasts(&self) -> Duration {
        let text = fs::read_to_string(self.cache.join(MISS_FILE)).unwrap_or_default();
        text.trim().parse().map_or(DEFAULT_MISS, Duration::from_secs)
    }

    /// A new file, private, in the directory that it is going to stay in.
    pub(crate) fn new_file(&self) -> io::Result<UnfinishedFile> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&self.directory)?;
        UnfinishedFile::new_in(&self.directory)
    }

    /// Gives `file` its name, in place of whatever has it, all at once.
    pub(crate) fn keep(&self, file: UnfinishedFile) -> io::Result<()> {
        file.as_file().set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.replace(&self.file)
    }

    /// Remembers that no server has it.
    pub(crate) fn note_miss(&self) -> io::Result<()> {
        self.forget();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&self.file).map(drop)
    }

    /// Removes what is known.
    pub(crate) fn forget(&self) {
        // Where it cannot be removed it cannot be replaced either, and that is reported.
        let _ = fs::remove_file(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_private_and_replace_each_other_whole() {
        let root = tempfile::tempdir().unwrap();
        let cache = root.path().join("new/cache");
        let place = Place::new(&cache, "abcd");
        assert_eq!(place.state(), State::Unknown);
        for contents in ["one", "another"] {
            let mut file = place.new_file().unwrap();
            file.write_all(contents.as_bytes()).unwrap();
            place.keep(file).unwrap();
            assert_eq!(fs::read_to_string(cache.join("abcd/debuginfo")).unwrap(), contents);
        }
        assert_eq!(place.state(), State::Present);
        assert_eq!((mode(&cache.join("abcd")), mode(place.file())), (0o700, 0o400));
        drop(place.new_file().unwrap());
        assert_eq!(fs::read_dir(cache.join("abcd")).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_miss_is_remembered_for_as_long_as_the_cache_says() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::new(root.path(), "abcd");
        drop(place.new_file().unwrap());
        place.note_miss().unwrap();
        place.note_miss().unwrap();
        assert_eq!(place.state(), State::Missed);
        let minutes_ago = |minutes: u64| std::time::SystemTime::now() - Duration::from_secs(60 * minutes);
        let age = |minutes| File::open(place.file()).unwrap().set_modified(minutes_ago(minutes)).unwrap();
        age(9);
        assert_eq!(place.state(), State::Missed);
        age(11);
        assert_eq!(place.state(), State::Unknown);
        fs::write(root.path().join("cache_miss_s"), "1200\n").unwrap();
        assert_eq!(place.state(), State::Missed);
        fs::write(root.path().join("cache_miss_s"), "0").unwrap();
        assert_eq!(place.state(), State::Unknown);
    }
}
