//! What a command finds when it starts: how the run behaves, the dump that is open, and where its output goes.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use crate::cli::{Global, Input, Words};
use crate::failure::Failure;
use crate::files::leak;
use crate::output::Output;
use crate::run::Run;
use crate::session::{Opened, Session};

/// What a command finds when it starts. In a shell many commands share it.
pub(crate) struct Context {
    pub(crate) run: Run,
    session: OnceLock<&'static Session>,
    /// Where the next output goes in place of standard output, and whether in colour.
    redirection: RefCell<Option<(Box<dyn Write>, bool)>>,
}

impl Context {
    pub(crate) fn new(options: &Global) -> Self {
        Self { run: Run::new(options), session: OnceLock::new(), redirection: RefCell::default() }
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
    pub(crate) fn split(&self, Words { words, more, search }: &Words) -> Result<(Input, Vec<String>), Failure> {
        let (vmcore, rest) = words.split_first().ok_or_else(|| Failure::new("no dump was given"))?;
        let is_file = |word: &OsString| Path::new(word).is_file() || word.to_string_lossy().contains('/');
        let (vmlinux, rest) = match rest.split_first() {
            Some((first, others)) if !self.has_session() && is_file(first) => (Some(first.into()), others),
            _ => (None, rest),
        };
        let input = Input { vmcore: vmcore.into(), vmlinux, more: more.clone(), search: search.clone() };
        Ok((input, rest.iter().map(|word| word.to_string_lossy().into_owned()).collect()))
    }

    /// Whether a dump is open: every command is about it, whatever input it names.
    pub(crate) fn has_session(&self) -> bool {
        self.session.get().is_some()
    }
}
