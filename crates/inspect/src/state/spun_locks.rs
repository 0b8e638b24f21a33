//! Locks that CPUs spin for. Which those are is told by the code that a CPU was in and its registers, which `vmcore_diagnose` reads.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Missing, Who};
use crate::Hex;

/// What is known of the locks that CPUs spin for.
#[derive(Clone, Debug, Default)]
pub struct SpunLocks {
    /// The locks, by address.
    pub locks: Vec<SpunLock>,
    /// CPUs that may spin for others.
    pub unknown: Vec<Missing>,
}

/// A lock that CPUs spin for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SpunLock")]
pub struct SpunLock {
    /// Its kind: `spinlock` or `rwlock`.
    pub kind: &'static str,
    /// Its address.
    pub lock: Hex,
    /// The variable that it is, where it is one.
    pub symbol: Option<String>,
    /// Its 32-bit word: `struct qspinlock` or `struct qrwlock`.
    pub word: Hex,
    /// What the word says of who has it and who waits.
    pub state: String,
    /// The CPUs that have it, or seem to; null where nothing tells.
    pub holders: Option<Vec<LockHolder>>,
    /// The CPUs that spin for it, in ascending order.
    pub spinners: Vec<LockSpinner>,
}

/// A CPU that has a lock, or seems to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LockHolder")]
pub struct LockHolder {
    /// The CPU.
    pub cpu: u32,
    /// The task that it was running.
    pub task: Option<Who>,
    /// Whether the lock records it. Else the CPU has the lock's address at hand, which is a hint and no proof.
    pub recorded: bool,
    /// How it is known, in words.
    pub found: String,
}

/// A CPU that spins for a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LockSpinner")]
pub struct LockSpinner {
    /// The CPU.
    pub cpu: u32,
    /// The task that it was running.
    pub task: Option<Who>,
    /// Whether it wants to write; null for a lock that knows no difference.
    pub to_write: Option<bool>,
    /// The CPU before it in the queue; null for the first, and where that is not known.
    pub behind: Option<u32>,
}
