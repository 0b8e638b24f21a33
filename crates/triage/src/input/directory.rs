//! What a directory holds, and those in it.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

use vmcore_dump::{Glance, glance};

use super::log_text::Text;
use super::{Item, Skipped, beside};

/// Directories in each other. Collections have two or three.
const MAX_DEPTH: usize = 16;
/// The log of the kernel that wrote the dump, not of the one that crashed.
const LOG_OF_THE_WRITER: &str = "kexec-dmesg.log";
/// How the names end of what is written beside dumps; they quote the log.
const OWN: [&str; 2] = ["verdict.txt", "verdict.json"];

/// The dumps and logs in a directory and below, by path, and what was passed over.
pub(super) fn items(root: &Path) -> (Vec<Item>, Vec<Skipped>) {
    let mut found = Vec::new();
    let mut skipped = Vec::new();
    walk(root, MAX_DEPTH, &mut found, &mut skipped);
    (found, skipped)
}

/// What the files of one directory are.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) dumps: Vec<PathBuf>,
    pub(super) parts: BTreeMap<Vec<u8>, Vec<PathBuf>>,
    pub(super) logs: Vec<PathBuf>,
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<Item>, skipped: &mut Vec<Skipped>) {
    let mut skip =
        |path: &Path, reason: String, lost: bool| skipped.push(Skipped { path: path.to_owned(), reason, lost });
    let mut entries: Vec<DirEntry> = Vec::new();
    match fs::read_dir(directory) {
        Ok(listed) => listed.for_each(|entry| match entry {
            Ok(entry) => entries.push(entry),
            Err(error) => skip(directory, error.to_string(), true),
        }),
        Err(error) => return skip(directory, error.to_string(), true),
    }
    entries.sort_by_key(DirEntry::file_name);
    let mut contents = Contents::default();
    let mut directories = Vec::new();
    for entry in entries {
        let path = entry.path();
        // Of the entry itself: a link is neither.
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) => {
                skip(&path, error.to_string(), true);
                continue;
            }
        };
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() && !name.starts_with('.') {
            directories.push(path);
        } else if kind.is_symlink() {
            skip(&path, "it is a link".to_owned(), false);
        } else if kind.is_file() && !is_unwanted(&name) {
            match glance(&path) {
                Ok(Glance::Dump) => contents.dumps.push(path),
                Ok(Glance::Part(identity)) => contents.parts.entry(identity).or_default().push(path),
                Ok(Glance::Text | Glance::CompressedText) => match Text::of_file(&path) {
                    Ok(Text::KernelLog) => contents.logs.push(path),
                    _ if looks_meant(&name) => contents.dumps.push(path),
                    Ok(Text::Other) => {}
                    Ok(Text::Unknown) => skip(&path, Text::UNKNOWN.to_owned(), true),
                    Err(error) => skip(&path, error.to_string(), true),
                },
                // Zeroes, nothing, or whatever a full disk has left: a crash of which nothing else may be known.
                Ok(_) if looks_meant(&name) => contents.dumps.push(path),
                Ok(_) => {}
                // Why it cannot be read, its row says.
                Err(_) if looks_meant(&name) => contents.dumps.push(path),
                Err(error) => skip(&path, error.to_string(), true),
            }
        }
    }
    found.extend(contents.items());
    for path in directories {
        match depth.checked_sub(1) {
            Some(depth) => walk(&path, depth, found, skipped),
            None => skipped.push(Skipped { path, reason: "it is too deep".to_owned(), lost: true }),
        }
    }
}

impl Contents {
    pub(super) fn items(self) -> Vec<Item> {
        let (of_writer, logs): (Vec<_>, Vec<_>) = self.logs.into_iter().partition(|path| is_of_writer(path));
        let mut items: Vec<_> = self.dumps.into_iter().map(Item::dump).collect();
        for mut parts in self.parts.into_values() {
            let path = parts.remove(0);
            items.push(Item { parts, ..Item::dump(path) });
        }
        items.sort();
        let mut alone = beside::share_out(&mut items, logs);
        if items.is_empty() && alone.is_empty() {
            // A machine has crashed, and that is all that is left of it.
            alone = of_writer;
        }
        items.extend(alone.into_iter().map(Item::log));
        items
    }
}

/// Whether a log is that of the kernel that wrote the dump.
pub(crate) fn is_of_writer(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == LOG_OF_THE_WRITER)
}

/// Whether a file of this name is not looked at.
pub(super) fn is_unwanted(name: &str) -> bool {
    name.starts_with('.') || is_own(name)
}

fn is_own(name: &str) -> bool {
    OWN.iter().any(|own| name.strip_suffix(own).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// Whether a name promises a dump.
pub(super) fn looks_meant(name: &str) -> bool {
    (name.starts_with("vmcore") && !name.contains("dmesg")) || name.starts_with("dump.")
}
