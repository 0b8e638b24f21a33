//! A vmlinux in a store of objects: beside the dump, or below `debug/`.
//!
//! ```text
//! beside the dump              vmlinux, vmlinux-RELEASE, vmlinux.debug
//! BUCKET/debug/, --debug-dir   .build-id/xx/yyyy.debug, vmlinux-RELEASE, RELEASE/vmlinux, boot/, lib/modules/ as packages have them
//! ```
//!
//! One that is found is downloaded to a temporary file, which is gone when it is open. It has to be of the dump's build, as every
//! other.

use std::io;
use std::path::{Path, PathBuf};

use vmcore_debuginfo::build_id_path;
use vmcore_dump::Unpacking;
use vmcore_os::UnfinishedFile;
use vmcore_remote::{Address, BLOCK, RemoteError};

use crate::cli::Input;
use crate::failure::Failure;
use crate::remote;
use crate::run::Run;
use crate::servers::client;

/// The name of the directory for all dumps of a bucket.
const DEBUG: &str = "debug";

/// The addresses where a vmlinux may be, the likeliest first: of files with these names below a debug directory, and of this
/// release. None, unless the dump or a `--debug-dir` is an object.
pub(crate) fn candidates(input: &Input, relative: &[PathBuf], release: Option<&str>) -> Vec<Address> {
    let s3 = |path: &Path| Address::of_path(path).ok().flatten().filter(|it| matches!(it, Address::S3 { .. }));
    let mut found = Vec::new();
    let dump = s3(&input.vmcore);
    if let Some(directory) = dump.as_ref().map(Address::parent) {
        let beside = ["vmlinux".to_owned(), "vmlinux.debug".to_owned()];
        let of_release = release.map(|release| format!("vmlinux-{release}"));
        found.extend(beside.into_iter().chain(of_release).map(|name| directory.join(&name)));
    }
    let own = dump.map(|dump| match dump {
        Address::S3 { bucket, .. } => Address::S3 { bucket, key: DEBUG.to_owned() },
        other => other,
    });
    let named = input.search.share_profiles.iter().chain(&input.search.debug_dir);
    for directory in named.filter_map(|directory| s3(directory)).chain(own) {
        let by_release = release.map(|release| format!("{release}/vmlinux"));
        let names = relative.iter().filter_map(|path| path.to_str()).map(str::to_owned).chain(by_release);
        found.extend(names.map(|name| directory.join(&name)));
    }
    found
}

/// Whether a directory is a prefix of a store, and may be one.
pub(crate) fn is_prefix(directory: &Path) -> Result<bool, Failure> {
    match Address::of_path(directory)? {
        Some(Address::S3 { .. }) => Ok(true),
        Some(other) => Err(Failure::new(format_args!("{other} is not a directory"))
            .hint("debug files are in directories, or below s3:// prefixes")),
        None => Ok(false),
    }
}

/// Puts the profile in a file where others look for it first, if it is not there.
pub(crate) fn share(prefix: &Path, build_id: &[u8], profile: &Path) -> Result<(), Failure> {
    let (Some(prefix), Some(name)) = (Address::of_path(prefix)?, build_id_path(build_id)) else { return Ok(()) };
    let cannot = |error| Failure::new(format_args!("cannot read {}: {error}", profile.display()));
    let bytes = std::fs::read(profile).map_err(cannot)?;
    client().put_new(&prefix.join(&name.to_string_lossy()), &bytes)?;
    Ok(())
}

/// Whether there is such an object.
pub(crate) fn is_there(address: &Address) -> Result<bool, Failure> {
    match client().get_range(address, 0..1, None) {
        Ok(_) => Ok(true),
        // Who may not list a bucket is refused what is not there.
        Err(RemoteError::NotThere { .. } | RemoteError::Refused { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Downloads an object to a file that goes away with what is returned.
pub(crate) fn download(path: &Path, run: &Run) -> Result<Option<UnfinishedFile>, Failure> {
    let Some(mut object) = remote::whole(path)? else { return Ok(None) };
    let directory = Unpacking::default_directory();
    run.note(format_args!("downloading {}", remote::shown(path).display()));
    let copied = run.step("downloading the vmlinux", || {
        let mut file = UnfinishedFile::new_in(&directory)?;
        let mut buffer = vec![0; BLOCK as usize];
        loop {
            match io::Read::read(&mut object, &mut buffer)? {
                0 => return Ok(file),
                read => io::Write::write_all(&mut file, buffer.get(..read).unwrap_or_default())?,
            }
        }
    });
    copied.map(Some).map_err(|error: io::Error| {
        Failure::new(format_args!("cannot download to {}: {error}", directory.display()))
            .hint("the environment variable TMPDIR names the directory; it needs room for the vmlinux")
    })
}
