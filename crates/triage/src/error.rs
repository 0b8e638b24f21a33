//! Why a triage could not go on. What goes wrong with one dump is no error: it is in that dump's row.

use std::io;
use std::path::PathBuf;

use vmcore_remote::RemoteError;

/// Why a triage could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TriageError {
    /// A path that was named is not there, or cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Input {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A line of a manifest is not valid.
    #[error("{}, line {line}: {reason}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A plan that cannot be followed.
    #[error("the plan {}, line {line}: {reason}", path.display())]
    Plan {
        /// The plan.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern is not valid.
    #[error("the pattern {pattern} is not valid: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing has a name that fits a pattern.
    #[error("nothing matches the pattern {pattern}")]
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// Objects on a server cannot be listed, read or written.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The store cannot be used.
    #[error("cannot use the store {}: {cause}", path.display())]
    Store {
        /// The store's file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        cause: rusqlite::Error,
    },
    /// The store was written by a newer version of the program.
    #[error("the store {} has schema {found}, but this program knows none newer than {known}", path.display())]
    NewerStore {
        /// The store's file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that is known.
        known: i64,
    },
    /// The store's file, one beside it, or that of a row cannot be written.
    #[error("cannot write {}: {cause}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

impl TriageError {
    /// What the user could do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Manifest { .. } => Some(
                "a line names a dump and perhaps its vmlinux, with a tab or spaces between, or is {\"vmcore\": …, \"vmlinux\": …}",
            ),
            Self::Pattern { .. } | Self::NoMatch { .. } => {
                Some("`*`, `?`, `**` and `[...]` are understood; quote the pattern for the shell")
            }
            Self::Store { .. } => Some("name another one with --store; a store must be on a local file system"),
            Self::NewerStore { .. } => Some("use the newer program, or another store with --store"),
            Self::Plan { .. } => Some("make a new one with `vmcore-thp triage plan`"),
            Self::Remote(error) => Some(error.hint()),
            Self::Output { .. } => Some("name another place with --store, where you may write and there is room"),
            Self::Input { .. } => None,
        }
    }
}
