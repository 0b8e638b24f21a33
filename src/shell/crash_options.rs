//! Options of `crash`'s commands: which are how things are here anyway, which are spelled differently, and which there are
//! not. One that means something else here (`-o`, `-v`, `-V`) must never be taken for that.

use clap::CommandFactory;

use crate::cli::Cli;

/// What an option is here.
enum Here {
    /// How things are anyway, or part of what is shown.
    Default,
    /// These words.
    Is(&'static [&'static str]),
    /// This option, with the same value.
    With(&'static str),
    /// An option about the process that `set` chose.
    OfTask,
    /// None: this is to be done in its place.
    Instead(&'static str),
}
use Here::{Default, Instead, Is, OfTask, With};

const STACK_WORDS: &str =
    "`rd -s ADDRESS COUNT` shows the words of a stack with symbols, `bt --registers` the saved registers";
const TASK_MEMBERS: &str = "`struct task_struct.MEMBER 'task(PID)'` shows what a task has";
const MODULE_FILES: &str =
    "files of modules are found by themselves, also with --module-dir DIRECTORY; types need none";
const PAGES: &str =
    "`vtop ADDRESS` shows the page of an address, `struct page ADDRESS` its struct, `search` who points to it";
const OPEN_FILES: &str = "`files --pid N` lists the files of a process, `struct inode ADDRESS` shows one";
const NAMES: &str = "`sym -q PART` lists symbols by a part of their name";

const OPTIONS: [(&str, &[&str], Here); 63] = [
    ("bt", &["-a", "-l", "-s", "-x", "-d", "-o", "-O", "-p"], Default),
    (
        "bt",
        &["-v"],
        Instead("`info` counts the stacks that could be followed to their end, and `bt` says where one ends early"),
    ),
    ("bt", &["-c"], With("--cpu")),
    ("bt", &["-e", "-E"], Is(&["--registers"])),
    ("bt", &["-f", "-F", "-FF", "-r", "-t", "-T", "-R", "-I", "-S", "-i"], Instead(STACK_WORDS)),
    ("bt", &["-g"], Instead("`ps --pid N` lists the threads of a process, `bt --pid N` shows the stack of one")),
    ("bt", &["-n"], Instead("`bt` shows idle tasks, too, where a CPU was idle; `bt --all` shows them all")),
    ("ps", &["-m", "-l"], Is(&["--sort", "wait"])),
    ("ps", &["-p"], Is(&["--tree"])),
    ("ps", &["-g"], With("--pid")),
    ("ps", &["-G"], With("--comm")),
    ("ps", &["-A"], Instead("`runq` lists what each CPU was running, `bt` shows the stacks")),
    ("ps", &["-u", "-k"], Instead("`ps | grep '\\['` lists kernel threads, `ps | grep -v '\\['` the others")),
    ("ps", &["-S"], Instead("`ps --state LETTERS` lists tasks by state: `ps --state D`")),
    ("ps", &["-a", "-c", "-r", "-s", "-t", "-y", "-d", "-H", "-x", "-n"], Instead(TASK_MEMBERS)),
    ("struct", &["-o", "-d"], Default),
    (
        "struct",
        &["-u", "-p", "-f"],
        Instead("`p 'task(1)->mm->owner.comm'` follows pointers, `rd --pid N` reads user memory"),
    ),
    ("struct", &["-r"], Instead("`rd ADDRESS COUNT` shows memory as it is")),
    ("struct", &["-c"], Instead("how many stands behind the address: `struct TYPE ADDRESS COUNT`")),
    ("p", &["-d"], Default),
    ("p", &["-u"], Instead("`rd --pid N ADDRESS` reads the memory of a process")),
    ("rd", &["-S"], Is(&["--symbols"])),
    ("rd", &["-x", "-N"], Default),
    ("rd", &["-u"], OfTask),
    ("rd", &["-o"], Instead("an address is an expression: `rd 'ADDRESS + OFFSET'`")),
    ("rd", &["-d", "-D"], Instead("`p NAME` shows a number in decimal")),
    ("rd", &["-a"], Instead("`rd -8 ADDRESS COUNT` shows text at its right")),
    (
        "rd",
        &["-e", "-m", "-f", "-R", "-r"],
        Instead("`rd ADDRESS COUNT` shows so many words; `-p` for a physical address"),
    ),
    ("list", &["-o"], With("--offset")),
    ("list", &["-S"], With("--show")),
    ("list", &["-d", "-B"], Default),
    ("list", &["-l"], Instead("`--offset TYPE.MEMBER` says where the link is in an object")),
    ("tree", &["-o"], With("--offset")),
    ("tree", &["-S"], With("--show")),
    ("tree", &["-d", "-l", "-p"], Default),
    ("tree", &["-r"], Instead("the root is an expression: `tree 'ADDRESS + OFFSET'`")),
    ("timer", &["-r"], Default),
    ("timer", &["-C"], Instead("`timer` lists those of all CPUs, `timer | grep '^ *3 '` those of CPU 3")),
    ("irq", &["-s", "-b", "-u"], Default),
    ("irq", &["-c"], Instead("`irq` counts what came on all CPUs, and lists all lines")),
    ("irq", &["-a", "-d"], Instead("`struct irq_desc ADDRESS` shows the rest of an interrupt")),
    ("kmem", &["-i", "-z", "-n"], Default),
    ("kmem", &["-s"], Default),
    ("kmem", &["-S", "-I"], Instead("the objects of a slab cache are not listed; `kmem --format json` has all caches")),
    ("kmem", &["-p", "-P", "-m", "-f", "-F", "-c", "-C", "-v", "-V", "-o", "-h", "-g", "-L", "-t"], Instead(PAGES)),
    ("dev", &["-d", "-D"], Default),
    ("dev", &["-p", "-i", "-v", "-V"], Instead("`dev` lists block devices; `sym -q` and `list` find others")),
    ("runq", &["-t", "-T", "-m", "-g", "-d"], Default),
    ("runq", &["-c"], Instead("`runq` lists all CPUs; `bt --cpu N` shows what one was running")),
    ("mod", &["-t"], Default),
    ("mod", &["-s", "-S", "-d", "-r", "-o"], Instead(MODULE_FILES)),
    ("search", &["-k", "-K", "-V", "-M"], Default),
    ("search", &["-p"], Default),
    (
        "search",
        &["-u", "-t", "-T", "-s", "-e", "-l", "-x", "-o"],
        Instead("`search` goes through all memory in the dump"),
    ),
    ("vtop", &["-k"], Default),
    ("vtop", &["-u"], OfTask),
    ("vtop", &["-c"], With("--pid")),
    ("dis", &["-x", "-d", "-u", "-b", "-f", "-v"], Default),
    ("dis", &["-s"], Instead("`dis -l` names source lines; the sources themselves are in no dump")),
    ("sym", &["-l", "-m", "-M", "-p", "-n"], Instead(NAMES)),
    ("net", &["-s", "-S", "-R", "-x", "-d"], Instead("`files --pid N` lists sockets among the files of a process")),
    ("net", &["-a", "-N", "-n"], Instead("`net` lists devices; `list` and `tree` lead to the rest of `init_net`")),
    ("mount", &["-f", "-i", "-n"], Instead(OPEN_FILES)),
];
/// Not above, as they stand before a word of their own.
const FILES: [&str; 4] = ["-d", "-c", "-p", "-R"];

/// The words of a command with the options that it has here; the error says what to do in place of one.
pub(super) fn translate_options(words: &[&str], task: Option<i32>) -> Result<Vec<String>, &'static str> {
    let Some((command, rest)) = words.split_first() else { return Ok(Vec::new()) };
    let mut line = vec![(*command).to_owned()];
    let mut push = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
    let single = rest.iter().flat_map(|word| apart(command, word)).collect::<Vec<_>>();
    let mut rest = single.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if *command == "files" && FILES.contains(&word) {
            return Err(OPEN_FILES);
        }
        match find(command, word) {
            None => push_word(command, word, &mut rest, &mut push)?,
            Some(Default) => {}
            Some(Is(words)) => push(words),
            Some(With(option)) => {
                push(&[option]);
                rest.next().into_iter().for_each(|value| push(&[value]));
            }
            Some(OfTask) => {
                let pid = task.ok_or("say whose memory with `--pid N`, or `set PID` first")?;
                push(&["--pid", &pid.to_string()]);
            }
            Some(Instead(what)) => return Err(what),
        }
    }
    if let (Some(pid), "bt" | "files", [_]) = (task, *command, words) {
        line.extend(["--pid".to_owned(), pid.to_string()]);
    }
    Ok(line)
}

