//! What starts this program again: `triage` runs it for each dump.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, io};

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says that it is `program`, not the file that this process runs.
pub(crate) fn set(program: PathBuf) {
    // Whoever runs a second command line in one process is the same.
    let _ = PROGRAM.set(program);
}

/// The program's path.
pub(crate) fn path() -> io::Result<PathBuf> {
    PROGRAM.get().cloned().map_or_else(env::current_exe, Ok)
}
