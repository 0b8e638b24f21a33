//! What `crash` spells differently, so that its habits and its `-i` files work, and what it has that is found elsewhere here.

use super::crash_options::translate_options;

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A command of this program.
    Command(Vec<String>),
    /// It only sets `crash` up, and does nothing.
    Nothing,
    /// `set PID`: whose stack and files are meant from now on; `None` as at the start.
    Task(Option<i32>),
    /// There is no such command, and this is to be done in its place.
    Elsewhere(&'static str),
}

/// Commands of `crash` without one of the same name here.
const ELSEWHERE: [(&str, &str); 25] = [
    ("ascii", "`rd ADDRESS` and `rd -8 ADDRESS` show text beside the numbers"),
    ("alias", "the shell has no aliases; `shell -i FILE` runs a file of commands"),
    ("btop", "a page number is the address divided by the size of a page: `p -x ADDRESS / 4096`"),
    ("bpf", "`p` and `struct` show what there is of programs: `tree -t xarray prog_idr.idr_rt`"),
    ("dec", "numbers are decimal by default; `p -x` and `struct -x` write them in hexadecimal"),
    ("edit", "there is nothing to edit; Ctrl-R searches the history"),
    ("extend", "extensions in C cannot be loaded; `--format json` gives the answers to other programs"),
    ("fuser", "`files --state RSDITtPXZ | grep PATH` lists who has a file open"),
    ("gdb", "`p` evaluates expressions, `struct` shows objects, `dis` code"),
    ("hex", "`p -x` and `struct -x` write numbers in hexadecimal"),
    ("ipcs", "`tree -t xarray` lists what the identifiers of `init_ipc_ns.ids` lead to"),
    ("mach", "`info` shows the machine, `irq` its interrupts"),
    ("pte", "`vtop ADDRESS` shows each entry of the page tables with its meaning"),
    ("ptob", "the address is the page number times the size of a page: `p -x NUMBER * 4096`"),
    ("ptov", "`rd -p ADDRESS` reads physical memory; its direct map begins at `p -x page_offset_base`"),
    ("repeat", "a dump does not change; `shell -i FILE` runs a file of commands"),
    ("sbitmapq", "`dev` lists the requests that a disk has in flight, by their tags"),
    ("sig", "`p 'task(PID)->pending'` and `p 'task(PID)->signal->shared_pending'` show signals that wait"),
    (
        "vm",
        "`tree -t maple 'task(PID)->mm->mm_mt' -s vm_area_struct.vm_start,vm_end` lists mappings; before 6.1, \
            `list 'task(PID)->mm->mmap' --offset vm_area_struct.vm_next`",
    ),
    ("wr", "a dump is only read"),
    ("eval", "`p EXPRESSION` calculates, `p -x EXPRESSION` in hexadecimal"),
    (
        "log -t",
        "`log` shows every record with the time since boot; `dmesg --format json` has its level, caller and device, and \
            `info` the date of the end",
    ),
    ("sys -c", "the table of system calls is `rd -s sys_call_table 400`"),
    ("sys config", "the kernel's configuration is not unpacked; `/boot/config-RELEASE` of its package has it"),
    ("!", "a shell is in the next terminal; `COMMAND | PROGRAM` sends what a command prints through a program"),
];
/// How `foreach` calls states.
const STATES: [(&str, &str); 8] =
    [("UN", "D"), ("RU", "R"), ("IN", "S"), ("ID", "I"), ("ZO", "Z"), ("ST", "T"), ("TR", "t"), ("DE", "X")];
const EVERY_STATE: &str = "RSDITtPXZ";

