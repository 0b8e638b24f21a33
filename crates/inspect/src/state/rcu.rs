//! RCU: the grace period that is going on, what it waits for, and how many callbacks wait for it on each CPU.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot};
use vmcore_memory::VirtAddr;

use super::{Collector, Missing, Who, state};
use crate::object::Object;
use crate::{Hex, InspectError};

/// Per-CPU data: one flavour since 4.20, before `rcu_sched` and, on kernels that preempt their own code, `rcu_preempt`.
const DATA: [&str; 3] = ["rcu_data", "rcu_preempt_data", "rcu_sched_data"];

/// RCU.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Rcu")]
pub struct Rcu {
    /// The flavour.
    pub flavour: Option<String>,
    /// The address of its `struct rcu_state`.
    pub state: Option<Hex>,
    /// `rcu_state.gp_seq`.
    pub gp_seq: Option<Hex>,
    /// Whether a grace period is going on; null where it could not be read.
    pub running: Option<bool>,
    /// For how long, by the tick.
    pub age_ns: Option<u64>,
    /// The thread that runs grace periods.
    pub gp_kthread: Option<Who>,
    /// CPUs that have not passed a quiescent state, with what each was executing.
    pub waits_for_cpus: Vec<CpuCallbacks>,
    /// Tasks that lost their CPU within a read-side section.
    pub waits_for_readers: Vec<Who>,
    /// All CPUs with their callbacks.
    pub cpus: Vec<CpuCallbacks>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Rcu, cpus);

/// RCU's data of a CPU.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "CpuCallbacks")]
pub struct CpuCallbacks {
    /// The CPU.
    pub cpu: u32,
    /// The address of its `struct rcu_data`.
    pub data: Option<Hex>,
    /// Callbacks that wait for a grace period or to be called.
    pub callbacks: Option<u64>,
    /// What it was executing.
    pub current: Option<Who>,
}

/// Reads it.
#[must_use]
pub fn rcu<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot) -> Rcu {
    let mut missing = Collector::default();
    let period = kernel.grace_period();
    if period.is_none() {
        missing.note("the grace period", "rcu_state cannot be read");
    }
    let on = |cpu: u32, missing: &mut Collector| {
        let data = missing.take(format!("RCU's data of CPU {cpu}"), data(kernel, cpu));
        let callbacks = data.and_then(|data| missing.take(format!("callbacks of CPU {cpu}"), callbacks(data)));
        let current = snapshot.cpu(cpu).and_then(|cpu| snapshot.current(cpu));
        CpuCallbacks {
            cpu,
            data: data.map(|data| data.address().into()),
            callbacks,
            current: current.and_then(|task| Who::at(snapshot, task.address)),
        }
    };
    let thread = period.as_ref().and_then(|period| gp_kthread(kernel, period.state).ok()?);
    let holdouts = period.iter().flat_map(|period| &period.cpus);
    let holdouts: Vec<_> = holdouts.map(|holdout| on(holdout.cpu, &mut missing)).collect();
    let readers = period.iter().flat_map(|period| &period.readers);
    let readers = readers.filter_map(|reader| Who::at(snapshot, reader.task)).collect();
    let cpus = kernel.percpu().cpus().map(|cpu| on(cpu, &mut missing)).collect();
    Rcu {
        flavour: period.as_ref().and_then(|period| period.name.clone()),
        state: period.as_ref().map(|period| period.state.into()),
        gp_seq: period.as_ref().map(|period| period.seq.into()),
        running: period.as_ref().map(|period| period.running),
        age_ns: period.as_ref().and_then(|period| period.age_ns),
        gp_kthread: thread.and_then(|task| Who::at(snapshot, task)),
        waits_for_cpus: holdouts,
        waits_for_readers: readers,
        cpus,
        gaps: missing.0,
    }
}

fn gp_kthread<'k>(kernel: &'k Kernel<'k>, state: VirtAddr) -> Result<Option<VirtAddr>, InspectError> {
    Object::new(kernel, "struct rcu_state", state)?.pointer_at("gp_kthread")
}

fn data<'k>(kernel: &'k Kernel<'k>, cpu: u32) -> Result<Object<'k>, InspectError> {
    let of = |name: &&str| match Object::per_cpu(kernel, name, "struct rcu_data", cpu) {
        Err(InspectError::NoSymbol(_)) => None,
        answer => Some(answer),
    };
    DATA.iter().find_map(of).unwrap_or_else(|| Err(InspectError::NoSymbol("rcu_data".to_owned())))
}

/// `cblist.len`, a number or an atomic one; counted apart in segments since 5.11.
fn callbacks(data: Object<'_>) -> Result<u64, InspectError> {
    data.number_at("cblist.len")
}
