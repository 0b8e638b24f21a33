//! What a stack that could not be followed to its end takes from a verdict.
//!
//! Whatever is said of a CPU rests on what its task was doing. Where that stack is cut off, a lockup is still a lockup,
//! but what it is a lockup *of* is not known: it may be the huge-page livelock as well.

use vmcore_kernel::{Followed, Stack};

use crate::{Confidence, Facts};

/// Whether the stack of the task that a CPU was executing could not be followed to where the task entered the kernel.
pub(crate) fn is_cut(facts: &Facts<'_>, cpu: u32) -> bool {
    !facts.running_on(cpu).is_some_and(Stack::has_end)
}

/// As sure as a finding about a CPU can be, which would be `confidence` if its stack had an end.
pub(crate) fn limited(facts: &Facts<'_>, cpu: u32, confidence: Confidence) -> Confidence {
    if is_cut(facts, cpu) { confidence.min(Confidence::Probable) } else { confidence }
}

/// What to say of a finding about a CPU whose stack is cut off; nothing where it has an end.
pub(crate) fn caveat(facts: &Facts<'_>, cpu: u32) -> String {
    if !is_cut(facts, cpu) {
        return String::new();
    }
    let why = facts.running_on(cpu).and_then(|stack| stack.error.as_deref()).unwrap_or("it was not read");
    format!(
        " (the stack of CPU {cpu} could not be followed to where its task entered the kernel: {why}; so what it was \
         doing is not known, and it may be spinning in page faults, for a lock, or in any other kernel code)"
    )
}

/// That the stacks of this machine are in doubt altogether.
pub(crate) fn warning(facts: &Facts<'_>) -> Option<String> {
    let all @ Followed { total, ended, .. } = facts.state.followed.tasks;
    all.is_mostly_cut().then(|| {
        format!(
            "only {ended} of {total} stacks could be followed to their end: the unwind tables of this kernel were not \
             understood, so what its tasks were doing is mostly not known"
        )
    })
}
