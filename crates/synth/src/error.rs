//! What can be wrong with a scenario or with the data of a kernel generation.

use std::io;

/// Why no dump could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SynthError {
    /// The text of a scenario or of a generation is not what it should be.
    #[error("{what} cannot be understood: {why}")]
    Text {
        /// Which text.
        what: String,
        /// What the parser says.
        why: String,
    },
    /// A scenario names something that it does not define, or asks for what cannot be.
    #[error("scenario: {0}")]
    Scenario(String),
    /// The data of a generation lacks something that every machine needs.
    #[error("kernel generation {generation}: {missing} is missing")]
    Generation {
        /// Its name.
        generation: String,
        /// What it lacks.
        missing: String,
    },
    /// Nothing is mapped where something is to be written.
    #[error("nothing is mapped at {0}")]
    Unmapped(vmcore_memory::VirtAddr),
    /// A writer of files refuses.
    #[error("cannot write {what}: {why}")]
    Write {
        /// What was to be written.
        what: &'static str,
        /// What the writer says.
        why: String,
    },
    /// The file cannot be written.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
}

impl SynthError {
    pub(crate) fn scenario(why: impl Into<String>) -> Self {
        Self::Scenario(why.into())
    }

    pub(crate) fn write(what: &'static str, why: impl ToString) -> Self {
        Self::Write { what, why: why.to_string() }
    }
}
