//! Tells somebody about a new group, by a command of the user's.

use std::process::{Command, Stdio};
use std::time::Duration;

use vmcore_report::Sanitized;

use crate::Outcome;
use crate::child::{Waited, wait};

/// How long the command may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `sh -c COMMAND` with what is new in the environment: `VMCORE_THP_GROUP`, `VMCORE_THP_ISSUE`,
/// `VMCORE_THP_CONFIDENCE`, `VMCORE_THP_SUMMARY`, `VMCORE_THP_SIGNATURE`, `VMCORE_THP_PATH`, `VMCORE_THP_HOST`. Control
/// characters are escaped in them; the rest is as in the dump, so a command must quote them.
///
/// # Errors
///
/// Why it did not do its work, in one line.
pub fn notify(command: &str, outcome: &Outcome) -> Result<(), String> {
    let row = &outcome.row;
    let text = |text: Option<&str>| Sanitized::new(text.unwrap_or_default()).to_string();
    let variables = [
        ("GROUP", row.signature.group()),
        ("ISSUE", text(row.summary.issue.as_deref())),
        ("CONFIDENCE", text(row.summary.confidence.as_deref())),
        ("SUMMARY", text(row.summary.text.as_deref())),
        ("SIGNATURE", text(Some(&row.signature.exact))),
        ("PATH", text(row.paths.first().map(String::as_str))),
        ("HOST", text(row.host.as_deref())),
    ];
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null());
    for (name, value) in variables {
        shell.env(format!("VMCORE_THP_{name}"), value);
    }
    let mut child = shell.spawn().map_err(|error| format!("cannot start it: {error}"))?;
    match wait(&mut child, LIMIT, || false) {
        Waited::Ended(status) if status.success() => Ok(()),
        Waited::Ended(status) => Err(status.to_string()),
        Waited::Killed | Waited::GivenUp => Err(format!("it was killed after {} s", LIMIT.as_secs())),
        Waited::Lost(error) => Err(error.to_string()),
    }
}
