//! A spin lock that is taken, and no CPU that could have it.
//!
//! Who has a spin lock is not preempted and does not sleep (`raw_spin_lock()` turns preemption off, with `CONFIG_PREEMPT_RT` as well). So it is on
//! a CPU, in kernel code. Where each CPU spins for this very lock, idles or runs user code, no time is needed: the lock's holder
//! spins for it itself, or has ended without giving it back.
//!
//! A CPU that has just got the lock is still in the function that waits for it. It does not read the lock's word any more, nor the word of its
//! own node that the one in front of it sets; the first of the queue then reads who is behind it.
//!
//! Control: a CPU that a panic stopped, or whose stack cannot be followed, or on which a handler runs, may have it.

use vmcore_kernel::Cpu;

use crate::idle::waits_for_interrupt;
use crate::names::is_lock_halt;
use crate::{Facts, Spin, SpunFor};

/// Where `locked` is in a `struct mcs_spinlock`, behind `next`.
const LOCKED_AT: u64 = 8;

/// Whether a lock that these CPUs spin for is one that nobody is left to have.
pub(super) fn is_lost(facts: &Facts<'_>, spins: &[&Spin]) -> bool {
    let is_taken = |spin: &&Spin| matches!(spin.word, SpunFor::Spin(word) if word.is_locked());
    let sees_all = facts.blind_spots.is_empty() && facts.death().is_none() && facts.state.panic.message.is_none();
    let in_service = |cpu: &&Cpu| !cpu.run_queue.as_ref().is_some_and(vmcore_kernel::RunQueue::is_out_of_service);
    let free = |cpu: &Cpu| match spins.iter().find(|spin| spin.cpu == cpu.cpu) {
        Some(spin) => is_waiting(facts, cpu, spin),
        None => waits_for_interrupt(facts, cpu) || runs_user_code(facts, cpu),
    };
    let mut cpus = facts.snapshot.cpus.iter().filter(in_service).peekable();
    sees_all
        && spins.iter().all(is_taken)
        && cpus.peek().is_some()
        && cpus.all(|cpu| is_followed(facts, cpu) && free(cpu))
}

fn is_followed(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    cpu.registers.is_some() && facts.running_on(cpu.cpu).is_some_and(|stack| stack.error.is_none())
}

/// Whether a CPU that is where one waits for the lock has not got it yet.
fn is_waiting(facts: &Facts<'_>, cpu: &Cpu, spin: &Spin) -> bool {
    let stack = facts.running_on(cpu.cpu);
    let halts = stack.is_some_and(|stack| stack.frames.iter().filter_map(|frame| frame.function()).any(is_lock_halt));
    let by_node = || spin.node.is_some_and(|node| spin.polled == node.address.wrapping_add(LOCKED_AT));
    spin.polled == spin.lock || by_node() || halts
}

fn runs_user_code(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let in_user_code = cpu.registers.is_some_and(|known| known.registers.user_mode());
    in_user_code && facts.running_on(cpu.cpu).is_some_and(|stack| stack.frames.is_empty())
}
