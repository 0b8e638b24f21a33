//! What follows from the facts and is asked for once for every task: worked out when it is first asked for, and kept.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::OnceLock;

use vmcore_console::PanicReason;
use vmcore_kernel::{Class, Cpu, Lock, LockKind, LockWait, PageWait, Stack, WorkWait};
use vmcore_memory::VirtAddr;

use crate::exception_frame::Exception;
use crate::interrupt_flags::{Flags, interrupted_at};
use crate::names::is_stopped_by_panic;
use crate::text::seconds;
use crate::{Facts, KernelState};

/// What follows from [`Facts`]; begins empty. The facts it was made from must not be changed afterwards.
#[derive(Default)]
pub struct Derived {
    stacks: OnceLock<HashMap<usize, Whose>>,
    death: OnceLock<Option<PanicReason>>,
    panicked_ns: OnceLock<Option<u64>>,
    now_ns: OnceLock<Option<u64>>,
    newest_clock_ns: OnceLock<Option<u64>>,
    waits: OnceLock<Waits>,
    clocks: OnceLock<Clocks>,
    queued: OnceLock<HashMap<VirtAddr, Vec<(u32, Class)>>>,
    running: OnceLock<HashMap<u32, usize>>,
    current: OnceLock<HashMap<VirtAddr, u32>>,
}

/// What tasks wait for: places in the lists of [`KernelState`], the first of several.
struct Waits {
    locks_of_tasks: HashMap<VirtAddr, usize>,
    pages_of_tasks: HashMap<VirtAddr, usize>,
    works_of_tasks: HashMap<VirtAddr, usize>,
    locks: HashMap<(VirtAddr, LockKind), usize>,
}

impl Waits {
    fn new(state: &KernelState) -> Self {
        Self {
            locks_of_tasks: places(state.lock_waits.iter().map(|wait| wait.task)),
            pages_of_tasks: places(state.page_waits.iter().map(|wait| wait.task)),
            works_of_tasks: places(state.work_waits.iter().map(|wait| wait.task)),
            locks: places(state.locks.iter().map(|lock| (lock.address, lock.kind))),
        }
    }
}

fn places<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut places = HashMap::new();
    for (at, key) in keys.enumerate() {
        places.entry(key).or_insert(at);
    }
    places
}

fn waits<'f>(facts: &'f Facts<'_>) -> &'f Waits {
    facts.derived.waits.get_or_init(|| Waits::new(&facts.state))
}

/// The lock that a task waits for, if it is known.
pub(crate) fn lock_wait<'f>(facts: &'f Facts<'_>, task: VirtAddr) -> Option<&'f LockWait> {
    facts.state.lock_waits.get(*waits(facts).locks_of_tasks.get(&task)?)
}

/// The page that a task waits for, if it is known.
pub(crate) fn page_wait<'f>(facts: &'f Facts<'_>, task: VirtAddr) -> Option<&'f PageWait> {
    facts.state.page_waits.get(*waits(facts).pages_of_tasks.get(&task)?)
}

/// The work that a task waits for, if it is known.
pub(crate) fn work_wait<'f>(facts: &'f Facts<'_>, task: VirtAddr) -> Option<&'f WorkWait> {
    facts.state.work_waits.get(*waits(facts).works_of_tasks.get(&task)?)
}

/// The state of the lock that a wait is for.
pub(crate) fn lock<'f>(facts: &'f Facts<'_>, wait: &LockWait) -> Option<&'f Lock> {
    facts.state.locks.get(*waits(facts).locks.get(&(wait.lock, wait.kind))?)
}

/// What the machine's clocks say.
#[derive(Default)]
struct Clocks {
    /// The latest of all CPUs, and whose it is.
    latest: Option<(u64, u32)>,
    /// The latest of the others.
    second: Option<u64>,
    /// When the last line was logged.
    logged: Option<u64>,
}

/// The latest time that anything but the clock of this CPU has seen.
pub(crate) fn latest_beside(facts: &Facts<'_>, cpu: u32) -> Option<u64> {
    let clocks = facts.derived.clocks.get_or_init(|| {
        let queues = facts.snapshot.cpus.iter().filter_map(|cpu| Some((cpu.run_queue.as_ref()?.clock_ns, cpu.cpu)));
        let mut clocks = Clocks { logged: facts.log.iter().map(|line| line.timestamp_ns).max(), ..Clocks::default() };
        for clock in queues {
            if clocks.latest.is_none_or(|latest| clock > latest) {
                clocks.second = clocks.latest.map(|(clock, _)| clock);
                clocks.latest = Some(clock);
            } else {
                clocks.second = clocks.second.max(Some(clock.0));
            }
        }
        clocks
    });
    let others = clocks.latest.filter(|(_, whose)| *whose != cpu).map(|(clock, _)| clock).or(clocks.second);
    others.max(clocks.logged)
}

