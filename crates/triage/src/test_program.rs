//! A script in place of the program that judges, for tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Analyzer, Servers};

/// Writes a script that can be run, by another process: a file that this one has had open for writing may not be run as long
/// as some child that another test forked meanwhile has not closed it.
pub(crate) fn write(script: &str, program: &Path) {
    let writes = "printf %s \"$1\" >\"$2\" && chmod +x \"$2\"";
    let written = Command::new("/bin/sh").args(["-c", writes, "sh", script]).arg(program).status().unwrap();
    assert!(written.success());
}

/// Has each item judged by this program.
pub(crate) fn analyzer(program: impl Into<PathBuf>, timeout: Duration) -> Analyzer {
    Analyzer {
        program: program.into(),
        arguments: Vec::new(),
        worker_arguments: Vec::new(),
        timeout,
        max_memory: 1 << 30,
        give_up: || false,
        servers: Servers::default(),
    }
}
