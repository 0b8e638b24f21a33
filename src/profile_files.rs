//! Profiles in a directory, under any name that ends in `.profile`: whoever makes one calls it as they like.

use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use vmcore_debuginfo::{Profile, ProfileIdentity};

const ENDING: &[u8] = b".profile";
/// Files with such a name that are looked at in one directory. A fleet has some hundred kernels.
const MOST: usize = 1024;

/// The profiles right in the directories, by name, with what each is of. Of a file no more is read than that.
pub(crate) fn in_directories(directories: &[PathBuf]) -> impl Iterator<Item = (PathBuf, ProfileIdentity)> {
    directories.iter().flat_map(|directory| named(directory)).filter_map(|path| {
        let identity = Profile::identity(&path).ok()??;
        Some((path, identity))
    })
}

fn named(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_named = |entry: &DirEntry| entry.file_name().as_encoded_bytes().ends_with(ENDING);
    let mut paths: Vec<_> = entries.filter(is_named).take(MOST).map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUNDLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/6.1-cloud-amd64/vmlinux.profile");

    #[test]
    fn what_a_file_is_its_bytes_tell_and_not_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::copy(BUNDLED, path("web tier.profile")).unwrap();
        fs::copy(BUNDLED, path("a copy")).unwrap();
        fs::copy("/proc/self/exe", path("program.profile")).unwrap();
        fs::write(path(".profile"), "umask 022\n").unwrap();
        fs::write(path("empty.profile"), "").unwrap();
        fs::create_dir(path("directory.profile")).unwrap();
        let nowhere = PathBuf::from("/nowhere");
        let found: Vec<_> = in_directories(&[nowhere, directory.path().to_owned()]).collect();
        let [(profile, of)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(*profile, path("web tier.profile"));
        assert_eq!(
            of.build_id.as_deref().map(vmcore_kernel::hex).as_deref(),
            Some("3b43fad5034874490492495d552c0af6a5fab235")
        );
        assert!(of.banner.as_deref().unwrap().starts_with("Linux version 6.1.0-"), "{of:?}");
    }
}
