//! Why a run could not go on, as the user gets to see it: one line that says what, one that says what to do.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};

use vmcore_dump as dump;
use vmcore_kernel::KernelError;
use vmcore_os::Lack;
use vmcore_remote::RemoteError;
use vmcore_report::Sanitized;
use vmcore_triage::{FailureKind, TriageError};

use crate::secrets::without_secrets;
use crate::status::Status;

/// An error for the user. Messages may quote files and paths: they are escaped when shown.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    status: Status,
}

impl Failure {
    /// Exit status 2.
    pub(crate) fn new(message: impl Display) -> Self {
        Self { message: clean(&message), hint: None, status: Status::CannotRun }
    }

    /// Exit status 3: the run could not answer because the dump does not have what it needs.
    pub(crate) fn inconclusive(message: impl Display) -> Self {
        Self { status: Status::Inconclusive, ..Self::new(message) }
    }

    /// A run that a signal asked to end: it ends as the signal would have ended it.
    pub(crate) fn interrupted(message: impl Display) -> Self {
        Self { status: Status::Interrupted, ..Self::new(message) }
    }

    /// Whether the dump does not have what was needed.
    pub(crate) fn is_inconclusive(&self) -> bool {
        matches!(self.status, Status::Inconclusive)
    }

    /// Adds what the user could do.
    pub(crate) fn hint(self, hint: impl Display) -> Self {
        Self { hint: Some(clean(&hint)), ..self }
    }

    /// What could not be done, in one line.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What the user could do.
    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Adds why nothing else would do either.
    pub(crate) fn because(self, why: impl Display) -> Self {
        Self { message: format!("{}; {}", self.message, clean(&why)), ..self }
    }

    /// Names what it is about.
    pub(crate) fn about(self, what: impl Display) -> Self {
        Self { message: format!("{}: {}", clean(&what), self.message), ..self }
    }

    fn maybe_hint(self, hint: Option<&str>) -> Self {
        Self { hint: hint.map(|hint| clean(&hint)), ..self }
    }

    /// Where the system refused something to this process, what to do about that, as nothing else would help.
    pub(crate) fn or_lack(self, error: &(dyn Error + 'static)) -> Self {
        match Lack::behind(error) {
            Some(lack) => Self { status: Status::of_lack(lack), ..self.hint(lack.hint()) },
            None => self,
        }
    }

    /// Not of the dump: another time, or on another machine, the run may be carried out.
    pub(crate) fn of_this_machine(self) -> Self {
        Self { status: Status::Hindered(FailureKind::Resources), ..self }
    }

    /// Tells the user on standard error and gives the status to exit with.
    pub(crate) fn report(&self) -> Status {
        let mut out = io::stderr().lock();
        // Nobody is left to be told when standard error is closed.
        let _ = writeln!(out, "error: {}", Sanitized::new(&self.message));
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "hint: {}", Sanitized::new(hint));
        }
        self.status
    }
}

/// Without what only the user may know: a message ends up in reports and stores, too.
fn clean(message: &impl Display) -> String {
    without_secrets(&message.to_string()).into_owned()
}

impl From<dump::OpenError> for Failure {
    fn from(error: dump::OpenError) -> Self {
        let hint = match &error {
            dump::OpenError::NotADump { path, looks_like: dump::Lookalike::Text } => {
                return Self::new(&error)
                    .hint(format_args!("a kernel log? `vmcore-thp log {}` says what it tells", path.display()));
            }
            other => other.hint(),
        };
        Self::new(&error).maybe_hint(hint).or_lack(&error)
    }
}

impl From<vmcore_debuginfo::OpenError> for Failure {
    fn from(error: vmcore_debuginfo::OpenError) -> Self {
        Self::new(&error).maybe_hint(error.hint()).or_lack(&error)
    }
}

impl From<vmcore_debuginfo::ProfileError> for Failure {
    fn from(error: vmcore_debuginfo::ProfileError) -> Self {
        Self::new(&error).hint(error.hint())
    }
}

impl From<KernelError> for Failure {
    fn from(error: KernelError) -> Self {
        Self::new(&error).hint(error.hint())
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        Self { status: Status::of_remote(&error), ..Self::new(&error) }.hint(error.hint())
    }
}

impl From<TriageError> for Failure {
    fn from(error: TriageError) -> Self {
        Self::new(&error).maybe_hint(error.hint()).or_lack(&error)
    }
}
