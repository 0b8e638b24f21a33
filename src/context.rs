//! What a command finds when it starts: how the run behaves, the dump that is open, and where its output goes.

use std::cell::{Cell, RefCell};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use crate::cli::{Global, Input, Words};
use crate::failure::Failure;
use crate::files::leak;
use crate::output::Output;
use crate::pasted::{command_line, quoted};
use crate::run::Run;
use crate::session::{Opened, Session};

/// What a command finds when it starts. In a shell many commands share it.
pub(crate) struct Context {
    pub(crate) run: Run,
    session: OnceLock<&'static Session>,
    /// Whether commands come without the dump, as lines of a shell do.
    takes_lines: Cell<bool>,
    /// Where the next output goes in place of standard output, and whether in colour.
    redirection: RefCell<Option<(Box<dyn Write>, bool)>>,
}

impl Context {
    pub(crate) fn new(options: &Global) -> Self {
        Self {
            run: Run::new(options),
            session: OnceLock::new(),
            takes_lines: Cell::new(false),
            redirection: RefCell::default(),
        }
    }

    /// The dump that is open, or `input` opened. It stays open until the process ends.
    pub(crate) fn session(&self, input: &Input) -> Result<&'static Session, Failure> {
        if let Some(session) = self.session.get() {
            return match &input.vmlinux {
                None => Ok(session),
                Some(word) => Err(Failure::new(format_args!("unexpected argument '{}'", word.display()))
                    .hint("the dump is open already; --help shows what the command takes")),
            };
        }
        let session = leak(Session::open(input, &self.run)?);
        Ok(self.session.get_or_init(|| session))
    }

    /// The same for commands that come without the dump from now on.
    pub(crate) fn session_for_lines(&self, input: &Input) -> Result<&'static Session, Failure> {
        self.takes_lines.set(true);
        self.session(input)
    }

    /// Another command on the dump, for a hint: as it has to be written here.
    pub(crate) fn command(&self, command: &str, session: &Session) -> String {
        if self.takes_lines.get() {
            return command.to_owned();
        }
        let vmlinux = session.vmlinux.as_path();
        command_line(command, &session.vmcore, Some(vmlinux).filter(|path| *path != session.vmcore), "")
    }

    /// As [`Context::session`]; where no vmlinux is named and nothing describes the kernel, what VMCOREINFO alone tells.
    pub(crate) fn session_or_minimal(&self, input: &Input) -> Result<Opened, Failure> {
        if self.has_session() {
            return self.session(input).map(Opened::Whole);
        }
        let opened = Session::open_or_minimal(input, &self.run)?;
        if let Opened::Whole(session) = opened {
            return Ok(Opened::Whole(self.session.get_or_init(|| session)));
        }
        Ok(opened)
    }

    /// Has the next output go to `writer`, in colour if the user wants colours at all; or again to standard output.
    pub(crate) fn redirect(&self, writer: Option<Box<dyn Write>>, colored: bool) {
        self.redirection.replace(writer.map(|writer| (writer, colored)));
    }

    /// `output`, where it does not go to a file sent to where it was redirected.
    pub(crate) fn redirected(&self, output: Output) -> Output {
        match self.redirection.take() {
            Some((writer, colored)) => output.with_writer(writer, colored),
            None => output,
        }
    }

    /// The input that words name, and those of the command itself. In a shell there is a vmlinux already.
    pub(crate) fn split(
        &self,
        command: &str,
        Words { words, more, search }: &Words,
    ) -> Result<(Input, Vec<String>), Failure> {
        let (vmcore, rest) = words.split_first().ok_or_else(|| Failure::new("no dump was given"))?;
        self.check_order(command, words)?;
        let (vmlinux, rest) = match rest.split_first() {
            Some((first, others)) if !self.has_session() && is_file(first) => (Some(first.into()), others),
            _ => (None, rest),
        };
        let input = Input { vmcore: vmcore.into(), vmlinux, more: more.clone(), search: search.clone() };
        Ok((input, rest.iter().map(|word| word.to_string_lossy().into_owned()).collect()))
    }

    /// That the files come first: `crash` has them last.
    pub(crate) fn check_order(&self, command: &str, words: &[OsString]) -> Result<(), Failure> {
        let ([first, .., last], false) = (words, self.has_session()) else { return Ok(()) };
        if is_file(first) || !Path::new(last).is_file() {
            return Ok(());
        }
        let (files, others): (Vec<_>, Vec<_>) = words.iter().partition(|word| is_file(word));
        let in_order =
            files.into_iter().chain(others).map(|word| quoted(Path::new(word))).collect::<Vec<_>>().join(" ");
        Err(Failure::new(format_args!("'{}' is not a dump", first.display()))
            .hint(format_args!("the dump comes first: `vmcore-thp {command} {in_order}`")))
    }

    /// Whether a dump is open: every command is about it, whatever input it names.
    pub(crate) fn has_session(&self) -> bool {
        self.session.get().is_some()
    }
}

/// Whether a word is meant as a file, or an address of one.
fn is_file(word: &OsStr) -> bool {
    Path::new(word).is_file() || word.to_string_lossy().contains('/')
}
