//! The shell with a person: editing, history, completion.

use std::path::PathBuf;

use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use vmcore_report::Sanitized;

use super::completion::Words;
use super::{Outcome, PROMPT, Shell};
use crate::failure::Failure;
use crate::session::Session;
use crate::status::Status;

/// Lines that are remembered.
const HISTORY: usize = 1000;

pub(super) fn run(shell: &Shell<'_>, session: &'static Session) -> Result<Status, Failure> {
    let failed = |error: ReadlineError| Failure::new(format_args!("cannot read from the terminal: {error}"));
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor: Editor<Words, FileHistory> = Editor::with_config(config).map_err(failed)?;
    // Without a history file the shell is the same.
    let _ = editor.set_max_history_size(HISTORY);
    let history = history_file();
    if let Some(path) = &history {
        let _ = editor.load_history(path);
    }
    editor.set_helper(Some(Words::new(session)));
    shell.print(greeting(session))?;
    loop {
        match editor.readline(PROMPT) {
            Ok(line) => {
                if let Outcome::Leave = shell.line(&line, true) {
                    break;
                }
            }
            // Ctrl-C leaves the line, not the shell.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        }
    }
    if let Some(path) = &history {
        let _ = editor.save_history(path);
    }
    // What a person saw on the way is no result of the whole.
    Ok(Status::NothingFound)
}

/// `$XDG_STATE_HOME/vmcore-thp/history`; `None` where there is no home, or the directory cannot be made.
fn history_file() -> Option<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state"));
    let state =
        std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home)?;
    let directory = state.join("vmcore-thp");
    std::fs::create_dir_all(&directory).ok()?;
    Some(directory.join("history"))
}

fn greeting(session: &Session) -> String {
    let kernel = session.kernel;
    let release = kernel.release().unwrap_or("a kernel of unknown release");
    let cpus = kernel.percpu().cpus().count();
    format!("{}, {cpus} CPUs. `help` lists commands, Ctrl-D ends.\n", Sanitized::new(release))
}
