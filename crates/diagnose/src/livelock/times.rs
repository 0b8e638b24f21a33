//! Times that contradict each other: what is later than the clock that it was read from cannot be.
//!
//! `sched_info.last_arrival` and `last_queued` are copies of `rq.clock`, `se.exec_start` one of `rq.clock_task`, which is
//! never ahead of it. Where one of them is later, it or the clock is damaged, and nothing is concluded from either.

use vmcore_kernel::{Cpu, Task};

use crate::Facts;
use crate::derived::runs_ahead;
use crate::text::seconds;

/// A real-time task that comes from another CPU brings `exec_start` along, and the clocks of CPUs are not quite the same.
const MIGRATED_NS: u64 = 1_000_000_000;

/// What is wrong with the times of a task by the clock of a CPU.
pub(crate) fn contradictions(facts: &Facts<'_>, cpu: &Cpu, task: &Task) -> Vec<String> {
    let Some(queue) = &cpu.run_queue else { return Vec::new() };
    let (clock, number, pid) = (queue.clock_ns, queue.cpu, task.pid);
    let later = |name: &str, time: Option<u64>, slack: u64| {
        let by = time?.checked_sub(clock).filter(|&by| by > slack)?;
        Some(format!("{name} of pid {pid} is {} later than rq.clock of CPU {number}", seconds(by)))
    };
    let start = facts.state.scheduler.task(task.address).start_ns;
    let unborn = || {
        let arrival = task.last_arrival_ns.filter(|&at| at != 0)?;
        // The time of creation is by another clock, which NTP disciplines.
        let early = start?.checked_sub(arrival).filter(|&early| early > 5 * MIGRATED_NS + clock / 2000)?;
        Some(format!("sched_info.last_arrival of pid {pid} is {} before it was created", seconds(early)))
    };
    let own = [
        later("sched_info.last_arrival", task.last_arrival_ns, 0),
        later("sched_info.last_queued", task.last_queued_ns, 0),
        later("se.exec_start", task.exec_start_ns, MIGRATED_NS),
        unborn(),
    ];
    runs_ahead(facts, cpu).into_iter().chain(own.into_iter().flatten()).collect()
}
