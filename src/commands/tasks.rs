//! Which tasks a command is about, for those that take `--state` and `--comm`.

use vmcore_kernel::Task;

use crate::cli::Which;

impl Which {
    /// Whether any task is meant unless something else says which.
    pub(super) fn is_everybody(&self) -> bool {
        self.state.is_none() && self.comm.is_none()
    }

    /// Whether the task is meant.
    pub(super) fn is_meant(&self, task: &Task) -> bool {
        let state = self.state.as_ref().is_none_or(|letters| letters.contains(task.state.letter()));
        state && self.comm.as_ref().is_none_or(|text| task.comm.contains(text.as_str()))
    }
}
