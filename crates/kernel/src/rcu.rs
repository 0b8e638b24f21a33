//! RCU's grace period: since when it has been going on, and which CPUs and tasks it still waits for.
//!
//! ```text
//! rcu_state.gp_seq     low two bits not 0 while a grace period is going on (since 4.19)
//! rcu_state.gp_start   jiffies when it began
//! rcu_data             per CPU (rcu_sched_data and the like before 4.20); mynode -> struct rcu_node, grpmask: the CPU's bit there
//! rcu_node.qsmask      the CPUs that have not passed a quiescent state
//! rcu_node.blkd_tasks  tasks that lost their CPU within a read-side section, linked by task_struct.rcu_node_entry
//! rcu_state.node[0]    the root: its qsmask is 0 when all have passed one, and then rcu_state.gp_kthread ends the grace period
//! rcu_node.gp_tasks    the first of them that this grace period waits for; it waits for those behind it, too
//! ```
//!
//! Source: `kernel/rcu/tree.h`, `kernel/rcu/tree.c`.

use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::layout::{Field, Named, Resolver, Source};
use crate::list::list;
use crate::{Gap, Kernel};

/// `RCU_SEQ_STATE_MASK`.
const RUNNING: u64 = 3;
/// More readers than anybody wants to see.
const MAX_READERS: usize = 1 << 10;
/// RCU flavours by their variables, the state and the per-CPU data: one since 4.20 (kernel commit 65cfe3583b61). Before,
/// kernels that do not preempt their own code have no `rcu_preempt_state`.
const FLAVOURS: [(&str, &str); 3] =
    [("rcu_state", "rcu_data"), ("rcu_preempt_state", "rcu_preempt_data"), ("rcu_sched_state", "rcu_sched_data")];

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
    /// The tasks that it waits for: each lost its CPU within a read-side section (`CONFIG_PREEMPT_RCU`).
    pub readers: Vec<GraceReader>,
    /// The thread that has to end it, while it is going on.
    pub ender: Option<GraceEnder>,
}

/// RCU's own thread. It ends a grace period, and while that goes on looks now and then which CPUs idle: those pass no quiescent
/// state by themselves (`rcu_gp_fqs()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraceEnder {
    /// The address of its `struct task_struct`.
    pub task: VirtAddr,
    /// Where that was read: `rcu_state.gp_kthread`.
    pub named_at: Source,
    /// The address of the root `struct rcu_node`, where its `qsmask` is 0 and nobody else is waited for.
    pub free_root: Option<VirtAddr>,
}

