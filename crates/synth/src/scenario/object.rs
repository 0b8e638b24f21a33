//! Structures of the kernel in a scenario, the lists that they are in, and words that are changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::defaults::is_default;

/// A structure of the kernel. What is not set is zero.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// Its name in the scenario. A task may have it among its local variables as it may have a page.
    pub name: String,
    /// The name of its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Whose local variable it is; none for one that is somewhere in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Frame>,
    /// Values by member; of several names with `|` between them the first that the kernel has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Word>,
}

/// A function on a task's stack.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// The task's thread id.
    pub task: i32,
    /// The function's name.
    pub function: String,
}

/// A list through these members, each `OBJECT.PATH` of a `struct list_head`, in their order.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Circle {
    /// The members.
    pub nodes: Vec<String>,
}

/// A value.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Word {
    /// Itself.
    Number(u64),
    /// The address of something in the scenario.
    Address(Reference),
}

/// The address of one thing in a scenario, and what is added to it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reference {
    /// The `struct task_struct` of the task with this thread id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<i32>,
    /// An object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The `struct page` of a huge page's head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// A function of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Flags in the low bits.
    #[serde(skip_serializing_if = "is_default")]
    pub plus: u64,
}

/// A word whose value is changed once everything else is written: damage, a lie, or what nothing else here writes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The task whose `struct task_struct` it is in, by thread id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<i32>,
    /// The CPU whose `struct rq` it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// That CPU's own variable, instead of its `struct rq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The member's path; the first that the kernel has, where several names are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub member: Vec<String>,
    /// Its new value.
    pub value: Word,
}
