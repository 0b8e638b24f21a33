//! The variables that are looked at, by what a command does.

/// A variable, and what it is for.
#[derive(Clone, Copy)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) meaning: &'static str,
}

const fn variable(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, meaning }
}

const TEXT: [Variable; 3] = [
    variable("NO_COLOR", "If set and not empty, nothing is coloured where --color is auto."),
    variable("COLUMNS", "The width of text, instead of the terminal's."),
    variable(
        "VMCORE_THP_PAGER, PAGER, LESS",
        "What shows text on a terminal page by page; cat or an empty value for nothing. Without either variable it is \
         less, and without LESS it is called with -FRX.",
    ),
];
const DUMP: [Variable; 3] = [
    variable("TMPDIR", "Where dumps that are compressed as a whole are unpacked, instead of /tmp."),
    variable(
        "DEBUGINFOD_URLS",
        "Servers, separated by blanks, that are asked for a vmlinux that is not on this machine. DEBUGINFOD_TIMEOUT, \
         DEBUGINFOD_MAXTIME, DEBUGINFOD_MAXSIZE and DEBUGINFOD_CACHE_PATH are as of other clients.",
    ),
    variable("XDG_CACHE_HOME", "Where downloads, and profiles of kernels, are kept below, instead of ~/.cache."),
];
const STATE: Variable = variable(
    "XDG_STATE_HOME",
    "Where the store of triage or the history of shell is below, instead of ~/.local/state.",
);
const NOTIFIED: Variable = variable(
    "VMCORE_THP_ISSUE, VMCORE_THP_SUMMARY, VMCORE_THP_HOST, ...",
    "Set for --notify-command: what is new, of which machine.",
);
const SHARE: Variable = variable(
    "SLURM_ARRAY_TASK_ID, SLURM_ARRAY_TASK_MIN, SLURM_ARRAY_TASK_STEP, SLURM_ARRAY_TASK_COUNT, JOB_COMPLETION_INDEX",
    "Which share it is, where --shard does not say so.",
);

/// Those of a command, by its arguments; `name` is empty for the program.
pub(super) fn of(command: &clap::Command, name: &str) -> Vec<Variable> {
    let has = |argument: &str| command.get_arguments().any(|known| known.get_id() == argument);
    let program = name.is_empty();
    let mut variables = TEXT.to_vec();
    if program || has("debug_dir") {
        variables.extend(DUMP);
    }
    if program || name == "shell" || has("store") && name != "triage-work" {
        variables.push(STATE);
    }
    if has("notify_command") {
        variables.push(NOTIFIED);
    }
    if name == "triage-work" {
        variables.push(SHARE);
    }
    variables
}
