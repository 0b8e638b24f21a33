//! Who waits for whom: one graph for the whole machine, put together from what every detector saw.
//!
//! ```text
//! task ─faults_on→ user address ─entry_of→ page ─locked_by→ task ─queued_on→ run queue ─run_by→ task
//! task ─sleeps_on→ lock ─owned_by→ task            task ─waits_for_ipi→ CPU ─runs→ task
//! ```
//!
//! An edge leads from who waits, or from what is held up, to what it waits for. A detector says only what it can show:
//! each [`Edge`] has its kind, why it is there, and evidence. What the edges amount to (a livelock, a deadlock,
//! starvation) is found in the graph as a whole by [`Graph::shapes`], not by any detector.
//!
//! An owner that cannot be read is a [`Node::Unknown`] with the reason, never a missing edge: a chain that breaks off
//! must not look like one that has ended. No edge may claim more than was shown: a task that only takes its turn in a
//! run queue has no [`EdgeKind::QueuedOn`], a task that would be preempted no [`EdgeKind::RunBy`].

mod builder;
mod components;
mod cycle;
mod edge;
mod node;
mod shape;
#[cfg(test)]
mod tests;

pub use builder::{Graph, GraphBuilder};
pub use edge::{Edge, EdgeKind, Nature};
pub use node::{LockKind, Node};
pub use shape::{Shape, ShapeKind};
