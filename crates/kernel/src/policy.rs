//! Scheduling policies.

/// `task_struct.policy`: a `SCHED_*` number of `include/uapi/linux/sched.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy(pub u64);

impl Policy {
    /// The kernel's name, such as `SCHED_FIFO`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "SCHED_NORMAL",
            1 => "SCHED_FIFO",
            2 => "SCHED_RR",
            3 => "SCHED_BATCH",
            5 => "SCHED_IDLE",
            6 => "SCHED_DEADLINE",
            7 => "SCHED_EXT",
            _ => "unknown",
        }
    }
}
