//! Triage of many dumps: which of them crashed of the same thing.
//!
//! [`find`] lists what is to be analyzed, [`run`] analyzes each in a process of its own and keeps what came of it in a
//! [`Store`]; [`Pile`] groups what a store holds, and is what reports are written of.
//!
//! ```text
//! paths ── find ── Item ── run: one process each ── Row ── Store ── Pile ── text, HTML, JSON lines, CSV, metrics
//! ```
//!
//! Where one machine is not enough, [`write_plan`], [`work`] and [`merge`] do the same in shares.
//!
//! Nothing of a dump is read here beyond its first bytes and those that tell it from other files: what one does to its
//! reader happens to that process alone.
//!
//! ```
//! use std::path::Path;
//!
//! use vmcore_triage::{Inputs, ItemKind, find};
//!
//! let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/6.1-cloud-amd64");
//! let items = find(&Inputs { paths: vec![testdata], ..Inputs::default() })?.items;
//! let livelock = items.iter().find(|item| item.path.ends_with("thp-livelock.vmcore")).ok_or("no such dump")?;
//! assert_eq!(livelock.kind, ItemKind::Dump);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod brief;
mod child;
mod clock;
mod confidence;
mod copies;
mod document;
mod error;
mod fingerprint;
mod identity;
mod input;
mod notify;
mod one;
mod path_text;
mod pile;
mod place;
mod protocol;
pub mod report;
mod row;
mod run;
mod servers;
mod shards;
mod signature;
mod store;
#[cfg(test)]
mod test_program;
mod worker;

pub use child::{Analyzer, Ended};
pub use clock::{day, now, utc};
pub use confidence::Confidence;
pub use document::Summary;
pub use error::TriageError;
pub use input::{Inputs, Item, ItemKind, Listing, Skipped, find};
pub use notify::notify;
pub use pile::{Affected, Extent, Group, LeftOut, Pile};
pub use protocol::{Answer, MAX_MESSAGES, MAX_OUTPUT, Request};
pub use row::{Failure, FailureKind, Row, TELL_FAILURE};
pub use run::{Event, Options, Outcome, run};
pub use servers::Servers;
pub use shards::{Merged, Plan, Planned, Shard, ShardDone, Share, merge, work, write_plan};
pub use signature::Signature;
pub use store::Store;
pub use worker::Worker;
