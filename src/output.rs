//! Where the data goes: standard output or a new file.

use std::fs::Permissions;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use vmcore_os::UnfinishedFile;
use vmcore_report::{Folded, Report, Theme};

use crate::bounds;
use crate::cli::{Color, Format, Global};
use crate::failure::Failure;
use crate::screen;

/// A pipe takes 64 KiB at once.
const BUFFER: usize = 64 << 10;
/// What to do instead of naming a device, a pipe or a link with `--output`; `/dev/stdout` is one of those.
const ON_STANDARD_OUTPUT: &str =
    "leave --output out, and redirect standard output there; `-o -` is standard output, too";

/// Where and how to write a report.
pub(crate) struct Output {
    format: Format,
    theme: Theme,
    target: Target,
    /// The program that shows text page by page.
    pager: Option<String>,
}

enum Target {
    Stdout,
    /// Another program.
    Writer(Box<dyn Write>),
    File {
        path: PathBuf,
        replace: bool,
    },
}

impl Output {
    /// As the options say. An output file that is in the way is found here, before any work is done.
    pub(crate) fn new(options: &Global) -> Result<Self, Failure> {
        let target = match &options.output {
            None => Target::Stdout,
            Some(path) if path == Path::new("-") => Target::Stdout,
            // Whoever names it wants the exit status alone.
            Some(path) if path == Path::new("/dev/null") => Target::Writer(Box::new(io::sink())),
            Some(path) => {
                check_target(path, options.force).map_err(|failure| match failure {
                    Refused::Kind(failure) => failure.hint(ON_STANDARD_OUTPUT),
                    Refused::Other(failure) => failure,
                })?;
                Target::File { path: path.clone(), replace: options.force }
            }
        };
        let theme = if wants_color(options) { Theme::color() } else { Theme::plain() };
        let theme = theme.within(screen::width()).tables_within(screen::known_width().unwrap_or(usize::MAX));
        let paged = matches!(target, Target::Stdout) && !options.no_pager && io::stdout().is_terminal();
        Ok(Self { format: format(options), theme, target, pager: paged.then(screen::pager).flatten() })
    }

    /// The form that was asked for.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Whether it goes to standard output.
    pub(crate) const fn is_stdout(&self) -> bool {
        matches!(self.target, Target::Stdout)
    }

    /// The colours of text.
    pub(crate) const fn theme(&self) -> Theme {
        self.theme
    }

    /// What would go to standard output goes to `writer`.
    pub(crate) fn with_writer(self, writer: Box<dyn Write>, colored: bool) -> Self {
        match self.target {
            Target::Stdout => {
                let theme = if colored { self.theme } else { Theme::plain().within(self.theme.width) };
                Self { target: Target::Writer(writer), theme, pager: None, ..self }
            }
            _ => self,
        }
    }

    /// For output that is not text: a terminal is refused.
    pub(crate) fn for_binary(self) -> Result<Self, Failure> {
        if matches!(self.target, Target::Stdout) && io::stdout().is_terminal() {
            return Err(Failure::new("this command writes a binary file, which does not belong on a terminal")
                .hint("name the file with --output"));
        }
        Ok(self)
    }

    /// Standard output, for a report beside what goes to a file; `None` where that goes to standard output itself.
    pub(crate) fn beside_the_file(&self) -> Option<Self> {
        let Self { format, theme, target, .. } = self;
        let stdout = || Self { format: *format, theme: *theme, target: Target::Stdout, pager: None };
        matches!(target, Target::File { .. }).then(stdout)
    }

    /// Writes a report in the form that was asked for.
    pub(crate) fn write<R: Report>(self, report: &R) -> Result<(), Failure> {
        let Self { format, theme, .. } = self;
        match format {
            Format::Text if theme.table_width < usize::MAX && report.may_be_folded() => self.write_paged(|out| {
                let mut folded = Folded::new(out, theme.table_width);
                report.write_text(&mut folded, &theme)?;
                folded.finish()
            }),
            Format::Text => self.write_paged(|out| report.write_text(out, &theme)),
            Format::Json => self.write_with(|out| report.write_json(out)),
            Format::Html => {
                let page = report.page().ok_or_else(|| no_form("HTML"))?;
                self.write_with(|out| out.write_all(page.as_bytes()))
            }
            Format::Csv => Err(no_form("CSV")),
            Format::Parquet => Err(no_form("Parquet")),
        }
    }

    /// As [`Output::write_with`], on a terminal page by page.
    fn write_paged(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let Some(mut pager) = self.pager.as_deref().and_then(screen::start) else { return self.write_with(write) };
        let written = match pager.stdin.take() {
            Some(pipe) => self.with_writer(Box::new(pipe), true).write_with(write),
            None => Ok(()),
        };
        // It has the terminal until it ends; how it ends says nothing of the report.
        let _ = pager.wait();
        written
    }

