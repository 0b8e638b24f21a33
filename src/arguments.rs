//! From the words of the command line to a command: also where the command is missing, and help that fits a screen.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser};
use vmcore_remote::is_address;
use vmcore_report::Sanitized;

use crate::cli::Cli;
use crate::remote;
use crate::secrets::without_secrets;
use crate::slips;
use crate::status::Status;

/// The options of every command that opens a dump, which the first of these commands explains.
const DUMP_OPTIONS: [&str; 9] = [
    "part",
    "vmcoreinfo",
    "debug_dir",
    "no_debuginfod",
    "cache",
    "cache_size",
    "share_profiles",
    "block_cache",
    "no_cache",
];

/// What stands below each command's own options in its help, in place of the options that all have.
fn options_of_all(program: &clap::Command) -> String {
    let of_all = |arg: &&clap::Arg| arg.is_global_set() && !arg.is_hide_set();
    let names = program.get_arguments().filter(of_all).filter_map(clap::Arg::get_long);
    format!("Every command also takes {}: see `vmcore-thp --help`.", listed(names))
}

/// The same of the options that all commands have that open a dump.
fn options_of_dumps() -> String {
    let names = DUMP_OPTIONS.map(|id| id.replace('_', "-"));
    format!(
        "Commands that open a dump also take {}: see `vmcore-thp analyze --help`.",
        listed(names.iter().map(String::as_str))
    )
}

/// Options as a list for a sentence.
fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut names: Vec<_> = names.map(|name| format!("--{name}")).collect();
    let last = names.pop().unwrap_or_default();
    format!("{} and {last}", names.join(", "))
}

/// The command line, and what to tell the user of how it was understood.
pub(crate) struct Parsed {
    pub(crate) cli: Cli,
    pub(crate) note: Option<String>,
}

/// Parses the arguments of a process. A file in place of a command is analyzed.
pub(crate) fn parse(words: Vec<OsString>) -> Result<Parsed, clap::Error> {
    let words = crash_options(words);
    let error = match parse_words(&words) {
        Ok(cli) => return Ok(Parsed { cli, note: None }),
        Err(error) => error,
    };
    let Some(with_command) = with_analyze(&words, &error) else { return Err(error) };
    let shown = |word: &OsString| remote::shown(Path::new(word)).display().to_string();
    let line = with_command.iter().skip(1).map(shown).collect::<Vec<_>>().join(" ");
    let note = format!("no command was given: this is `vmcore-thp {}`", Sanitized::new(&line));
    parse_words(&with_command).map(|cli| Parsed { cli, note: Some(note) })
}

/// Options that `crash` has in a form that ours cannot: `rd -32` is a number, and `sym -q` is not `--quiet`.
fn crash_options(words: Vec<OsString>) -> Vec<OsString> {
    let Some(at) = command_at(&words) else { return words };
    let (rd, sym) = (words.get(at).is_some_and(|word| word == "rd"), words.get(at).is_some_and(|word| word == "sym"));
    let replaced = |(place, word): (usize, OsString)| match word.to_str() {
        Some(bits @ ("-8" | "-16" | "-32" | "-64")) if rd => format!("--bits={}", bits.trim_start_matches('-')).into(),
        Some("-q") if sym && place > at => "--query".into(),
        _ => word,
    };
    words.into_iter().enumerate().map(replaced).collect()
}

/// Where the command is: behind options that all commands have, and their values.
fn command_at(words: &[OsString]) -> Option<usize> {
    // Of what can be asked for only these are written otherwise than `crash` has them.
    if !words.iter().any(|word| word == "rd" || word == "sym") {
        return None;
    }
    let program = Cli::command();
    let takes_value = |word: &str| {
        let is_it = |option: &clap::Arg| match word.strip_prefix("--") {
            Some(long) => option.get_long() == Some(long),
            // The rest of the word is the value of the first that takes one.
            None => {
                word.chars().position(|letter| option.get_short() == Some(letter)) == Some(word.chars().count() - 1)
            }
        };
        program.get_arguments().filter(|option| option.get_action().takes_values()).any(is_it)
    };
    let mut at = 1;
    while let Some(word) = words.get(at)?.to_str().filter(|word| word.starts_with('-')) {
        at += if takes_value(word) { 2 } else { 1 };
    }
    Some(at)
}

