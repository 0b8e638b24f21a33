//! Debug information from servers, for want of a file on this machine.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vmcore_debuginfo::Vmlinux;
use vmcore_debuginfod::{Client, FetchError, Progress, Settings};
use vmcore_kernel::hex;
use vmcore_report::Sanitized;

use crate::cli::Search;
use crate::run::Run;
use crate::secrets::without_secrets;

const BAR: &str = "{bar:30} {bytes} of {total_bytes} ({elapsed}, {eta} to go)";
const SPINNER: &str = "{spinner} {bytes} ({elapsed})";

/// The vmlinux with this build-id from the cache or a server; `Ok(None)` where there is nobody to ask. The error says
/// what each server answered.
pub(crate) fn vmlinux(build_id: &[u8], search: &Search, run: &Run) -> Result<Option<PathBuf>, FetchError> {
    let mut settings = Settings::read(|name| std::env::var_os(name));
    if search.no_debuginfod {
        settings.servers.clear();
        settings.refused.clear();
    }
    let nobody = settings.servers.is_empty() && settings.refused.is_empty();
    let client = Client::new(settings);
    let verify = |path: &Path| is_build(path, build_id);
    if nobody {
        return Ok(client.cached(build_id, &verify));
    }
    let mut view = View { quiet: run.is_quiet(), url: String::new(), bar: None };
    let fetched = client.fetch(build_id, &verify, |progress| view.show(&progress));
    view.close();
    fetched.map(Some)
}

/// A server may send anything.
fn is_build(path: &Path, build_id: &[u8]) -> Result<(), String> {
    match Vmlinux::build_id_of(path).map_err(|error| error.to_string())? {
        Some(found) if found == build_id => Ok(()),
        Some(found) => Err(format!("its build-id is {}", hex(&found))),
        None => Err("it has no build-id".to_owned()),
    }
}

/// What people see meanwhile: a note with each server, and how far it is.
struct View {
    quiet: bool,
    url: String,
    bar: Option<ProgressBar>,
}

impl View {
    fn show(&mut self, progress: &Progress<'_>) {
        if self.url != progress.url {
            progress.url.clone_into(&mut self.url);
            self.close();
            tracing::info!("asking {}", self.url);
        }
        if progress.received == 0 || self.quiet {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            // Nobody is left to be told when standard error is closed.
            let _ = writeln!(io::stderr().lock(), "note: downloading {}", Sanitized::new(&without_secrets(&self.url)));
            bar(progress.size)
        });
        bar.set_position(progress.received);
    }

    fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar on a terminal; elsewhere one that is not seen.
fn bar(size: Option<u64>) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(size, target);
    match ProgressStyle::with_template(if size.is_some() { BAR } else { SPINNER }) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