/// More than clocks of one machine differ by while all of them run.
const SLACK_NS: u64 = 5_000_000_000;

/// That a CPU's clock says a time that nothing else on the machine has seen: then one of the two is damaged, and no time
/// that is counted by it is proven. The other CPUs' clocks and the log go by the same clock; the timekeeper's is disciplined.
pub(crate) fn runs_ahead(facts: &Facts<'_>, cpu: &Cpu) -> Option<String> {
    let clock = cpu.run_queue.as_ref()?.clock_ns;
    // After a panic all others are stopped, and with them what advances the timekeeper; this one waits to be restarted.
    if panicked_ns(facts).is_some() && (cpu.online || facts.state.panic.cpu == Some(cpu.cpu)) {
        return None;
    }
    let seen = latest_beside(facts, cpu.cpu);
    let up = facts.state.timekeeper_ns.map(|up| up.saturating_add(up / 2000));
    let latest = seen.into_iter().chain(up).max()?;
    let ahead = clock.checked_sub(latest).filter(|&ahead| ahead > SLACK_NS)?;
    // CPUs that idle or have their interrupts off stand still and bear witness to nothing.
    if up.is_none() && witnesses(facts, cpu) == 0 {
        return None;
    }
    Some(format!(
        "the clock of CPU {} (rq.clock) is {} ahead of the other CPUs', of the log and of the time since boot, so what it \
         counts is no time",
        cpu.cpu,
        seconds(ahead)
    ))
}

/// Whether it is the clock of this CPU that is wrong, and not that of another which stands still, and with it the
/// timekeeper: two others tick, or there are none.
pub(crate) fn cannot_be_right(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let alone = || facts.snapshot.cpus.iter().filter(|other| other.run_queue.is_some()).count() == 1;
    runs_ahead(facts, cpu).is_some() && (alone() || witnesses(facts, cpu) >= 2)
}

/// How many other CPUs are busy with their interrupts on, so that they tick. Whether they do tick is not asked: that is what they are
/// to bear witness of.
fn witnesses(facts: &Facts<'_>, cpu: &Cpu) -> usize {
    let busy = |other: &&Cpu| other.run_queue.as_ref().is_some_and(|queue| queue.current != queue.idle);
    let flags = |other: &&Cpu| {
        let stack = facts.running_on(other.cpu)?;
        Flags::at_frame(stack, interrupted_at(stack).unwrap_or_default(), other.registers)?
            .telling(facts.state.masks_by_priority)
    };
    let ticks = |other: &&Cpu| match flags(other) {
        Some(flags) => !flags.off(),
        // User code always has them on.
        None => other.registers.is_some_and(|known| known.registers.user_mode()),
    };
    facts.snapshot.cpus.iter().filter(|other| other.cpu != cpu.cpu).filter(busy).filter(ticks).count()
}

/// The CPUs in whose run queues a task waits, with its class there.
pub(crate) fn queued<'f>(facts: &'f Facts<'_>, task: VirtAddr) -> &'f [(u32, Class)] {
    let queued = facts.derived.queued.get_or_init(|| {
        let mut queued: HashMap<VirtAddr, Vec<(u32, Class)>> = HashMap::new();
        for queue in facts.snapshot.cpus.iter().filter_map(|cpu| cpu.run_queue.as_ref()) {
            for entry in &queue.queued {
                let places = queued.entry(entry.task).or_default();
                // Of several places in the queue of one CPU the first.
                if places.last().is_none_or(|(cpu, _)| *cpu != queue.cpu) {
                    places.push((queue.cpu, entry.class));
                }
            }
        }
        queued
    });
    queued.get(&task).map(Vec::as_slice).unwrap_or_default()
}

/// The first CPU whose run queue says that it runs this task (`rq.curr`).
pub(crate) fn current_on(facts: &Facts<'_>, task: VirtAddr) -> Option<u32> {
    let current = facts.derived.current.get_or_init(|| {
        let queues = facts.snapshot.cpus.iter().rev().filter_map(|cpu| cpu.run_queue.as_ref());
        queues.map(|queue| (queue.current, queue.cpu)).collect()
    });
    current.get(&task).copied()
}

/// The stack of the task that runs on a CPU.
pub(crate) fn running_on<'f>(facts: &'f Facts<'_>, cpu: u32) -> Option<&'f Stack> {
    let running = facts.derived.running.get_or_init(|| places(facts.running.iter().map(|(cpu, _)| *cpu)));
    facts.running.get(*running.get(&cpu)?).map(|(_, stack)| stack)
}

