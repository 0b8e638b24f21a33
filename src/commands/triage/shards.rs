//! `triage plan`, `work` and `merge`: one pile on many machines.

use std::env;
use std::path::{Path, PathBuf};

use vmcore_os::{is_interrupted, note_interrupts};
use vmcore_remote::{Address, is_address};
use vmcore_triage::{Shard, ShardDone, Share, Store, write_plan};

use super::{Found, items, options};
use crate::cli::{self, Global};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::pile_view::PileView;
use crate::remote;
use crate::status::Status;

pub(super) fn plan(pile: &cli::Pile, context: &Context, output: Output) -> Result<Status, Failure> {
    let Found { items, kernels, lost } = items(pile, context)?;
    for kernel in kernels {
        context.run.warn(format_args!(
            "{} is debug information and no part of a plan: name its directory to `triage work` with --debug-dir",
            kernel.path.display()
        ));
    }
    output.write_with(|out| write_plan(&items, out))?;
    context.run.note(format_args!("{} dumps and logs are planned", items.len()));
    Ok(if lost { Status::Inconclusive } else { Status::NothingFound })
}

pub(super) fn work(arguments: &cli::TriageWork, global: &Global, context: &Context) -> Result<Status, Failure> {
    let mut options = options(&arguments.workers, false, global)?;
    // Machines that share a store share what each would have to make.
    if let (Some(store), None) = (Address::of_path(&arguments.store)?, &arguments.workers.search.share_profiles) {
        options.analyzer.arguments.extend(["--share-profiles".into(), store.join("profiles").to_string().into()]);
    }
    let share = Share {
        plan: arguments.plan.clone(),
        directory: arguments.store.clone(),
        shard: shard(arguments)?,
        analyzer: options.analyzer,
        jobs: options.jobs,
        tool: options.tool,
        again: options.again,
    };
    note_interrupts().map_err(|error| Failure::new(format_args!("cannot set signal handlers: {error}")))?;
    let mut view = None;
    let done = vmcore_triage::work(&share, |event| match (event, &mut view) {
        (ShardDone::Begins(items), _) => view = Some(PileView::new(items, context.run.is_quiet())),
        (ShardDone::Judged(item, row), Some(view)) => view.done(item, row, None::<fn(&mut dyn std::io::Write) -> _>),
        (ShardDone::Skipped(_), Some(view)) => view.skipped(),
        (ShardDone::Lost(item, why), Some(_)) => {
            context.run.warn(format_args!("{} has no row: {why}", item.path.display()));
        }
        (_, None) => {}
    });
    view.iter().for_each(PileView::end);
    let done = done?;
    if !done && !is_interrupted() {
        return Ok(Status::Inconclusive);
    }
    if !done {
        return Err(Failure::interrupted("interrupted: what is done has its rows")
            .hint("run the same command again to continue"));
    }
    Ok(Status::NothingFound)
}

/// Which share, by the options or by what an engine says.
fn shard(arguments: &cli::TriageWork) -> Result<Shard, Failure> {
    if let Some((number, of)) = arguments.shard {
        return Ok(Shard { number, of });
    }
    let found = match arguments.shards {
        Some(of) => of_index(number("JOB_COMPLETION_INDEX")?, of),
        None => of_array(
            number("SLURM_ARRAY_TASK_ID")?,
            number("SLURM_ARRAY_TASK_MIN").unwrap_or(0),
            number("SLURM_ARRAY_TASK_STEP").unwrap_or(1),
            number("SLURM_ARRAY_TASK_COUNT")?,
        ),
    };
    found.ok_or_else(|| {
        Failure::new("the task number that the job scheduler gives does not name a share")
            .hint("name one with --shard I/N")
    })
}

/// Task `index` of `of`, counted from 0.
fn of_index(index: u64, of: u64) -> Option<Shard> {
    let number = index.checked_add(1).filter(|&number| number <= of)?;
    Some(Shard { number, of })
}