/// `-ox` as `-o` and `-x`, where one of them is an option of `crash` alone.
fn apart(command: &str, word: &str) -> Vec<String> {
    let letters = word.strip_prefix('-').filter(|letters| letters.len() > 1);
    let letters = letters.filter(|letters| letters.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let single = letters.map(|letters| letters.chars().map(|letter| format!("-{letter}")).collect::<Vec<_>>());
    let single =
        single.filter(|single| find(command, word).is_none() && single.iter().any(|one| find(command, one).is_some()));
    single.unwrap_or_else(|| vec![word.to_owned()])
}

fn find(command: &str, word: &str) -> Option<&'static Here> {
    let found = OPTIONS.iter().find(|(of, names, _)| *of == command && names.contains(&word));
    found.map(|(_, _, here)| here)
}

/// Whether a word is an option of ours whose value is the next word.
fn takes_value(command: &str, word: &str) -> bool {
    let Some(name) = word.strip_prefix("--").filter(|name| !name.contains('=')) else { return false };
    let program = Cli::command();
    let own = program.find_subcommand(command).into_iter().flat_map(clap::Command::get_arguments);
    let mut all = own.chain(program.get_arguments());
    all.find(|option| option.get_long() == Some(name)).is_some_and(|option| option.get_action().takes_values())
}

