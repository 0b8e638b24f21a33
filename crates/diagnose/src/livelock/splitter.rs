//! Which task is splitting the page that spinners wait for.

mod shown;
mod starved;

use vmcore_kernel::{Stack, Task, saved_words_begin, words_between};
use vmcore_memory::VirtAddr;

use super::queued::{Place as QueuePlace, place};
use super::tie::Tie;
use super::times;
use crate::evidence;
use crate::names::split_function;
use crate::{Evidence, Facts, Place, Reader, counted};
pub(crate) use starved::{Occupants, Starved};

/// A task with a split on its stack that waits for a CPU.
pub(crate) struct SplitCandidate<'a> {
    pub(crate) task: &'a Task,
    pub(crate) waiting_ns: Option<u64>,
    pub(crate) function: String,
    /// In which queue it is.
    pub(crate) place: QueuePlace,
    /// What is wrong with its times: then nothing is concluded from them.
    pub(crate) contradictions: Vec<String>,
    words: Vec<(VirtAddr, u64)>,
    stack: &'a Stack,
    frame: usize,
}

/// A splitter that is tied to a spinner.
pub(super) struct Tied<'p> {
    pub(super) splitter: &'p SplitCandidate<'p>,
    /// The strongest tie; of several such that to the first spinner.
    pub(super) tie: Tie,
    pub(super) starved: Starved,
}

/// All waiting tasks that are splitting something.
pub(crate) fn candidates<'a>(
    facts: &'a Facts<'_>,
    stacks: &'a [Stack],
    reader: &dyn Reader,
) -> Vec<SplitCandidate<'a>> {
    let candidate = |stack: &'a Stack| {
        let task = facts.task(stack)?;
        let (frame, function) = split_function(&stack.frames)?;
        let words = stack_words(stack, frame, reader);
        let place = place(facts, task);
        let cpu = facts.snapshot.cpu(place.cpu);
        let contradictions = cpu.map(|cpu| times::contradictions(facts, cpu, task)).unwrap_or_default();
        let waiting_ns = cpu.and_then(|cpu| facts.waiting_on_ns(cpu, task)).filter(|_| contradictions.is_empty());
        Some(SplitCandidate { task, waiting_ns, function, place, contradictions, words, stack, frame })
    };
    stacks.iter().filter_map(candidate).collect()
}

impl SplitCandidate<'_> {
    /// The words of its stack that may tell what it splits.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.words.iter().map(|(_, word)| *word)
    }

    /// Whether a word of its stack says that it works on the huge page of `size` bytes that begins at `start`. Where that page begins, the one
    /// below it ends: who splits that one has its range, beginning and end, on its stack (`struct mmu_notifier_range`, in
    /// `__split_huge_pmd()`, `try_to_migrate_one()` and `try_to_unmap_one()`).
    pub(super) fn says_page(&self, word: u64, start: u64, size: u64) -> bool {
        let ends_there = || start.checked_sub(size).is_some_and(|below| self.words().any(|word| word == below));
        word >= start && word - start < size && (word != start || !ends_there())
    }

    /// Which CPUs it may run on, where that keeps it from being moved to another one.
    fn pinned(&self, facts: &Facts<'_>, reader: &dyn Reader) -> Option<Evidence> {
        let allowed = facts.state.scheduler.task(self.task.address).allowed?;
        let cpus = || facts.snapshot.cpus.iter().map(|cpu| cpu.cpu);
        // Most may run anywhere, and there may be hundreds of them on as many CPUs.
        if cpus().all(|cpu| allowed.contains(cpu)) {
            return None;
        }
        let known: Vec<_> = cpus().filter(|&cpu| allowed.contains(cpu)).map(|cpu| cpu.to_string()).collect();
        if known.is_empty() {
            return None;
        }
        let plural = if known.len() == 1 { "CPU" } else { "CPUs" };
        let meaning = format!("may run on {plural} {} only, so no other CPU takes it over", known.join(", "));
        let path = evidence::path_of(reader, "task_struct", &["cpus_mask", "cpus_allowed"]);
        let place = reader.member(self.task.address, "task_struct", path).map(|source| Place::Kernel(source.address));
        Some(Evidence { place, ..Evidence::new(format!("task_struct.{path}"), meaning) })
    }

    /// That it is starved, by what is counted of it.
    pub(crate) fn counted(&self, facts: &Facts<'_>, threshold_ns: u64) -> Option<counted::Starved> {
        counted::starved_ever_since(facts, self.task, threshold_ns)
    }

    /// Whether it began to wait within the threshold, for what that tells.
    pub(crate) fn waits_shortly(&self, threshold_ns: u64) -> bool {
        self.waiting_ns.is_some_and(|waiting| waiting < threshold_ns)
    }

    /// How long before the end its run time was last accounted: while it ran, or when it was last given a CPU. Its clock
    /// is behind that of the run queue by the time spent in interrupts, so that it was not longer ago than this. `None`
    /// where it is not kept, or was reset because the task was moved to another CPU.
    pub(crate) fn ran_ago_ns(&self, facts: &Facts<'_>) -> Option<u64> {
        let clock = facts.snapshot.cpu(self.place.cpu)?.run_queue.as_ref()?.clock_ns;
        clock.checked_sub(self.task.exec_start_ns.filter(|&ran| ran != 0)?)
    }
}

/// The words of a task's stack from what was saved when it was scheduled out to the end of the split's own frame. What
/// lies above is older: callers' variables, the registers of user code.
fn stack_words(stack: &Stack, split: usize, reader: &dyn Reader) -> Vec<(VirtAddr, u64)> {
    let end = stack.frames.get(split + 1).map(|caller| caller.sp);
    let (Some(low), Some(end)) = (saved_words_begin(stack), end) else { return Vec::new() };
    words_between(low, end, |at, chunk| reader.read(at, chunk).is_ok())
}
