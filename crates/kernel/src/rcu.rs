//! RCU's grace period: since when it has been going on, and which CPUs it still waits for.
//!
//! ```text
//! rcu_state.gp_seq     low two bits not 0 while a grace period is going on (since 4.19)
//! rcu_state.gp_start   jiffies when it began
//! rcu_data             per CPU; mynode -> struct rcu_node, grpmask: the CPU's bit there
//! rcu_node.qsmask      the CPUs that have not passed a quiescent state
//! ```
//!
//! Source: `kernel/rcu/tree.h`, `kernel/rcu/tree.c`.

use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::{Kernel, Resolver};

/// `RCU_SEQ_STATE_MASK`.
const RUNNING: u64 = 3;
/// RCU flavours by their variables: one since 4.20 (kernel commit 65cfe3583b61).
const STATES: [&str; 3] = ["rcu_state", "rcu_preempt_state", "rcu_sched_state"];

/// The last grace period that began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GracePeriod {
    /// The flavour: `rcu_preempt` or `rcu_sched`.
    pub name: Option<String>,
    /// The address of `rcu_state`.
    pub state: VirtAddr,
    /// `rcu_state.gp_seq`.
    pub seq: u64,
    /// Whether it has not ended yet. Then, and only then, the CPUs below count.
    pub running: bool,
    /// For how long it has been going on, in nanoseconds by the tick.
    pub age_ns: Option<u64>,
    /// The CPUs that it waits for.
    pub cpus: Vec<GraceHoldout>,
}

/// A CPU that has not passed a quiescent state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraceHoldout {
    /// The CPU.
    pub cpu: u32,
    /// The address of its `struct rcu_node`.
    pub node: VirtAddr,
    /// `rcu_node.qsmask`, in which its bit is set.
    pub qsmask: u64,
}

impl Kernel<'_> {
    /// The last grace period, if it can be read.
    #[must_use]
    pub fn grace_period(&self) -> Option<GracePeriod> {
        let types = Resolver::new(self.vmlinux().types());
        let state = STATES.iter().find_map(|name| self.symbol(name))?;
        let read = |path| types.optional("rcu_state", path)?.read(self.memory(), state).ok();
        let seq = read("gp_seq")?;
        let running = seq & RUNNING != 0;
        let name = read("name").and_then(|name| self.memory().read_c_string(VirtAddr::new(name), 32).ok());
        let age = read("gp_start").and_then(|start| self.jiffies()?.checked_sub(start));
        let age_ns = age.and_then(|age| age.checked_mul(self.tick_ns()?));
        Some(GracePeriod {
            name: name.map(|name| String::from_utf8_lossy(&name).into_owned()),
            state,
            seq,
            running,
            age_ns,
            cpus: self.percpu().cpus().filter(|_| running).filter_map(|cpu| self.holdout(types, cpu)).collect(),
        })
    }

    fn holdout(&self, types: Resolver<'_>, cpu: u32) -> Option<GraceHoldout> {
        let data = self.percpu_symbol("rcu_data", cpu)?;
        let read = |type_name, path, at| types.optional(type_name, path)?.read(self.memory(), at).ok();
        let node = VirtAddr::new(read("rcu_data", "mynode", data)?);
        let mask = read("rcu_data", "grpmask", data)?;
        let qsmask = read("rcu_node", "qsmask", node)?;
        (qsmask & mask != 0).then_some(GraceHoldout { cpu, node, qsmask })
    }

    fn jiffies(&self) -> Option<u64> {
        let at = self.symbol("jiffies_64").or_else(|| self.symbol("jiffies"))?;
        self.memory().read_u64(at).ok()
    }

    /// `TICK_NSEC`: a variable, or in the clock source that counts jiffies, in units of 1/256 ns.
    fn tick_ns(&self) -> Option<u64> {
        let variable = self.symbol("tick_nsec").and_then(|at| self.memory().read_u64(at).ok());
        let sane = |ns: &u64| (100_000..=100_000_000).contains(ns);
        variable.filter(sane).or_else(|| {
            let mult = Resolver::new(self.vmlinux().types()).optional("clocksource", "mult")?;
            let value = mult.read(self.memory(), self.symbol("clocksource_jiffies")?).ok()?;
            Some(value >> 8).filter(sane)
        })
    }
}
