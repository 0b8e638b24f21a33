//! Arguments of `triage` and of what it does with a pile in shares and with a store.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Search;
use crate::values;

/// Which dumps to judge, and how.
///
/// Exit status: 1 if any dump has a problem; 2 if none could be judged; 3 if some could not; else 0.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Triage {
    #[command(subcommand)]
    pub(crate) action: Option<TriageAction>,
    #[command(flatten)]
    pub(crate) pile: Pile,
    #[command(flatten)]
    pub(crate) store: StoreOption,
    /// Judge again what could not be judged before; --force does so with everything
    #[arg(long)]
    pub(crate) retry: bool,
    /// Write verdict.txt and verdict.json beside each dump
    #[arg(long)]
    pub(crate) beside: bool,
    /// Run `sh -c COMMAND` for each group with a problem that is new in the store; `VMCORE_THP_*` variables describe it
    #[arg(long, value_name = "COMMAND")]
    pub(crate) notify_command: Option<String>,
    /// Write metrics of the store to FILE, for Prometheus' node exporter
    #[arg(long, value_name = "FILE", value_parser = values::local_path())]
    pub(crate) metrics: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) workers: Workers,
}

/// The processes that judge one dump each.
#[derive(Args, Debug)]
pub(crate) struct Workers {
    /// Number of dumps to judge at a time [default: as many as CPUs and memory allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Memory for all dumps at a time; each may use --max-memory [default: three quarters of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) memory: Option<u64>,
    #[command(flatten)]
    pub(crate) search: Search,
}

/// Where rows are kept.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreOption {
    /// Keep rows in FILE, an SQLite database [default: vmcore-thp/triage.db in the user's state directory]
    #[arg(long, value_name = "FILE", value_parser = values::local_path())]
    pub(crate) store: Option<PathBuf>,
}

/// What there is to judge.
#[derive(Args, Debug)]
pub(crate) struct Pile {
    /// Dumps, logs, directories of them as kdump leaves them, quoted patterns, or `s3://BUCKET/PREFIX`
    ///
    /// A vmlinux or profile among them is used for the dumps of its build.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Also judge what FILE lists: a dump and perhaps its vmlinux on each line, or JSON lines; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Vec<PathBuf>,
}

/// Which share to do.
#[derive(Args, Debug)]
pub(crate) struct TriageWork {
    /// The plan that `triage plan` wrote; it may be an object
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: PathBuf,
    /// Write rows below DIR, which all machines see, or `s3://BUCKET/PREFIX`
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// Share I of N, counted from 1 [default: from the variables that Slurm sets for an array's tasks]
    #[arg(long, value_name = "I/N", value_parser = values::shard)]
    pub(crate) shard: Option<(u64, u64)>,
    /// Number of shares, of which `JOB_COMPLETION_INDEX` says this one, as Kubernetes sets it for an indexed job
    #[arg(long, value_name = "N", conflicts_with = "shard", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) shards: Option<u64>,
    #[command(flatten)]
    pub(crate) workers: Workers,
}

/// What to merge.
#[derive(Args, Debug)]
pub(crate) struct TriageMerge {
    /// The directory (or `s3://BUCKET/PREFIX`) that `triage work` wrote rows to; or stores, to be merged into that of --store
    #[arg(value_name = "DIR|STORE", required = true)]
    pub(crate) parts: Vec<PathBuf>,
    /// The plan [default: plan.jsonl in DIR]
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// The store to put rows into, an SQLite database on a local file system [default: triage.db in DIR]
    #[arg(long, value_name = "FILE", value_parser = values::local_path())]
    pub(crate) store: Option<PathBuf>,
}

/// How to show a store of rows.
#[derive(Args, Debug)]
pub(crate) struct TriageReport {
    #[command(flatten)]
    pub(crate) store: StoreOption,
    /// With --format html: write a page of each dump to DIR, and link to them
    #[arg(long, value_name = "DIR", value_parser = values::local_path())]
    pub(crate) pages: Option<PathBuf>,
}

/// What to do with a store of rows.
#[derive(Debug, Subcommand)]
pub(crate) enum TriageAction {
    /// Show the groups of all dumps in the store: text, --format html or json (one line per dump)
    Report(TriageReport),
    /// Write a plan of what there is to judge, for `work` on many machines: --output DIR/plan.jsonl
    Plan(Pile),
    /// Do a share of a plan: write the row of each of its dumps to a directory that all machines see
    ///
    /// Dumps that have a row are skipped, so a share can be done again, or by two at a time. Exit status: 0 once every
    /// dump of the share has a row, whatever it says; 3 if some could not be reached on their server.
    Work(TriageWork),
    /// Put the rows of all shares into one store, and say what is missing
    ///
    /// Exit status: 3 as long as rows are missing.
    Merge(TriageMerge),
    /// Write all rows for other tools: --format csv, json (one line per dump) or parquet
    Export(StoreOption),
    /// Run what is asked for on standard input, for a run of `triage`
    #[command(hide = true)]
    Worker(Search),
}
