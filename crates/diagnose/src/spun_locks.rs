//! The locks that CPUs spin for, for the list `locks`: what a judgement knows of them, whether or not it finds anything wrong.

use std::collections::BTreeMap;

use vmcore_inspect::state::{LockHolder, LockSpinner, Missing, SpunLock, SpunLocks, Who};
use vmcore_kernel::{Detail, Kernel, Snapshot, Stack};
use vmcore_memory::VirtAddr;

use crate::collect::running_stacks;
use crate::describe::spun;
use crate::state::{spins, waits_in};
use crate::{Holder, HolderFound, Spin, SpunFor};

/// Finds them, by the registers and stacks of the CPUs.
#[must_use]
pub fn spun_locks<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot) -> SpunLocks {
    let running = running_stacks(kernel, snapshot, Detail::Symbols);
    let spins = spins(kernel, snapshot, &running);
    let unknown = running.iter().filter_map(|(cpu, stack)| unknown(*cpu, stack, &spins)).collect();
    let mut locks: BTreeMap<VirtAddr, Vec<&Spin>> = BTreeMap::new();
    for spin in &spins {
        locks.entry(spin.lock).or_default().push(spin);
    }
    let locks = locks.into_iter().filter_map(|(lock, spins)| spun_lock(kernel, snapshot, lock, &spins));
    SpunLocks { locks: locks.collect(), unknown }
}

/// Why it is not known whether a CPU spins for a lock, or for which.
fn unknown(cpu: u32, stack: &Stack, spins: &[Spin]) -> Option<Missing> {
    if spins.iter().any(|spin| spin.cpu == cpu) {
        return None;
    }
    let what = || format!("the lock that CPU {cpu} spins for");
    if let Some(frame) = waits_in(stack) {
        let function = stack.frames.get(frame)?.function()?;
        let why = format!("it is in {function}, and neither its registers nor a queue tell for which lock");
        return Some(Missing { what: what(), why });
    }
    let error = stack.error.as_ref()?;
    Some(Missing { what: format!("the stack of CPU {cpu}"), why: error.clone() })
}

fn spun_lock(kernel: &Kernel<'_>, snapshot: &Snapshot, lock: VirtAddr, spins: &[&Spin]) -> Option<SpunLock> {
    let first = spins.first()?;
    let holder = |holder: &Holder| LockHolder {
        cpu: holder.cpu,
        task: on_cpu(snapshot, holder.cpu),
        recorded: holder.found == HolderFound::Recorded,
        found: found(&holder.found),
    };
    let spinner = |spin: &&Spin| LockSpinner {
        cpu: spin.cpu,
        task: on_cpu(snapshot, spin.cpu),
        to_write: match spin.word {
            SpunFor::Spin(_) => None,
            SpunFor::ReadWrite { to_write, .. } => Some(to_write),
        },
        behind: spin.behind,
    };
    Some(SpunLock {
        kind: spun::kind(first.word).name(),
        lock: lock.into(),
        symbol: vmcore_inspect::name_address(kernel, lock).map(|name| name.to_string()),
        word: vmcore_inspect::Hex(first.word.value().into()),
        state: spun::says(first.word),
        holders: (!first.holders.is_empty()).then(|| first.holders.iter().map(holder).collect()),
        spinners: spins.iter().map(spinner).collect(),
    })
}

fn on_cpu(snapshot: &Snapshot, cpu: u32) -> Option<Who> {
    Who::at(snapshot, snapshot.current(snapshot.cpu(cpu)?)?.address)
}

fn found(found: &HolderFound) -> String {
    match found {
        HolderFound::Recorded => "the lock records it".to_owned(),
        HolderFound::Register(name) => format!("it has the lock's address in {name}"),
        HolderFound::OnStack(at) => format!("it has the lock's address on its stack, at {at}"),
    }
}
