//! Looks for a vmlinux that was not given, at the paths that debug packages use.
//!
//! By build-id, as gdb looks (`.build-id/xx/yyyy.debug`), then by release, as Debian and Ubuntu (`boot/vmlinux-RELEASE`,
//! under `/usr/lib/debug`), Red Hat and Anolis (`lib/modules/RELEASE/vmlinux`, with or without `usr`) and SUSE (there, or
//! in `boot`, with `.debug`, perhaps compressed) install it. A directory that the user names may be laid out like
//! `/usr/lib/debug`, be the root of an unpacked package (with `usr/lib/debug` in it), or have a `vmlinux` right in it. Last
//! comes where `make` left it, `/lib/modules/RELEASE/build/vmlinux`. Then profiles in a directory that the user names are
//! looked at, however they are called. Failing that, servers are asked, if the user named some.
//!
//! What is found is opened and tried: headers packages put files of the right release there that have nothing but BTF.

use std::path::{Path, PathBuf};

use vmcore_debuginfo::{ProfileIdentity, Vmlinux, build_id_path};
use vmcore_dump::Vmcoreinfo;
use vmcore_kernel::{hex, release_of};

use crate::cli::{Input, Search};
use crate::failure::Failure;
use crate::run::Run;
use crate::{debuginfod, profile_files, remote_debug};

/// How debug files are compressed as a whole.
const PACKED: [&str; 3] = ["xz", "zst", "gz"];
/// Where the root of an unpacked debug package has its files.
const IN_PACKAGE: &str = "usr/lib/debug";
/// Where distributions install debug information.
pub(crate) const SYSTEM: &str = "/usr/lib/debug";

/// The directories of debug files, in the order in which they are searched.
pub(crate) fn directories(search: &Search) -> Vec<PathBuf> {
    let named = search.debug_dir.iter().flat_map(|directory| [directory.clone(), directory.join(IN_PACKAGE)]);
    named.chain([SYSTEM.into()]).collect()
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

    /// The release, from the dump: only one that stays one path component.
    fn release(&self) -> Option<&str> {
        self.release.as_deref().filter(|release| !release.contains('/') && !release.starts_with('.'))
    }

    /// Whether a profile is of this build: by the build-id or, where the dump does not tell that, by the release.
    fn has_profile(&self, of: &ProfileIdentity) -> bool {
        match &self.id {
            Some(id) => of.build_id.as_ref() == Some(id),
            None => self.release.is_some() && of.banner.as_deref().and_then(release_of) == self.release.as_deref(),
        }
    }

    /// As the tables say that the kernel in the dump has of itself.
    pub(crate) fn by_fallback_tables(own: &Vmlinux) -> Self {
        let release = own.banner().and_then(|banner| release_of(&banner).map(str::to_owned));
        Self { release, id: own.build_id().map(<[u8]>::to_vec) }
    }
}

