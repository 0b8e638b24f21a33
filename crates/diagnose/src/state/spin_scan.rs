//! Which CPUs spin for which spin lock, and who may have it.
//!
//! A CPU in the slow path of a queued spin lock reads one word again and again: the lock, or its own node in the lock's
//! queue. The instruction says which, with the registers of the moment. For a node, the chain of nodes behind it must end
//! at the CPU that the lock's word names as the last: of all addresses that this code has at hand, that holds for one.
//!
//! Of a reader-writer lock (`kernel/locking/qrwlock.c`) the first that waits reads the lock's word, all others wait for the spin
//! lock in it, in the same slow path, which is then called by that of the reader-writer lock.
//!
//! Who has a spin lock is recorded only with `CONFIG_DEBUG_SPINLOCK`. Otherwise a CPU that works on something it locked
//! mostly still has the lock's address in a register or on its stack, to unlock it: a strong hint, not a proof.

use std::ops::RangeInclusive;

use vmcore_kernel::{
    Cpu, Kernel, RwLock, RwLockWord, Snapshot, SpinLockWord, SpinNode, Stack, StackFrame, words_between,
};
use vmcore_memory::{Registers, VirtAddr};

use crate::Reader;
use crate::names::{is_idling, is_lock_halt, is_read_slow_path, is_spin_slow_path, is_write_slow_path, own_frame};
use crate::operand::{general_registers, polled_address};

/// The word of a lock that a CPU spins for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpunFor {
    /// A spin lock.
    Spin(SpinLockWord),
    /// A reader-writer lock.
    ReadWrite {
        /// The lock's word.
        word: RwLockWord,
        /// Whether the CPU wants to write.
        to_write: bool,
    },
}

impl SpunFor {
    /// Its value.
    #[must_use]
    pub const fn value(self) -> u32 {
        match self {
            Self::Spin(word) => word.0,
            Self::ReadWrite { word, .. } => word.0,
        }
    }

    /// Whether somebody has the lock.
    #[must_use]
    pub const fn is_taken(self) -> bool {
        match self {
            Self::Spin(word) => word.is_locked(),
            Self::ReadWrite { word, .. } => word.is_taken(),
        }
    }
}

/// A CPU that spins for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spin {
    /// The CPU.
    pub cpu: u32,
    /// The lock.
    pub lock: VirtAddr,
    /// The lock's word.
    pub word: SpunFor,
    /// The word that the interrupted code reads: the lock's, this CPU's node, or the spin lock in a reader-writer lock.
    pub polled: VirtAddr,
    /// Its place in the lock's queue, where it has one.
    pub node: Option<SpinNode>,
    /// The CPU in front of it in the queue.
    pub behind: Option<u32>,
    /// Who seems to have the lock.
    pub holders: Vec<Holder>,
}

/// A CPU that seems to have a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The CPU.
    pub cpu: u32,
    /// How it is known.
    pub found: HolderFound,
}

/// How it is known that a CPU has a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HolderFound {
    /// The lock says so: a proof.
    Recorded,
    /// Its address is in this register of the interrupted code.
    Register(&'static str),
    /// Its address is on the stack here.
    OnStack(VirtAddr),
}

/// All spinners, by CPU.
pub(crate) fn spins(kernel: &Kernel<'_>, snapshot: &Snapshot, running: &[(u32, Stack)]) -> Vec<Spin> {
    let nodes: Vec<_> = snapshot.cpus.iter().flat_map(|cpu| kernel.spin_nodes(cpu.cpu).unwrap_or_default()).collect();
    let found = running.iter().filter_map(|(cpu, stack)| spin(kernel, snapshot.cpu(*cpu)?, stack, &nodes));
    let mut spins: Vec<_> = found.collect();
    let lock_of = |cpu: u32| spins.iter().find(|spin| spin.cpu == cpu).map(|spin| spin.lock);
    let waiting = running.iter().filter(|(_, stack)| waits_in(stack).is_some());
    let locks: Vec<_> = waiting.map(|(cpu, _)| (*cpu, lock_of(*cpu))).collect();
    for spin in &mut spins {
        spin.holders = holders(kernel, snapshot, running, &locks, spin);
    }
    spins
}

