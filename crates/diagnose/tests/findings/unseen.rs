//! What nothing in a dump tells.

use crate::*;

/// Of kernels without `sched_info`, and without a watchdog, nothing tells for how long a CPU has been in kernel code.
#[test]
fn a_cpu_of_which_no_time_tells_may_be_in_a_loop() {
    let in_kernel = |watchdog: Option<u64>| {
        let mut machine = Machine::new();
        machine.runs(1, 31, &["my_loop", "driver_write", "do_syscall_64"], SECOND);
        let task = machine.tasks.iter_mut().find(|task| task.pid == 31).unwrap();
        (task.last_arrival_ns, task.exec_start_ns) = (None, None);
        machine.state.limits.watchdog = watchdog;
        machine.judge().verdict.confidence
    };
    assert_eq!(in_kernel(None), Confidence::Insufficient);
    assert_eq!(in_kernel(Some(10 * SECOND)), Confidence::None);
}
