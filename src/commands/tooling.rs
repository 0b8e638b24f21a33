//! Commands that need no dump: schemas, and what is known of issues.

use clap::ValueEnum;
use vmcore_diagnose::Issue;
use vmcore_inspect::state;
use vmcore_report::{
    analyze::Analyze, bt::Bt, distill::Distill, dmesg::Dmesg, drgn_script::DrgnScript, explain::Explain, info::Info,
    inspect, json_schema, log::Log, ps::Ps, runq::Runq, vtop::Vtop,
};
use vmcore_triage::report::Record;

use crate::cli::Document;
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

pub(crate) fn schema(document: Document, output: Output) -> Result<Status, Failure> {
    let mut schema = match document {
        Document::Analyze => json_schema::<Analyze<'static>>(),
        Document::Triage => json_schema::<Record<'static>>(),
        Document::Bt => json_schema::<Bt<'static>>(),
        Document::Ps => json_schema::<Ps<'static>>(),
        Document::Runq => json_schema::<Runq<'static>>(),
        Document::Dmesg => json_schema::<Dmesg<'static>>(),
        Document::Log => json_schema::<Log<'static>>(),
        Document::Info => json_schema::<Info<'static>>(),
        Document::Distill => json_schema::<Distill>(),
        Document::Vtop => json_schema::<Vtop<'static>>(),
        Document::Mod => json_schema::<state::Modules>(),
        Document::Struct => json_schema::<inspect::Struct<'static>>(),
        Document::P => json_schema::<inspect::P<'static>>(),
        Document::Rd => json_schema::<inspect::Rd>(),
        Document::Sym => json_schema::<inspect::Sym<'static>>(),
        Document::Dis => json_schema::<inspect::Dis<'static>>(),
        Document::List | Document::Tree => json_schema::<inspect::Objects<'static>>(),
        Document::Search => json_schema::<inspect::Search>(),
        Document::Explain => json_schema::<Explain>(),
        Document::DrgnScript => json_schema::<DrgnScript>(),
        Document::Timer => json_schema::<state::Timers>(),
        Document::Irq => json_schema::<state::Interrupts>(),
        Document::Waitq => json_schema::<state::WaitQueue>(),
        Document::Waiters => json_schema::<state::Waiters>(),
        Document::Workqueue => json_schema::<state::Workqueues>(),
        Document::Locks => json_schema::<state::Locks>(),
        Document::Rcu => json_schema::<state::Rcu>(),
        Document::Dev => json_schema::<state::Disks>(),
        Document::Files => json_schema::<state::Files>(),
        Document::Mount => json_schema::<state::Mounts>(),
        Document::Net => json_schema::<state::Network>(),
        Document::Kmem => json_schema::<state::Memory>(),
        Document::Swap => json_schema::<state::Swap>(),
    };
    let name = document.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    schema.insert("title".to_owned(), format!("vmcore-thp {name}").into());
    output.write_with(|out| writeln!(out, "{:#}", schema.as_value()))?;
    Ok(Status::NothingFound)
}

/// What is known of an issue, or all of them in one line each.
pub(crate) fn explain(name: Option<&str>, output: Output) -> Result<Status, Failure> {
    let explain = match name {
        None => Explain::all(),
        Some(name) => {
            let issue = Issue::by_id(name).ok_or_else(|| {
                Failure::new(format_args!("there is no issue '{name}'")).hint("`vmcore-thp explain` lists all of them")
            })?;
            Explain::one(issue, include_str!("../../docs/verdicts.md"))
        }
    };
    output.write(&explain)?;
    Ok(Status::NothingFound)
}