/// A task that has not left its read-side section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraceReader {
    /// The address of its `struct task_struct`.
    pub task: VirtAddr,
    /// Where the pointer to its `rcu_node_entry` was read: `rcu_node.gp_tasks`, or the entry of the task before it.
    pub named_at: Source,
    /// That pointer.
    pub entry: VirtAddr,
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
    /// The last grace period: where there are several flavours, the one that has been going on for longest. `None` where nothing can
    /// hold one up: Tiny RCU, of kernels for one CPU, keeps none.
    ///
    /// # Errors
    ///
    /// [`Gap`] with the reason where it cannot be read.
    pub fn grace_period(&self) -> Result<Option<GracePeriod>, Gap> {
        let states = FLAVOURS.into_iter().filter_map(|(state, data)| Some((state, self.symbol(state)?, data)));
        let periods: Vec<_> = states.map(|(name, state, data)| self.grace_period_of(name, state, data)).collect();
        if periods.is_empty() {
            let no_state = || Gap::new("RCU's grace period", "the vmlinux has no symbol rcu_state");
            // `rcu_sched_ctrlblk` up to 4.19 (`kernel/rcu/tiny.c`).
            let is_tiny = ["rcu_ctrlblk", "rcu_sched_ctrlblk"].iter().any(|name| self.symbol(name).is_some());
            return if is_tiny { Ok(None) } else { Err(no_state()) };
        }
        most_telling(periods).map(Some)
    }

    fn grace_period_of(&self, name: &str, state: VirtAddr, data: &str) -> Result<GracePeriod, Gap> {
        let types = Resolver::new(self.vmlinux().types());
        let read = |path| types.optional("rcu_state", path)?.read(self.memory(), state).ok();
        let gap = |why: String| Gap::new("RCU's grace period", why);
        let seq = types.field("rcu_state", "gp_seq").map_err(|error| gap(error.to_string()))?;
        let seq = seq.read(self.memory(), state).map_err(|error| gap(format!("{name}.gp_seq: {error}")))?;
        let running = seq & RUNNING != 0;
        let name = read("name").and_then(|name| self.memory().read_c_string(VirtAddr::new(name), 32).ok());
        let age = read("gp_start").and_then(|start| self.jiffies()?.checked_sub(start));
        let age_ns = age.and_then(|age| age.checked_mul(self.tick_ns()?));
        let cpus: Vec<_> =
            self.percpu().cpus().filter(|_| running).filter_map(|cpu| self.holdout(types, data, cpu)).collect();
        let readers = if running { self.readers(types, data) } else { Vec::new() };
        let is_free = running && cpus.is_empty() && readers.is_empty();
        Ok(GracePeriod {
            ender: running.then(|| self.ender(types, state, is_free)).flatten(),
            name: name.map(|name| String::from_utf8_lossy(&name).into_owned()),
            state,
            seq,
            running,
            age_ns,
            cpus,
            readers,
        })
    }

    /// The readers of all leaves: each CPU names its own.
    fn readers(&self, types: Resolver<'_>, data: &str) -> Vec<GraceReader> {
        let Some(layout) = ReaderLayout::resolve(types) else { return Vec::new() };
        let node = |cpu| layout.my_node.read_pointer(self.memory(), self.percpu_symbol(data, cpu)?).ok();
        let mut nodes: Vec<_> = self.percpu().cpus().filter_map(node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let readers = nodes.into_iter().flat_map(|node| layout.readers(self.memory(), node));
        readers.take(MAX_READERS).collect()
    }

    /// The thread; `is_free` where no CPU and no reader was found.
    fn ender(&self, types: Resolver<'_>, state: VirtAddr, is_free: bool) -> Option<GraceEnder> {
        let (task, named_at) = self.gp_kthread(state).ok().filter(|(task, _)| !task.is_null())?;
        let free_root = is_free.then(|| self.free_root(types, state)).flatten();
        Some(GraceEnder { task, named_at, free_root })
    }

    /// The root, where it waits for nobody. CPUs whose data cannot be read are seen there.
    fn free_root(&self, types: Resolver<'_>, state: VirtAddr) -> Option<VirtAddr> {
        let root = types.optional("rcu_state", "node")?.address(state);
        let waits_for = types.optional("rcu_node", "qsmask")?.read(self.memory(), root).ok()?;
        // Where the root has no leaves below it, readers are listed there. That none was found may be the list's fault.
        if let Some(first) = types.optional("rcu_node", "gp_tasks")
            && !first.read_pointer(self.memory(), root).ok()?.is_null()
        {
            return None;
        }
        (waits_for == 0).then_some(root)
    }

    /// The thread that begins and ends the grace periods of the flavour whose `rcu_state` is at `state`: the address of its
    /// `struct task_struct`, which is null before there is one, and where that was read.
    ///
    /// # Errors
    ///
    /// [`Gap`] with the reason where it cannot be read.
    pub fn gp_kthread(&self, state: VirtAddr) -> Result<(VirtAddr, Source), Gap> {
        let gap = |why: String| Gap::new("the thread of grace periods", why);
        let member = Resolver::new(self.vmlinux().types()).named("rcu_state", &["gp_kthread"]);
        let member = member.ok_or_else(|| gap("this kernel has no rcu_state.gp_kthread".to_owned()))?;
        let named_at = member.of(state);
        let task = self.memory().read_pointer(named_at.address);
        Ok((task.map_err(|error| gap(format!("rcu_state.gp_kthread: {error}")))?, named_at))
    }

    fn holdout(&self, types: Resolver<'_>, data: &str, cpu: u32) -> Option<GraceHoldout> {
        let data = self.percpu_symbol(data, cpu)?;
        let read = |type_name, path, at| types.optional(type_name, path)?.read(self.memory(), at).ok();
        let node = VirtAddr::new(read("rcu_data", "mynode", data)?);
        let mask = read("rcu_data", "grpmask", data)?;
        let qsmask = read("rcu_node", "qsmask", node)?;
        (qsmask & mask != 0).then_some(GraceHoldout { cpu, node, qsmask })
    }

    /// `jiffies`: ticks since boot, from a start that is not 0.
    #[must_use]
    pub fn jiffies(&self) -> Option<u64> {
        let at = self.symbol("jiffies_64").or_else(|| self.symbol("jiffies"))?;
        self.memory().read_u64(at).ok()
    }

    /// `TICK_NSEC`, nanoseconds of a tick: a variable, or in the clock source that counts jiffies, in units of 1/256 ns.
    #[must_use]
    pub fn tick_ns(&self) -> Option<u64> {
        let variable = self.symbol("tick_nsec").and_then(|at| self.memory().read_u64(at).ok());
        let sane = |ns: &u64| (100_000..=100_000_000).contains(ns);
        variable.filter(sane).or_else(|| {
            let mult = Resolver::new(self.vmlinux().types()).optional("clocksource", "mult")?;
            let value = mult.read(self.memory(), self.symbol("clocksource_jiffies")?).ok()?;
            Some(value >> 8).filter(sane)
        })
    }
}

