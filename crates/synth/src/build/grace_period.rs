//! RCU's last grace period: one node for all CPUs, with a bit for each that holds it up, where it has not ended.
//!
//! Source: `kernel/rcu/tree.c`, `kernel/rcu/tree.h`.

use vmcore_memory::VirtAddr;

use super::machine::Builder;
use super::nanoseconds;
use crate::SynthError;

/// `RCU_SEQ_STATE_MASK`: something is going on.
const RUNNING: u64 = 1;
/// `TICK_NSEC` at 250 Hz.
const TICK_NS: u64 = 4_000_000;
/// A node has a bit for each CPU.
const MAX_CPUS: u32 = 64;
/// More ticks than any grace period here lasts.
const JIFFIES: u64 = 0x1_0000_0000;

impl Builder<'_, '_> {
    pub(super) fn write_grace_period(&mut self) -> Result<(), SynthError> {
        let period = self.scenario.grace_period.as_ref();
        let holdouts = period.map(|period| period.cpus.as_slice()).unwrap_or_default();
        let outside = holdouts.iter().find(|cpu| **cpu >= self.scenario.cpus.min(MAX_CPUS));
        if let Some(cpu) = outside {
            return Err(SynthError::scenario(format!(
                "CPU {cpu} cannot hold up a grace period; hint: one of the first {MAX_CPUS} that there are"
            )));
        }
        let generation = self.machine.generation;
        let [rcu_state, rcu_data] = &generation.facts.rcu;
        let machine = &mut self.machine;
        let node = machine.new_object("rcu_node")?;
        let mask = holdouts.iter().fold(0, |mask, cpu| mask | 1 << cpu);
        machine.put(node, "rcu_node", "qsmask", mask)?;
        let head = machine.member(node, "rcu_node", "blkd_tasks")?;
        machine.link(&[head])?;
        for cpu in &self.cpus {
            let data = machine.percpu_variable(rcu_data, cpu.offset)?;
            machine.put(data, "rcu_data", "mynode", node.get())?;
            machine.put(data, "rcu_data", "grpmask", 1_u64.checked_shl(cpu.number).unwrap_or_default())?;
        }
        let state: VirtAddr = machine.variable(rcu_state)?;
        machine.put(state, "rcu_state", "name", 0)?;
        let Some(period) = period else { return machine.put(state, "rcu_state", "gp_seq", 4) };
        machine.set_variable("jiffies_64", JIFFIES)?;
        machine.set_variable("tick_nsec", TICK_NS)?;
        machine.put(state, "rcu_state", "gp_start", JIFFIES.saturating_sub(nanoseconds(period.seconds) / TICK_NS))?;
        machine.put(state, "rcu_state", "gp_seq", 4 | RUNNING)
    }
}
