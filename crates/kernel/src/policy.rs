//! Scheduling policies.

/// `task_struct.policy`: a `SCHED_*` number of `include/uapi/linux/sched.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy(pub u64);

impl Policy {
    /// `SCHED_FIFO`: runs until it gives up the CPU.
    pub const FIFO: Self = Self(1);
    /// `SCHED_RR`: takes turns with tasks of the same priority.
    pub const RR: Self = Self(2);
    /// `SCHED_IDLE`: gets what others leave.
    pub const IDLE: Self = Self(5);
    /// `SCHED_DEADLINE`.
    pub const DEADLINE: Self = Self(6);

    /// Whether it is a real-time policy.
    #[must_use]
    pub const fn is_real_time(self) -> bool {
        matches!(self, Self::FIFO | Self::RR)
    }

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
