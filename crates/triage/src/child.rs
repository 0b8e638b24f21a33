//! One dump analyzed in a process of its own, which may crash, hang or eat memory without harm to anything else.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use vmcore_remote::is_address;

use crate::document::Document;
use crate::input::{Item, ItemKind};
use crate::protocol::{MAX_MESSAGES, MAX_OUTPUT};
use crate::row::{Failure, FailureKind, TELL_FAILURE};
use crate::servers::Servers;

/// How long the process has to end itself after its time is up, before it is killed.
pub(crate) const GRACE: Duration = Duration::from_secs(2);
/// How often it is looked whether the process has ended: at first often, as most need few milliseconds.
const POLL: [Duration; 2] = [Duration::from_micros(500), Duration::from_millis(20)];
/// The statuses of a run that could be carried out.
const WITH_A_DOCUMENT: [i32; 3] = [0, 1, 3];

/// The program that analyzes one dump, and how.
#[derive(Clone, Debug)]
pub struct Analyzer {
    /// The program: this one.
    pub program: PathBuf,
    /// Arguments of `analyze`, besides the dump.
    pub arguments: Vec<OsString>,
    /// Arguments of `triage worker`: where the cache is.
    pub worker_arguments: Vec<OsString>,
    /// For how long one dump may take.
    pub timeout: Duration,
    /// How much memory one dump may need, in bytes.
    pub max_memory: u64,
    /// Whether to give up what is being analyzed.
    pub give_up: fn() -> bool,
    /// Who asks for objects, to tell one content from another.
    pub servers: Servers,
}

/// How the analysis of one dump or log ended.
#[derive(Debug)]
pub enum Ended {
    /// With a document.
    Document {
        /// Its text.
        text: String,
        /// What it says.
        value: Value,
    },
    /// Without.
    Failed(Failure),
    /// Not at all: somebody asked for an end of the run.
    GivenUp,
}

impl Analyzer {
    /// Analyzes a dump, or judges a log, in a process that is started for it. A [`Worker`](crate::Worker) does so in less time.
    #[must_use]
    pub fn run(&self, item: &Item) -> Ended {
        let mut command = Command::new(&self.program);
        command.args(self.words(item));
        self.end(command)
    }

    /// The command line, without the program.
    pub(crate) fn words(&self, item: &Item) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        match item.kind {
            ItemKind::Dump => {
                words.push("analyze".into());
                words.extend(self.arguments.iter().cloned());
                for part in &item.parts {
                    words.extend(["--part".into(), part.into()]);
                }
                // What SUSE leaves beside a dump is found there, by its build-id.
                // Beside an object it is looked for anyway.
                if !is_address(&item.path) {
                    let beside = item.path.parent().filter(|directory| !directory.as_os_str().is_empty());
                    words.extend(["--debug-dir".into(), beside.unwrap_or(Path::new(".")).into()]);
                }
            }
            ItemKind::Log => words.push("log".into()),
        }
        words.extend(["--format", "json", "--color", "never", "--threads", "1"].map(OsString::from));
        words.extend(["--timeout".into(), format!("{}ms", self.timeout.as_millis()).into()]);
        words.extend(["--max-memory".into(), self.max_memory.to_string().into()]);
        words.push(TELL_FAILURE.into());
        words.extend(["--".into(), item.path.clone().into()]);
        words.extend(item.vmlinux.iter().map(OsString::from));
        words
    }

    fn end(&self, mut command: Command) -> Ended {
        // Ctrl-C on a terminal is for this process, which then ends the other: else its end would be taken for the dump's fault.
        command.process_group(0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                let kind = FailureKind::of_lack(&error).unwrap_or(FailureKind::Broken);
                return failed(kind, format!("cannot start {}: {error}", self.program.display()));
            }
        };
        let (document, messages) = (child.stdout.take(), child.stderr.take());
        let (status, document, messages) = thread::scope(|scope| {
            let document = scope.spawn(|| read(document, MAX_OUTPUT));
            let messages = scope.spawn(|| read(messages, MAX_MESSAGES));
            let status = wait(&mut child, self.timeout + GRACE, self.give_up);
            (status, document.join().unwrap_or_default(), messages.join().unwrap_or_default())
        });
        let messages = String::from_utf8_lossy(&messages).into_owned();
        match status {
            Waited::Ended(status) => self.judge(status, document, &messages),
            Waited::Killed => gave_up_waiting(self.timeout + GRACE),
            Waited::GivenUp => Ended::GivenUp,
            Waited::Lost(error) => failed(FailureKind::Broken, format!("cannot wait for the process: {error}")),
        }
    }

    pub(crate) fn judge(&self, status: ExitStatus, document: Vec<u8>, messages: &str) -> Ended {
        if let Some(signal) = status.signal() {
            let said = last_message(messages).map(|said| format!("; it said: {said}")).unwrap_or_default();
            return failed(FailureKind::Signal, format!("it ended by signal {}{said}", signal_name(signal)));
        }
        let text = String::from_utf8_lossy(&document).into_owned();
        let value = serde_json::from_str::<Value>(&text).ok().filter(|value| Document(value).is_document());
        let code = status.code().unwrap_or_default();
        match (WITH_A_DOCUMENT.contains(&code), value) {
            (true, Some(value)) => Ended::Document { text, value },
            (true, None) if !text.trim().is_empty() => {
                failed(FailureKind::Broken, format!("status {code}, and what it wrote is no document"))
            }
            (_, _) => failed(FailureKind::of_status(code), error_of(messages)),
        }
    }
}