/// What a line means; `task` is what `set` chose before.
pub(super) fn translate(words: &[String], task: Option<i32>) -> Meaning {
    let Some((first, rest)) = words.split_first() else { return Meaning::Nothing };
    let texts: Vec<&str> = rest.iter().map(String::as_str).collect();
    let line = |head: &[&str], rest: &[&str]| {
        let words: Vec<&str> = head.iter().chain(rest).copied().collect();
        options(&words, task)
    };
    match (first.as_str(), texts.as_slice()) {
        ("set", words) => set(words),
        ("sys", ["-c", ..]) => elsewhere("sys -c"),
        ("sys", ["config", ..]) => elsewhere("sys config"),
        ("sys", _) => line(&["info"], &[]),
        ("log", []) => line(&["dmesg"], &[]),
        ("log", options) if options.iter().all(|word| word.starts_with('-')) => elsewhere("log -t"),
        ("foreach", words) => foreach(words, task),
        ("ps", [state]) if state_of(state).is_some() => line(&["ps", "--state", state_of(state).unwrap_or("D")], &[]),
        ("whatis", ["struct" | "union" | "enum", name] | [name]) => line(&["struct", name], &[]),
        ("px", rest) => line(&["p", "-x"], rest),
        ("pd" | "print", rest) => line(&["p"], rest),
        ("p/x", rest) => line(&["p", "-x"], rest),
        ("p/d" | "p/u", rest) => line(&["p"], rest),
        ("gdb", ["print" | "p", rest @ ..]) => line(&["p"], rest),
        ("union", rest) => line(&["struct"], rest),
        ("task", rest) => of_task(rest, task),
        (pointer, rest) if pointer.len() > 1 && pointer.starts_with('*') => {
            line(&["struct", pointer.trim_start_matches('*')], rest)
        }
        (command, _) if command.starts_with('!') => elsewhere("!"),
        (command, rest) => match elsewhere(command) {
            Meaning::Nothing => line(&[command], rest),
            found => found,
        },
    }
}

fn options(words: &[&str], task: Option<i32>) -> Meaning {
    match translate_options(words, task) {
        Ok(words) => Meaning::Command(words),
        Err(instead) => Meaning::Elsewhere(instead),
    }
}

fn elsewhere(command: &str) -> Meaning {
    let found = ELSEWHERE.iter().find(|(name, _)| *name == command);
    found.map_or(Meaning::Nothing, |(_, instead)| Meaning::Elsewhere(instead))
}

/// `set PID` and `set -p`. Everything else sets up how `crash` shows things.
fn set(words: &[&str]) -> Meaning {
    match words {
        ["-p"] => Meaning::Task(None),
        ["-c", _] => Meaning::Elsewhere("`bt --cpu N` shows what a CPU was running"),
        [pid] => pid.parse().map_or(Meaning::Nothing, |pid| Meaning::Task(Some(pid))),
        _ => Meaning::Nothing,
    }
}

/// `task`, `task PID`, `task ADDRESS`, each perhaps with `-R MEMBER,...`.
fn of_task(words: &[&str], chosen: Option<i32>) -> Meaning {
    let (members, rest) = match words {
        ["-R", members, rest @ ..] => (Some(*members), rest),
        ["-x", rest @ ..] => (None, rest),
        _ => (None, words),
    };
    let place = match (rest, chosen) {
        ([one], _) if one.parse::<i32>().is_ok() => format!("task({one})"),
        ([one], _) => (*one).to_owned(),
        ([], Some(pid)) => format!("task({pid})"),
        _ => return Meaning::Elsewhere("say which task: `task PID`, or `set PID` first"),
    };
    let object = members.map_or_else(|| "task_struct".to_owned(), |members| format!("task_struct.{members}"));
    Meaning::Command(["struct", &object, &place].map(str::to_owned).into())
}

fn state_of(name: &str) -> Option<&'static str> {
    STATES.iter().find(|(there, _)| *there == name).map(|(_, here)| *here)
}