/// The grace period to tell of; not that none is going on where one of them could not be read.
fn most_telling(periods: Vec<Result<GracePeriod, Gap>>) -> Result<GracePeriod, Gap> {
    let mut unread = None;
    let read: Vec<_> = periods.into_iter().filter_map(|period| period.map_err(|gap| unread = Some(gap)).ok()).collect();
    let gravest = gravest(read.into_iter()).filter(|period| period.running || unread.is_none());
    let unread = unread.unwrap_or_else(|| Gap::new("RCU's grace period", "there is none"));
    gravest.ok_or(unread)
}

/// Of the flavours' grace periods the one that has been going on for longest; the first where none is going on.
fn gravest(periods: impl Iterator<Item = GracePeriod>) -> Option<GracePeriod> {
    let weight = |period: &GracePeriod| (period.running, period.age_ns.filter(|_| period.running));
    // The first of equals.
    periods.reduce(|gravest, next| if weight(&next) > weight(&gravest) { next } else { gravest })
}

struct ReaderLayout {
    my_node: Field,
    blocked: Field,
    first: Named,
    entry: Named,
}

impl ReaderLayout {
    fn resolve(types: Resolver<'_>) -> Option<Self> {
        Some(Self {
            my_node: types.optional("rcu_data", "mynode")?,
            blocked: types.optional("rcu_node", "blkd_tasks")?,
            first: types.named("rcu_node", &["gp_tasks"])?,
            entry: types.named("task_struct", &["rcu_node_entry"])?,
        })
    }

