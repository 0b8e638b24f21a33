//! Which task is splitting the page that spinners wait for.

mod shown;
mod sleep;
mod starved;

use vmcore_kernel::{Cpu, Segment, Stack, Task, saved_words_begin, words_between};
use vmcore_memory::VirtAddr;

use super::queued::{Place as QueuePlace, place};
use super::tie::Tie;
use super::times;
use crate::evidence;
use crate::granted::{Grant, grant};
use crate::names::{move_function, moves_page, split_function};
use crate::operand::general_registers;
use crate::{Evidence, Facts, Place, Reader, counted};
pub(crate) use sleep::Sleep;
pub(crate) use starved::{Occupants, Starved};

/// A task with the split of a page, or its move, on its stack that waits for a CPU, or has one for a moment only.
pub(crate) struct SplitCandidate<'a> {
    pub(crate) task: &'a Task,
    /// Who waits for the CPU: the task itself or, where it sleeps, who has what it waits for, at the end of the chain.
    pub(crate) waiter: &'a Task,
    /// What it sleeps for.
    pub(crate) sleep: Option<Sleep>,
    pub(crate) waiting_ns: Option<u64>,
    pub(crate) function: String,
    /// In which queue the waiter is.
    pub(crate) place: QueuePlace,
    /// What is wrong with the waiter's times: then nothing is concluded from them.
    pub(crate) contradictions: Vec<String>,
    /// The moment that fair tasks are granted on its CPU, where that is in one: for this task or for another.
    pub(crate) moment: Option<Grant<'a>>,
    words: Vec<Word>,
    stack: &'a Stack,
    frame: usize,
}

/// A word that may tell what is split.
struct Word {
    /// Where it is; `None` where it is in a register of the CPU.
    at: Option<VirtAddr>,
    value: u64,
}

/// A splitter that is tied to a spinner.
pub(super) struct Tied<'p> {
    pub(super) splitter: &'p SplitCandidate<'p>,
    /// The strongest tie; of several such that to the first spinner.
    pub(super) tie: Tie,
    pub(super) starved: Starved,
}

/// All tasks of these stacks, which wait for something, that are splitting or moving something.
pub(crate) fn candidates<'a>(
    facts: &'a Facts<'_>,
    stacks: &'a [Stack],
    reader: &dyn Reader,
) -> Vec<SplitCandidate<'a>> {
    stacks.iter().filter_map(|stack| candidate(facts, stack, None, reader)).collect()
}

/// All tasks that sleep in the middle of it for what a task has that waits for a CPU.
pub(crate) fn sleeping_candidates<'a>(facts: &'a Facts<'_>, reader: &dyn Reader) -> Vec<SplitCandidate<'a>> {
    let works = |stack: &Stack| split_function(&stack.frames).or_else(|| move_function(&stack.frames)).is_some();
    let sleeper = |stack: &'a Stack| {
        let (sleep, waiter) = Sleep::of(facts, facts.task(stack)?)?;
        candidate(facts, stack, Some((sleep, waiter)), reader)
    };
    facts.blocked.iter().filter(|stack| works(stack)).filter_map(sleeper).collect()
}

/// All tasks that are splitting something and have a CPU for a moment only.
pub(crate) fn granted_candidates<'a>(facts: &'a Facts<'_>, reader: &dyn Reader) -> Vec<SplitCandidate<'a>> {
    let in_moment = |cpu: u32| facts.snapshot.cpu(cpu).is_some_and(|cpu| grant(facts, cpu).is_some());
    let stacks = facts.running.iter().filter(|(cpu, _)| in_moment(*cpu)).map(|(_, stack)| stack);
    stacks.filter_map(|stack| candidate(facts, stack, None, reader)).collect()
}

fn candidate<'a>(
    facts: &'a Facts<'_>,
    stack: &'a Stack,
    sleep: Option<(Sleep, &'a Task)>,
    reader: &dyn Reader,
) -> Option<SplitCandidate<'a>> {
    let task = facts.task(stack)?;
    let (sleep, waiter) = sleep.map_or((None, task), |(sleep, waiter)| (Some(sleep), waiter));
    let (frame, function) = split_function(&stack.frames).or_else(|| move_function(&stack.frames))?;
    let place = place(facts, waiter);
    let cpu = facts.snapshot.cpu(place.cpu);
    let contradictions = cpu.map(|cpu| times::contradictions(facts, cpu, waiter)).unwrap_or_default();
    let moment = cpu.and_then(|cpu| grant(facts, cpu)).filter(|_| contradictions.is_empty());
    let has_cpu = moment.as_ref().is_some_and(|moment| moment.current.address == waiter.address);
    let words = match cpu.filter(|_| has_cpu && sleep.is_none()) {
        Some(cpu) => running_words(cpu, stack, frame, reader),
        None => saved_words_begin(stack).map(|low| words(low, stack, frame, reader)).unwrap_or_default(),
    };
    let waiting_ns = cpu.and_then(|cpu| facts.waiting_on_ns(cpu, waiter));
    let waiting_ns = waiting_ns.filter(|_| contradictions.is_empty() && !has_cpu);
    Some(SplitCandidate {
        task,
        waiter,
        sleep,
        waiting_ns,
        function,
        place,
        contradictions,
        moment,
        words,
        stack,
        frame,
    })
}

