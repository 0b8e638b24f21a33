//! Structures of the kernel that tasks wait with, and the lists that they are in.

use std::collections::BTreeMap;

use vmcore_diagnose::SpunFor;
use vmcore_memory::VirtAddr;
use vmcore_synth::scenario::{Change, Circle, Frame, Object, Reference, Word};

use crate::Source;
use crate::stacks::sleeper;

/// What a scenario's objects are gathered in.
#[derive(Default)]
pub(crate) struct Objects {
    pub(crate) objects: Vec<Object>,
    pub(crate) circles: Vec<Circle>,
    pub(crate) changes: Vec<Change>,
}

impl Objects {
    pub(crate) fn add<'p>(
        &mut self,
        name: &str,
        type_name: &str,
        on: Option<Frame>,
        set: impl IntoIterator<Item = (&'p str, Word)>,
    ) {
        let set = set.into_iter().map(|(path, word)| (path.to_owned(), word)).collect();
        self.objects.push(Object { name: name.to_owned(), type_name: type_name.to_owned(), on, set });
    }

    pub(crate) fn link(&mut self, nodes: impl IntoIterator<Item = String>) {
        self.circles.push(Circle { nodes: nodes.into_iter().collect() });
    }
}

/// The address of a task.
pub(crate) fn task(pid: i32, plus: u64) -> Word {
    Word::Address(Reference { task: Some(pid), plus, ..Reference::default() })
}

/// The address of an object.
pub(crate) fn object(name: &str) -> Word {
    Word::Address(Reference { object: Some(name.to_owned()), ..Reference::default() })
}

/// The address of a function.
pub(crate) fn function(name: &str) -> Word {
    Word::Address(Reference { function: Some(name.to_owned()), ..Reference::default() })
}

/// The frame of a task that an object is in: that of `function`, or else of the innermost one that sleeps for a lock.
pub(crate) fn frame_of(source: &Source<'_, '_>, task: VirtAddr, pid: i32, function: Option<&str>) -> Option<Frame> {
    let stack = source.facts.stack_of(task)?;
    let on_stack = |name: &&str| stack.frames.iter().any(|frame| frame.function() == Some(name));
    let function = function.filter(on_stack).or_else(|| sleeper(stack))?;
    Some(Frame { task: pid, function: function.to_owned() })
}

/// Spin locks by the CPUs that wait for them and those that have them.
pub(crate) struct SpinLocks {
    waited: BTreeMap<u32, (String, Option<&'static str>)>,
    held: BTreeMap<u32, String>,
}

impl SpinLocks {
    /// The lock that a CPU waits for, and the slow path where it is not that of spin locks.
    pub(crate) fn waited_by(&self, cpu: u32) -> Option<(String, Option<&'static str>)> {
        self.waited.get(&cpu).cloned()
    }

    pub(crate) fn held_by(&self, cpu: u32) -> Option<String> {
        self.held.get(&cpu).cloned()
    }
}

/// Adds the spin locks that CPUs wait for.
pub(crate) fn spin_locks(source: &Source<'_, '_>, objects: &mut Objects) -> SpinLocks {
    /// `_Q_LOCKED_VAL`. The queue of those behind the first is not part of it: each looks at the lock itself.
    const LOCKED: u64 = 1;
    let mut locks = SpinLocks { waited: BTreeMap::new(), held: BTreeMap::new() };
    let mut names: BTreeMap<VirtAddr, String> = BTreeMap::new();
    for spin in &source.facts.state.spins {
        let next = format!("spinlock-{}", names.len() + 1);
        let name = names.entry(spin.lock).or_insert_with(|| {
            match spin.word {
                SpunFor::Spin(_) => objects.add(&next, "atomic_t", None, [("counter", Word::Number(LOCKED))]),
                SpunFor::ReadWrite { word, .. } => {
                    let words = [("cnts.counter", word.0.into()), ("wait_lock.val.counter", LOCKED)];
                    objects.add(&next, "qrwlock", None, words.map(|(member, value)| (member, Word::Number(value))));
                }
            }
            next
        });
        locks.waited.insert(spin.cpu, (name.clone(), slow_path(spin.word)));
        for holder in &spin.holders {
            locks.held.entry(holder.cpu).or_insert_with(|| name.clone());
        }
    }
    locks
}

/// The function in which a CPU waits, where it is not that of spin locks.
const fn slow_path(word: SpunFor) -> Option<&'static str> {
    match word {
        SpunFor::Spin(_) => None,
        SpunFor::ReadWrite { to_write: true, .. } => Some("queued_write_lock_slowpath"),
        SpunFor::ReadWrite { to_write: false, .. } => Some("queued_read_lock_slowpath"),
    }
}
