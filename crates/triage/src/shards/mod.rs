//! One pile on many machines: a plan, rows written by whoever does a share of it, and one store made of them.
//!
//! ```text
//! DIR/plan.jsonl          one line an item, in the order in which one machine would take them
//! DIR/rows/ab/abc….json   the row of the item with this key, with its document; whole, because it appears by rename
//! DIR/triage.db           what `merge` makes of them
//! ```
//!
//! Who runs the shares, again where one was lost, and on which machines, is up to an engine that exists: Slurm, Kubernetes,
//! or a shell. All of them run a share at least once and none exactly once; here that does no harm. A row that is there is
//! not made again, two that make the same one write the same, and the pile is finished when every line of the plan has its
//! row: no engine is asked.

mod merge;
mod plan;
mod row_file;
mod work;

pub use merge::{Merged, merge};
pub use plan::{Plan, Planned, write_plan};
pub use work::{Shard, ShardDone, Share, work};

#[cfg(test)]
mod tests;
