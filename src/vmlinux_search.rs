//! Where a vmlinux is when nobody names it: probing of the paths that debug packages use.
//!
//! By build-id, as gdb looks (`.build-id/xx/yyyy.debug`), then by release, as Debian (`boot/vmlinux-RELEASE`, under
//! `/usr/lib/debug`) and Red Hat, SUSE and Anolis (`lib/modules/RELEASE/vmlinux`) install it.

use std::path::{Path, PathBuf};

use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_kernel::hex;

use crate::cli::Search;
use crate::failure::Failure;

/// Where distributions install debug information.
const SYSTEM: &str = "/usr/lib/debug";

/// The first file there is. Whether it is the right one is checked when it is opened with the dump.
pub(crate) fn find(dump: &Dump, search: &Search) -> Result<PathBuf, Failure> {
    let info = dump.vmcoreinfo().ok_or_else(|| {
        Failure::new("the dump has no VMCOREINFO note, so it does not say which vmlinux it needs")
            .hint("name the vmlinux after the dump")
    })?;
    let candidates = candidates(info, &search.debug_dir);
    if let Some(found) = candidates.iter().find(|path| path.is_file()) {
        tracing::info!("found vmlinux {}", found.display());
        return Ok(found.clone());
    }
    let release = info.osrelease().unwrap_or("(unknown release)");
    let build_id = info.build_id().map(|id| format!(", build-id {}", hex(&id))).unwrap_or_default();
    let looked: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
    Err(Failure::new(format_args!("no vmlinux of {release}{build_id} was found")).hint(format_args!(
        "name it after the dump, or the directory with --debug-dir; looked for {}",
        looked.join(", ")
    )))
}

fn candidates(info: &Vmcoreinfo, debug_dirs: &[PathBuf]) -> Vec<PathBuf> {
    let directories = || debug_dirs.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM)]);
    let by_build_id = info.build_id().and_then(|id| build_id_path(&hex(&id)));
    // The release is from the dump: it must stay one path component.
    let release = info.osrelease().filter(|release| !release.contains('/') && !release.starts_with('.'));
    let by_release = release.into_iter().flat_map(|release| {
        [format!("boot/vmlinux-{release}"), format!("lib/modules/{release}/vmlinux"), format!("vmlinux-{release}")]
    });
    let relative: Vec<String> = by_build_id.into_iter().chain(by_release).collect();
    relative.iter().flat_map(|path| directories().map(move |directory| directory.join(path))).collect()
}

/// `.build-id/xx/yyyy.debug`
fn build_id_path(hex: &str) -> Option<String> {
    let (directory, file) = hex.split_at_checked(2).filter(|(_, file)| !file.is_empty())?;
    Some(format!(".build-id/{directory}/{file}.debug"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_id_comes_first_and_own_directories_before_the_system() {
        let info = Vmcoreinfo::parse(b"OSRELEASE=6.1.0\nBUILD-ID=abcdef01\n");
        let paths: Vec<_> = candidates(&info, &["/d".into()]).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(
            paths[..4],
            [
                "/d/.build-id/ab/cdef01.debug",
                "/usr/lib/debug/.build-id/ab/cdef01.debug",
                "/d/boot/vmlinux-6.1.0",
                "/usr/lib/debug/boot/vmlinux-6.1.0",
            ]
        );
    }

    #[test]
    fn a_release_cannot_leave_the_directory() {
        let info = Vmcoreinfo::parse(b"OSRELEASE=../../etc/passwd\n");
        assert!(candidates(&info, &[]).is_empty());
    }
}