/// The innermost frame in which a CPU waits for a spin lock or a reader-writer lock.
pub(crate) fn waits_in(stack: &Stack) -> Option<usize> {
    let is_slow_path = |frame: &StackFrame| frame.function().is_some_and(is_spin_slow_path);
    stack.frames.iter().position(|frame| is_slow_path(frame) || writes(Some(frame)).is_some())
}

fn spin(kernel: &Kernel<'_>, cpu: &Cpu, stack: &Stack, nodes: &[SpinNode]) -> Option<Spin> {
    let frame = waits_in(stack)?;
    let halted_at = halted_at(stack, frame);
    let registers = registers_at(cpu, stack, halted_at.unwrap_or(frame));
    let polled = match halted_at {
        // Its innermost node: interrupts nest.
        Some(_) => nodes.iter().rfind(|node| node.cpu == cpu.cpu)?.address,
        None => polled_address(kernel, registers.as_ref()?)?,
    };
    if let Some(to_write) = writes(stack.frames.get(frame)) {
        let RwLock { address: lock, word } = kernel.rw_lock(polled).filter(|lock| lock.word.is_taken())?;
        let word = SpunFor::ReadWrite { word, to_write };
        return Some(Spin { cpu: cpu.cpu, lock, word, polled, node: None, behind: None, holders: Vec::new() });
    }
    let own =
        |node: &&SpinNode| node.cpu == cpu.cpu && node.address <= polled && polled < node.address.wrapping_add(16);
    let node = nodes.iter().find(own).copied();
    let lock = match node {
        None => polled,
        Some(node) => {
            let from = halted_at.unwrap_or(frame);
            queued_for(kernel, stack, from..=frame, registers.as_ref(), last_of(node, nodes)?)?
        }
    };
    let word = kernel.spin_lock_word(lock).filter(|word| word.is_locked() || word.is_pending())?;
    let node = node.or_else(|| nodes.iter().rfind(|node| node.cpu == cpu.cpu && node.first).copied());
    let behind = node.and_then(|own| nodes.iter().find(|node| node.next == own.address)).map(|node| node.cpu);
    let around = writes(stack.frames.get(frame.saturating_add(1)))
        .and_then(|to_write| Some((kernel.rw_lock_of_queue(lock).filter(|lock| lock.word.is_taken())?, to_write)));
    let (lock, word) = match around {
        Some((lock, to_write)) => (lock.address, SpunFor::ReadWrite { word: lock.word, to_write }),
        None => (lock, SpunFor::Spin(word)),
    };
    Some(Spin { cpu: cpu.cpu, lock, word, polled, node, behind, holders: Vec::new() })
}

/// The frame in which a virtual CPU halts until its turn for the lock of the slow path in `frame` comes; `None` where it spins.
fn halted_at(stack: &Stack, frame: usize) -> Option<usize> {
    let own = own_frame(stack);
    let mut inner = stack.frames.get(own..frame)?.iter().map(StackFrame::function);
    let halts = |name: Option<&str>| name.is_some_and(|name| is_idling(name) || is_lock_halt(name));
    (own < frame && inner.all(halts)).then_some(own)
}

/// Whether a frame in which a CPU waits for a reader-writer lock is that of a writer; `None` for other frames.
fn writes(frame: Option<&StackFrame>) -> Option<bool> {
    let function = frame?.function()?;
    is_write_slow_path(function).then_some(true).or_else(|| is_read_slow_path(function).then_some(false))
}

/// The registers with which a frame's own code goes on.
pub(super) fn registers_at(cpu: &Cpu, stack: &Stack, frame: usize) -> Option<Registers> {
    let interrupted = stack.interrupts.iter().find(|interrupt| interrupt.frame == frame && interrupt.complete);
    let own = || cpu.registers.filter(|_| frame == 0).map(|known| known.registers);
    interrupted.map(|interrupt| interrupt.registers).or_else(own)
}

