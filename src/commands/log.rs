//! `log`: what a kernel log alone tells.

use std::fs::Metadata;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use vmcore_console as console;
use vmcore_diagnose::{Confidence, from_log};
use vmcore_os::open_input;
use vmcore_report::log::Log;

use super::log_input::up_to_damage;
use crate::cli;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::pasted::quoted;
use crate::progress::Extent;
use crate::remote;
use crate::status::Status;

pub(crate) fn run(arguments: &cli::Log, context: &Context, output: Output) -> Result<Status, Failure> {
    let path = arguments.file.as_path();
    let extent = length(path).map(Extent::of_bytes);
    let reader = open(path, extent.as_ref())?;
    let failed = |error| Failure::new(format_args!("cannot read {}: {error}", named(path).display()));
    let (reader, damage) = up_to_damage(reader);
    let log = context.run.step_of("reading the log", extent.as_ref(), || console::Log::read(reader)).map_err(failed)?;
    let mut found = from_log(&log);
    if let Some((behind, error)) = damage.take() {
        let why =
            format!("what is behind the first {behind} bytes of the log: the file is damaged or cut there: {error}");
        context.run.warn(format_args!("{why}"));
        found.unknown.push(why);
        // What is not there may tell of a fault.
        if found.verdict.confidence == Confidence::None {
            found.verdict.confidence = Confidence::Insufficient;
            found.verdict.summary = "Nothing was found in what could be read of the log.".to_owned();
        }
    }
    output.write(&Log::new(remote::shown(path).display().to_string(), &log, &found))?;
    Ok(Status::of_verdict(found.verdict.confidence))
}

/// The log as messages name it.
fn named(path: &Path) -> PathBuf {
    if path == Path::new("-") { PathBuf::from("standard input") } else { remote::shown(path) }
}

/// Bytes read at a time.
const BUFFER: usize = 1 << 20;

/// The bytes of a file; `None` of a pipe.
fn length(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().filter(Metadata::is_file).as_ref().map(Metadata::len)
}

fn file(path: &Path, extent: Option<&Extent>) -> Result<Box<dyn Read>, Failure> {
    let file = open_input(path).map_err(|error| {
        let failure = Failure::new(format_args!("cannot open {}: {error}", path.display()));
        match error.kind() {
            // Whether anybody ever writes to it is not for the name to say.
            io::ErrorKind::InvalidInput if !path.is_dir() => {
                failure.hint("what is no file is read as standard input: `vmcore-thp log - < NAME`")
            }
            _ => failure,
        }
    })?;
    Ok(match extent {
        Some(extent) => Box::new(extent.read(file)),
        None => Box::new(file),
    })
}

fn open(path: &Path, extent: Option<&Extent>) -> Result<Box<dyn BufRead>, Failure> {
    let is_stdin = path == Path::new("-");
    let shown = named(path);
    let failed = |error| Failure::new(format_args!("cannot read {}: {error}", shown.display()));
    let mut reader: Box<dyn BufRead> = if is_stdin {
        let input = io::stdin();
        if input.is_terminal() {
            return Err(Failure::new("there is no log to read: standard input is a terminal")
                .hint("name a file, or pipe a log: `dmesg | vmcore-thp log`"));
        }
        vmcore_dump::unpacked(input.lock()).map_err(failed)?
    } else {
        let file = match remote::whole(path)? {
            Some(object) => object,
            None => file(path, extent)?,
        };
        vmcore_dump::unpacked(BufReader::with_capacity(BUFFER, file)).map_err(failed)?
    };
    if vmcore_dump::starts_like_a_dump(reader.fill_buf().map_err(failed)?) {
        let is_elf = reader.fill_buf().map_err(failed)?.starts_with(b"\x7fELF");
        return Err(no_log(&shown, is_stdin, is_elf));
    }
    Ok(reader)
}

/// That what was given is not text. An ELF file may be a dump, a vmlinux or any program.
fn no_log(shown: &Path, is_stdin: bool, is_elf: bool) -> Failure {
    let dump = if is_stdin { "FILE".into() } else { quoted(shown) };
    let (what, condition) =
        if is_elf { ("a memory dump or another ELF file", "if it is a dump, ") } else { ("a memory dump", "") };
    Failure::new(format_args!("{} is {what}, not a log", shown.display())).hint(format_args!(
        "{condition}`vmcore-thp analyze {dump}` judges it, and `vmcore-thp dmesg {dump}` prints the log in it"
    ))
}
