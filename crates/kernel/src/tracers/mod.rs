//! Return addresses that tracers replaced, and what stood there.
//!
//! To see a function return, a tracer writes the address of its own code over the function's return address and keeps that
//! in a record of the task. Return probes do so (those of perf and BPF; function probes), and the function graph
//! tracer. The kernel's unwinders undo it, by the place: `arch/x86/include/asm/unwind.h`, `unwind_recover_ret_addr()`;
//! `arch/arm64/kernel/stacktrace.c`, `kunwind_recover_return_address()`.

mod graph;
mod probes;

use std::collections::HashMap;
use std::sync::OnceLock;

use foldhash::fast::RandomState;
use vmcore_memory::{ReadVirtual, VirtAddr};
use vmcore_unwind::{ReturnAddress, SavedReturn};

use crate::layout::Resolver;
use graph::Graph;
use probes::{Probes, Table};

/// The code of return probes, newest name first: since 5.18 (kernel commits 54ecbe6f1ed5, 73f9b911faa7), 5.16 (adf8a61a940c),
/// and before.
const PROBE_CODE: [&str; 3] = ["arch_rethook_trampoline", "__kretprobe_trampoline", "kretprobe_trampoline"];
/// That of the function graph tracer: `arch/x86/kernel/ftrace_64.S`, `arch/arm64/kernel/entry-ftrace.S`.
const GRAPH_CODE: &str = "return_to_handler";

/// Whether this is the name of code that tracers put in the place of return addresses. A frame of it stands for a caller that is
/// not known.
#[must_use]
pub fn is_tracer(function: &str) -> bool {
    function == GRAPH_CODE || PROBE_CODE.contains(&function)
}

/// A return address that was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// By what the place is known; `None` in kernels that do not keep it.
    place: Option<VirtAddr>,
    /// What was there.
    original: VirtAddr,
}

/// What a task's tracers have recorded. Read when it is first asked for.
#[derive(Default)]
pub(crate) struct TaskRecords {
    probes: OnceLock<Replaced>,
    graph: OnceLock<Replaced>,
}

/// What one kind of tracer has replaced on a stack.
#[derive(Default)]
struct Replaced {
    /// Innermost first.
    in_order: Vec<VirtAddr>,
    /// By their places; `None` in kernels that do not keep those.
    by_place: Option<HashMap<VirtAddr, VirtAddr, RandomState>>,
}

impl Replaced {
    /// `is_own` tells the tracer's own code: a function that was jumped to at the end of another has that as its return address, and
    /// the place of the other.
    ///
    /// Sources: `kernel/trace/rethook.c`, `__rethook_find_ret_addr()`; `kernel/trace/fgraph.c`, `ftrace_graph_ret_addr()`.
    fn new(records: &[Record], is_own: impl Fn(VirtAddr) -> bool) -> Self {
        let mut replaced = Self::default();
        if records.first().is_some_and(|record| record.place.is_some()) {
            replaced.by_place = Some(HashMap::default());
        }
        for Record { place, original } in records.iter().filter(|record| !is_own(record.original)) {
            replaced.in_order.push(*original);
            if let (Some(by_place), Some(place)) = (&mut replaced.by_place, place) {
                by_place.entry(*place).or_insert(*original);
            }
        }
        replaced
    }

    fn find(&self, saved: SavedReturn) -> Option<VirtAddr> {
        match &self.by_place {
            Some(by_place) => saved.places.iter().flatten().find_map(|place| by_place.get(place)).copied(),
            None => self.in_order.get(saved.before?).copied(),
        }
    }
}

/// The two kinds of tracers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Probes,
    Graph,
}

impl Kind {
    const fn other(self) -> Self {
        match self {
            Self::Probes => Self::Graph,
            Self::Graph => Self::Probes,
        }
    }
}

/// The tracers of one kernel.
pub(crate) struct Tracers {
    probe_code: Vec<VirtAddr>,
    graph_code: Option<VirtAddr>,
    /// Few machines are traced: looked up when it is first needed.
    layouts: OnceLock<Layouts>,
    table: OnceLock<Table>,
}

/// Where the two kinds keep their records.
pub(crate) struct Layouts {
    probes: Option<Probes>,
    graph: Option<Graph>,
}

impl Layouts {
    pub(crate) fn resolve(types: Resolver<'_>, symbol: impl Fn(&'static str) -> Option<VirtAddr>) -> Self {
        Self { probes: Probes::resolve(types, symbol), graph: Graph::resolve(types) }
    }
}

/// A task whose stack is followed.
pub(crate) struct Traced<'t, M: ?Sized> {
    pub(crate) memory: &'t M,
    pub(crate) task: VirtAddr,
    pub(crate) records: &'t TaskRecords,
}

impl Tracers {
    /// Those of the kernel with these symbols.
    pub(crate) fn new(symbol: impl Fn(&'static str) -> Option<VirtAddr>) -> Self {
        Self {
            probe_code: PROBE_CODE.into_iter().filter_map(&symbol).collect(),
            graph_code: symbol(GRAPH_CODE),
            layouts: OnceLock::new(),
            table: OnceLock::new(),
        }
    }

    /// Whose a return address on a stack is. `layouts` is asked once, and `is_code` tells what can be returned to.
    pub(crate) fn return_address<M: ReadVirtual + ?Sized>(
        &self,
        Traced { memory, task, records }: Traced<'_, M>,
        saved: SavedReturn,
        layouts: impl FnOnce() -> Layouts,
        is_code: impl Fn(VirtAddr) -> bool,
    ) -> ReturnAddress {
        let Some(kind) = self.kind(saved.pc) else { return ReturnAddress::OfCall };
        let Layouts { probes, graph } = self.layouts.get_or_init(layouts);
        let replaced = |kind, records: Option<Vec<Record>>| {
            Replaced::new(&records.unwrap_or_default(), |pc| self.kind(pc) == Some(kind))
        };
        let of_probes = || probes.as_ref().map(|probes| probes.records(memory, task, &self.table));
        let of_graph = || graph.as_ref().map(|graph| graph.records(memory, task));
        let of = |kind| match kind {
            Kind::Probes => records.probes.get_or_init(|| replaced(kind, of_probes())),
            Kind::Graph => records.graph.get_or_init(|| replaced(kind, of_graph())),
        };
        // Where both kinds trace, one may hide a place of the other, so the order says nothing.
        let before = saved.before.filter(|_| of(kind.other()).in_order.is_empty());
        let find_by = |kind| of(kind).find(SavedReturn { before, ..saved });
        // A function that both trace has what the one put there recorded by the other.
        let mut original = find_by(kind);
        if let Some(other) = original.and_then(|original| self.kind(original)) {
            original = find_by(other);
        }
        match original.filter(|&original| self.kind(original).is_none() && is_code(original)) {
            Some(original) => ReturnAddress::Replaced(original),
            None => ReturnAddress::Lost,
        }
    }

    fn kind(&self, pc: VirtAddr) -> Option<Kind> {
        if self.probe_code.contains(&pc) {
            return Some(Kind::Probes);
        }
        (self.graph_code == Some(pc)).then_some(Kind::Graph)
    }
}

#[cfg(test)]
mod tests;
