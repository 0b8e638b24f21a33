//! Signatures: what is the same in dumps of the same problem, in two levels.
//!
//! The *exact* one says: the issue; how the gravest circle or chain of waiting goes; and which functions the tasks in it
//! whom all wait for were in (of a circle, all of its tasks), or where nobody waits, the innermost functions of the stack that crashed. The *similar* one is the issue with
//! the first of those functions. Of a known bug, the circle is all there is to say: which system call
//! faulted is chance. Where nothing was found, the panic's message stands for the rest.
//!
//! They must not change with what a build changes. As other crash collectors do it:
//!
//! - Functions that are only the way into the crash, or that everybody waits in, are passed over. Socorro (`siggen`) has
//!   lists of frames that are irrelevant or only a prefix; satyr, of ABRT and FAF, removes frames from a kernel's oops
//!   before it counts; syzkaller (`pkg/report/linux.go`) skips files and frames until it meets the guilty one.
//! - What compilers append is cut off (`.isra.0`, `.part.3`, `.constprop.0`, `.cold`, `.llvm.42`), as Socorro normalizes
//!   names; so are the syscall wrappers' prefixes (`__do_sys_`, `__x64_sys_`, `__arm64_sys_`): which of them is inlined
//!   differs by build.
//! - Only the innermost few functions count (satyr's hashes use a few top frames), and inlined ones not at all, so that a
//!   dump has the same signature with source lines and without.
//! - Pids, names, addresses, CPUs and durations are not part of it; numbers in a panic's message become `N`.

mod skip;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use vmcore_console::{base_name, panic_message, system_call};

use crate::document::{Document, Frame, Summary};
use crate::fingerprint;

/// Functions of a stack that count.
const FRAMES: usize = 3;
/// Functions of a graph that count.
const ROLES: usize = 4;
/// Hexadecimal digits of a group's name: 16 million times more than there are groups.
const DIGITS: usize = 12;

/// What is the same in dumps of the same problem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// In words, exact. Names functions, which are of the dump: untrusted.
    pub exact: String,
    /// In words, with less of what may differ.
    pub similar: String,
}

impl Signature {
    /// The name of the exact group: digits that stay the same as long as the signature does.
    #[must_use]
    pub fn group(&self) -> String {
        fingerprint::hex(self.exact.as_bytes()).chars().take(DIGITS).collect()
    }

    /// Of what could not be judged at all, for one kind of reason.
    pub(crate) fn of_failure(kind: &str, message: &str) -> Self {
        let similar = format!("not judged: {kind}");
        // The hint in the message names paths, and so is different in every dump.
        Self { exact: format!("{similar}: {}", normalize(without_paths(message).trim())), similar }
    }

    /// Of a document of `analyze` or `log`.
    pub(crate) fn of(document: Document<'_>) -> Self {
        let summary = document.summary();
        let issue = summary.issue.clone().unwrap_or_else(|| match summary.confidence.as_deref() {
            Some("none") => "nothing found".to_owned(),
            _ => "unclear".to_owned(),
        });
        let (shape, edges) = document.edges();
        let way = way(&edges);
        let is_known = summary.known_issue.is_some();
        let functions = match &summary.issue {
            // What the machine did when nothing was wrong with it is chance.
            None => summary.panic.iter().map(|message| normalize(message)).collect(),
            Some(_) if is_known => Vec::new(),
            Some(issue) => match functions(document, &summary, &edges) {
                functions if functions.is_empty() => words(document, &summary, issue).into_iter().collect(),
                functions => functions,
            },
        };
        let similar = [Some(issue.clone()), functions.first().cloned().filter(|_| summary.issue.is_some())];
        let exact = [Some(issue), shape, Some(way), Some(functions.join(" < "))];
        Self { exact: join(exact), similar: join(similar) }
    }
}

/// The functions of those that are waited for or wait, else those of the stack that crashed.
fn functions(document: Document<'_>, summary: &Summary, edges: &[(&str, &str, &str)]) -> Vec<String> {
    let functions = roles(document, edges);
    if !functions.is_empty() {
        return functions;
    }
    // Who panics over them is the thread that looks for them.
    if summary.issue.as_deref() == Some("hung-task") {
        let functions = innermost(document.sleeping_stacks());
        if !functions.is_empty() {
            return functions;
        }
    }
    let frames = match (document.own_log(), summary.panic_pid) {
        (Some(log), _) => log.log_stack(summary.panic_cpu),
        (None, Some(pid)) if document.0.get("stacks").is_some() => document.stack(pid, summary.panic_cpu),
        _ => document.log_stack(summary.panic_cpu),
    };
    crash_stack(&frames)
}

