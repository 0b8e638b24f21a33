//! RCU: the grace period that is going on, what it waits for, and how many callbacks wait for it on each CPU.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot};

use super::{Collector, Listing, Missing, State, Who};
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
    pub waits_for_cpus: Listing<CpuCallbacks>,
    /// Tasks that lost their CPU within a read-side section.
    pub waits_for_readers: Listing<Who>,
    /// All CPUs with their callbacks.
    pub cpus: Listing<CpuCallbacks>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}

/// What it is about is the grace period: that the CPUs are known does not make up for it.
impl State for Rcu {
    fn missing(&self) -> &[Missing] {
        &self.gaps
    }

    fn is_empty(&self) -> bool {
        self.state.is_none()
    }
}

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
    let period = match kernel.grace_period() {
        Ok(Some(period)) => Some(period),
        Ok(None) => {
            missing.note("the grace period", "Tiny RCU, which this kernel for one CPU has, keeps none");
            None
        }
        Err(gap) => {
            missing.note("the grace period", gap.why);
            None
        }
    };
    if period.as_ref().is_some_and(|period| period.age_ns.is_none()) {
        missing.note("since when the grace period has been going on", "jiffies or rcu_state.gp_start cannot be read");
    }
    if period.as_ref().is_some_and(|period| period.name.is_none()) {
        missing.note("the flavour", "rcu_state.name cannot be read");
    }
    let thread = period.as_ref().and_then(|period| missing.take_read(kernel.gp_kthread(period.state)));
    let waits_for_cpus = missing.list("the CPUs that the grace period waits for", |missing| {
        let Some(period) = &period else { return Err(InspectError::NoSymbol("rcu_state".to_owned())) };
        kernel.percpu().cpus().for_each(|cpu| {
            missing.take(format!("whether the grace period waits for CPU {cpu}"), quiescence(kernel, cpu));
        });
        Ok(period.cpus.iter().map(|holdout| on(kernel, snapshot, holdout.cpu, missing)).collect())
    });
    let waits_for_readers = missing.list("the readers that the grace period waits for", |missing| {
        let Some(period) = &period else { return Err(InspectError::NoSymbol("rcu_state".to_owned())) };
        kernel.percpu().cpus().for_each(|cpu| {
            missing.take_known(format!("the readers of CPU {cpu}"), readers(kernel, cpu));
        });
        Ok(period.readers.iter().filter_map(|reader| missing.who(snapshot, reader.task)).collect())
    });
    let cpus = missing.list("RCU's data", |missing| {
        Ok(kernel.percpu().cpus().map(|cpu| on(kernel, snapshot, cpu, missing)).collect())
    });
    Rcu {
        flavour: period.as_ref().and_then(|period| period.name.clone()),
        state: period.as_ref().map(|period| period.state.into()),
        gp_seq: period.as_ref().map(|period| period.seq.into()),
        running: period.as_ref().map(|period| period.running),
        age_ns: period.as_ref().and_then(|period| period.age_ns),
        gp_kthread: thread.and_then(|(task, _)| missing.who(snapshot, task)),
        waits_for_cpus,
        waits_for_readers,
        cpus,
        gaps: missing.into_gaps(),
    }
}

fn on<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, cpu: u32, missing: &mut Collector) -> CpuCallbacks {
    let data = missing.take(format!("RCU's data of CPU {cpu}"), data(kernel, cpu));
    let callbacks = data.and_then(|data| missing.take(format!("callbacks of CPU {cpu}"), callbacks(data)));
    let current = snapshot.cpu(cpu).and_then(|cpu| snapshot.current(cpu));
    CpuCallbacks {
        cpu,
        data: data.map(|data| data.address().into()),
        callbacks,
        current: current.and_then(|task| Who::at(snapshot, task.address)),
    }
}

/// The bits of the CPU's node, by which it is told whom the grace period waits for, and which of them is the CPU's.
fn quiescence<'k>(kernel: &'k Kernel<'k>, cpu: u32) -> Result<(u64, u64), InspectError> {
    let data = data(kernel, cpu)?;
    Ok((data.number_at("mynode.qsmask")?, data.number_at("grpmask")?))
}

/// The tasks that lost their CPU within a read-side section, of the CPU's node: how many, where all can be read.
fn readers<'k>(kernel: &'k Kernel<'k>, cpu: u32) -> Result<usize, InspectError> {
    let node = data(kernel, cpu)?.at("mynode")?.pointee()?;
    node.pointer_at("gp_tasks")?;
    let (found, gap) = node.at("blkd_tasks")?.list("struct task_struct", "rcu_node_entry")?;
    gap.map_or(Ok(found.len()), |why| Err(InspectError::Syntax(why)))
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
