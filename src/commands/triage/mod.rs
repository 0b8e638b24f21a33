//! `triage`: many dumps, each judged in a process of its own.

mod beside;
mod export;
mod kernels;
mod pages;
mod shards;

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use vmcore_diagnose::release_has_bug;
use vmcore_os::{is_interrupted, note_interrupts, physical_memory};
use vmcore_report::Theme;
use vmcore_triage::report::{PAGE, Record, page, write_metrics, write_row, write_text};
use vmcore_triage::{
    Analyzer, Confidence, Event, Extent, Inputs, Item, Listing, Options, Outcome, Pile, Row, Store, find, notify, now,
};

use crate::cli::{self, Format, Global, TriageAction};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, Readers, check_file, write_file_for};
use crate::pile_view::PileView;
use crate::status::Status;
use crate::{profiles, program, remote};
use export::{export, export_rows, only_export};
use kernels::{Kernel, Used};
use pages::Pages;

/// For how long one dump may be worked on where nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(300);
/// What one dump may need where nothing else is said: that of 100 000 tasks needs a tenth of it.
const MAX_MEMORY: u64 = 2 << 30;
/// What a worker itself needs, beside the copy that analyzes a dump: the profiles that it holds open, and what a process
/// takes that has done nothing yet.
const WORKER_MEMORY: u64 = profiles::HELD_MEMORY + (16 << 20);

pub(crate) fn run(
    arguments: &cli::Triage,
    global: &Global,
    context: &Context,
    output: Output,
) -> Result<Status, Failure> {
    match &arguments.action {
        None => judge(arguments, global, context, output),
        Some(TriageAction::Report(arguments)) => report(arguments, global, context, output),
        Some(TriageAction::Plan(arguments)) => shards::plan(arguments, context, output),
        Some(TriageAction::Work(arguments)) => shards::work(arguments, global, context),
        Some(TriageAction::Merge(arguments)) => shards::merge(arguments, context),
        Some(TriageAction::Export(store)) => export(&open_existing(store)?, output),
        // It was served before anything was opened: see `worker.rs`.
        Some(TriageAction::Worker(_)) => Ok(Status::NothingFound),
    }
}

fn path_of(option: &cli::StoreOption) -> Result<PathBuf, Failure> {
    option.store.clone().map_or_else(default_store, Ok)
}

/// The store, which is made if there is none.
fn open(option: &cli::StoreOption) -> Result<Store, Failure> {
    Ok(Store::open(&path_of(option)?)?)
}

/// A store that is there: of one that was misspelled, a report would say that nothing crashed.
fn open_existing(option: &cli::StoreOption) -> Result<Store, Failure> {
    let path = path_of(option)?;
    if !path.exists() {
        return Err(Failure::new(format_args!("there is no store {}", path.display()))
            .hint("`vmcore-thp triage PATH...` makes one; --store names it"));
    }
    Ok(Store::open_to_read(&path)?)
}

fn default_store() -> Result<PathBuf, Failure> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
    let directory = state.or_else(home).ok_or_else(|| {
        Failure::new("there is no home directory to keep the store in").hint("name a file with --store")
    })?;
    Ok(directory.join("vmcore-thp/triage.db"))
}

fn judge(arguments: &cli::Triage, global: &Global, context: &Context, output: Output) -> Result<Status, Failure> {
    if let Some(path) = &arguments.metrics {
        check_file(path, true)?;
    }
    let Found { items, kernels, lost } = items(&arguments.pile, context)?;
    let mut options = options(&arguments.workers, arguments.retry, global)?;
    for kernel in &kernels {
        options.analyzer.arguments.extend(["--debug-file".into(), kernel.path.clone().into()]);
    }
    let store = open(&arguments.store)?;
    note_interrupts().map_err(|error| Failure::new(format_args!("cannot set signal handlers: {error}")))?;
    let run = Run { items: &items, store: &store, options: &options, arguments, context };
    let (keys, used) = run.all(&output)?;
    if is_interrupted() {
        return Err(interrupted(keys.len(), items.len(), &arguments.store));
    }
    used.tell(&kernels, context);
    let of_run = |key: &str| keys.contains(key);
    let pile = read(&store, extent(&output), of_run)?;
    if let Some(path) = &arguments.metrics {
        let all = read(&store, Extent::GROUPS, |_| true)?;
        let write = |mut out: &mut dyn Write| write_metrics(&all, now(), &mut out);
        write_file_for(Readers::Everyone, path, true, write, || ())?;
    }
    let status = match status(&pile) {
        Status::NothingFound if lost => Status::Inconclusive,
        status => status,
    };
    // As JSON, the lines were written on the way unless they go to a file.
    if output.format() != Format::Json || !output.is_stdout() {
        write(&pile, &store, output, of_run)?;
    }
    Ok(status)
}