/// Where among the facts the stack of a task is.
#[derive(Clone, Copy)]
enum Whose {
    Running(usize),
    Blocked(usize),
    Waiting(usize),
    Owner(usize),
}

/// The stack of the task with this index.
pub(crate) fn stack<'f>(facts: &'f Facts<'_>, task: usize) -> Option<&'f Stack> {
    let whose = facts.derived.stacks.get_or_init(|| index(facts)).get(&task)?;
    match *whose {
        Whose::Running(at) => facts.running.get(at).map(|(_, stack)| stack),
        Whose::Blocked(at) => facts.blocked.get(at),
        Whose::Waiting(at) => facts.waiting.get(at),
        Whose::Owner(at) => facts.state.owners.get(at),
    }
}

/// Of several stacks of one task the first counts: what it was doing on its CPU before what it did when it left that.
fn index(facts: &Facts<'_>) -> HashMap<usize, Whose> {
    let numbered = |stacks: &[Stack], whose: fn(usize) -> Whose| -> Vec<_> {
        stacks.iter().enumerate().map(|(at, stack)| (stack.task, whose(at))).collect()
    };
    let running = facts.running.iter().enumerate().map(|(at, (_, stack))| (stack.task, Whose::Running(at)));
    let blocked = numbered(&facts.blocked, Whose::Blocked);
    let waiting = numbered(&facts.waiting, Whose::Waiting);
    let owners = numbered(&facts.state.owners, Whose::Owner);
    let mut index = HashMap::new();
    for (task, whose) in running.chain(blocked).chain(waiting).chain(owners) {
        index.entry(task).or_insert(whose);
    }
    index
}

/// The exception of the CPU that panicked.
pub(crate) fn exception<'f>(facts: &'f Facts<'_>) -> Option<Exception<'f>> {
    let panic = &facts.state.panic;
    let cpu = panic.cpu?;
    let known = facts.snapshot.cpu(cpu).and_then(|known| known.registers);
    let oopsed = panic.message.as_deref().is_some_and(|message| vmcore_console::panic_message(message).is_none());
    Exception::of_death(facts.running_on(cpu)?, known, oopsed)
}

/// Why the kernel stopped itself.
pub(crate) fn death(facts: &Facts<'_>) -> Option<PanicReason> {
    *facts.derived.death.get_or_init(|| {
        let message = facts.state.panic.message.as_ref()?;
        // Without those words it is an oops that started the crash kernel.
        let reason = vmcore_console::panic_message(message).map_or(PanicReason::Oops, PanicReason::of);
        let exception = exception(facts).filter(|_| reason == PanicReason::Oops);
        Some(match exception {
            Some(exception) if exception.is_by_sysrq() => PanicReason::Requested,
            Some(exception) if exception.is_by_workqueue_watchdog() => PanicReason::WorkqueueStall,
            _ => reason,
        })
    })
}

/// When the kernel panicked.
pub(crate) fn panicked_ns(facts: &Facts<'_>) -> Option<u64> {
    *facts.derived.panicked_ns.get_or_init(|| facts.reports.panic()?.timestamp_ns)
}

/// When the machine stopped, in nanoseconds since boot: when it panicked, else the latest that any CPU's clock that can be
/// right, or the log, says.
pub(crate) fn now_ns(facts: &Facts<'_>) -> Option<u64> {
    *facts.derived.now_ns.get_or_init(|| {
        let logged = || facts.log.iter().map(|line| line.timestamp_ns).max();
        panicked_ns(facts).or_else(|| newest_clock_ns(facts).max(logged()))
    })
}

/// For how long a CPU's clock had stood still when the machine stopped. Of one that the panic stopped (with interrupts off, so
/// that its clock stands still) only the time before the panic counts.
pub(crate) fn stood_still_ns(facts: &Facts<'_>, cpu: &Cpu) -> Option<u64> {
    let queue = cpu.run_queue.as_ref()?;
    let stopped = facts.running_on(cpu.cpu).is_some_and(is_stopped_by_panic);
    if stopped && facts.state.panic.message.is_some() && panicked_ns(facts).is_none() {
        return None;
    }
    now_ns(facts)?.checked_sub(queue.clock_ns).or(Some(0))
}

/// The latest that any CPU's clock that can be right says, in nanoseconds since boot.
pub(crate) fn newest_clock_ns(facts: &Facts<'_>) -> Option<u64> {
    *facts.derived.newest_clock_ns.get_or_init(|| {
        let right = facts.snapshot.cpus.iter().filter(|cpu| !cannot_be_right(facts, cpu));
        right.filter_map(|cpu| Some(cpu.run_queue.as_ref()?.clock_ns)).max()
    })
}
