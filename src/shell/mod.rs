//! `shell`: all commands on one dump that stays open.
//!
//! A line is a command without the dump: `bt --pid 151`, `p runqueues.nr_running`, `struct task_struct.pid ADDRESS`. It is
//! parsed as on the command line, with the dump put where it belongs, and runs on the kernel that is open already. What
//! `crash` spells differently is understood (see `crash.rs`). `| COMMAND` sends what a command prints through another
//! program, `> FILE` into a new file.

mod completion;
mod crash;
mod crash_options;
mod interactive;
mod line;

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};

use clap::CommandFactory;
use vmcore_os::open_input;
use vmcore_report::Sanitized;

use crate::arguments;
use crate::cli::{self, Cli, Format};
use crate::context::Context;
use crate::failure::Failure;
use crate::screen;
use crate::status::Status;
use crash::Meaning;
use line::{Line, Sink};

/// What stands before a line, at a prompt and where a script's lines are repeated.
const PROMPT: &str = "vmcore-thp> ";

/// Runs one command on the dump that is open.
type Dispatch = fn(&Cli, &Context) -> Result<Status, Failure>;

/// Runs commands from `-c`, from a script, from standard input or from a person.
pub(crate) fn run(
    arguments: &cli::Shell,
    global: &cli::Global,
    context: &Context,
    dispatch: Dispatch,
) -> Result<Status, Failure> {
    if global.output.is_some() {
        return Err(Failure::new("a shell has no --output of its own")
            .hint("redirect standard output, or write what one command prints with `COMMAND > FILE`"));
    }
    let echo = !context.run.is_quiet() && matches!(global.format, None | Some(Format::Text));
    let shell = Shell { context, dispatch, echo, format: global.format, task: Cell::new(None) };
    let read = |reader: &mut dyn BufRead| shell.script(reader);
    if !arguments.command.is_empty() {
        context.session_for_lines(&arguments.input)?;
        let lines = arguments.command.join("\n");
        return read(&mut lines.as_bytes());
    }
    match arguments.script.as_deref() {
        Some(path) if path != Path::new("-") => {
            let file = open_input(path)
                .map_err(|error| Failure::new(format_args!("cannot open {}: {error}", path.display())))?;
            context.session_for_lines(&arguments.input)?;
            read(&mut BufReader::new(file))
        }
        None if io::stdin().is_terminal() => {
            let session = context.session_for_lines(&arguments.input)?;
            interactive::run(&shell, session)
        }
        _ => {
            context.session_for_lines(&arguments.input)?;
            read(&mut io::stdin().lock())
        }
    }
}

/// A dump that is open, and how to run commands on it.
struct Shell<'s> {
    context: &'s Context,
    dispatch: Dispatch,
    /// Whether lines of a script are repeated before what they print, which only people want.
    echo: bool,
    /// The form of what commands print that name no other.
    format: Option<Format>,
    /// Whose stack and files are meant where no task is named: `set PID`.
    task: Cell<Option<i32>>,
}

/// What came of a line.
enum Outcome {
    Done(Status),
    Leave,
}