/// The first file there is that `accept` opens: among those that may be it, in directories, then beside an object, then in the cache of downloads, then on
/// servers. Of a file that falls short a note says so.
pub(crate) fn find<T>(
    build: &Build,
    input: &Input,
    run: &Run,
    accept: impl Fn(&Path) -> Result<T, Failure>,
) -> Result<(T, PathBuf), Failure> {
    let search = &input.search;
    let candidates = candidates(build, search);
    let mut rejected = Vec::new();
    let attempt = |path: PathBuf| match accept(&path) {
        Ok(vmlinux) => {
            tracing::info!("found vmlinux {}", path.display());
            Some((vmlinux, path))
        }
        Err(failure) => {
            run.note(format_args!("{} is not used: {}", path.display(), failure.message()));
            None
        }
    };
    for path in search.debug_file.iter().chain(&candidates).filter(|path| path.is_file()) {
        match belongs(path, build) {
            Ok(()) => match attempt(path.clone()) {
                Some(found) => return Ok(found),
                None => rejected.push(format!("{} falls short", path.display())),
            },
            Err(why) => rejected.push(why),
        }
    }
    for (path, _) in profile_files::in_directories(&search.debug_dir).filter(|(_, of)| build.has_profile(of)) {
        match attempt(path.clone()) {
            Some(found) => return Ok(found),
            None => rejected.push(format!("{} falls short", path.display())),
        }
    }
    for address in remote_debug::candidates(input, &relative(build, false), build.release()) {
        if !remote_debug::is_there(&address)? {
            continue;
        }
        match attempt(address.to_string().into()) {
            Some(found) => return Ok(found),
            None => rejected.push(format!("{address} falls short")),
        }
    }
    match build.id.as_deref().map(|id| debuginfod::vmlinux(id, search, run)) {
        Some(Ok(Some(path))) => match attempt(path.clone()) {
            Some(found) => return Ok(found),
            None => rejected.push(format!("{} falls short", path.display())),
        },
        Some(Err(error)) => rejected.push(format!("debuginfod: {error}")),
        Some(Ok(None)) | None => {}
    }
    let release = build.release.as_deref().unwrap_or("(unknown release)");
    let build_id = build.id.as_deref().map(|id| format!(", build-id {}", hex(id))).unwrap_or_default();
    let shown = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    tracing::info!("looked for a vmlinux at {}", shown(&candidates));
    let searched: Vec<_> = directories(search).into_iter().chain(build_directory(build)).collect();
    let failure = Failure::new(format_args!("no vmlinux of {release}{build_id} was found")).hint(format_args!(
        "give its path after the dump's, or its directory with --debug-dir; {} names were tried in {} (-v lists them)",
        candidates.len(),
        shown(&searched)
    ));
    Err(rejected.into_iter().fold(failure, Failure::because))
}

/// That each directory that the user named is one: a name with a slip in it would silently find nothing.
pub(crate) fn check_directories(search: &Search) -> Result<(), Failure> {
    for directory in search.debug_dir.iter().chain(&search.share_profiles) {
        if remote_debug::is_prefix(directory)? {
            continue;
        }
        let metadata = std::fs::metadata(directory).map_err(|error| {
            Failure::new(format_args!("cannot open --debug-dir {}: {error}", directory.display()))
                .hint("check the path")
        })?;
        if !metadata.is_dir() {
            return Err(Failure::new(format_args!("--debug-dir {} is not a directory", directory.display()))
                .hint("name a vmlinux itself after the dump"));
        }
    }
    Ok(())
}

/// Whether the file can be of the dump's kernel, by what can be told without opening the two together.
fn belongs(path: &Path, build: &Build) -> Result<(), String> {
    // To unpack it takes longer than to find out later.
    if path.extension().is_some_and(|extension| PACKED.iter().any(|packed| extension == *packed)) {
        return Ok(());
    }
    let found = Vmlinux::build_id_of(path).map_err(|error| error.to_string())?;
    match (found, &build.id) {
        (Some(found), Some(wanted)) if found != *wanted => {
            Err(format!("{} is of another build, {}", path.display(), hex(&found)))
        }
        _ => Ok(()),
    }
}

fn candidates(build: &Build, search: &Search) -> Vec<PathBuf> {
    let relative = relative(build, true);
    let roots = directories(search);
    let in_directories = relative.iter().flat_map(|path| roots.iter().map(move |root| root.join(path)));
    let right_there =
        search.debug_dir.iter().flat_map(|directory| ["vmlinux", "vmlinux.debug"].map(|it| directory.join(it)));
    let built_here = build_directory(build).map(|directory| directory.join("vmlinux"));
    in_directories.chain(right_there).chain(built_here).collect()
}

/// Where `make` left a kernel of the crashed kernel's release, whichever kernel this machine runs.
fn build_directory(build: &Build) -> Option<PathBuf> {
    build.release().map(|release| PathBuf::from(format!("/lib/modules/{release}/build")))
}

/// Where files of a build are under a directory.
fn relative(build: &Build, packed: bool) -> Vec<PathBuf> {
    let by_build_id: Option<PathBuf> = build.id.as_deref().and_then(build_id_path);
    let by_release = build.release().into_iter().flat_map(by_release);
    let is_packed = |path: &PathBuf| path.extension().is_some_and(|end| PACKED.iter().any(|packed| end == *packed));
    by_build_id.into_iter().chain(by_release.filter(|path| packed || !is_packed(path))).collect()
}

