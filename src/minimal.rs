//! A dump of a kernel that nothing describes but VMCOREINFO: no debug information, and none in its memory either, as of a
//! 4.19 without BTF. Its names and its log can be read all the same.

use std::path::PathBuf;

use vmcore_diagnose::{Diagnosis, Undescribed, by_log_alone};
use vmcore_dump::Dump;
use vmcore_kernel::{Gap, LogRecord, MinimalKernel};

use crate::cli::Input;
use crate::failure::Failure;
use crate::run::Run;

/// A dump with nothing but its VMCOREINFO.
pub(crate) struct Minimal {
    pub(crate) vmcore: PathBuf,
    pub(crate) dump: &'static Dump,
    pub(crate) kernel: MinimalKernel<'static>,
    /// Why there is no more.
    why: String,
}

impl Minimal {
    /// Opens what is left where nothing more was found, for the reason in `failure`, which it is if not even this can be
    /// opened.
    pub(crate) fn open(dump: &'static Dump, input: &Input, failure: Failure, run: &Run) -> Result<Self, Failure> {
        let Ok(kernel) = MinimalKernel::open(dump) else { return Err(failure) };
        let why = failure.message().to_owned();
        run.warn(format_args!("{why}; only the log and the names of the machine can be read, by VMCOREINFO"));
        if let Some(hint) = failure.hint_text() {
            run.note(format_args!("for stacks, tasks and a verdict with proof: {hint}"));
        }
        Ok(Self { vmcore: input.vmcore.clone(), dump, kernel, why })
    }

    /// The log with what could not be read of it.
    pub(crate) fn log(&self, run: &Run) -> (Vec<LogRecord>, Vec<Gap>) {
        let mut gaps = Vec::new();
        let log = run.step("reading the log", || self.kernel.log(&mut gaps));
        run.warn_gaps(&gaps);
        (log, gaps)
    }

    /// What the log tells.
    pub(crate) fn judge(&self, log: &[LogRecord], gaps: &[Gap]) -> Diagnosis {
        let path = self.vmcore.to_string_lossy();
        let build_id = self.kernel.build_id();
        let release = self.kernel.vmcoreinfo().osrelease();
        by_log_alone(log, gaps, &Undescribed { path: &path, release, build_id: build_id.as_deref(), why: &self.why })
    }
}