/// `foreach WHO... COMMAND [OPTIONS]`: one command that shows all of them.
fn foreach(words: &[&str], chosen: Option<i32>) -> Meaning {
    const MORE: &str =
        "after `foreach` stand `bt`, `ps` or `files`; `struct task_struct.MEMBER 'task(PID)'` shows a member";
    let Some(at) = words.iter().position(|word| ["bt", "ps", "files"].contains(word)) else {
        return Meaning::Elsewhere(MORE);
    };
    let (who, command) = words.split_at(at);
    let Some((command, rest)) = command.split_first() else { return Meaning::Elsewhere(MORE) };
    let mut line = vec![*command];
    for word in who {
        match (*word, state_of(word)) {
            ("all", _) => {}
            ("active", _) if *command == "bt" => return options(&["bt"], None),
            ("user" | "kernel" | "gleader" | "active", _) => {
                return Meaning::Elsewhere(
                    "select by state, name or pid; `ps | grep -v '\\['` leaves kernel threads out",
                );
            }
            (_, Some(state)) => line.extend(["--state", state]),
            (pid, _) if pid.parse::<i32>().is_ok() => line.extend(["--pid", pid]),
            (name, _) => line.extend(["--comm", name]),
        }
    }
    let everybody = line.len() == 1;
    match *command {
        "bt" if everybody => line.push("--all"),
        "files" if everybody => line.extend(["--state", EVERY_STATE]),
        _ => {}
    }
    line.extend(rest);
    options(&line, chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, task: Option<i32>) -> Meaning {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        translate(&words, task)
    }

    fn here(text: &str) -> String {
        match of(text, None) {
            Meaning::Command(words) => words.join(" "),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn habits_of_crash_are_understood() {
        for (there, expected) in [
            ("sys", "info"),
            ("sys -t", "info"),
            ("log", "dmesg"),
            ("log /tmp/file", "log /tmp/file"),
            ("foreach bt", "bt --all"),
            ("foreach bt -s", "bt --all"),
            ("foreach bt -x -l", "bt --all"),
            ("foreach UN bt", "bt --state D"),
            ("foreach UN bt -l", "bt --state D"),
            ("foreach active bt", "bt"),
            ("foreach kworker bt", "bt --comm kworker"),
            ("foreach 1 2 bt", "bt --pid 1 --pid 2"),
            ("foreach UN files", "files --state D"),
            ("foreach files", "files --state RSDITtPXZ"),
            ("foreach UN ps -m", "ps --state D --sort wait"),
            ("ps UN", "ps --state D"),
            ("whatis page", "struct page"),
            ("whatis struct page", "struct page"),
            ("px jiffies", "p -x jiffies"),
            ("p/x jiffies", "p -x jiffies"),
            ("gdb print jiffies", "p jiffies"),
            ("task 1", "struct task_struct task(1)"),
            ("task -R pid,comm 1", "struct task_struct.pid,comm task(1)"),
            ("*task_struct.pid ff00", "struct task_struct.pid ff00"),
        ] {
            assert_eq!(here(there), expected, "{there}");
        }
    }

    #[test]
    fn a_task_is_chosen_for_what_follows() {
        assert_eq!(of("set 151", None), Meaning::Task(Some(151)));
        assert_eq!(of("set -p", Some(151)), Meaning::Task(None));
        assert_eq!(of("set scroll off", None), Meaning::Nothing);
        let command = |text: &str| Meaning::Command(text.split_whitespace().map(str::to_owned).collect());
        assert_eq!(of("bt", Some(151)), command("bt --pid 151"));
        assert_eq!(of("bt -a", Some(151)), command("bt"));
        assert_eq!(of("files", Some(151)), command("files --pid 151"));
        assert_eq!(of("task", Some(151)), command("struct task_struct task(151)"));
        assert_eq!(of("vtop -u 400000", Some(151)), command("vtop --pid 151 400000"));
    }

    #[test]
    fn what_there_is_not_is_said() {
        for text in [
            "sig 1",
            "vm",
            "log -T",
            "log -a",
            "foreach user bt",
            "foreach vm",
            "set -c 1",
            "!ls",
            "sys -c",
            "wr jiffies 1",
            "task",
        ] {
            assert!(matches!(of(text, None), Meaning::Elsewhere(_)), "{text}");
        }
    }
}