/// What a crash says of itself, where there is no stack to name it by. Of what hangs that is always the same.
fn words(document: Document<'_>, summary: &Summary, issue: &str) -> Option<String> {
    // A log has it without the words that begin the line.
    let panic = || summary.panic.as_deref().map(|line| panic_message(line).unwrap_or(line).to_owned());
    let message = match issue {
        "kernel-panic" => panic(),
        "kernel-oops" => document.own_log().unwrap_or(document).verdict_line().or_else(panic),
        _ => None,
    };
    Some(normalize(&without_quotes(&message?)))
}

/// Without what is in quotes: names of tasks.
fn without_quotes(message: &str) -> String {
    message.split('"').step_by(2).collect::<Vec<_>>().join("NAME")
}

fn join(parts: impl IntoIterator<Item = Option<String>>) -> String {
    parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" | ")
}

/// How the edges go, as kinds; a round that repeats is there once, and begins wherever its text is smallest.
fn way(edges: &[(&str, &str, &str)]) -> String {
    let chained = edges.windows(2).all(|pair| matches!(pair, [a, b] if a.2 == b.0));
    let kinds: Vec<_> = edges.iter().map(|&(_, kind, _)| kind).collect();
    if !chained {
        let mut kinds = kinds;
        kinds.sort_unstable();
        kinds.dedup();
        return kinds.join("+");
    }
    let closed = matches!((edges.first(), edges.last()), (Some(first), Some(last)) if first.0 == last.2);
    if !closed {
        return kinds.join(">");
    }
    let len = kinds.len();
    let repeats = |period: &usize| {
        len.is_multiple_of(*period) && (*period..len).all(|at| kinds.get(at) == kinds.get(at - period))
    };
    let period = (1..=len).find(repeats).unwrap_or(len);
    let round = kinds.get(..period).unwrap_or(&kinds);
    let turns =
        (0..round.len()).map(|start| round.iter().cycle().skip(start).take(round.len()).copied().collect::<Vec<_>>());
    turns.min().unwrap_or_default().join(">")
}

/// The functions of the tasks at the ends of the edges, whom all others wait for: who those are is chance. Of a circle, and where
/// the ends say nothing, those of the tasks that wait. Each once.
fn roles(document: Document<'_>, edges: &[(&str, &str, &str)]) -> Vec<String> {
    let waiting: BTreeSet<_> = edges.iter().filter_map(|(from, _, _)| pid(from)).collect();
    let ends: BTreeSet<_> =
        edges.iter().filter_map(|(_, _, to)| pid(to)).filter(|pid| !waiting.contains(pid)).collect();
    let of = |pids: BTreeSet<i64>| innermost(pids.into_iter().map(|pid| document.stack(pid, None)));
    match of(ends) {
        functions if functions.is_empty() => of(waiting),
        functions => functions,
    }
}

/// The innermost function that says something of each stack, each once.
fn innermost<'d>(stacks: impl Iterator<Item = Vec<Frame<'d>>>) -> Vec<String> {
    let mut functions: Vec<_> = stacks.filter_map(|frames| crash_stack(&frames).into_iter().next()).collect();
    functions.sort_unstable();
    functions.dedup();
    functions.truncate(ROLES);
    functions
}

/// The thread id in a node's name: `task 147 "splitter"`.
fn pid(node: &str) -> Option<i64> {
    node.strip_prefix("task ")?.split(' ').next()?.parse().ok().filter(|&pid| pid != 0)
}

/// The innermost functions that say something, from the exception, interrupt or NMI on that ended in the crash.
fn crash_stack(frames: &[Frame<'_>]) -> Vec<String> {
    let names: Vec<_> = frames.iter().map(|frame| source_name(frame.symbol)).collect();
    let entry = names.iter().position(|name| skip::is_entry(name)).map_or(0, |at| at + 1);
    let telling = |from: usize| {
        let rest = names.iter().skip(from).filter(|name| !skip::says_nothing(name));
        rest.take(FRAMES).map(|name| (*name).to_owned()).collect::<Vec<_>>()
    };
    let behind = telling(entry);
    if behind.is_empty() { telling(0) } else { behind }
}

/// A function's name as its source has it.
fn source_name(symbol: &str) -> &str {
    let name = base_name(symbol);
    system_call(name).unwrap_or(name)
}

/// A message without what differs from one crash to the next.
fn normalize(message: &str) -> String {
    let mut words = Vec::new();
    for word in message.split_whitespace() {
        let word: String = if word.starts_with("0x") || is_address(word) { "ADDR".to_owned() } else { numbers(word) };
        words.push(word);
    }
    words.join(" ")
}

fn is_address(word: &str) -> bool {
    let word = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
    word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn numbers(word: &str) -> String {
    let mut out = String::new();
    let mut in_number = false;
    for letter in word.chars() {
        match letter.is_ascii_digit() {
            true if in_number => {}
            true => out.push('N'),
            false => out.push(letter),
        }
        in_number = letter.is_ascii_digit();
    }
    out
}

/// A message without the words that are paths.
fn without_paths(message: &str) -> String {
    message.split_whitespace().filter(|word| !word.contains('/')).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
