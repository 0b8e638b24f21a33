//! How many stacks could be followed to their end: what a kernel's unwind tables are worth.
//!
//! A stack that is cut off hides what its task does, and so whatever is said of it is in doubt. One that is cut off now
//! and then is ordinary: a CPU was stopped in entry code, a page is missing. Where most are, the tables were not
//! understood, and every stack is in doubt.
//!
//! The same walk shows which tasks sleep for a lock: of all that sleep, these are few.

use std::collections::HashMap;

use rayon::prelude::*;

use vmcore_memory::VirtAddr;
use vmcore_unwind::{End, Frame, Problem, Unwound};

use crate::{Kernel, LockKind, Snapshot, Stack, StackEnd, Task, Trust, is_tracer};

/// Fewer stacks do not tell that the tables were not understood.
const FEW: usize = 8;

/// How far a set of stacks could be followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Stacks that there are.
    pub total: usize,
    /// Of these, such that were followed to where their task entered the kernel or began, by tables alone.
    pub ended: usize,
    /// Of these, such that have an end, but where at least one frame on the way was found by scanning memory, or is not known
    /// because a tracer replaced its return address.
    pub guessed: usize,
}

impl Followed {
    /// Stacks that have no end.
    #[must_use]
    pub const fn cut(&self) -> usize {
        self.total.saturating_sub(self.ended).saturating_sub(self.guessed)
    }

    /// Whether so many of them did not get to their end by tables that the tables cannot have been understood.
    #[must_use]
    pub const fn is_mostly_cut(&self) -> bool {
        self.total >= FEW && self.ended.saturating_mul(2) < self.total
    }

    fn count(all: impl IntoIterator<Item = Outcome>) -> Self {
        all.into_iter().fold(Self::default(), |counted, outcome| match outcome {
            Outcome::NoStack => counted,
            Outcome::Ended => Self { total: counted.total + 1, ended: counted.ended + 1, ..counted },
            Outcome::Guessed => Self { total: counted.total + 1, guessed: counted.guessed + 1, ..counted },
            Outcome::Cut => Self { total: counted.total + 1, ..counted },
        })
    }
}

/// How far the stacks of a machine could be followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StacksFollowed {
    /// Those of the tasks that the CPUs were executing, from the CPUs' registers. One without registers is cut off.
    pub cpus: Followed,
    /// Those of all tasks, the ones on CPUs among them.
    pub tasks: Followed,
}

/// What a walk over the stacks of all tasks shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StackSurvey {
    /// How far they could be followed.
    pub followed: StacksFollowed,
    /// Which tasks sleep in a function that sleeps for a lock: indices into [`Snapshot::tasks`], ascending.
    pub in_locks: Vec<usize>,
    /// How many tasks sleep and it cannot be told in which function: their stacks are not in the dump, or are cut off before
    /// anything but the switch to another task is seen. Kernel threads that idle are not among them.
    pub unseen: usize,
    /// Which tasks were called by a function that is not known, as a tracer replaced the return address and its record is not found:
    /// indices into [`Snapshot::tasks`], ascending.
    pub traced: Vec<usize>,
}

/// Between the code that switches tasks and the function that sleeps for a lock there are no more frames than these.
const INNERMOST: usize = 8;

/// A frame of a task: the addresses to look its name up with. `None` in place of the first that was found by scanning, which
/// may be left over from an earlier call, and of all behind it.
type Innermost = Vec<Option<(VirtAddr, VirtAddr)>>;

/// What a frame of a sleeping task is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// Giving the CPU away, for whatever reason; or there is no name, and nothing is known.
    Switching,
    /// Waiting for a lock.
    Lock,
    /// Anything else.
    Other,
}

/// What a task sleeps for, as far as that is a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sleeps {
    ForLock,
    ForOther,
    /// It cannot be told.
    Unseen,
}

impl Sleeps {
    /// By the first frame that is not about the switch; `None` in place of one that cannot be relied on.
    fn of(frames: impl IntoIterator<Item = Option<About>>, outcome: Outcome) -> Self {
        match frames.into_iter().find(|about| *about != Some(About::Switching)) {
            Some(Some(About::Lock)) => Self::ForLock,
            Some(Some(_)) => Self::ForOther,
            Some(None) => Self::Unseen,
            None if outcome == Outcome::Cut => Self::Unseen,
            None => Self::ForOther,
        }
    }
}

impl About {
    /// `None` of a tracer, which stands in the place of a function that is not known.
    fn of(function: &str) -> Option<Self> {
        if is_tracer(function) {
            None
        } else if LockKind::of_sleeper(function).is_some() {
            Some(Self::Lock)
        } else if switches_tasks(function) {
            Some(Self::Switching)
        } else {
            Some(Self::Other)
        }
    }
}

/// Whether a function only gives the CPU to another task, and says nothing of what for: `kernel/sched/core.c`.
#[must_use]
pub fn switches_tasks(function: &str) -> bool {
    const BEGINNINGS: [&str; 5] = ["__schedule", "schedule", "io_schedule", "__switch_to", "context_switch"];
    BEGINNINGS.iter().any(|begin| function.starts_with(begin))
}

/// The stack of a task, walked.
struct Walked {
    /// Whether a CPU was executing the task.
    runs: bool,
    outcome: Outcome,
    /// Of a task that sleeps.
    innermost: Option<Innermost>,
    /// Whether a caller is lost to a tracer.
    traced: bool,
}

/// How far one stack could be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It has exited, and its stack was given back.
    NoStack,
    Ended,
    Guessed,
    Cut,
}

