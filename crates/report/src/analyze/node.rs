//! The nodes of who waits for whom, with what is known of each in fields of its own.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_diagnose::{Diagnosis, graph};

use crate::{Hex, names};

/// Something that waits or is waited for. What a kind has not is null.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Node")]
pub struct Node<'a> {
    /// The name by which `edges` and `shapes` refer to it.
    pub name: String,
    /// `task`; `user_address`, whose page-table entry makes whoever touches it wait; `page` (of a compound page its head);
    /// `lock`; `run_queue`, where tasks want its CPU; `cpu`, which has to act itself; `grace_period` of RCU; `work` in a
    /// workqueue; or `unknown`: somebody or something that has to be there and could not be told.
    #[schemars(schema_with = "names::node_kind")]
    pub kind: &'static str,
    /// The address of the `struct task_struct`, the `struct page` (of a compound page the head's), the lock or the `struct
    /// work_struct`; of a `user_address` that address, at the start of its page.
    pub address: Option<Hex>,
    /// Of a `task` its thread id.
    pub pid: Option<i32>,
    /// Of a `task` its name, chosen by itself.
    pub comm: Option<&'a str>,
    /// Of a `user_address` the `struct mm_struct`.
    pub mm: Option<Hex>,
    /// Of a `page` the number of its frame.
    pub pfn: Option<Hex>,
    /// Of a `lock` what it is: `mutex`, `rwsem`, `rt_mutex`, `semaphore`, `spinlock` or `rwlock`.
    pub lock: Option<&'static str>,
    /// Of a `run_queue` or `cpu` the CPU's number.
    pub cpu: Option<u32>,
    /// Of a `grace_period` the flavour, such as `rcu_sched`.
    pub flavor: Option<&'a str>,
    /// Of something `unknown` what that is.
    pub what: Option<&'a str>,
    /// And why it could not be told.
    pub reason: Option<&'a str>,
}

impl<'a> Node<'a> {
    pub(super) fn new(node: &'a graph::Node, diagnosis: &Diagnosis) -> Self {
        let bare = Self {
            name: node.to_string(),
            kind: node.kind(),
            address: None,
            pid: None,
            comm: None,
            mm: None,
            pfn: None,
            lock: None,
            cpu: None,
            flavor: None,
            what: None,
            reason: None,
        };
        match node {
            graph::Node::Task { address, pid, comm } => {
                Self { address: Some((*address).into()), pid: Some(*pid), comm: Some(comm), ..bare }
            }
            graph::Node::UserAddress { mm, address } => {
                Self { address: Some((*address).into()), mm: Some((*mm).into()), ..bare }
            }
            graph::Node::Page { address } => {
                let pfn = diagnosis.page_frames.get(address).map(|pfn| (*pfn).into());
                Self { address: Some((*address).into()), pfn, ..bare }
            }
            graph::Node::Lock { kind, address } => {
                Self { address: Some((*address).into()), lock: Some(kind.name()), ..bare }
            }
            graph::Node::RunQueue { cpu } | graph::Node::Cpu { cpu } => Self { cpu: Some(*cpu), ..bare },
            graph::Node::GracePeriod { flavor } => Self { flavor: Some(flavor), ..bare },
            graph::Node::Work { address } => Self { address: Some((*address).into()), ..bare },
            graph::Node::Unknown { what, reason } => Self { what: Some(what), reason: Some(reason), ..bare },
        }
    }
}