/// What there is to judge.
struct Found {
    items: Vec<Item>,
    /// What was named with it to judge it by.
    kernels: Vec<Kernel>,
    /// Whether there may be more, where nobody could look.
    lost: bool,
}

fn items(pile: &cli::Pile, context: &Context) -> Result<Found, Failure> {
    let Listing { mut items, programs, skipped } =
        find(&Inputs { paths: pile.paths.clone(), manifests: pile.manifest.clone(), servers: remote::servers(None) })?;
    for skipped in &skipped {
        context.run.warn(format_args!("{} is skipped: {}", skipped.path.display(), skipped.reason));
    }
    let mut kernels = Vec::new();
    for path in programs {
        match Kernel::of(&path) {
            Some(kernel) => kernels.push(kernel),
            // Why it cannot be judged, its row says.
            None => items.push(Item::dump(path)),
        }
    }
    if items.is_empty() {
        let only = kernels.first().map(|kernel| format!(": {} is debug information", kernel.path.display()));
        return Err(Failure::new(format_args!(
            "there are no dumps or kernel logs to judge{}",
            only.unwrap_or_default()
        ))
        .hint("name dumps, or directories with dumps; `--manifest FILE` takes a list of them"));
    }
    Ok(Found { items, kernels, lost: skipped.iter().any(|skipped| skipped.lost) })
}

/// All of a run's items are counted, also those that had a row before.
fn interrupted(done: usize, all: usize, option: &cli::StoreOption) -> Failure {
    let store = option.store.clone().or_else(|| default_store().ok()).unwrap_or_default();
    Failure::interrupted(format_args!("interrupted: {done} of {all} are done, and kept in {}", store.display()))
        .hint("run the same command again to continue; `vmcore-thp triage report` shows what is done")
}

fn options(arguments: &cli::Workers, retry: bool, global: &Global) -> Result<Options, Failure> {
    let program =
        program::path().map_err(|error| Failure::new(format_args!("cannot tell where this program is: {error}")))?;
    let max_memory = global.max_memory.unwrap_or(MAX_MEMORY);
    let memory = arguments.memory.or_else(|| Some(physical_memory()? / 4 * 3)).unwrap_or(MAX_MEMORY);
    let by_memory = usize::try_from(memory / max_memory.saturating_add(WORKER_MEMORY)).unwrap_or(usize::MAX);
    let by_cpus = thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.map_or(by_cpus, usize::from).min(by_memory).max(1);
    let timeout = global.timeout.map_or(TIMEOUT, |timeout| Duration::from_nanos(timeout.0));
    Ok(Options {
        analyzer: Analyzer {
            program,
            arguments: of_search(&arguments.search),
            worker_arguments: of_search(&arguments.search),
            timeout,
            max_memory,
            give_up: is_interrupted,
            servers: remote::servers(Some(&arguments.search)),
        },
        jobs,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        again: global.force,
        retry,
    })
}

/// What each process is told of where debug information is.
fn of_search(search: &cli::Search) -> Vec<OsString> {
    let mut arguments = Vec::new();
    let mut add = |option: &str, value: &OsStr| arguments.extend([option.into(), value.to_owned()]);
    for directory in &search.debug_dir {
        add("--debug-dir", directory.as_os_str());
    }
    if let Some(cache) = search.cache.clone().or_else(profiles::users_directory).filter(|_| !search.no_cache) {
        add("--cache", cache.as_os_str());
    }
    if let Some(size) = search.cache_size {
        add("--cache-size", size.to_string().as_ref());
    }
    if let Some(prefix) = &search.share_profiles {
        add("--share-profiles", prefix.as_os_str());
    }
    if let Some(size) = search.block_cache {
        add("--block-cache", size.to_string().as_ref());
    }
    let flags = [(search.no_debuginfod, "--no-debuginfod"), (search.no_cache, "--no-cache")];
    arguments.extend(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag.into()));
    arguments
}

/// One run over all items.
struct Run<'r> {
    items: &'r [Item],
    store: &'r Store,
    options: &'r Options,
    arguments: &'r cli::Triage,
    context: &'r Context,
}