/// Where files of a release are under a directory.
fn by_release(release: &str) -> Vec<PathBuf> {
    let plain = [
        format!("boot/vmlinux-{release}"),
        format!("boot/vmlinux-{release}.debug"),
        format!("lib/modules/{release}/vmlinux"),
        format!("lib/modules/{release}/vmlinux.debug"),
        format!("usr/lib/modules/{release}/vmlinux"),
        format!("usr/lib/modules/{release}/vmlinux.debug"),
        format!("lib/modules/{release}/build/vmlinux"),
        format!("usr/lib/modules/{release}/build/vmlinux"),
        format!("vmlinux-{release}"),
        format!("vmlinux-{release}.debug"),
    ];
    let packed = plain.iter().flat_map(|path| PACKED.map(|extension| format!("{path}.{extension}")));
    plain.iter().cloned().chain(packed).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> Search {
        Search {
            debug_dir: Vec::new(),
            debug_file: Vec::new(),
            no_debuginfod: true,
            cache: None,
            cache_size: None,
            share_profiles: None,
            block_cache: None,
            no_cache: true,
        }
    }

    fn search(directory: &str) -> Search {
        Search { debug_dir: vec![directory.into()], ..nowhere() }
    }

    #[test]
    fn build_id_comes_first_and_own_directories_before_the_system() {
        let build = Build::by_vmcoreinfo(&Vmcoreinfo::parse(b"OSRELEASE=6.1.0\nBUILD-ID=abcdef01\n"));
        let paths: Vec<_> = candidates(&build, &search("/d")).iter().map(|path| path.display().to_string()).collect();
        assert_eq!(
            paths[..6],
            [
                "/d/.build-id/ab/cdef01.debug",
                "/d/usr/lib/debug/.build-id/ab/cdef01.debug",
                "/usr/lib/debug/.build-id/ab/cdef01.debug",
                "/d/boot/vmlinux-6.1.0",
                "/d/usr/lib/debug/boot/vmlinux-6.1.0",
                "/usr/lib/debug/boot/vmlinux-6.1.0",
            ]
        );
        for also in [
            "/d/usr/lib/debug/lib/modules/6.1.0/vmlinux",
            "/d/usr/lib/debug/usr/lib/modules/6.1.0/vmlinux",
            "/d/usr/lib/debug/usr/lib/modules/6.1.0/vmlinux.debug.zst",
            "/d/lib/modules/6.1.0/build/vmlinux",
            "/d/lib/modules/6.1.0/vmlinux.debug.xz",
            "/d/vmlinux",
        ] {
            assert!(paths.iter().any(|path| path == also), "{also}");
        }
        assert_eq!(paths.last().map(String::as_str), Some("/lib/modules/6.1.0/build/vmlinux"));
    }

    #[test]
    fn a_profile_is_of_the_build_that_its_notes_name() {
        let profile = |id: &[u8], banner: &str| ProfileIdentity {
            build_id: Some(id.to_vec()),
            banner: Some(format!("Linux version {banner} (a@b) #1 SMP")),
        };
        let told = Build::by_vmcoreinfo(&Vmcoreinfo::parse(b"OSRELEASE=6.1.0\nBUILD-ID=abcdef01\n"));
        assert!(told.has_profile(&profile(b"\xab\xcd\xef\x01", "6.1.0")));
        assert!(!told.has_profile(&profile(b"\xab\xcd\xef\x02", "6.1.0")));
        assert!(!told.has_profile(&ProfileIdentity { build_id: None, ..profile(b"", "6.1.0") }));
        // Before 5.9 a dump does not tell its build-id.
        let untold = Build::by_vmcoreinfo(&Vmcoreinfo::parse(b"OSRELEASE=4.19.91\n"));
        assert!(untold.has_profile(&profile(b"\x01", "4.19.91")));
        assert!(!untold.has_profile(&profile(b"\x01", "4.19.9")));
        assert!(!Build::default().has_profile(&ProfileIdentity::default()));
    }

    #[test]
    fn a_release_cannot_leave_the_directory() {
        let build = Build::by_vmcoreinfo(&Vmcoreinfo::parse(b"OSRELEASE=../../etc/passwd\n"));
        assert!(candidates(&build, &nowhere()).is_empty());
    }
}
