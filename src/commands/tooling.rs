//! Commands that need no dump: schemas, shell completions, the manual page.

use clap_complete::Shell;
use vmcore_report::{bt::Bt, json_schema};

use crate::cli::Document;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

pub(crate) fn schema(document: Document, output: Output) -> Result<Status, Failure> {
    let schema = match document {
        Document::Bt => json_schema::<Bt<'static>>(),
    };
    output.write_with(|out| writeln!(out, "{:#}", schema.as_value()))?;
    Ok(Status::NothingFound)
}

pub(crate) fn completions(shell: Shell, mut command: clap::Command, output: Output) -> Result<Status, Failure> {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    output.write_with(|out| out.write_all(&script))?;
    Ok(Status::NothingFound)
}

pub(crate) fn man(command: clap::Command, output: Output) -> Result<Status, Failure> {
    let page = clap_mangen::Man::new(command);
    output.write_with(|mut out| page.render(&mut out))?;
    Ok(Status::NothingFound)
}