/// The last of the queue that this node is in.
fn last_of(node: SpinNode, nodes: &[SpinNode]) -> Option<SpinNode> {
    let mut at = node;
    // Every node is in one queue, so no walk is longer than there are nodes.
    for _ in 0..=nodes.len() {
        if at.next.is_null() {
            return Some(at);
        }
        at = *nodes.iter().find(|node| node.address == at.next)?;
    }
    None
}

/// The one address at hand in these frames at which there is a lock whose queue ends with `last`.
fn queued_for(
    kernel: &Kernel<'_>,
    stack: &Stack,
    frames: RangeInclusive<usize>,
    registers: Option<&Registers>,
    last: SpinNode,
) -> Option<VirtAddr> {
    let low = stack.frames.get(*frames.start())?.sp;
    let high = stack.frames.get(frames.end().saturating_add(2)).map_or(low, |caller| caller.sp);
    let words =
        words_between(low, high, |at, chunk| Reader::read(kernel, at, chunk).is_ok()).into_iter().map(|(_, word)| word);
    let registers = registers.into_iter().flat_map(general_registers);
    let at_hand = registers.map(|(_, value)| value).chain(words);
    let ends_so = |lock: &VirtAddr| {
        let word = kernel.spin_lock_word(*lock);
        word.is_some_and(|word| word.tail() == Some((last.cpu, last.index)))
    };
    let locks = at_hand.map(VirtAddr::new).filter(|at| at.is_kernel_half() && at.get().is_multiple_of(4));
    let mut locks: Vec<_> = locks.filter(ends_so).collect();
    locks.sort_unstable();
    locks.dedup();
    match locks.as_slice() {
        [lock] => Some(*lock),
        _ => None,
    }
}

/// Who seems to have a lock; `spinning` are the CPUs that wait for one, and for which, where that can be told: else it may be this one.
fn holders(
    kernel: &Kernel<'_>,
    snapshot: &Snapshot,
    running: &[(u32, Stack)],
    spinning: &[(u32, Option<VirtAddr>)],
    &Spin { lock, word, .. }: &Spin,
) -> Vec<Holder> {
    let owner = match word {
        SpunFor::Spin(_) => kernel.spin_lock_owner(snapshot, lock),
        SpunFor::ReadWrite { word, .. } if word.has_writer() => kernel.rw_lock_owner(snapshot, lock),
        SpunFor::ReadWrite { .. } => None,
    };
    if let Some(owner) = owner.and_then(|task| snapshot.task(task)) {
        let cpu = snapshot.cpu_running(owner).map_or(owner.cpu, |cpu| cpu.cpu);
        return vec![Holder { cpu, found: HolderFound::Recorded }];
    }
    let waits = |cpu: u32| spinning.iter().any(|(other, of)| *other == cpu && of.is_none_or(|of| of == lock));
    let others = running.iter().filter(|(cpu, _)| !waits(*cpu));
    let holder = |(cpu, stack): &(u32, Stack)| {
        let found = has_address(kernel, snapshot.cpu(*cpu)?, stack, lock)?;
        Some(Holder { cpu: *cpu, found })
    };
    others.filter_map(holder).collect()
}

/// Where code that runs on a CPU has this address at hand.
fn has_address(kernel: &Kernel<'_>, cpu: &Cpu, stack: &Stack, lock: VirtAddr) -> Option<HolderFound> {
    let interrupted =
        stack.interrupts.iter().filter(|interrupt| interrupt.complete).map(|interrupt| interrupt.registers);
    let all = cpu.registers.map(|known| known.registers).into_iter().chain(interrupted);
    for registers in all.filter(|registers| !registers.user_mode()) {
        let found = general_registers(&registers).into_iter().find(|(_, value)| *value == lock.get());
        if let Some((name, _)) = found {
            return Some(HolderFound::Register(name));
        }
    }
    let frames = stack.frames.iter().filter(|frame| frame.segment == Some(vmcore_kernel::Segment::Task));
    let mut pointers = frames.map(|frame| frame.sp);
    let low = pointers.next()?;
    let high = pointers.next_back()?;
    let found = words_between(low, high, |at, chunk| Reader::read(kernel, at, chunk).is_ok())
        .into_iter()
        .find(|(_, word)| *word == lock.get());
    found.map(|(at, _)| HolderFound::OnStack(at))
}