impl Shell<'_> {
    /// Runs the lines of a script. Its status is the worst of all: it could not run, it found a problem, it could not tell.
    fn script(&self, reader: &mut dyn BufRead) -> Result<Status, Failure> {
        let mut worst = Status::NothingFound;
        for line in reader.lines() {
            let line = line.map_err(|error| Failure::new(format_args!("cannot read the script: {error}")))?;
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            if self.echo {
                self.print(format_args!("{PROMPT}{}\n", Sanitized::new(line.trim())))?;
            }
            match self.line(&line, false) {
                Outcome::Leave => break,
                Outcome::Done(status) => worst = worst.or_worse(status),
            }
        }
        Ok(worst)
    }

    fn print(&self, text: impl std::fmt::Display) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match write!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(format_args!("cannot write to standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    /// Runs one line. What is wrong with it is told, and is no end.
    fn line(&self, text: &str, paged: bool) -> Outcome {
        let run = || -> Result<Outcome, Failure> {
            let line = Line::parse(text)?;
            let Some(first) = line.words.first() else { return Ok(Outcome::Done(Status::NothingFound)) };
            match first.as_str() {
                "exit" | "quit" | "q" => return Ok(Outcome::Leave),
                "shell" => return Err(Failure::new("this is a shell already")),
                "help" | "?" if line.words.len() == 1 => {
                    self.print(help())?;
                    return Ok(Outcome::Done(Status::NothingFound));
                }
                _ => {}
            }
            match crash::translate(&line.words, self.task.get()) {
                Meaning::Command(words) => self.command(&words, &line.sink, paged).map(Outcome::Done),
                Meaning::Elsewhere(instead) => {
                    Err(Failure::new(format_args!("'{text}' is not supported here")).hint(instead))
                }
                Meaning::Task(task) => {
                    self.task.set(task);
                    let about = task.map_or_else(|| "every CPU".to_owned(), |pid| format!("pid {pid}"));
                    self.context
                        .run
                        .note(format_args!("`bt` is about {about} from now on, where nothing else is said"));
                    Ok(Outcome::Done(Status::NothingFound))
                }
                Meaning::Nothing => {
                    self.context.run.note(format_args!("'{text}' has no meaning here, and does nothing"));
                    Ok(Outcome::Done(Status::NothingFound))
                }
            }
        };
        run().unwrap_or_else(|failure| Outcome::Done(failure.report()))
    }

    fn command(&self, words: &[String], sink: &Sink, paged: bool) -> Result<Status, Failure> {
        let mut cli = match self.parse(words) {
            Ok(cli) => cli,
            Err(usage) => return Ok(arguments::explain(&usage)),
        };
        if cli.global.output.is_none() && !matches!(sink, Sink::File(_)) {
            cli.global.format = cli.global.format.or(self.format);
        }
        let pager = (paged && *sink == Sink::Print && cli.global.output.is_none()).then(screen::pager).flatten();
        let (program, colored) = match (sink, pager) {
            (Sink::Pipe(program), _) => (Some(program.clone()), false),
            (_, Some(pager)) => (Some(pager), true),
            _ => (None, false),
        };
        if let Sink::File(path) = sink {
            let global = cli::Global { output: Some(path.into()), ..cli.global };
            return (self.dispatch)(&Cli { global, command: cli.command }, self.context);
        }
        let Some(program) = program else { return (self.dispatch)(&cli, self.context) };
        let mut child = through(&program)?;
        self.context.redirect(child.stdin.take().map(|pipe| Box::new(pipe) as Box<dyn Write>), colored);
        let status = (self.dispatch)(&cli, self.context);
        // What was not taken is closed, so that the other program sees the end.
        self.context.redirect(None, false);
        child.wait().map_err(|error| Failure::new(format_args!("cannot wait for '{program}': {error}")))?;
        status
    }

    /// The command line that a line means: with the dump behind the command that needs one.
    fn parse(&self, words: &[String]) -> Result<Cli, clap::Error> {
        let mut line = vec!["vmcore-thp".to_owned()];
        let Some((command, rest)) = words.split_first() else { return arguments::parse_line(line) };
        line.push(command.clone());
        if needs_dump(command) {
            line.push("VMCORE".to_owned());
        }
        line.extend(rest.iter().cloned());
        arguments::parse_line(line)
    }
}

/// Whether a command takes a dump as its first word.
fn needs_dump(command: &str) -> bool {
    let program = Cli::command();
    let Some(command) = program.find_subcommand(command) else { return false };
    command.get_arguments().any(|argument| ["vmcore", "words"].contains(&argument.get_id().as_str()))
}

fn through(program: &str) -> Result<Child, Failure> {
    let spawned = Process::new("sh").arg("-c").arg(program).stdin(Stdio::piped()).spawn();
    spawned.map_err(|error| Failure::new(format_args!("cannot run '{program}': {error}")))
}

/// What a person may type.
fn help() -> String {
    let program = Cli::command();
    let mut text = String::from("Commands, each without the dump; COMMAND --help says more:\n");
    for command in program.get_subcommands().filter(|command| needs_dump(command.get_name())) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("  {:<10} {about}\n", command.get_name()));
    }
    text.push_str(
        "\n  COMMAND | PROGRAM   sends what it prints through PROGRAM: ps | grep D\n  \
         COMMAND > FILE      writes it to a new file\n  \
         exit                ends the shell, as Ctrl-D does\n\
         What crash calls differently is understood (log, sys, bt PID, foreach UN bt, ps -m, set PID), or told where it is found.\n",
    );
    text
}
