//! Where a vmlinux is when nobody names it: probing of the paths that debug packages use.
//!
//! By build-id, as gdb looks (`.build-id/xx/yyyy.debug`), then by release, as Debian and Ubuntu (`boot/vmlinux-RELEASE`,
//! under `/usr/lib/debug`), Red Hat and Anolis (`lib/modules/RELEASE/vmlinux`, with or without `usr`) and SUSE (there, or
//! in `boot`, with `.debug`) install it; last where `make` left it, `/lib/modules/RELEASE/build/vmlinux`.
//! Failing that, servers are asked, if the user named some.

use std::path::{Path, PathBuf};

use vmcore_debuginfo::{Vmlinux, build_id_path};
use vmcore_dump::Vmcoreinfo;
use vmcore_kernel::{hex, release_of};

use crate::cli::Search;
use crate::debuginfod;
use crate::failure::Failure;
use crate::session::Context;

/// Where distributions install debug information.
pub(crate) const SYSTEM: &str = "/usr/lib/debug";

/// The directories of debug files, in the order in which they are searched.
pub(crate) fn directories(search: &Search) -> Vec<PathBuf> {
    search.debug_dir.iter().cloned().chain([SYSTEM.into()]).collect()
}

/// The build that a vmlinux must be of, as far as the dump tells. From the dump: untrusted.
#[derive(Debug, Default)]
pub(crate) struct Build {
    release: Option<String>,
    id: Option<Vec<u8>>,
}

impl Build {
    /// As VMCOREINFO says.
    pub(crate) fn by_vmcoreinfo(info: &Vmcoreinfo) -> Self {
        Self { release: info.osrelease().map(str::to_owned), id: info.build_id() }
    }

    /// As the tables say that the kernel in the dump has of itself.
    pub(crate) fn by_own_tables(own: &Vmlinux) -> Self {
        let release = own.banner().and_then(|banner| release_of(&banner).map(str::to_owned));
        Self { release, id: own.build_id().map(<[u8]>::to_vec) }
    }
}

/// The first file there is that is not of another build: in directories, then in the cache of downloads, then on servers.
pub(crate) fn find(build: &Build, search: &Search, context: &Context) -> Result<PathBuf, Failure> {
    let candidates = candidates(build, &directories(search));
    let mut rejected = Vec::new();
    for path in candidates.iter().filter(|path| path.is_file()) {
        match belongs(path, build) {
            Ok(()) => {
                tracing::info!("found vmlinux {}", path.display());
                return Ok(path.clone());
            }
            Err(why) => rejected.push(why),
        }
    }
    match build.id.as_deref().map(|id| debuginfod::vmlinux(id, search, context)) {
        Some(Ok(Some(path))) => return Ok(path),
        Some(Err(error)) => rejected.push(format!("debuginfod: {error}")),
        Some(Ok(None)) | None => {}
    }
    let release = build.release.as_deref().unwrap_or("(unknown release)");
    let build_id = build.id.as_deref().map(|id| format!(", build-id {}", hex(id))).unwrap_or_default();
    let looked: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
    let failure = Failure::new(format_args!("no vmlinux of {release}{build_id} was found")).hint(format_args!(
        "name it after the dump, or the directory with --debug-dir; looked for {}",
        looked.join(", ")
    ));
    Err(rejected.into_iter().fold(failure, Failure::because))
}

/// Whether the file can be of the dump's kernel, by what can be told without opening the two together.
fn belongs(path: &Path, build: &Build) -> Result<(), String> {
    let found = Vmlinux::build_id_of(path).map_err(|error| error.to_string())?;
    match (found, &build.id) {
        (Some(found), Some(wanted)) if found != *wanted => {
            Err(format!("{} is of another build, {}", path.display(), hex(&found)))
        }
        _ => Ok(()),
    }
}

fn candidates(build: &Build, directories: &[PathBuf]) -> Vec<PathBuf> {
    let by_build_id = build.id.as_deref().and_then(build_id_path);
    // The release is from the dump: it must stay one path component.
    let release = build.release.as_deref().filter(|release| !release.contains('/') && !release.starts_with('.'));
    let by_release = release.into_iter().flat_map(|release| {
        [
            format!("boot/vmlinux-{release}"),
            format!("boot/vmlinux-{release}.debug"),
            format!("lib/modules/{release}/vmlinux"),
            format!("usr/lib/modules/{release}/vmlinux"),
            format!("usr/lib/modules/{release}/vmlinux.debug"),
            format!("vmlinux-{release}"),
        ]
    });
    let relative: Vec<PathBuf> = by_build_id.into_iter().chain(by_release.map(PathBuf::from)).collect();
    let in_directories = relative.iter().flat_map(|path| directories.iter().map(move |directory| directory.join(path)));
    // Of the crashed kernel's release, whichever kernel this machine runs.
    let built_here = release.map(|release| PathBuf::from(format!("/lib/modules/{release}/build/vmlinux")));
    in_directories.chain(built_here).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_id_comes_first_and_own_directories_before_the_system() {
        let build = Build::by_vmcoreinfo(&Vmcoreinfo::parse(b"OSRELEASE=6.1.0\nBUILD-ID=abcdef01\n"));
        let paths: Vec<_> =
            candidates(&build, &["/d".into(), SYSTEM.into()]).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(
            paths[..4],
            [
                "/d/.build-id/ab/cdef01.debug",
                "/usr/lib/debug/.build-id/ab/cdef01.debug",
                "/d/boot/vmlinux-6.1.0",
                "/usr/lib/debug/boot/vmlinux-6.1.0",
            ]
        );
        assert_eq!(paths.last().map(String::as_str), Some("/lib/modules/6.1.0/build/vmlinux"));
    }

    #[test]
    fn a_release_cannot_leave_the_directory() {
        let build = Build::by_vmcoreinfo(&Vmcoreinfo::parse(b"OSRELEASE=../../etc/passwd\n"));
        assert!(candidates(&build, &[]).is_empty());
    }
}