impl SplitCandidate<'_> {
    /// Who waits for a CPU, in words.
    pub(crate) fn who(&self) -> String {
        match &self.sleep {
            None => format!("the splitter (pid {})", self.task.pid),
            Some(_) => {
                format!("who has what the splitter (pid {}) sleeps for (pid {})", self.task.pid, self.waiter.pid)
            }
        }
    }

    /// Whether it moves pages instead of splitting one. It works for many, so that only the page itself ties it to one.
    pub(crate) fn moves(&self) -> bool {
        moves_page(&self.function)
    }

    /// What it does to the page.
    pub(crate) fn done(&self) -> &'static str {
        if self.moves() { "moved" } else { "split" }
    }

    /// The words of its stack that may tell what it splits.
    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.words.iter().map(|word| word.value)
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
        let allowed = facts.state.scheduler.task(self.waiter.address).allowed?;
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
        let place = reader.member(self.waiter.address, "task_struct", path).map(|source| Place::Kernel(source.address));
        Some(Evidence { place, ..Evidence::new(format!("task_struct.{path}"), meaning) })
    }

    /// That it is starved, by what is counted of it.
    pub(crate) fn counted(&self, facts: &Facts<'_>, threshold_ns: u64) -> Option<counted::Starved> {
        counted::starved_ever_since(facts, self.waiter, threshold_ns)
    }

    /// Whether it began to wait within the threshold, or has a CPU for a moment, for what that tells.
    pub(crate) fn waits_shortly(&self, threshold_ns: u64) -> bool {
        self.moment_on_cpu().is_some() || self.waiting_ns.is_some_and(|waiting| waiting < threshold_ns)
    }

    /// The moment that it has its CPU for, where it has one.
    pub(crate) fn moment_on_cpu(&self) -> Option<&Grant<'_>> {
        self.moment.as_ref().filter(|moment| moment.current.address == self.waiter.address)
    }

    /// How long before the end its run time was last accounted: while it ran, or when it was last given a CPU. Its clock
    /// is behind that of the run queue by the time spent in interrupts, so that it was not longer ago than this. `None`
    /// where it is not kept, or was reset because the task was moved to another CPU.
    pub(crate) fn ran_ago_ns(&self, facts: &Facts<'_>) -> Option<u64> {
        let clock = facts.snapshot.cpu(self.place.cpu)?.run_queue.as_ref()?.clock_ns;
        clock.checked_sub(self.waiter.exec_start_ns.filter(|&ran| ran != 0)?)
    }
}

/// The words of a task's stack from `low`, where what it saved begins, to the end of the split's own frame. What lies above is
/// older: callers' variables, the registers of user code.
fn words(low: VirtAddr, stack: &Stack, split: usize, reader: &dyn Reader) -> Vec<Word> {
    let Some(end) = stack.frames.get(split + 1).map(|caller| caller.sp) else { return Vec::new() };
    let words = words_between(low, end, |at, chunk| reader.read(at, chunk).is_ok());
    words.into_iter().map(|(at, value)| Word { at: Some(at), value }).collect()
}

/// The same of a task that has a CPU: from where its own stack ends, and what the split's code has in registers. What interrupted it may
/// be on another stack.
fn running_words(cpu: &Cpu, stack: &Stack, split: usize, reader: &dyn Reader) -> Vec<Word> {
    let own = stack.frames.iter().take(split + 1).find(|frame| frame.segment == Some(Segment::Task));
    let interrupted = stack.interrupts.iter().filter(|interrupt| interrupt.complete && interrupt.frame <= split);
    let interrupted = interrupted.map(|interrupt| interrupt.registers);
    let known = cpu.registers.map(|known| known.registers).into_iter().chain(interrupted);
    let registers = known.filter(|registers| !registers.user_mode());
    let registers = registers.flat_map(|registers| general_registers(&registers));
    let on_stack = own.map(|frame| words(frame.sp, stack, split, reader)).unwrap_or_default();
    on_stack.into_iter().chain(registers.map(|(_, value)| Word { at: None, value })).collect()
}
