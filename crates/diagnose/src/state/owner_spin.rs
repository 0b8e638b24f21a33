//! Which CPUs spin until the owner of a mutex or semaphore gives it back, as they do while that runs, instead of going to sleep.
//!
//! Who spins compares the lock's owner with whom it was at first, so that both addresses are at hand: of all registers there is
//! one that points to a lock whose owner another one holds. Those that come later wait for the first, each for the CPU before it,
//! by nodes that are linked both ways; the lock names the last of them.
//!
//! ```text
//! lock.owner             the task, with flags in its low bits
//! lock.osq.tail          the last CPU of the queue + 1
//! osq_node (per CPU)     next, prev; locked is 0 while it waits
//! ```
//!
//! None of them spins for ever by itself: a request to reschedule ends it.
//!
//! Source: `kernel/locking/mutex.c` (`mutex_spin_on_owner()`), `rwsem.c` (`rwsem_spin_on_owner()`), `osq_lock.c`.

use vmcore_kernel::{Cpu, Kernel, LockKind, Snapshot, Source, Stack, StackFrame};
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::spin_scan::registers_at;
use crate::Reader;
use crate::names::base_name;
use crate::operand::general_registers;

/// `MUTEX_FLAGS`, `RWSEM_OWNER_FLAGS_MASK`.
const FLAGS: u64 = 7;
/// `RWSEM_READER_OWNED`.
const READER_OWNED: u64 = 1;

/// A CPU that spins for a mutex or semaphore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerSpin {
    /// The CPU.
    pub cpu: u32,
    /// What kind of lock.
    pub kind: LockKind,
    /// The lock.
    pub lock: VirtAddr,
    /// The task that has it.
    pub owner: VirtAddr,
    /// The lock's member that says so, and its value.
    pub names_owner: (Source, u64),
    /// How the CPU is tied to the lock.
    pub tied: OwnerSpinTie,
}

/// How it is known what a CPU spins for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerSpinTie {
    /// The lock's address is in this register of the code that looks at its owner.
    Register(&'static str),
    /// It is in the lock's queue behind this CPU, by this member of its node.
    Behind(u32, Source, VirtAddr),
}

/// All of them, by CPU.
pub(crate) fn owner_spins(kernel: &Kernel<'_>, snapshot: &Snapshot, running: &[(u32, Stack)]) -> Vec<OwnerSpin> {
    let first = running.iter().filter_map(|(cpu, stack)| first(kernel, snapshot, snapshot.cpu(*cpu)?, stack));
    let mut spins: Vec<_> = first.collect();
    let behind: Vec<_> = spins.iter().flat_map(|first| queue(kernel, running, first)).collect();
    spins.extend(behind);
    spins.sort_by_key(|spin| spin.cpu);
    spins.dedup_by_key(|spin| spin.cpu);
    spins
}

/// The kind of lock at whose owner a function looks again and again.
fn looks_at_owner(frame: &StackFrame) -> Option<LockKind> {
    match base_name(frame.function()?) {
        "mutex_spin_on_owner" => Some(LockKind::Mutex),
        "rwsem_spin_on_owner" => Some(LockKind::RwSemaphore),
        _ => None,
    }
}

fn first(kernel: &Kernel<'_>, snapshot: &Snapshot, cpu: &Cpu, stack: &Stack) -> Option<OwnerSpin> {
    let (frame, kind) = stack.frames.iter().enumerate().find_map(|(at, frame)| Some((at, looks_at_owner(frame)?)))?;
    let registers = general_registers(&registers_at(cpu, stack, frame)?);
    let current = snapshot.current(cpu)?.address;
    let tie = |(register, value): &(&'static str, u64)| {
        let lock = VirtAddr::new(*value);
        let names_owner = owner_word(kernel, kind, lock)?;
        let owner = VirtAddr::new(names_owner.1 & !FLAGS);
        let is_at_hand = registers.iter().any(|(_, value)| *value == owner.get());
        let is_other_task = owner != current && snapshot.task_index(owner).is_some();
        let tied = OwnerSpinTie::Register(register);
        (is_at_hand && is_other_task).then_some(OwnerSpin { cpu: cpu.cpu, kind, lock, owner, names_owner, tied })
    };
    let mut ties = registers.iter().filter_map(tie);
    let only = ties.next()?;
    ties.all(|other| other.lock == only.lock).then_some(only)
}

/// The word of a lock that says which task has it alone.
fn owner_word(kernel: &Kernel<'_>, kind: LockKind, lock: VirtAddr) -> Option<(Source, u64)> {
    let is_object = lock.is_kernel_half() && lock.get().is_multiple_of(8);
    // An `atomic_long_t` since 4.10 and 5.3 (kernel commits 3ca0ff571b09, 94a9717b3c40).
    let member = |path| member(kernel, kind, lock, path);
    let source = member("owner.counter").or_else(|| member("owner")).filter(|_| is_object)?;
    let word = kernel.memory().read_u64(source.address).ok()?;
    let is_read = kind == LockKind::RwSemaphore && word & READER_OWNED != 0;
    (!is_read).then_some((source, word))
}

fn member(kernel: &Kernel<'_>, kind: LockKind, lock: VirtAddr, path: &'static str) -> Option<Source> {
    kind.type_names().iter().find_map(|type_name| Reader::member(kernel, lock, type_name, path))
}

/// Those that wait behind the first of a lock's queue; none where the queue does not end with the CPU that the lock names.
fn queue(kernel: &Kernel<'_>, running: &[(u32, Stack)], first: &OwnerSpin) -> Vec<OwnerSpin> {
    let waits = |cpu: u32| {
        let stack = running.iter().find(|(number, _)| *number == cpu).map(|(_, stack)| stack);
        let function = |stack: &Stack| stack.frames.iter().any(|frame| frame.function() == Some("osq_lock"));
        stack.is_some_and(function)
    };
    let mut behind = Vec::new();
    let mut at = first.cpu;
    // Each CPU has one node, so no queue is longer.
    for _ in running {
        let Some((cpu, before)) = next(kernel, running, at) else { break };
        let tied = OwnerSpinTie::Behind(at, before.0, before.1);
        behind.push(OwnerSpin { cpu, tied, ..first.clone() });
        at = cpu;
    }
    let tail = member(kernel, first.kind, first.lock, "osq.tail.counter");
    let last = tail.and_then(|tail| kernel.memory().read_u32(tail.address).ok()?.checked_sub(1));
    behind.retain(|spin| last == Some(at) && waits(spin.cpu));
    behind
}

/// The CPU whose node is behind that of this one, and what says so in its node.
fn next(kernel: &Kernel<'_>, running: &[(u32, Stack)], cpu: u32) -> Option<(u32, (Source, VirtAddr))> {
    let node = |cpu: u32| kernel.percpu_symbol("osq_node", cpu);
    let pointer = |node: VirtAddr, path| {
        let source = Reader::member(kernel, node, "optimistic_spin_node", path)?;
        Some((source, kernel.memory().read_pointer(source.address).ok()?))
    };
    let own = node(cpu)?;
    let (_, following) = pointer(own, "next")?;
    let (behind, _) = running.iter().find(|(number, _)| *number != cpu && node(*number) == Some(following))?;
    let before = pointer(following, "prev").filter(|(_, before)| *before == own)?;
    Some((*behind, before))
}