impl Outcome {
    /// `doubt` is what is doubtful about where the walk began: it is not where the CPU was.
    fn of(task: &Task, (unwound, doubt): &(Unwound, Option<String>)) -> Self {
        match unwound.end {
            End::Truncated if task.has_no_stack() => Self::NoStack,
            End::Truncated => Self::Cut,
            End::User | End::Outermost if doubt.is_some() => Self::Cut,
            _ if unwound.frames.iter().any(|frame| frame.trust == Trust::Scan) => Self::Guessed,
            _ if unwound.problem.is_some() => Self::Guessed,
            _ => Self::Ended,
        }
    }
}

impl Stack {
    /// Whether the stack leads to where its task entered the kernel or began, from where it really was.
    #[must_use]
    pub const fn has_end(&self) -> bool {
        !matches!(self.end, StackEnd::Truncated) && self.error.is_none()
    }
}

impl Snapshot {
    /// How far the stacks of all tasks can be followed. Walks them all, in parallel.
    #[must_use]
    pub fn stacks_followed(&self, kernel: &Kernel<'_>) -> StacksFollowed {
        self.survey_stacks(kernel).followed
    }

    /// What the stacks of all tasks show. Walks them all, in parallel.
    #[must_use]
    pub fn survey_stacks(&self, kernel: &Kernel<'_>) -> StackSurvey {
        let walk = |task: &Task| {
            let walked = self.unwind(kernel, task);
            let sleeps = task.state.is_interruptible() || task.state.is_uninterruptible();
            let innermost = (sleeps && !task.on_cpu).then(|| innermost(&walked.0));
            let traced = matches!(walked.0.problem, Some(Problem::Traced { .. }));
            Walked { runs: self.cpu_running(task).is_some(), outcome: Outcome::of(task, &walked), innermost, traced }
        };
        let walked: Vec<_> = self.tasks.par_iter().map(walk).collect();
        let on_cpus = walked.iter().filter(|task| task.runs).map(|task| task.outcome);
        let followed = StacksFollowed {
            cpus: Followed::count(on_cpus),
            tasks: Followed::count(walked.iter().map(|task| task.outcome)),
        };
        // Tasks sleep in few places.
        let mut known = HashMap::new();
        let mut about = |&(pc, lookup): &(VirtAddr, VirtAddr)| {
            let name = || kernel.name_code(pc, lookup).map_or(Some(About::Switching), |symbol| About::of(&symbol.name));
            *known.entry(lookup).or_insert_with(name)
        };
        let mut survey = StackSurvey { followed, ..StackSurvey::default() };
        for (index, task) in walked.iter().enumerate() {
            survey.traced.extend(task.traced.then_some(index));
            let Some(innermost) = &task.innermost else { continue };
            let frames = innermost.iter().map(|frame| frame.as_ref().and_then(&mut about));
            match Sleeps::of(frames, task.outcome) {
                Sleeps::ForLock => survey.in_locks.push(index),
                Sleeps::ForOther => {}
                Sleeps::Unseen => survey.unseen += 1,
            }
        }
        survey
    }
}

fn innermost(walked: &Unwound) -> Innermost {
    let addresses = |frame: &Frame| (frame.trust != Trust::Scan).then(|| (frame.pc, frame.lookup_pc()));
    walked.frames.iter().take(INNERMOST).map(addresses).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_stack_does_not_count() {
        use Outcome::{Cut, Ended, Guessed, NoStack};
        let followed = Followed::count([Ended, Cut, NoStack, Guessed, Ended]);
        assert_eq!(followed, Followed { total: 4, ended: 2, guessed: 1 });
        assert_eq!(followed.cut(), 1);
    }

    #[test]
    fn functions_that_switch_tasks_are_told_from_those_that_wait() {
        for name in ["__schedule", "schedule_preempt_disabled", "schedule_timeout", "__switch_to_asm"] {
            assert!(About::of(name) == Some(About::Switching), "{name}");
        }
        assert!(About::of("__mutex_lock.constprop.0") == Some(About::Lock));
        assert!(About::of("ep_poll") == Some(About::Other));
        assert!(About::of("arch_rethook_trampoline").is_none() && About::of("return_to_handler").is_none());
    }

    #[test]
    fn the_first_function_that_does_not_switch_says_what_a_task_sleeps_for() {
        use About::{Lock, Other, Switching};
        let sleeps = |frames: &[Option<About>], outcome| Sleeps::of(frames.iter().copied(), outcome);
        let switch = Some(Switching);
        assert_eq!(sleeps(&[switch, switch, Some(Lock), Some(Other)], Outcome::Cut), Sleeps::ForLock);
        assert_eq!(sleeps(&[switch, Some(Other), Some(Lock)], Outcome::Ended), Sleeps::ForOther);
        // What was found by scanning may be left over from an earlier call.
        assert_eq!(sleeps(&[switch, None, Some(Other)], Outcome::Guessed), Sleeps::Unseen);
        assert_eq!(sleeps(&[switch, switch], Outcome::Cut), Sleeps::Unseen);
        assert_eq!(sleeps(&[], Outcome::NoStack), Sleeps::ForOther);
    }

    #[test]
    fn a_few_that_are_cut_do_not_condemn_the_tables() {
        let followed = |total, ended| Followed { total, ended, guessed: 0 };
        assert!(!followed(100, 90).is_mostly_cut());
        assert!(!followed(100, 50).is_mostly_cut());
        assert!(followed(100, 49).is_mostly_cut());
        assert!(!followed(4, 0).is_mostly_cut(), "the CPUs of a small machine");
        assert!(Followed { total: 100, ended: 0, guessed: 100 }.is_mostly_cut(), "scanning is no understanding");
    }
}
