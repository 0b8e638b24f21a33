//! Machines of which no part is wrong, and which are not well all the same: nothing of them is called healthy.
//!
//! One is between two states: it goes down, has not come up, or is to be suspended, and tasks that would hang were stopped before they could.
//! Another looks for memory: each of its tasks waits for less than any watchdog does, and none gets on.

use vmcore_kernel::{Stack, Task};

use crate::Facts;
use crate::derived::now_ns;
use crate::names::{base_name, functions, has_any, is_frozen};
use crate::text::seconds;

/// Longer than a kernel takes to its first program.
const BOOT_NS: u64 = 120_000_000_000;
/// Functions that look for memory to be freed, or wait for somebody who does (`mm/vmscan.c`, `mm/page_alloc.c`).
const RECLAIM: [&str; 5] = [
    "try_to_free_pages",
    "try_to_free_mem_cgroup_pages",
    "throttle_direct_reclaim",
    "__alloc_pages_direct_compact",
    "reclaim_throttle",
];
/// Functions in which a CPU ends that another one has stopped, also for a restart.
const STOPPED: [&str; 5] =
    ["stop_this_cpu", "local_cpu_stop", "ipi_cpu_stop", "native_machine_emergency_restart", "machine_power_off"];
/// Fewer tasks than this show nothing.
const FEW: usize = 3;

/// Why the machine cannot be called healthy, as far as it has not panicked.
pub(super) fn why(facts: &Facts<'_>) -> Option<String> {
    goes_down(facts).or_else(|| is_coming_up(facts)).or_else(|| is_frozen_up(facts)).or_else(|| looks_for_memory(facts))
}

fn goes_down(facts: &Facts<'_>) -> Option<String> {
    let ends = |name: &&str| STOPPED.contains(&base_name(name));
    let in_end =
        |(cpu, stack): &(u32, Stack)| Some((*cpu, stack.frames.iter().flat_map(functions).find(ends)?.to_owned()));
    let (cpu, function) = facts.running.iter().find_map(in_end).filter(|_| facts.death().is_none())?;
    Some(format!(
        "the machine was going down: CPU {cpu} is in {function}, to which no panic led, and has not been restarted"
    ))
}

/// A kernel whose first process is still a thread of its own waits for something: mostly its root file system.
fn is_coming_up(facts: &Facts<'_>) -> Option<String> {
    let first = facts.snapshot.tasks.iter().find(|task| task.pid == 1)?;
    let now = now_ns(facts).filter(|&now| now >= BOOT_NS)?;
    let in_kernel = first.mm.is_none() && first.state.exit_state == 0 && first.comm.starts_with("swapper");
    in_kernel
        .then(|| format!("the machine has not come up in {}: process 1 has not begun its first program", seconds(now)))
}

/// All programs are stopped but the one that asked for it.
fn is_frozen_up(facts: &Facts<'_>) -> Option<String> {
    let by_stack = |task: &Task| facts.stack_of(task.address).is_some_and(is_frozen);
    let programs = facts.snapshot.tasks.iter().filter(|task| task.mm.is_some() && task.pid != 0);
    let programs = programs.filter(|task| task.state.exit_state == 0);
    let (frozen, awake): (Vec<_>, Vec<_>) = programs.partition(|task| task.state.is_frozen() || by_stack(task));
    (frozen.len() >= FEW && awake.len() <= 1)
        .then(|| format!("all {} programs are frozen for a suspend, which has not come about", frozen.len()))
}

fn looks_for_memory(facts: &Facts<'_>) -> Option<String> {
    let running = facts.running.iter().map(|(_, stack)| stack);
    let busy = running.chain(&facts.waiting).chain(&facts.blocked);
    let busy: Vec<_> = busy.filter(|stack| facts.task(stack).is_some_and(|task| task.pid != 0)).collect();
    let looking = busy.iter().filter(|stack| has_any(stack, &RECLAIM)).count();
    (looking >= FEW && looking.saturating_mul(2) >= busy.len()).then(|| {
        format!(
            "most tasks were looking for memory: {looking} of {} that ran, could run or slept uninterruptibly",
            busy.len()
        )
    })
}
