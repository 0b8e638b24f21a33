//! The program as a module of Python, `vmcore_thp._native`.
//!
//! Python's side (`python/vmcore_thp`) loads it into a process of its own for each dump, and nowhere else: what a damaged or
//! hostile dump can do to a process, and what bounds it, then ends with that process, not with the user's.

#![forbid(unsafe_code)]

/// The program.
#[pyo3::pymodule]
mod _native {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use pyo3::{Python, pyfunction};

    #[expect(non_upper_case_globals, reason = "Python's name for it")]
    #[pymodule_export]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// Runs a command line, and gives the status to exit with. The process belongs to it from then on.
    #[pyfunction]
    #[pyo3(signature = (words, program = None))]
    fn run(py: Python<'_>, words: Vec<OsString>, program: Option<PathBuf>) -> u8 {
        py.detach(|| vmcore_thp::run(words, program))
    }
}
