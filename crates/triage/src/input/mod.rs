//! What is to be analyzed: the dumps and logs in files, directories, patterns and manifests.
//!
//! A directory is searched as kdump tools leave theirs, one directory a crash:
//!
//! ```text
//! RHEL, al7      HOST-YYYY-MM-DD-HH:MM:SS/  vmcore, vmcore.flat, vmcore-incomplete, vmcore-dmesg.txt, kexec-dmesg.log
//! Debian, Ubuntu [HOST-]YYYYMMDDHHMM/       dump.YYYYMMDDHHMM, dmesg.YYYYMMDDHHMM
//! SUSE           YYYY-MM-DD-HH:MM/          vmcore, vmcore1 .. vmcoreN of a split one, dmesg.txt, README.txt, vmlinux
//! ```
//!
//! What a file is, its bytes tell ([`vmcore_dump::glance`]); only the log of the kernel that *wrote* the dump looks like
//! one of the kernel that crashed, and is told by its name, `kexec-dmesg.log`: it counts where nothing else is left. Files
//! of a split dump belong together by their headers. A log that is called like a dump is not analyzed unless the dump cannot be. Links
//! are not followed out of a directory: none is followed at all.

mod beside;
mod directory;
mod log_text;
mod manifest;
mod objects;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmcore_dump::{Glance, glance};
use vmcore_remote::Address;

pub(crate) use directory::is_of_writer;

use crate::TriageError;
use crate::servers::Servers;

/// What to look for and where.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// Files, directories and patterns; objects and prefixes (`s3://`).
    pub paths: Vec<PathBuf>,
    /// Files that list dumps.
    pub manifests: Vec<PathBuf>,
    /// Who asks for objects.
    pub servers: Servers,
}

/// Whether something is a dump or a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// A dump.
    Dump,
    /// The text of a kernel's log.
    Log,
}

impl ItemKind {
    /// Its name in the store and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dump => "dump",
            Self::Log => "log",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        if name == Self::Log.name() { Self::Log } else { Self::Dump }
    }
}

/// One thing to analyze.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// The dump, the first file of a split one, or the log.
    pub path: PathBuf,
    /// A dump or a log.
    pub kind: ItemKind,
    /// The other files of a split dump.
    pub parts: Vec<PathBuf>,
    /// The kernel's debug information, where a manifest names it.
    pub vmlinux: Option<PathBuf>,
    /// A log of the same crash, for a dump that cannot be analyzed.
    pub log: Option<PathBuf>,
    /// What the list of a store says of an object.
    pub known: Option<Known>,
}

/// What a store of objects says of one, without it being read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Known {
    /// Bytes, of all files of the item.
    pub size: u64,
    /// When it was last changed; seconds since 1970.
    pub changed: Option<i64>,
    /// The store's mark of its content.
    pub etag: String,
}

impl Item {
    /// A dump in one file, about which nothing else is known.
    #[must_use]
    pub fn dump(path: PathBuf) -> Self {
        Self { path, kind: ItemKind::Dump, parts: Vec::new(), vmlinux: None, log: None, known: None }
    }

    /// A log.
    #[must_use]
    pub fn log(path: PathBuf) -> Self {
        Self { kind: ItemKind::Log, ..Self::dump(path) }
    }

    /// The files that are its content.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.path).chain(&self.parts)
    }
}

/// Something that was passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
    /// Whether there may be a crash in it: a directory that cannot be read. What is not looked into is not well.
    pub lost: bool,
}

/// What there is at some paths.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// What is to be analyzed.
    pub items: Vec<Item>,
    /// ELF files that were named and are no dumps: a vmlinux is one of them. They are no items.
    pub programs: Vec<PathBuf>,
    /// What was passed over though it may have been meant.
    pub skipped: Vec<Skipped>,
}

/// Lists what is to be analyzed, in the order of the paths, each file once; and what was passed over.
///
/// # Errors
///
/// [`TriageError`] where a path that was named is not there, or a manifest or pattern makes no sense. What cannot be read
/// inside a directory is passed over.
pub fn find(inputs: &Inputs) -> Result<Listing, TriageError> {
    let mut found = Found::default();
    for path in &inputs.paths {
        if let Some(address) = Address::of_path(path)? {
            let (items, skipped) = objects::items(&address, &(inputs.servers.client)())?;
            found.listing.skipped.extend(skipped);
            items.into_iter().for_each(|item| found.push(item));
        } else if path.symlink_metadata().is_ok() || !is_pattern(path) {
            found.named(path)?;
        } else {
            found.pattern(path)?;
        }
    }
    for manifest in &inputs.manifests {
        for item in manifest::read(manifest)? {
            found.push(item);
        }
    }
    Ok(found.listing)
}

#[derive(Default)]
struct Found {
    listing: Listing,
    seen: BTreeSet<PathBuf>,
}

impl Found {
    fn push(&mut self, item: Item) {
        if self.is_new(&item.path) {
            self.listing.items.push(item);
        }
    }

    /// The same file named twice is one; two names of one file are two, and found to be the same later.
    fn is_new(&mut self, path: &Path) -> bool {
        self.seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
    }

    fn skip(&mut self, path: &Path, reason: impl ToString) {
        self.listing.skipped.push(Skipped { path: path.to_owned(), reason: reason.to_string(), lost: true });
    }

    /// A path that the user named: a link is followed here.
    fn named(&mut self, path: &Path) -> Result<(), TriageError> {
        let kind = match fs::metadata(path) {
            Ok(metadata) => metadata.file_type(),
            // One of a hundred that a shell has named must not cost the others.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                self.push(Item::dump(path.to_owned()));
                return Ok(());
            }
            Err(cause) => return Err(TriageError::Input { path: path.to_owned(), cause }),
        };
        if kind.is_dir() {
            let (items, skipped) = directory::items(path);
            self.listing.skipped.extend(skipped);
            for item in items {
                self.push(item);
            }
            return Ok(());
        }
        // A file that is named is meant: what it is instead of a dump, or why it cannot be read, its row says. Only a file
        // is opened: a pipe would wait for somebody who writes.
        match kind.is_file().then(|| glance(path)) {
            Some(Ok(Glance::Text | Glance::CompressedText)) => self.push(Item::log(path.to_owned())),
            Some(Ok(Glance::Program)) => {
                if self.is_new(path) {
                    self.listing.programs.push(path.to_owned());
                }
            }
            _ => self.push(Item::dump(path.to_owned())),
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &Path) -> Result<(), TriageError> {
        let text = pattern.to_string_lossy();
        let wrong = |reason: &str| TriageError::Pattern { pattern: text.to_string(), reason: reason.to_owned() };
        let mut matched = false;
        for path in glob::glob(&text).map_err(|error| wrong(error.msg))? {
            matched = true;
            match path {
                Ok(path) => {
                    if let Err(error) = self.named(&path) {
                        self.skip(&path, error);
                    }
                }
                Err(error) => self.skip(error.path(), error.error()),
            }
        }
        if matched { Ok(()) } else { Err(TriageError::NoMatch { pattern: text.to_string() }) }
    }
}

fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

#[cfg(test)]
mod tests;
