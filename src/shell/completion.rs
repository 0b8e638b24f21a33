//! What may follow: commands, their options, types, symbols and process ids.

use std::cell::OnceCell;

use clap::CommandFactory;
use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper, Highlighter, Hinter, Validator};

#[cfg(test)]
use super::needs_dump;
use crate::cli::Cli;
use crate::session::Session;

/// Answers that are offered at once.
const MAX_OFFERED: usize = 200;

/// Completes words by what the open kernel has.
#[derive(Helper, Highlighter, Hinter, Validator)]
pub(super) struct Words {
    session: &'static Session,
    commands: Vec<String>,
    /// Sorted; collected when they are first asked for.
    types: OnceCell<Vec<String>>,
    symbols: OnceCell<Vec<String>>,
}

impl Words {
    pub(super) fn new(session: &'static Session) -> Self {
        let program = Cli::command();
        let mut commands: Vec<_> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        commands.extend(["exit", "sys", "foreach"].map(str::to_owned));
        commands.retain(|name| name != "shell");
        commands.sort_unstable();
        Self { session, commands, types: OnceCell::new(), symbols: OnceCell::new() }
    }

    /// What `word`, the last one of `line` so far, may become.
    fn answers(&self, line: &str, word: &str) -> Vec<String> {
        let before: Vec<_> = line.split_whitespace().collect();
        let is_first = before.len() <= usize::from(!word.is_empty());
        let previous = before.iter().rev().nth(usize::from(!word.is_empty())).copied().unwrap_or_default();
        match before.first().copied().unwrap_or_default() {
            _ if is_first => starting(&self.commands, word),
            command if word.starts_with('-') => starting(&options(command), word),
            "bt" | "ps" | "vtop" | "rd" | "files" if previous == "--pid" => self.pids(word),
            "struct" | "union" | "whatis" if before.len() <= 2 => self.types(word),
            "list" | "tree" if ["-s", "--show", "--offset"].contains(&previous) => self.types(word),
            "struct" | "union" | "p" | "px" | "rd" | "sym" | "dis" | "list" | "tree" | "search" | "waitq" => {
                self.symbols(word)
            }
            _ => Vec::new(),
        }
    }

    /// Types, and behind a point the members of one.
    fn types(&self, word: &str) -> Vec<String> {
        let types = self.session.kernel.vmlinux().types();
        if let Some((type_name, member)) = word.rsplit_once('.') {
            let members = types.member_names(type_name);
            return starting(&members, member).iter().map(|member| format!("{type_name}.{member}")).collect();
        }
        starting(self.types.get_or_init(|| sorted(types.type_names())), word)
    }

    fn symbols(&self, word: &str) -> Vec<String> {
        let all = || self.session.kernel.vmlinux().symbols().all().map(|symbol| symbol.name.to_owned()).collect();
        starting(self.symbols.get_or_init(|| sorted(all())), word)
    }

    fn pids(&self, word: &str) -> Vec<String> {
        let tasks = self.session.snapshot_if_read().map(|snapshot| snapshot.tasks.as_slice()).unwrap_or_default();
        let pids: Vec<_> = tasks.iter().map(|task| task.pid.to_string()).filter(|pid| pid.starts_with(word)).collect();
        pids.into_iter().take(MAX_OFFERED).collect()
    }
}

/// Long options of a command.
fn options(command: &str) -> Vec<String> {
    let mut program = Cli::command();
    program.build();
    let Some(command) = program.find_subcommand(command) else { return Vec::new() };
    let long = command.get_arguments().filter_map(|argument| argument.get_long());
    sorted(long.map(|long| format!("--{long}")).collect())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names.dedup();
    names
}

/// Those of sorted names that begin with `prefix`.
fn starting(names: &[String], prefix: &str) -> Vec<String> {
    let from = if names.is_sorted() { names.partition_point(|name| name.as_str() < prefix) } else { 0 };
    let names = names.get(from..).unwrap_or_default().iter();
    names.filter(|name| name.starts_with(prefix)).take(MAX_OFFERED).cloned().collect()
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let line = line.get(..at).unwrap_or(line);
        // A word of an expression begins behind any sign.
        let start = line.rfind(|sign: char| !(sign.is_alphanumeric() || "_-.".contains(sign)));
        let start = start
            .map_or(0, |sign| sign + line.get(sign..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
        let word = line.get(start..).unwrap_or_default();
        let pair = |answer: String| Pair { display: answer.clone(), replacement: answer };
        Ok((start, self.answers(line, word).into_iter().map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_names_are_found_by_their_beginning() {
        let names = sorted(["task_struct", "taskstats", "page", "task"].map(str::to_owned).into());
        assert_eq!(starting(&names, "task"), ["task", "task_struct", "taskstats"]);
        assert_eq!(starting(&names, "x"), Vec::<String>::new());
        assert!(options("bt").contains(&"--state".to_owned()) && options("bt").contains(&"--format".to_owned()));
        assert!(needs_dump("bt") && needs_dump("p") && !needs_dump("synth"));
    }
}
