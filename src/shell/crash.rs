//! What `crash` spells differently, so that its habits and its `-i` files work.

/// The words of a command here; `None` for what only sets `crash` up, and does nothing.
pub(super) fn translate(words: &[String]) -> Option<Vec<String>> {
    let (first, rest) = words.split_first()?;
    let texts: Vec<&str> = rest.iter().map(String::as_str).collect();
    let line = |head: &[&str], rest: &[&str]| Some(head.iter().chain(rest).map(|word| (*word).to_owned()).collect());
    match (first.as_str(), texts.as_slice()) {
        ("set", _) => None,
        ("sys", []) => line(&["info"], &[]),
        ("log", options) if !options.iter().any(|word| !word.starts_with('-')) => line(&["dmesg"], &[]),
        ("foreach", ["bt", ..] | ["all", "bt", ..]) => line(&["bt", "--all"], &[]),
        ("foreach", [state, "bt", ..]) => match *state {
            "UN" => line(&["bt", "--state", "D"], &[]),
            "RU" => line(&["bt", "--state", "R"], &[]),
            "IN" => line(&["bt", "--state", "S"], &[]),
            "ZO" => line(&["bt", "--state", "Z"], &[]),
            "ST" => line(&["bt", "--state", "T"], &[]),
            name => line(&["bt", "--comm", name], &[]),
        },
        ("bt", ["-a", rest @ ..]) => line(&["bt"], rest),
        ("bt", ["-c", cpu, rest @ ..]) => line(&["bt", "--cpu", cpu], rest),
        ("bt", [pid, rest @ ..]) if pid.parse::<i32>().is_ok() => line(&["bt", "--pid", pid], rest),
        ("bt", [task, rest @ ..]) if task.len() == 16 && task.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            line(&["bt", "--task", task], rest)
        }
        ("ps", ["-l" | "-m", rest @ ..]) => line(&["ps", "--sort", "wait"], rest),
        ("ps", ["-p", rest @ ..]) => line(&["ps", "--tree"], rest),
        ("ps", [pid]) if pid.parse::<i32>().is_ok() => line(&["ps", "--pid", pid], &[]),
        ("ps", [name]) if !name.starts_with('-') => line(&["ps", "--comm", name], &[]),
        ("struct" | "union", ["-o", rest @ ..]) => line(&["struct"], rest),
        ("whatis", [name]) => line(&["struct", name], &[]),
        ("px", rest) => line(&["p", "-x"], rest),
        ("pd", rest) => line(&["p"], rest),
        (pointer, rest) if pointer.len() > 1 && pointer.starts_with('*') => {
            line(&["struct", pointer.trim_start_matches('*')], rest)
        }
        (command, rest) => line(&[command], rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(text: &str) -> Option<String> {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        translate(&words).map(|words| words.join(" "))
    }

    #[test]
    fn habits_of_crash_are_understood() {
        for (there, expected) in [
            ("sys", "info"),
            ("log", "dmesg"),
            ("log -T", "dmesg"),
            ("log /tmp/file", "log /tmp/file"),
            ("bt", "bt"),
            ("bt -a", "bt"),
            ("bt -c 3", "bt --cpu 3"),
            ("bt 151", "bt --pid 151"),
            ("bt ff2bd5afffe54180", "bt --task ff2bd5afffe54180"),
            ("bt --pid 3 --registers", "bt --pid 3 --registers"),
            ("foreach bt", "bt --all"),
            ("foreach UN bt", "bt --state D"),
            ("foreach kworker bt", "bt --comm kworker"),
            ("ps -m", "ps --sort wait"),
            ("ps 12", "ps --pid 12"),
            ("ps bash", "ps --comm bash"),
            ("struct -o page", "struct page"),
            ("whatis page", "struct page"),
            ("px jiffies", "p -x jiffies"),
            ("*task_struct.pid ff00", "struct task_struct.pid ff00"),
        ] {
            assert_eq!(here(there).as_deref(), Some(expected), "{there}");
        }
        assert_eq!((here("set scroll off"), here("set 151")), (None, None));
    }
}