/// Of a process that was killed, as it did not end itself.
pub(crate) fn gave_up_waiting(limit: Duration) -> Ended {
    failed(FailureKind::Timeout, format!("it was killed: it did not end within {} s", limit.as_secs_f64()))
}

fn failed(kind: FailureKind, message: String) -> Ended {
    Ended::Failed(Failure { kind, message })
}

/// The line that says what went wrong, without what to do about it.
fn error_of(messages: &str) -> String {
    let error = messages.lines().find_map(|line| line.strip_prefix("error: "));
    let error = error.map(str::to_owned).or_else(|| last_message(messages));
    error.unwrap_or_else(|| "it ended without a word".to_owned())
}

fn last_message(messages: &str) -> Option<String> {
    let is_message =
        |line: &&str| !line.trim().is_empty() && !line.starts_with("hint: ") && !line.starts_with("note: run with");
    // The first line of a panic says where; the last line of other ends says why.
    let panic = messages.lines().position(|line| line.starts_with("thread '"));
    let line = match panic {
        Some(at) => messages.lines().skip(at).take(2).collect::<Vec<_>>().join(" "),
        None => messages.lines().rfind(is_message)?.to_owned(),
    };
    Some(line)
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL, as the kernel's OOM killer sends it",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return signal.to_string(),
    };
    format!("{signal} ({name})")
}

fn read(pipe: Option<impl Read>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What cannot be read is missed in what is made of the rest.
        let _ = pipe.by_ref().take(limit).read_to_end(&mut bytes);
        // Whoever writes more than that shall not wait for somebody to read it.
        let _ = io::copy(&mut pipe, &mut io::sink());
    }
    bytes
}

/// What became of a process.
pub(crate) enum Waited {
    Ended(ExitStatus),
    Killed,
    GivenUp,
    Lost(io::Error),
}

/// Waits for a process, and kills it when its time is up or it is given up.
pub(crate) fn wait(child: &mut Child, limit: Duration, give_up: fn() -> bool) -> Waited {
    let start = Instant::now();
    let [mut pause, longest] = POLL;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Waited::Ended(status),
            Ok(None) if give_up() || start.elapsed() >= limit => {
                let _ = child.kill();
                let _ = child.wait();
                return if give_up() { Waited::GivenUp } else { Waited::Killed };
            }
            Ok(None) => thread::sleep(pause),
            Err(error) => return Waited::Lost(error),
        }
        pause = (pause * 5 / 4).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_program;

    fn analyzer(timeout: Duration) -> Analyzer {
        test_program::analyzer("/bin/sh", timeout)
    }

    /// What comes of a process that runs this script.
    fn ended(script: &str) -> Result<String, (FailureKind, String)> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        match analyzer(Duration::from_millis(50)).end(command) {
            Ended::Document { text, .. } => Ok(text),
            Ended::Failed(failure) => Err((failure.kind, failure.message)),
            Ended::GivenUp => panic!("nobody asked for that"),
        }
    }

    #[test]
    fn what_is_given_up_is_no_failure() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec sleep 60"]);
        let given_up = Analyzer { give_up: || true, ..analyzer(Duration::from_secs(60)) };
        assert!(matches!(given_up.end(command), Ended::GivenUp));
    }

    #[test]
    fn documents_are_taken_with_any_verdict() {
        let document = "{\"verdict\":{\"confidence\":\"none\"}}";
        for status in [0, 1, 3] {
            assert_eq!(ended(&format!("echo '{document}'; exit {status}")), Ok(format!("{document}\n")));
        }
    }

    #[test]
    fn every_other_end_says_why() {
        let kind = |script: &str| ended(script).unwrap_err();
        assert_eq!(
            kind("echo 'error: it is empty' >&2; echo 'hint: x' >&2; exit 2"),
            (FailureKind::Refused, "it is empty".to_owned())
        );
        for told in [FailureKind::Timeout, FailureKind::Memory, FailureKind::Resources, FailureKind::Unreachable] {
            let script = format!("echo '{{\"verdict\":'; echo 'error: why' >&2; exit {}", told.status());
            assert_eq!(kind(&script), (told, "why".to_owned()));
        }
        // Whatever the file is called.
        assert_eq!(kind("echo 'error: --timeout.vmcore is no dump' >&2; exit 2").0, FailureKind::Refused);
        assert_eq!(
            kind("echo 'error: not in the dump' >&2; exit 3"),
            (FailureKind::Refused, "not in the dump".to_owned())
        );
        assert_eq!(kind("echo '{}'; exit 0").0, FailureKind::Broken);
        assert_eq!(kind("exit 0"), (FailureKind::Refused, "it ended without a word".to_owned()));
        let (signal, said) = kind("echo oh >&2; kill -SEGV $$");
        assert_eq!((signal, said.as_str()), (FailureKind::Signal, "it ended by signal 11 (SIGSEGV); it said: oh"));
        assert_eq!(kind("kill -KILL $$").0, FailureKind::Signal);
        assert_eq!(kind("exec sleep 60").0, FailureKind::Timeout);
    }

    #[test]
    fn endless_output_and_a_missing_program_are_failures() {
        assert!(ended("head -c 300000000 /dev/zero").is_err());
        let missing = Analyzer { program: "/nowhere".into(), ..analyzer(Duration::from_secs(1)) };
        assert!(matches!(
            missing.run(&Item::log("x".into())),
            Ended::Failed(Failure { kind: FailureKind::Broken, .. })
        ));
    }
}
