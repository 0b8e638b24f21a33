//! What return probes record.
//!
//! ```text
//! task_struct.rethooks               since 5.18 on x86 (kernel commits 54ecbe6f1ed5, f3a112c0c40d)
//!   struct rethook_node                .llist, .ret_addr, .frame
//! task_struct.kretprobe_instances    since 5.11 (d741bf41d7c7)
//!   struct kretprobe_instance          .llist, .ret_addr, .fp
//! kretprobe_inst_table[64]           before: by a hash of the task
//!   struct kretprobe_instance          .hlist, .task, .ret_addr, .fp (since 3ff9c075cc76)
//! ```
//!
//! New ones are put first. The frame is where the return address is on x86, and on arm64 the caller's frame pointer (its
//! stack pointer before 5.16).
//!
//! Sources: `kernel/trace/rethook.c`, `kernel/kprobes.c`; `arch/x86/kernel/rethook.c`, `arch_rethook_prepare()`;
//! `arch/x86/kernel/kprobes/core.c` and `arch/arm64/kernel/probes/kprobes.c`, `arch_prepare_kretprobe()`.

use std::collections::HashMap;
use std::sync::OnceLock;

use foldhash::fast::RandomState;
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::Record;
use crate::layout::{Field, Resolver};
use crate::list::Addresses;

/// More than one stack has.
const MAX_OF_TASK: usize = 1 << 10;
/// Heads of `kretprobe_inst_table` (`KPROBE_TABLE_SIZE`).
const HEADS: u64 = 64;
/// More than all probes of a machine have at a time.
const MAX_IN_TABLE: usize = 1 << 20;

/// The records of all tasks, in kernels that keep them in one table.
pub(super) type Table = HashMap<VirtAddr, Vec<Record>, RandomState>;

/// Where the records are and what is in them.
pub(super) struct Probes {
    pub(super) kept: Kept,
    /// The link to the next, in a record.
    pub(super) node: Field,
    pub(super) original: Field,
    pub(super) place: Option<Field>,
}

/// Where a kernel keeps them.
pub(super) enum Kept {
    /// In a list of the task.
    ByTask(Field),
    /// In a table of lists, each with the tasks of some; and where a record says whose it is.
    InTable { heads: VirtAddr, task: Field },
}

impl Probes {
    pub(super) fn resolve(types: Resolver<'_>, symbol: impl Fn(&'static str) -> Option<VirtAddr>) -> Option<Self> {
        let listed = |head, record, place| {
            Some(Self {
                kept: Kept::ByTask(types.optional("task_struct", head)?),
                node: types.optional(record, "llist")?,
                original: types.optional(record, "ret_addr")?,
                place: Some(types.optional(record, place)?),
            })
        };
        let instance = "kretprobe_instance";
        let in_table = || {
            let (heads, task) = (symbol("kretprobe_inst_table")?, types.optional(instance, "task")?);
            Some(Self {
                kept: Kept::InTable { heads, task },
                node: types.optional(instance, "hlist")?,
                original: types.optional(instance, "ret_addr")?,
                place: types.optional(instance, "fp"),
            })
        };
        listed("rethooks", "rethook_node", "frame")
            .or_else(|| listed("kretprobe_instances", instance, "fp"))
            .or_else(in_table)
    }

    /// Those of a task, innermost first. A damaged list ends at the damage.
    pub(super) fn records<M: ReadVirtual + ?Sized>(
        &self,
        memory: &M,
        task: VirtAddr,
        table: &OnceLock<Table>,
    ) -> Vec<Record> {
        match self.kept {
            Kept::ByTask(head) => {
                let nodes = nodes(memory, head.address(task), MAX_OF_TASK);
                nodes.into_iter().map_while(|node| self.record(memory, self.node.container(node))).collect()
            }
            Kept::InTable { heads, task: owner } => {
                let table = table.get_or_init(|| self.read_table(memory, heads, owner));
                table.get(&task).cloned().unwrap_or_default()
            }
        }
    }

    fn read_table<M: ReadVirtual + ?Sized>(&self, memory: &M, heads: VirtAddr, owner: Field) -> Table {
        let mut table = Table::default();
        let mut left = MAX_IN_TABLE;
        for head in 0..HEADS {
            let nodes = nodes(memory, heads.wrapping_add(head * 8), left);
            left -= nodes.len();
            for object in nodes.into_iter().map(|node| self.node.container(node)) {
                let (Ok(task), Some(record)) = (owner.read_pointer(memory, object), self.record(memory, object)) else {
                    break;
                };
                table.entry(task).or_default().push(record);
            }
        }
        table
    }

    fn record<M: ReadVirtual + ?Sized>(&self, memory: &M, object: VirtAddr) -> Option<Record> {
        let place = self.place.map(|place| place.read_pointer(memory, object)).transpose().ok()?;
        Some(Record { place, original: self.original.read_pointer(memory, object).ok()? })
    }
}

/// The nodes behind a head, as `llist` and `hlist` have it: each begins with a pointer to the next, and the last has none.
fn nodes<M: ReadVirtual + ?Sized>(memory: &M, head: VirtAddr, limit: usize) -> Vec<VirtAddr> {
    let (mut nodes, mut seen, mut at) = (Vec::new(), Addresses::default(), head);
    while let Ok(next) = memory.read_pointer(at) {
        if next.is_null() || nodes.len() >= limit || !seen.insert(next) {
            break;
        }
        nodes.push(next);
        at = next;
    }
    nodes
}