    /// From the first that the grace period waits for to the end of the list.
    fn readers<M: ReadVirtual + ?Sized>(&self, memory: &M, node: VirtAddr) -> Vec<GraceReader> {
        let first_at = self.first.of(node);
        let listed = list(memory, self.blocked.address(node), MAX_READERS, "readers that RCU waits for").nodes;
        let first = memory.read_pointer(first_at.address).ok();
        let Some(start) = listed.iter().position(|entry| Some(*entry) == first) else { return Vec::new() };
        let mut named_at = first_at;
        let mut readers = Vec::new();
        for entry in listed.into_iter().skip(start) {
            // In a damaged list what is found from its other end is not where this one leads.
            if memory.read_pointer(named_at.address).ok() != Some(entry) {
                break;
            }
            let task = self.entry.field.container(entry);
            readers.push(GraceReader { task, named_at, entry });
            // `next` is the first member of `struct list_head`.
            named_at = self.entry.of(task);
        }
        readers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_memory::{TestMemory, damaged_memory};

    const NODE: u64 = 0xffff_8880_0001_0000;
    const HEAD: u64 = NODE + 0x40;
    const TASKS: [u64; 3] = [0xffff_8880_0002_0000, 0xffff_8880_0003_0000, 0xffff_8880_0004_0000];
    const ENTRY: u64 = 0x500;
    const LAYOUT: ReaderLayout = ReaderLayout {
        my_node: Field { offset: 0, size: 8 },
        blocked: Field { offset: 0x40, size: 16 },
        first: Named::for_tests("rcu_node", "gp_tasks", 0x50, 8),
        entry: Named::for_tests("task_struct", "rcu_node_entry", ENTRY, 16),
    };

    /// Three tasks in the list, of which the grace period waits for the last two.
    fn memory() -> TestMemory {
        let mut memory = TestMemory::default();
        let entries = TASKS.map(|task| task + ENTRY);
        for pair in [HEAD].into_iter().chain(entries).chain([HEAD]).collect::<Vec<_>>().windows(2) {
            memory.put_u64(pair[0], pair[1]);
        }
        memory.put_u64(NODE + 0x50, entries[1]);
        memory
    }

    fn tasks(memory: &TestMemory) -> Vec<u64> {
        LAYOUT.readers(memory, VirtAddr::new(NODE)).iter().map(|reader| reader.task.get()).collect()
    }

    #[test]
    fn readers_that_a_grace_period_waits_for() {
        assert_eq!(tasks(&memory()), TASKS[1..]);
        let first = LAYOUT.readers(&memory(), VirtAddr::new(NODE))[0];
        assert_eq!((first.named_at.address.get(), first.entry.get()), (NODE + 0x50, TASKS[1] + ENTRY));
    }

    #[test]
    fn of_several_flavours_the_one_that_waits_for_longest_counts() {
        let period = |state: u64, running, age_ns| GracePeriod {
            name: None,
            state: VirtAddr::new(state),
            seq: running,
            running: running != 0,
            age_ns,
            cpus: Vec::new(),
            readers: Vec::new(),
            ender: None,
        };
        let found = |periods: &[GracePeriod]| gravest(periods.iter().cloned()).map(|period| period.state.get());
        assert_eq!(found(&[period(1, 0, Some(90)), period(2, 1, Some(5)), period(3, 1, Some(7))]), Some(3));
        assert_eq!(found(&[period(1, 0, Some(5)), period(2, 0, Some(7))]), Some(1), "none is going on");
        assert_eq!(found(&[period(1, 0, None), period(2, 1, None)]), Some(2));
        assert_eq!(found(&[]), None);
        // One that cannot be read may be the one that does not end.
        let told = |periods: &[Option<GracePeriod>]| {
            let unread = || Gap::new("RCU's grace period", "not read");
            let periods = periods.iter().map(|period| period.clone().ok_or_else(unread)).collect();
            most_telling(periods).map(|period| period.state.get()).map_err(|gap| gap.why)
        };
        assert_eq!(told(&[Some(period(1, 1, None)), None]), Ok(1));
        assert_eq!(told(&[None, Some(period(2, 0, None))]), Err("not read".to_owned()));
        assert_eq!(told(&[Some(period(1, 0, None)), Some(period(2, 0, None))]), Ok(1));
        assert_eq!(told(&[None]), Err("not read".to_owned()));
    }

    #[test]
    fn nobody_a_loop_and_a_wild_pointer() {
        let mut memory = self::memory();
        memory.put_u64(NODE + 0x50, 0);
        assert_eq!(tasks(&memory), [0; 0]);
        memory.put_u64(NODE + 0x50, TASKS[1] + ENTRY);
        memory.put_u64(TASKS[2] + ENTRY, TASKS[1] + ENTRY);
        assert_eq!(tasks(&memory), TASKS[1..]);
        memory.put_u64(TASKS[1] + ENTRY, 0x1234);
        assert_eq!(tasks(&memory), TASKS[1..2]);
    }

    proptest! {
        #[test]
        fn damaged_lists_end(memory in damaged_memory(NODE..NODE + 0x1000)) {
            prop_assert!(LAYOUT.readers(&memory, VirtAddr::new(NODE)).len() <= MAX_READERS);
        }
    }
}
