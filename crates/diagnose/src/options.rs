//! What a user can choose.

/// What a user can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a task must have had its CPU to count as spinning, and another must have waited to count as starved, in
    /// nanoseconds of the run queue's clock.
    pub spin_threshold_ns: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { spin_threshold_ns: 1_000_000_000 }
    }
}
