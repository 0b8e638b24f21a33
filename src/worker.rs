//! `triage worker`: runs command lines that it is sent, each in a copy of itself, and keeps debug information open between
//! them. Nobody types it: [`vmcore_triage::Worker`] starts it.
//!
//! Nothing of a dump is looked at here but in the copies, which end with what they were made for.

use std::ffi::OsString;
use std::io::{self, Write};

use vmcore_os::in_a_copy;
use vmcore_triage::{Answer, MAX_MESSAGES, MAX_OUTPUT, Request};

use crate::cli::Search;
use crate::failure::Failure;
use crate::profiles;
use crate::status::Status;

/// Serves until there are no more requests. `run` runs one command line, with the program's name before it.
pub(crate) fn serve(search: &Search, run: fn(Vec<OsString>) -> Status) -> Result<Status, Failure> {
    loop {
        let request = Request::read(&mut io::stdin().lock()).map_err(failed)?;
        let answer = match request {
            None => return Ok(Status::NothingFound),
            Some(Request::Run(words)) => copy(words, run).map_err(failed)?,
            Some(Request::Open(build_id)) => {
                profiles::hold_open(&build_id, search);
                Answer::default()
            }
        };
        answer.write(&mut io::stdout().lock()).map_err(failed)?;
    }
}

fn copy(words: Vec<OsString>, run: fn(Vec<OsString>) -> Status) -> io::Result<Answer> {
    let words = std::env::args_os().take(1).chain(words).collect();
    let copied = in_a_copy([MAX_OUTPUT, MAX_MESSAGES], || {
        let status = run(words);
        // Nobody is left to be told where that cannot be written.
        let _ = io::stdout().flush();
        status.code()
    })?;
    let status = std::os::unix::process::ExitStatusExt::into_raw(copied.status);
    Ok(Answer { status, output: copied.output, messages: copied.messages })
}

fn failed(error: io::Error) -> Failure {
    Failure::new(format_args!("the worker cannot go on: {error}"))
}
