//! Manual pages: what clap knows of a command, and what it does not: exit status, environment, examples.

mod environment;
mod examples;
mod exit_status;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use crate::cli;
use crate::failure::Failure;
use crate::output::{Output, write_file};
use crate::status::Status;

/// The program's page, or with a name that of one command: `man -l <(vmcore-thp man bt)`.
pub(crate) fn one(name: Option<&str>, program: clap::Command, output: Output) -> Result<Status, Failure> {
    let pages = pages(program);
    let wanted = name.map_or_else(|| "vmcore-thp".to_owned(), |name| format!("vmcore-thp-{name}"));
    let page = pages.iter().find(|page| page.title == wanted).ok_or_else(|| {
        let name = name.unwrap_or_default();
        Failure::new(format_args!("there is no command '{name}'")).hint("see `vmcore-thp --help`")
    })?;
    output.write_with(|out| page.write(out))?;
    Ok(Status::NothingFound)
}

/// All pages, a file each, in the directory that `--output` names: for a package.
pub(crate) fn all(program: clap::Command, global: &cli::Global) -> Result<Status, Failure> {
    let directory = global.output.as_deref().ok_or_else(|| {
        Failure::new("the directory to write to is missing")
            .hint("name it with --output: it is made if it is not there")
    })?;
    fs::create_dir_all(directory)
        .map_err(|error| Failure::new(format_args!("cannot make the directory {}: {error}", directory.display())))?;
    for page in pages(program) {
        page.write_into(directory, global.force)?;
    }
    Ok(Status::NothingFound)
}

struct Page {
    /// As of the file, without the section: `vmcore-thp-bt`.
    title: String,
    command: clap::Command,
}

/// The program's, then one of each command, and one of each that is below another.
fn pages(program: clap::Command) -> Vec<Page> {
    // There is no page of `help`.
    let mut program = program.disable_help_subcommand(true);
    // Gives every command the options that all have, and its full name.
    program.build();
    let mut pages = Vec::new();
    add_pages(&program, &mut pages);
    pages
}

fn add_pages(command: &clap::Command, pages: &mut Vec<Page>) {
    // What the program calls itself is for nobody else.
    if command.get_name() == "help" || command.is_hide_set() {
        return;
    }
    let title = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    pages.push(Page { title, command: command.clone() });
    for below in command.get_subcommands() {
        add_pages(below, pages);
    }
}

impl Page {
    /// The command without the program's name; empty for the program's own page.
    fn name(&self) -> &str {
        self.title.strip_prefix("vmcore-thp-").unwrap_or_default()
    }

    fn write_into(&self, directory: &Path, replace: bool) -> Result<(), Failure> {
        write_file(&directory.join(format!("{}.1", self.title)), replace, |out| self.write(out), || ())
    }

    fn write(&self, mut out: &mut dyn Write) -> io::Result<()> {
        let source = format!("vmcore-thp {}", env!("CARGO_PKG_VERSION"));
        let page = Man::new(self.command.clone()).title(&self.title).source(source).manual("User Commands");
        page.render_title(&mut out)?;
        page.render_name_section(&mut out)?;
        page.render_synopsis_section(&mut out)?;
        page.render_description_section(&mut out)?;
        page.render_options_section(&mut out)?;
        if self.command.has_subcommands() {
            page.render_subcommands_section(&mut out)?;
        }
        let mut more = Roff::new();
        if let Some(notes) = self.command.get_after_long_help().or(self.command.get_after_help()) {
            more.control("SH", ["NOTES"]).text([roman(notes.to_string())]);
        }
        self.add_exit_status(&mut more);
        self.add_environment(&mut more);
        self.add_examples(&mut more);
        self.add_see_also(&mut more);
        more.to_writer(&mut out)
    }

    fn add_exit_status(&self, page: &mut Roff) {
        page.control("SH", ["EXIT STATUS"]);
        for (status, meaning) in exit_status::of(self.name()) {
            define(page, [bold(status.to_string())], meaning);
        }
    }

    fn add_environment(&self, page: &mut Roff) {
        page.control("SH", ["ENVIRONMENT"]);
        for variable in environment::of(&self.command, self.name()) {
            define(page, [bold(variable.name)], variable.meaning);
        }
    }

    fn add_examples(&self, page: &mut Roff) {
        page.control("SH", ["EXAMPLES"]);
        for example in examples::of(self.name()) {
            page.control("PP", []).text([roman(example.purpose)]);
            page.control("PP", []).control("RS", ["4"]).control("nf", []);
            page.text([bold(example.line)]);
            page.control("fi", []).control("RE", []);
        }
    }

    fn add_see_also(&self, page: &mut Roff) {
        page.control("SH", ["SEE ALSO"]);
        let own: &[&str] =
            if self.name().is_empty() { &["crash(8)", "makedumpfile(8)", "drgn(1)"] } else { &["vmcore-thp(1)"] };
        page.text([roman(own.join(", "))]);
    }
}

/// A paragraph with its subject hung out to the left.
fn define(page: &mut Roff, subject: impl Into<Vec<Inline>>, meaning: &str) {
    page.control("TP", []).text(subject).text([roman(meaning)]);
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn text(page: &Page) -> String {
        let mut out = Vec::new();
        page.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_page_says_what_clap_does_not_know() {
        let pages = pages(cli::Cli::command());
        assert!(pages.len() > 40 && pages.iter().any(|page| page.name() == "triage-report"), "{}", pages.len());
        for page in &pages {
            let text = text(page);
            for section in ["\"EXIT STATUS\"", "ENVIRONMENT", "EXAMPLES"] {
                let (_, after) =
                    text.split_once(&format!(".SH {section}\n")).unwrap_or_else(|| panic!("no {section}: {text}"));
                assert!(after.starts_with(".TP") || after.starts_with(".PP"), "{}: {section} is empty", page.title);
            }
            assert!(text.contains(&format!(".TH {} 1", page.title)), "{text}");
        }
    }

    #[test]
    fn examples_are_command_lines() {
        for page in pages(cli::Cli::command()) {
            for example in examples::of(page.name()) {
                // What the shell does with the output is not for this program.
                let own = example.line.split(" | ").next().unwrap().split(" > ").next().unwrap();
                assert!(crate::arguments::parse_line(words(own)).is_ok(), "{}: {}", page.title, example.line);
                let of_page = page.name().split('-').all(|word| own.contains(word));
                assert!(of_page, "{}: an example of something else: {own}", page.title);
            }
        }
    }

    /// Words of a line with single quotes.
    fn words(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(str::to_owned));
            }
        }
        words
    }
}
