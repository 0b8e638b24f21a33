//! Calls between CPUs: functions that one CPU has another run, and waits for.
//!
//! ```text
//! call_single_queue   per CPU, struct llist_head: calls that it has not taken yet
//! cfd_data            per CPU, struct call_function_data: the calls that it makes to many; one for each target
//! struct __call_single_data
//!   node.llist        the link
//!   node.u_flags      bit 0 CSD_FLAG_LOCK until the target has run it (`flags` before 5.8)
//!   func              what to run
//! ```
//!
//! Source: `kernel/smp.c`, `include/linux/smp_types.h`.

mod begun_on;

use std::collections::BTreeSet;

use vmcore_memory::{ReadVirtual, VirtAddr};
use vmcore_unwind::StackRange;

use crate::layout::{Field, Named, Resolver, Source};
use crate::{Kernel, Snapshot};
use begun_on::BegunOn;

/// Calls that one CPU may have pending: a few from every other.
const MAX_PENDING: usize = 1 << 14;
/// And all CPUs together: each of many damaged queues may lead into the same long one.
const MAX_PENDING_IN_ALL: usize = 1 << 20;
const CSD_FLAG_LOCK: u64 = 1;

/// A call that has not been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCall {
    /// The CPU that made it.
    pub from: u32,
    /// The CPU that should run it.
    pub to: u32,
    /// The address of the call's data.
    pub call: VirtAddr,
    /// Where its flags are.
    pub flags_at: Source,
    /// Its flags.
    pub flags: u64,
    /// Whether the target has not even taken it from its queue.
    pub queued: bool,
    /// The function.
    pub function: Option<String>,
}

/// Calls that CPUs wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingCalls {
    /// Those that were not answered.
    pub calls: Vec<PendingCall>,
    /// CPUs that wait for others without any of these calls being known to be theirs: the task may have been moved here since it made them.
    pub unknown: Vec<u32>,
}

struct Layout {
    flags: Named,
    function: Field,
    /// From the per-CPU `cfd_data` to a per-CPU pointer to the calls, and from what that points to to the call.
    to_many: Option<(Field, u64)>,
    /// Where a task has a mask of its own of the CPUs that it waits for: see [`begun_on`].
    ipi_mask: Option<Field>,
}

impl Layout {
    fn resolve(types: Resolver<'_>) -> Option<Self> {
        let data = "__call_single_data";
        let direct = types.optional("call_function_data", "csd").map(|field| (field, 0));
        // From 5.12 to 6.3 there was a structure between (kernel commits a5aabace5fb8, 1139aeb1c521).
        let through = || {
            let field = types.optional("call_function_data", "pcpu")?;
            Some((field, types.optional("cfd_percpu", "csd")?.offset))
        };
        Some(Self {
            flags: types.named(data, &["node.u_flags", "flags"])?,
            function: types.optional(data, "func")?,
            to_many: direct.or_else(through),
            ipi_mask: types.optional("task_struct", "ipi_mask").filter(|field| field.size >= 8),
        })
    }
}

impl Kernel<'_> {
    /// The calls that these CPUs made and that were not answered.
    #[must_use]
    pub fn pending_calls(&self, snapshot: &Snapshot, callers: &[u32]) -> PendingCalls {
        let Some(layout) = Layout::resolve(Resolver::new(self.vmlinux().types())) else {
            return PendingCalls::default();
        };
        let mut left = MAX_PENDING_IN_ALL;
        let queues: Vec<_> = snapshot
            .cpus
            .iter()
            .map(|cpu| {
                let queue = self.call_queue(cpu.cpu, left.min(MAX_PENDING));
                left -= queue.len();
                (cpu.cpu, queue)
            })
            .collect();
        let mut pending = PendingCalls::default();
        for &from in callers {
            let begun_on = self.calls_begun_on(&layout, snapshot, from);
            let known = pending.calls.len();
            let stack = self.stack_of_current(snapshot, from);
            for (to, queue) in queues.iter().filter(|(to, _)| *to != from) {
                let to_many = begun_on.with_call_to(*to).and_then(|cpu| self.call_to_many(&layout, cpu, *to));
                let on_stack = stack.iter().flat_map(|stack| queue.range(stack.low..stack.high));
                let calls = to_many.into_iter().chain(on_stack.copied());
                pending.calls.extend(calls.filter_map(|call| self.pending(&layout, (from, *to), call, queue)));
            }
            if matches!(begun_on, BegunOn::Unknown) && pending.calls.len() == known {
                pending.unknown.push(from);
            }
        }
        pending
    }

    fn pending(
        &self,
        layout: &Layout,
        ends: (u32, u32),
        call: VirtAddr,
        queue: &BTreeSet<VirtAddr>,
    ) -> Option<PendingCall> {
        let flags = layout.flags.field.read(self.memory(), call).ok()?;
        let function = layout.function.read_pointer(self.memory(), call).ok()?;
        (flags & CSD_FLAG_LOCK != 0).then(|| PendingCall {
            from: ends.0,
            to: ends.1,
            call,
            flags_at: layout.flags.of(call),
            flags,
            queued: queue.contains(&call),
            function: self.name_code(function, function).filter(|symbol| symbol.offset == 0).map(|symbol| symbol.name),
        })
    }

    /// The data of the calls that are made to many CPUs from the CPU `from`, for the target `to`.
    fn call_to_many(&self, layout: &Layout, from: u32, to: u32) -> Option<VirtAddr> {
        let (field, offset) = layout.to_many?;
        let pointer = field.read_pointer(self.memory(), self.percpu_symbol("cfd_data", from)?).ok()?;
        self.percpu().dereference(pointer, to)?.checked_add(offset)
    }

    /// The stack of the task that runs on a CPU: a call to one other CPU is there.
    fn stack_of_current(&self, snapshot: &Snapshot, cpu: u32) -> Option<StackRange> {
        let task = snapshot.cpu(cpu).and_then(|cpu| snapshot.current(cpu))?;
        self.stack_layout.task_stack(task.stack)
    }

    /// What a CPU has not taken yet, at most `limit`.
    fn call_queue(&self, cpu: u32, limit: usize) -> BTreeSet<VirtAddr> {
        let mut calls = BTreeSet::new();
        let Some(mut at) = self.percpu_symbol("call_single_queue", cpu) else { return calls };
        while let Ok(next) = self.memory().read_pointer(at) {
            if next.is_null() || calls.len() >= limit || !calls.insert(next) {
                break;
            }
            at = next;
        }
        calls
    }
}
