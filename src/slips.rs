//! What people mean by an argument that no command has: a tip in place of clap's own, which only says how to pass the word as
//! a value.

use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::Cli;

/// The error with a tip where it is known what is meant.
pub(crate) fn with_tip(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) else { return error };
    let place = words.iter().position(|word| word == argument.as_str());
    let next = place.and_then(|place| words.get(place + 1)).and_then(|word| word.to_str());
    let Some(tip) = tip(command(words), argument, next) else { return error };
    error.remove(ContextKind::SuggestedArg);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

/// The first word that is a command's name.
fn command(words: &[OsString]) -> &str {
    let program = Cli::command();
    let is_command = |word: &&str| program.find_subcommand(word).is_some();
    words.iter().skip(1).filter_map(|word| word.to_str()).find(is_command).unwrap_or_default()
}

fn tip(command: &str, argument: &str, next: Option<&str>) -> Option<String> {
    const FORMS: [&str; 5] = ["text", "json", "html", "csv", "parquet"];
    let next_form = next.filter(|next| FORMS.contains(next));
    let next = next.filter(|next| !next.starts_with('-'));
    let of_all = match argument.trim_start_matches('-') {
        form if argument.starts_with("--") && FORMS.contains(&form) => Some(format!("`--format {form}` has that form")),
        "f" if next_form.is_some() => next_form.map(|form| format!("`--format {form}` has that form")),
        "vmlinux" if argument.starts_with("--") => {
            Some(format!("VMLINUX is the second argument: `{command} VMCORE VMLINUX`"))
        }
        "vmcore" | "dump" if argument.starts_with("--") => {
            Some(format!("VMCORE is the first argument: `{command} VMCORE [VMLINUX]`"))
        }
        _ => None,
    };
    of_all.or_else(|| of_command(command, argument, next))
}

/// Options as `crash` has them, and words that stand where an option's value would.
fn of_command(command: &str, argument: &str, next: Option<&str>) -> Option<String> {
    let value = next.unwrap_or("N");
    let is_number = argument.parse::<u32>().is_ok();
    Some(match (command, argument) {
        ("bt", "-a") => "without options, `bt` shows what every CPU was running; `--all` shows every task".to_owned(),
        ("bt", "-c") => format!("`--cpu {value}` shows what that CPU was running"),
        ("bt" | "ps" | "files", "-p") => format!("`--pid {value}` names a task"),
        ("bt" | "ps" | "files", _) if is_number => format!("`--pid {argument}` names a task"),
        ("bt", _) if argument.len() > 8 && crate::values::address(argument).is_ok() => {
            format!("`--task {argument}` names a task by its task_struct")
        }
        ("ps", "-m" | "-l") => "`--sort wait` lists first who has not run for longest".to_owned(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::arguments::parse_line;

    fn told(line: &str) -> String {
        parse_line(line.split(' ').map(str::to_owned).collect()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_meant_is_said() {
        for (line, tip) in [
            ("vmcore-thp analyze V --json", "tip: `--format json` has that form"),
            ("vmcore-thp log V -f json", "tip: `--format json` has that form"),
            ("vmcore-thp analyze V --vmlinux L", "tip: VMLINUX is the second argument: `analyze VMCORE VMLINUX`"),
            ("vmcore-thp bt V -a", "tip: without options, `bt` shows what every CPU was running"),
            ("vmcore-thp bt V L -c 3", "tip: `--cpu 3` shows"),
            ("vmcore-thp bt V L 151", "tip: `--pid 151` names a task"),
            ("vmcore-thp bt V L ffff888012345678", "tip: `--task ffff888012345678` names a task"),
            ("vmcore-thp ps V L 151", "tip: `--pid 151` names a task"),
            ("vmcore-thp ps V L -m", "tip: `--sort wait`"),
        ] {
            let told = told(line);
            assert!(told.contains(tip), "{line}: {told}");
            assert!(!told.contains("as a value"), "{line}: {told}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_to_clap() {
        let told = told("vmcore-thp analyze V --spin-treshold 3s");
        assert!(told.contains("'--spin-threshold'"), "{told}");
    }
}