/// A word that is no option of `crash`: one of ours, with its value, or what `crash` takes without one.
fn push_word<'w>(
    command: &str,
    word: &'w str,
    rest: &mut impl Iterator<Item = &'w str>,
    push: &mut impl FnMut(&[&str]),
) -> Result<(), &'static str> {
    let is_pid = word.parse::<i32>().is_ok();
    let is_task = word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    match command {
        // `-oFILE`, or `-xo FILE`.
        _ if word.len() > 2 && word.starts_with('-') && !word.starts_with("--") && word.contains('o') => {
            return Err("`COMMAND > FILE` writes what a command prints into a file");
        }
        // The value of an option of ours is no word of its own.
        _ if takes_value(command, word) => {
            push(&[word]);
            if let Some(value) = rest.next() {
                push(&[value]);
            }
        }
        "bt" | "files" | "ps" if is_pid => push(&["--pid", word]),
        "bt" if is_task => push(&["--task", word]),
        "ps" if !word.starts_with('-') => push(&["--comm", word]),
        "irq" if is_pid => return Err("`irq` lists all interrupts, `irq | grep -w N` shows one"),
        "kmem" if !word.starts_with('-') => return Err(PAGES),
        _ => push(&[word]),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(text: &str) -> Result<String, &'static str> {
        let words: Vec<_> = text.split_whitespace().collect();
        translate_options(&words, None).map(|words| words.join(" "))
    }

    #[test]
    fn options_are_translated() {
        for (there, expected) in [
            ("bt", "bt"),
            ("bt -a", "bt"),
            ("bt -c 3", "bt --cpu 3"),
            ("bt -c 1,4-7", "bt --cpu 1,4-7"),
            ("bt --all -s 151", "bt --all --pid 151"),
            ("bt --format json 151", "bt --format json --pid 151"),
            ("bt 151", "bt --pid 151"),
            ("bt 151 152", "bt --pid 151 --pid 152"),
            ("bt -l 151", "bt --pid 151"),
            ("bt ff2bd5afffe54180", "bt --task ff2bd5afffe54180"),
            ("bt --pid 3 --registers", "bt --pid 3 --registers"),
            ("ps -m", "ps --sort wait"),
            ("ps 12", "ps --pid 12"),
            ("ps bash", "ps --comm bash"),
            ("ps -G bash", "ps --comm bash"),
            ("struct -o page", "struct page"),
            ("struct page -o", "struct page"),
            ("list -o 8 -h init_task", "list --offset 8 -h init_task"),
            ("kmem -i", "kmem"),
            ("dev -d", "dev"),
            ("struct -ox page", "struct -x page"),
            ("struct -xo page", "struct -x page"),
            ("bt -lx 151", "bt --pid 151"),
            ("files 1", "files --pid 1"),
            ("irq -s", "irq"),
            ("vtop -c 1 400000", "vtop --pid 1 400000"),
            ("dis -rl schedule", "dis -rl schedule"),
        ] {
            assert_eq!(here(there).as_deref(), Ok(expected), "{there}");
        }
    }

    /// `-o FILE` writes a file here, `-v` is verbose: taken for these, they would give wrong answers without a word.
    #[test]
    fn options_that_mean_something_else_are_not_taken_for_that() {
        for text in [
            "rd -o 8 jiffies",
            "kmem -v",
            "kmem -V",
            "kmem -o",
            "dev -v",
            "rd -u 400000",
            "kmem ff2bd5afffe54180",
            "runq -c 1",
            "timer -C 1",
            "irq -c 1",
            "bt -v",
            "runq -oxyz",
            "irq -xo",
        ] {
            assert!(here(text).is_err(), "{text}");
        }
        for text in ["struct -o page", "list -o 8 1000", "tree -o 8 1000", "bt -o", "dis -v schedule"] {
            let line = here(text).unwrap();
            assert!(!line.contains("-o ") && !line.ends_with("-o") && !line.contains("-v"), "{line}");
        }
    }
}