impl Run<'_> {
    /// Judges everything; the keys of what was judged, and what debug information that took.
    fn all(&self, output: &Output) -> Result<(BTreeSet<String>, Used), Failure> {
        let mut keys = BTreeSet::new();
        let mut used = Used::default();
        let mut told = BTreeSet::new();
        let mut view = PileView::new(self.items.len(), self.context.run.is_quiet());
        let lines = output.format() == Format::Json && output.is_stdout();
        let result = vmcore_triage::run(self.items, self.store, self.options, |event| match event {
            Event::Started(item) => {
                view.started(item);
                true
            }
            Event::Done(item, outcome) => {
                let line = |out: &mut dyn Write| write_row(outcome, out, &Theme::plain());
                view.done(item, &outcome.row, outcome.fresh.then_some(line));
                keys.insert(outcome.row.key.clone());
                used.add(outcome);
                if outcome.new_group && is_problem(&outcome.row) && told.insert(outcome.row.signature.group()) {
                    self.tell(outcome);
                }
                self.write_beside(item, outcome);
                !lines || Record::of(&outcome.row).write_line(&mut io::stdout().lock()).is_ok()
            }
        });
        view.end();
        result?;
        Ok((keys, used))
    }

    fn tell(&self, outcome: &Outcome) {
        let Some(command) = &self.arguments.notify_command else { return };
        if let Err(error) = notify(command, outcome) {
            self.context.run.warn(format_args!("--notify-command: {error}"));
        }
    }

    fn write_beside(&self, item: &Item, outcome: &Outcome) {
        if self.arguments.beside
            && let Err(failure) = beside::write(self.items, item, outcome, self.store)
        {
            self.context.run.warn(failure.message());
        }
    }
}

fn is_problem(row: &Row) -> bool {
    Confidence::of(row).is_problem()
}

/// 1 if any dump has a problem, 2 if none could be judged at all, 3 if some could not.
fn status(pile: &Pile) -> Status {
    let any = |is: fn(Confidence) -> bool| pile.confidences.keys().copied().any(is);
    if any(Confidence::is_problem) {
        Status::ProblemFound
    } else if !any(|confidence| confidence != Confidence::Failed) {
        Status::CannotRun
    } else if any(|confidence| confidence != Confidence::None) {
        Status::Inconclusive
    } else {
        Status::NothingFound
    }
}

/// How much of a pile the form of the output shows.
fn extent(output: &Output) -> Extent {
    if output.format() == Format::Html { PAGE } else { Extent::GROUPS }
}

fn read(store: &Store, extent: Extent, keep: impl Fn(&str) -> bool) -> Result<Pile, Failure> {
    Ok(Pile::read(store, &release_has_bug, extent, keep)?)
}

/// What is written when a run is over, of the rows whose key `keep` wants.
fn write(pile: &Pile, store: &Store, output: Output, keep: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let theme = output.theme();
    match output.format() {
        Format::Text => output.write_with(|out| write_text(pile, out, &theme)),
        Format::Json | Format::Csv => export_rows(store, output, keep),
        Format::Html => html(pile, store, output, None),
        Format::Parquet => Err(only_export("Parquet")),
    }
}

fn html(pile: &Pile, store: &Store, output: Output, pages: Option<&Pages>) -> Result<(), Failure> {
    let document = |row: &Row| store.document(&row.key, &row.tool).ok().flatten();
    let page = page(pile, now(), &document, &|row| pages.map(|pages| pages.link(row)));
    output.write_with(|out| out.write_all(page.as_bytes()))
}

fn report(
    arguments: &cli::TriageReport,
    global: &Global,
    context: &Context,
    output: Output,
) -> Result<Status, Failure> {
    let pages = match (&arguments.pages, &global.output) {
        (None, _) => None,
        (Some(_), _) if output.format() != Format::Html => {
            return Err(
                Failure::new("--pages is for --format html").hint("name a page with --output, such as crashes.html")
            );
        }
        (Some(directory), Some(page)) => Some(Pages::new(directory, page, global.force)?),
        (Some(_), None) => {
            return Err(Failure::new("the page that links to --pages needs a name").hint("name it with --output"));
        }
    };
    let store = open_existing(&arguments.store)?;
    match output.format() {
        Format::Json => return export(&store, output),
        Format::Csv => return Err(only_export("CSV")),
        Format::Parquet => return Err(only_export("Parquet")),
        Format::Text | Format::Html => {}
    }
    let pile = context.run.step("reading the store", || read(&store, extent(&output), |_| true))?;
    if let Some(pages) = &pages {
        context.run.step("writing the pages of dumps", || pages.write(&pile, &store))?;
        html(&pile, &store, output, Some(pages))?;
    } else {
        write(&pile, &store, output, |_| true)?;
    }
    Ok(Status::NothingFound)
}
