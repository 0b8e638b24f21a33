//! An RCU grace period that has not ended: one node for all CPUs, with a bit for each that holds it up.
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
        let Some(period) = &self.scenario.grace_period else { return Ok(()) };
        let outside = period.cpus.iter().find(|cpu| **cpu >= self.scenario.cpus.min(MAX_CPUS));
        if let Some(cpu) = outside {
            return Err(SynthError::scenario(format!(
                "CPU {cpu} cannot hold up a grace period; hint: one of the first {MAX_CPUS} that there are"
            )));
        }
        let machine = &mut self.machine;
        let node = machine.new_object("rcu_node")?;
        let mask = period.cpus.iter().fold(0, |mask, cpu| mask | 1 << cpu);
        machine.put(node, "rcu_node", "qsmask", mask)?;
        let head = machine.member(node, "rcu_node", "blkd_tasks")?;
        machine.link(&[head])?;
        for cpu in &self.cpus {
            let data = machine.percpu_variable("rcu_data", cpu.offset)?;
            machine.put(data, "rcu_data", "mynode", node.get())?;
            machine.put(data, "rcu_data", "grpmask", 1_u64.checked_shl(cpu.number).unwrap_or_default())?;
        }
        machine.set_variable("jiffies_64", JIFFIES)?;
        machine.set_variable("tick_nsec", TICK_NS)?;
        let state: VirtAddr = machine.variable("rcu_state")?;
        machine.put(state, "rcu_state", "gp_start", JIFFIES.saturating_sub(nanoseconds(period.seconds) / TICK_NS))?;
        machine.put(state, "rcu_state", "name", 0)?;
        machine.put(state, "rcu_state", "gp_seq", 4 | RUNNING)
    }
}
