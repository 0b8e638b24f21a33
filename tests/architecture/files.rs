//! How long a file may be, and that it says what it is about.

use std::fs;
use std::path::{Path, PathBuf};

use super::{add_sources, root};

/// Lines of a file, its tests among them.
const MAX_LINES: usize = 400;

#[test]
fn no_file_is_longer_than_can_be_read_at_once() {
    let long: Vec<_> = all().into_iter().filter(|(_, text)| is_too_long(text)).map(|(path, _)| path).collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines: give each idea a file of its own: {long:#?}");
}

#[test]
fn one_line_too_many_is_seen() {
    assert!(!is_too_long(&"//\n".repeat(MAX_LINES)));
    assert!(is_too_long(&"//\n".repeat(MAX_LINES + 1)));
}

#[test]
fn every_file_says_what_it_is_about() {
    // Of what the file next to them does.
    let is_about_another = |path: &Path| path.ends_with("tests.rs");
    let silent: Vec<_> = all()
        .into_iter()
        .filter(|(path, text)| !is_about_another(path) && !text.starts_with("//! "))
        .map(|(path, _)| path)
        .collect();
    assert!(silent.is_empty(), "without `//!` at the beginning: {silent:#?}");
}

fn is_too_long(text: &str) -> bool {
    text.lines().count() > MAX_LINES
}

/// The Rust files of the project, its tests and fuzz targets, with their text.
fn all() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    for directory in ["crates", "src", "tests", "fuzz"] {
        add_sources(&root().join(directory), &mut paths);
    }
    // What a build has made: of the fuzz targets, and of a crate that was built on its own.
    let is_made = |path: &Path| path.strip_prefix(root()).is_ok_and(|own| own.iter().any(|part| part == "target"));
    paths.retain(|path| !is_made(path));
    assert!(paths.len() > 800, "only {} files were found", paths.len());
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}
