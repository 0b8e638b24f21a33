//! `completions`: what clap writes for each shell, and what it leaves out there.

use std::fmt::Write;

use clap::builder::PossibleValuesParser;
use clap_complete::Shell;
use vmcore_synth::{DumpForm, Generation};

use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

pub(crate) fn run(shell: Shell, command: clap::Command, output: Output) -> Result<Status, Failure> {
    let name = command.get_name().to_owned();
    let mut command = with_offers(command);
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    match shell {
        Shell::Bash => script = with_one_label(&script),
        Shell::Fish => script = (for_old_fish(&script) + &values_for_fish(&command)).into_bytes(),
        _ => (),
    }
    output.write_with(|out| out.write_all(&script))?;
    Ok(Status::NothingFound)
}

/// What is checked when it is used has values to offer, too.
fn with_offers(command: clap::Command) -> clap::Command {
    let commands: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let command = command.mut_subcommand("man", |man| {
        man.mut_arg("command", |argument| argument.value_parser(PossibleValuesParser::new(commands)))
    });
    command.mut_subcommand("synth", |synth| {
        let offer =
            |argument: clap::Arg, values: Vec<&'static str>| argument.value_parser(PossibleValuesParser::new(values));
        synth
            .mut_arg("form", |form| offer(form, DumpForm::names()))
            .mut_arg("kernel", |kernel| offer(kernel, Generation::names().collect()))
    })
}

/// In a program whose name has a hyphen, `clap_complete` sets one name for a command and looks for another: nothing is completed
/// behind the command.
fn with_one_label(script: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(script).replace("vmcore__subcmd__thp", "vmcore__thp").into_bytes()
}

/// Up to fish 3.1 (Debian 11), a long option must have a letter in what `argparse` is told; with a hyphen behind it, the letter is
/// no option.
fn for_old_fish(script: &[u8]) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let script = String::from_utf8_lossy(script);
    let mut lines = String::new();
    for line in script.lines() {
        match line.split_once("string join \\n ") {
            Some((before, options)) => {
                let is_taken =
                    |letter: &char| options.split(' ').any(|option| option.starts_with(&format!("{letter}/")));
                let mut letters = LETTERS.chars().filter(|letter| !is_taken(letter));
                let lettered = options.split(' ').map(|option| match letters.next() {
                    Some(letter) if !option.contains('/') => format!("{letter}-{option}"),
                    _ => option.to_owned(),
                });
                lines.push_str(before);
                lines.push_str("string join \\n ");
                lines.push_str(&lettered.collect::<Vec<_>>().join(" "));
            }
            None => lines.push_str(line),
        }
        lines.push('\n');
    }
    lines
}

/// `clap_complete` offers fish the values of options, but none of arguments.
fn values_for_fish(program: &clap::Command) -> String {
    let mut lines = String::new();
    for command in program.get_subcommands() {
        let values = command.get_positionals().flat_map(clap::Arg::get_possible_values);
        let names: Vec<_> = values.map(|value| value.get_name().to_owned()).collect();
        if !names.is_empty() {
            let (command, names) = (command.get_name(), names.join(" "));
            // Writing to a string does not fail.
            let _ = writeln!(
                lines,
                "complete -c vmcore-thp -n \"__fish_vmcore_thp_using_subcommand {command}\" -f -a \"{names}\""
            );
        }
    }
    lines
}