/// The task `id` of an array of `of` that begins at `first` and goes on in steps.
fn of_array(id: u64, first: u64, step: u64, of: u64) -> Option<Shard> {
    of_index(id.checked_sub(first)?.checked_div(step)?, of)
}

fn number(variable: &str) -> Result<u64, Failure> {
    let value = env::var(variable).ok().and_then(|value| value.parse().ok());
    value.ok_or_else(|| {
        Failure::new(format_args!("{variable} does not say which share this is"))
            .hint("name one with --shard I/N, such as --shard 1/8 to --shard 8/8")
    })
}

pub(super) fn merge(arguments: &cli::TriageMerge, context: &Context) -> Result<Status, Failure> {
    match arguments.parts.as_slice() {
        [place] if is_address(place) || place.is_dir() => merge_rows(place, arguments, context),
        parts => merge_stores(parts, arguments, context),
    }
}

/// One store of all rows of a pile.
fn merge_rows(place: &Path, arguments: &cli::TriageMerge, context: &Context) -> Result<Status, Failure> {
    let within = |name: &str| match Address::of_path(place) {
        Ok(Some(address)) => PathBuf::from(address.join(name).to_string()),
        _ => place.join(name),
    };
    let plan = arguments.plan.clone().unwrap_or_else(|| within("plan.jsonl"));
    let path = match &arguments.store {
        Some(path) => path.clone(),
        None if is_address(place) => {
            return Err(Failure::new("the store of rows must be a file on this machine").hint("name it with --store"));
        }
        None => within("triage.db"),
    };
    let mut store = Store::open(&path)?;
    let servers = remote::servers(None);
    let work = || vmcore_triage::merge(&plan, place, &mut store, &servers, |_| ());
    let merged = context.run.step("merging rows", work)?;
    let there = merged.planned - merged.missing;
    context.run.note(format_args!("{there} of {} rows are in {}", merged.planned, path.display()));
    for path in &merged.named {
        context.run.warn(format_args!("there is no row of {}", path.display()));
    }
    if let Some(more @ 1..) = merged.missing.checked_sub(merged.named.len()) {
        context.run.warn(format_args!("and {more} more have no row"));
    }
    Ok(if merged.missing == 0 { Status::NothingFound } else { Status::Inconclusive })
}

/// One store of several.
fn merge_stores(parts: &[PathBuf], arguments: &cli::TriageMerge, context: &Context) -> Result<Status, Failure> {
    if let Some(directory) = parts.iter().find(|part| part.is_dir() || is_address(part)) {
        return Err(Failure::new(format_args!(
            "{} is not a store, and cannot be merged with others",
            directory.display()
        ))
        .hint("merge each directory of rows by itself, and then the stores"));
    }
    let path = arguments.store.as_ref().filter(|_| arguments.plan.is_none()).ok_or_else(|| {
        Failure::new("stores are merged into another store, without a plan")
            .hint("name that store with --store, and leave --plan out")
    })?;
    let mut store = Store::open(path)?;
    context.run.step("merging stores", || parts.iter().try_for_each(|part| store.take_in(part)))?;
    context.run.note(format_args!("{} stores are in {}", parts.len(), path.display()));
    Ok(Status::NothingFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_count_in_their_own_ways() {
        let shard = |number, of| Some(Shard { number, of });
        assert_eq!((of_index(0, 3), of_index(2, 3), of_index(3, 3)), (shard(1, 3), shard(3, 3), None));
        assert_eq!((of_array(1, 1, 1, 8), of_array(8, 1, 1, 8)), (shard(1, 8), shard(8, 8)));
        assert_eq!((of_array(10, 4, 2, 4), of_array(3, 4, 2, 4), of_array(3, 0, 0, 4)), (shard(4, 4), None, None));
        assert_eq!(of_index(u64::MAX, u64::MAX), None);
    }
}