fn parse_words(words: &[OsString]) -> Result<Cli, clap::Error> {
    // Shorter help is only to be seen where there is no command to run, and takes longer to make than that to parse.
    Cli::try_parse_from(words).or_else(|_| parse_with_short_help(words))
}

fn parse_with_short_help(words: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = short_help(Cli::command());
    let matches = command.try_get_matches_from_mut(words).map_err(|error| slips::with_tip(error, words))?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Parses a line of the shell, with the program's name before it.
pub(crate) fn parse_line(words: Vec<String>) -> Result<Cli, clap::Error> {
    parse_words(&crash_options(words.into_iter().map(OsString::from).collect()))
}

/// `words` with `analyze` before the file that stands where a command should, and the dump before the vmlinux.
fn with_analyze(words: &[OsString], error: &clap::Error) -> Option<Vec<OsString>> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let ContextValue::String(file) = error.get(ContextKind::InvalidSubcommand)? else { return None };
    let at = words.iter().skip(1).position(|word| word == OsStr::new(file))?.checked_add(1)?;
    if !Path::new(file).exists() && !is_address(Path::new(file)) && !is_meant_as_file(file) {
        return None;
    }
    let mut words = words.to_vec();
    if let Some(second) = words.get(at + 1).map(Path::new)
        && is_program(Path::new(file))
        && second.is_file()
        && !is_program(second)
    {
        words.swap(at, at + 1);
    }
    words.insert(at, "analyze".into());
    Some(words)
}

/// Whether a word can be no slip in a command's name: none has a slash or a dot, and none is called as dumps mostly are.
fn is_meant_as_file(word: &str) -> bool {
    word.contains(['/', '.']) || ["vmcore", "vmlinux"].iter().any(|name| word.starts_with(name))
}

/// Whether a file is a program such as a vmlinux, by its ELF header, and so no dump.
fn is_program(path: &Path) -> bool {
    const ET_EXEC: u8 = 2;
    const ET_DYN: u8 = 3;
    let mut header = [0; 18];
    let read = path.is_file() && File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok();
    // Both byte orders: what another machine's may be is not for here to say.
    read && header.starts_with(b"\x7fELF") && matches!(header, [.., ET_EXEC | ET_DYN, 0] | [.., 0, ET_EXEC | ET_DYN])
}

/// Leaves the options that every command has to the program's own help: they are the longer part of each.
fn short_help(mut command: clap::Command) -> clap::Command {
    command.build();
    let (of_all, of_dumps) = (options_of_all(&command), options_of_dumps());
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().filter(|name| name != "help").fold(command, |command, name| {
        command.mut_subcommand(&name, |command| {
            let is_dump_option = |arg: &clap::Arg| name != "analyze" && DUMP_OPTIONS.contains(&arg.get_id().as_str());
            let opens_a_dump = command.get_arguments().any(is_dump_option);
            let also = if opens_a_dump { format!("{of_all}\n{of_dumps}") } else { of_all.clone() };
            // What a command says at the end of its help itself comes first.
            let also = match command.get_after_help() {
                Some(own) => format!("{own}\n{also}"),
                None => also,
            };
            let long = command.get_after_long_help().map(|own| format!("{own}\n\n{also}"));
            let hidden = |arg: clap::Arg| {
                let hide = arg.is_global_set() || is_dump_option(&arg);
                if hide { arg.hide(true) } else { arg }
            };
            let command = command.mut_args(hidden).after_help(also);
            match long {
                Some(long) => command.after_long_help(long),
                None => command,
            }
        })
    })
}

