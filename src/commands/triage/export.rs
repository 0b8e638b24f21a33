//! `triage export`: all rows of a store, for other tools.

use std::io::{self, Write};

use vmcore_triage::report::{Record, write_csv_head, write_csv_row};
use vmcore_triage::{Row, Store, TriageError};

use crate::cli::Format;
use crate::failure::Failure;
use crate::output::{Output, no_form};
use crate::status::Status;

pub(super) fn only_export(form: &str) -> Failure {
    no_form(form).hint("`vmcore-thp triage export` has one")
}

/// Rows as they are read, so that a large store needs no memory.
pub(super) fn export(store: &Store, output: Output) -> Result<Status, Failure> {
    match output.format() {
        Format::Html => return Err(no_form("HTML").hint("`vmcore-thp triage report` has one")),
        Format::Parquet => return parquet(store, output),
        Format::Json | Format::Csv | Format::Text => export_rows(store, output, |_| true)?,
    }
    Ok(Status::NothingFound)
}

/// The rows whose key `keep` wants, as JSON lines or CSV.
pub(super) fn export_rows(store: &Store, output: Output, keep: impl Fn(&str) -> bool) -> Result<(), Failure> {
    if output.format() == Format::Json {
        return rows(store, output, keep, |_| Ok(()), |row, out| Record::of(&row).write_line(out));
    }
    rows(store, output, keep, write_csv_head, |row, out| write_csv_row(&row, out))
}

#[cfg(feature = "parquet")]
fn parquet(store: &Store, output: Output) -> Result<Status, Failure> {
    each_row(output.for_binary()?, |out| {
        let mut writer = vmcore_triage::report::ParquetWriter::new(out)?;
        store.each_row(|row| writer.add(row).map_err(Stopped::Output))?;
        Ok(writer.finish()?)
    })?;
    Ok(Status::NothingFound)
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: &Store, _: Output) -> Result<Status, Failure> {
    Err(Failure::new("this program was built without Parquet")
        .hint("build it with `cargo install --features parquet`, or export --format csv or json"))
}

fn rows(
    store: &Store,
    output: Output,
    keep: impl Fn(&str) -> bool,
    begin: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    each: impl Fn(Row, &mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    each_row(output, |out| {
        begin(out)?;
        store.each_row(|row| if keep(&row.key) { each(row, out).map_err(Stopped::Output) } else { Ok(()) })
    })
}

/// Writes what `write` writes; where the store fails on the way, nothing has been written.
fn each_row(output: Output, write: impl FnOnce(&mut dyn Write) -> Result<(), Stopped>) -> Result<(), Failure> {
    let mut failure = None;
    let written = output.write_with(|out| match write(out) {
        Err(Stopped::Output(error)) => Err(error),
        Err(Stopped::Store(error)) => {
            failure = Some(error);
            Err(io::Error::other("the store failed"))
        }
        Ok(()) => Ok(()),
    });
    failure.map_or(written, |error| Err(error.into()))
}

enum Stopped {
    Store(TriageError),
    Output(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<TriageError> for Stopped {
    fn from(error: TriageError) -> Self {
        Self::Store(error)
    }
}
