//! What each command ends with.

/// A status, and what it says.
pub(super) type Meaning = (u8, &'static str);

const CANNOT: &str =
    "It could not run: wrong usage, a file that cannot be read, a vmlinux of another kernel, a limit reached.";

const VERDICT: [Meaning; 4] = [
    (0, "Nothing wrong was found."),
    (1, "A problem was found; the verdict is confirmed or probable."),
    (2, CANNOT),
    (3, "Inconclusive: a problem is only possible, or what would tell is not there."),
];
const READING: [Meaning; 3] =
    [(0, "It is shown."), (2, CANNOT), (3, "What was asked for is not in the dump, or not all of it.")];
const MAKING: [Meaning; 2] = [(0, "It is done."), (2, CANNOT)];
const TRIAGE: [Meaning; 4] = [
    (0, "Every file was judged, and none has a problem."),
    (1, "A file has a problem."),
    (2, "None could be judged, or it could not run."),
    (3, "Some could not be judged."),
];
const SYNTH: [Meaning; 3] =
    [(0, "It is done."), (2, CANNOT), (3, "The scenario that a dump came down to does not get the same verdict.")];
const WORK: [Meaning; 3] = [
    (0, "Every dump of the share has a row, whatever it says."),
    (2, CANNOT),
    (3, "Some could not be reached on their server."),
];
const MERGE: [Meaning; 3] = [(0, "Every dump of the plan has a row."), (2, CANNOT), (3, "Rows are missing.")];
const PLAN: [Meaning; 3] = [
    (0, "It was written."),
    (2, CANNOT),
    (3, "It was written, but something that was named could not be looked through."),
];
const SHELL: [Meaning; 4] = [
    (0, "All commands did what they were asked for."),
    (1, "One found a problem, and none failed."),
    (2, "One could not run."),
    (3, "What one was asked for is not in the dump."),
];

/// By the name of the command; empty for the program.
pub(super) fn of(command: &str) -> &'static [Meaning] {
    match command {
        "" | "analyze" | "log" => &VERDICT,
        "triage" => &TRIAGE,
        "triage-work" => &WORK,
        "triage-merge" => &MERGE,
        "triage-plan" => &PLAN,
        "shell" => &SHELL,
        "synth" => &SYNTH,
        "triage-report" | "triage-export" | "mcp" | "profile" | "distill" | "explain" | "schema" | "completions"
        | "man" => &MAKING,
        _ => &READING,
    }
}