/// Prints help, the version, or what is wrong with the arguments.
pub(crate) fn explain(usage: &clap::Error) -> Status {
    if usage.use_stderr() {
        // Nobody is left to be told when even this cannot be written.
        let _ = match usage.to_string() {
            // It repeats words, which may have secrets in them.
            text if text.contains("://") => io::stderr().lock().write_all(without_secrets(&text).as_bytes()),
            _ => usage.print(),
        };
        return Status::CannotRun;
    }
    match usage.print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let failure = crate::failure::Failure::new(format_args!("cannot write to standard output: {error}"));
            failure.report()
        }
        _ => Status::NothingFound,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The command lines that a page shows: indented or after a prompt, as far as no other program has its words.
    fn command_lines(page: &str) -> Vec<Vec<String>> {
        let shown = page.lines().filter(|line| line.starts_with("    ") || line.starts_with("$ "));
        shown.filter_map(|line| line.split_once("vmcore-thp ").map(|(_, words)| words)).filter_map(words_of).collect()
    }

    fn words_of(text: &str) -> Option<Vec<String>> {
        let ends = ["  #", " |", " >", " 2>", "; ", " :::"];
        let end = ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
        let text = text.split_at(end).0.replace("{}", "1");
        // What comes before it is a sentence or a name.
        if !text.starts_with(|letter: char| letter.is_ascii_lowercase()) {
            return None;
        }
        let mut words = vec!["vmcore-thp".to_owned()];
        for (at, part) in text.split('\'').enumerate() {
            if at % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().filter(|word| !word.starts_with('[')).map(str::to_owned));
            }
        }
        Some(words)
    }

    #[test]
    fn options_of_crash_are_those_of_the_command_before_them() {
        let replaced = |line: &str| {
            let words = line.split(' ').map(OsString::from).collect();
            crash_options(words).iter().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(replaced("vmcore-thp sym V -q schedule"), "vmcore-thp sym V --query schedule");
        assert_eq!(replaced("vmcore-thp -q -o sym rd V -32 jiffies"), "vmcore-thp -q -o sym rd V --bits=32 jiffies");
        assert_eq!(
            replaced("vmcore-thp --format json -qo x sym V -q x"),
            "vmcore-thp --format json -qo x sym V --query x"
        );
        assert_eq!(replaced("vmcore-thp -o/tmp/foo rd V x -32"), "vmcore-thp -o/tmp/foo rd V x --bits=32");
        for line in ["vmcore-thp -q sym V x", "vmcore-thp bt V --comm sym -q", "vmcore-thp -q", "vmcore-thp ps rd -8"] {
            assert_eq!(replaced(line), line);
        }
    }

    #[test]
    fn help_names_only_options_that_it_explains() {
        let help = |words: &[&str]| {
            let words: Vec<_> = ["vmcore-thp"].iter().chain(words).map(OsString::from).collect();
            parse_words(&words).unwrap_err().to_string()
        };
        let all = help(&["--help"]);
        let of_bt = help(&["bt", "--help"]);
        let (_, list) = of_bt.split_once("Every command also takes ").unwrap();
        let (list, _) = list.split_once(": see").unwrap();
        let names: Vec<_> = list.split([' ', ',', '\n']).filter(|word| word.starts_with("--")).collect();
        assert!(names.len() > 8, "{list}");
        for name in names {
            assert!(all.contains(name), "{name}");
        }
    }

    #[test]
    fn every_command_line_of_the_guide_is_one() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut pages = vec![top.join("README.md"), top.join("contrib/README.md")];
        pages.extend(fs::read_dir(top.join("docs")).unwrap().map(|page| page.unwrap().path()));
        let mut count = 0;
        for page in pages {
            for words in command_lines(&fs::read_to_string(&page).unwrap()) {
                let parsed = parse_words(&crash_options(words.iter().map(OsString::from).collect()));
                assert!(parsed.is_ok(), "{}: {words:?}: {}", page.display(), parsed.unwrap_err());
                count += 1;
            }
        }
        assert!(count > 60, "only {count} command lines");
        let wrong = command_lines("    vmcore-thp bt VMCORE --nosuch  # no\n").remove(0);
        assert!(parse_words(&wrong.into_iter().map(OsString::from).collect::<Vec<_>>()).is_err());
    }
}