    /// Writes what `write` writes. A reader that went away is not an error.
    pub(crate) fn write_with(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        match self.target {
            Target::Stdout => match buffered(io::stdout().lock(), write) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                Err(error) => Err(Failure::new(format_args!("cannot write to standard output: {error}"))),
                Ok(_) => Ok(()),
            },
            Target::Writer(writer) => match buffered(writer, write) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                Err(error) => Err(Failure::new(format_args!("cannot write to the other program: {error}"))),
                Ok(_) => Ok(()),
            },
            Target::File { path, replace } => write_file(&path, replace, write, bounds::finish),
        }
    }
}

/// Who may read a file that is written.
#[derive(Clone, Copy)]
pub(crate) enum Readers {
    /// What is in a dump is not for everybody.
    Owner,
    /// Numbers that a service of another user collects.
    Everyone,
}

/// Writes a file that only its owner can read, and gives it its name when it is complete: a dump's contents are not
/// for everybody, and half a report is worse than none. `complete` is called before it has its name.
pub(crate) fn write_file(
    path: &Path,
    replace: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    complete: impl FnOnce(),
) -> Result<(), Failure> {
    write_file_for(Readers::Owner, path, replace, write, complete)
}

/// As [`write_file`], for other readers.
pub(crate) fn write_file_for(
    readers: Readers,
    path: &Path,
    replace: bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    complete: impl FnOnce(),
) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::new(format_args!("cannot write {}: {error}", path.display())).or_lack(&error);
    check_file(path, replace)?;
    let file = UnfinishedFile::new_in(directory(path)).map_err(failed)?;
    let file = buffered(file, write).map_err(failed)?;
    if matches!(readers, Readers::Everyone) {
        file.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(failed)?;
    }
    // Since it was first looked at, something else may have got the name.
    check_file(path, replace)?;
    complete();
    match if replace { file.replace(path) } else { file.name(path) } {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(exists(path)),
        named => named.map_err(failed),
    }
}

/// Finds what is in the way of a file that is going to be written, before any work is done for it.
pub(crate) fn check_file(path: &Path, replace: bool) -> Result<(), Failure> {
    check_target(path, replace).map_err(|refused| match refused {
        Refused::Kind(failure) => failure.hint("name a new file, or a regular one"),
        Refused::Other(failure) => failure,
    })
}

/// The form that was asked for, or else that by which the output file is named.
fn format(options: &Global) -> Format {
    let by_name = || {
        let extension = options.output.as_deref()?.extension()?.to_str()?;
        match extension.to_ascii_lowercase().as_str() {
            "html" | "htm" => Some(Format::Html),
            "json" | "jsonl" | "ndjson" => Some(Format::Json),
            "csv" => Some(Format::Csv),
            "parquet" => Some(Format::Parquet),
            _ => None,
        }
    };
    options.format.or_else(by_name).unwrap_or(Format::Text)
}

pub(crate) fn no_form(name: &str) -> Failure {
    Failure::new(format_args!("this command has no {name} form")).hint("use --format text or json")
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn no_directory(path: &Path) -> Failure {
    let directory = directory(path).display();
    Failure::new(format_args!("cannot write {}: there is no directory {directory}", path.display()))
        .hint("make the directory, or name another one")
}

/// Why a file is not written.
enum Refused {
    /// What has the name is no file; what to do instead depends on who named it.
    Kind(Failure),
    Other(Failure),
}

/// A device, a pipe, a link or a directory is never replaced: whoever named it meant to write to it, and others use it.
fn check_target(path: &Path, replace: bool) -> Result<(), Refused> {
    match path.symlink_metadata().map(|there| there.file_type()) {
        Ok(kind) if kind.is_file() && replace => Ok(()),
        Ok(kind) if kind.is_file() => Err(Refused::Other(exists(path))),
        Ok(kind) if kind.is_symlink() => Err(Refused::Kind(Failure::new(format_args!(
            "{} is a symbolic link, and is neither followed nor replaced",
            path.display()
        )))),
        Ok(_) => Err(Refused::Kind(Failure::new(format_args!(
            "{} is not a regular file, and is not replaced",
            path.display()
        )))),
        Err(_) if directory(path).is_dir() => Ok(()),
        Err(_) => Err(Refused::Other(no_directory(path))),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::new(format_args!("{} exists already", path.display()))
        .hint("choose another name, or replace it with --force")
}

fn buffered<W: Write>(sink: W, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<W> {
    let mut out = BufWriter::with_capacity(BUFFER, sink);
    write(&mut out)?;
    out.flush()?;
    out.into_inner().map_err(io::IntoInnerError::into_error)
}

fn wants_color(options: &Global) -> bool {
    match options.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            !refused && options.output.is_none() && io::stdout().is_terminal()
        }
    }
}
