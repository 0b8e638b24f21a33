//! Which task is splitting the page that spinners wait for, and why it does not run.

use vmcore_kernel::{Class, Stack, Task};
use vmcore_memory::{VirtAddr, le_u64};

use crate::names::split_function;
use crate::spinner::Candidate;
use crate::text::seconds;
use crate::waited_page::HUGE_PAGE;
use crate::{Evidence, Facts, KernelPreemption, Place, Reader, Splitter, Value};

/// How much of a stack is searched: no kernel stack is larger.
const MAX_STACK: u64 = 64 << 10;
/// The registers that `__switch_to_asm` saved lie just below the first frame.
const SAVED_BELOW: u64 = 64;
/// `struct pt_regs` lies above the last frame of a task that came from user mode.
const SAVED_ABOVE: u64 = 256;

/// How surely a splitter works on the page that a spinner waits for, from strong to weak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// The head's `struct page` is in its stack frames.
    Head,
    /// It belongs to the same process, and an address in the spinner's huge page is in its stack frames.
    Range,
    /// It belongs to the same process.
    SameMm,
}

/// Why a task that waits for a CPU does not get it.
#[derive(Clone, Debug)]
pub(crate) enum Starved {
    /// The CPU's current task is a spinner, and the kernel does not preempt kernel code.
    BySpinner(Evidence),
    /// The CPU's current task is of a higher class or priority.
    Outranked(Evidence),
    /// The CPU's current task is a spinner, but whether the kernel would preempt it is not known.
    PreemptionUnknown,
    /// None of these.
    NotExplained(String),
}

impl Starved {
    pub(crate) fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::BySpinner(evidence) | Self::Outranked(evidence) => Some(evidence),
            Self::PreemptionUnknown | Self::NotExplained(_) => None,
        }
    }

    /// What is missing from the explanation why the splitter `pid` does not run.
    pub(crate) fn doubt(&self, pid: i32) -> Option<String> {
        match self {
            Self::BySpinner(_) | Self::Outranked(_) => None,
            Self::PreemptionUnknown => Some(format!(
                "whether this kernel preempts kernel code is not known, so why pid {pid} does not run is not proven"
            )),
            Self::NotExplained(why) => Some(format!("why pid {pid} does not run is not known: {why}")),
        }
    }
}

/// A task with a split on its stack that waits for a CPU.
pub(crate) struct SplitCandidate<'a> {
    pub(crate) task: &'a Task,
    pub(crate) waiting_ns: Option<u64>,
    pub(crate) function: String,
    words: Vec<(VirtAddr, u64)>,
    stack: &'a Stack,
    frame: usize,
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
        let words = stack_words(stack, reader);
        Some(SplitCandidate { task, waiting_ns: facts.waiting_ns(task), function, words, stack, frame })
    };
    stacks.iter().filter_map(candidate).collect()
}

impl SplitCandidate<'_> {
    /// How this task is tied to what `spinner` waits for, with the evidence.
    pub(crate) fn tie(&self, spinner: &Candidate) -> Option<(Tie, Evidence)> {
        let on_stack = |value: u64| self.words.iter().find(|(_, word)| *word == value).map(|(at, _)| *at);
        let head = spinner.spinner.head_page.and_then(|head| Some((head, on_stack(head.get())?)));
        if let Some((head, at)) = head {
            return Some((Tie::Head, self.tie_evidence(at, head.get(), "the head's struct page is on its stack")));
        }
        let same_mm = self.task.mm.is_some() && self.task.mm == spinner.mm;
        if !same_mm {
            return None;
        }
        if let Some(address) = spinner.spinner.address {
            let start = address.get() & !(HUGE_PAGE - 1);
            let in_range = |word: u64| word >= start && word - start < HUGE_PAGE;
            if let Some((at, word)) = self.words.iter().find(|(_, word)| in_range(*word)) {
                let meaning =
                    "same process, and an address in the huge page that the spinner faults on is on its stack";
                return Some((Tie::Range, self.tie_evidence(*at, *word, meaning)));
            }
        }
        let mm = self.task.mm.unwrap_or_default();
        let evidence = Evidence::new("task_struct.mm", "the splitter belongs to the same process as the spinner")
            .at(Place::Kernel(self.task.address))
            .value(Value::Hex(mm.get()));
        Some((Tie::SameMm, evidence))
    }

    fn tie_evidence(&self, at: VirtAddr, word: u64, meaning: &str) -> Evidence {
        let frame = self.stack.frames.iter().rev().find(|frame| frame.sp <= at).and_then(|frame| frame.function());
        let meaning = match frame {
            Some(function) => format!("{meaning}, in the frame of {function}"),
            None => format!("{meaning}, among the registers saved when it was scheduled out"),
        };
        Evidence::new("stack word", meaning).at(Place::Kernel(at)).value(Value::Hex(word))
    }

    /// Why the task does not run.
    pub(crate) fn starved(&self, facts: &Facts<'_>, spinners: &[&Candidate]) -> Starved {
        let Some((cpu, current)) =
            facts.snapshot.cpu(self.task.cpu).and_then(|cpu| Some((cpu, facts.snapshot.current(cpu)?)))
        else {
            return Starved::NotExplained(format!("what runs on CPU {} is not known", self.task.cpu));
        };
        let rq = cpu.run_queue.as_ref().map(|queue| queue.address).unwrap_or_default();
        let outranks = current.prio < self.task.prio && current.prio < 100;
        let spins = spinners.iter().any(|spinner| spinner.spinner.task == current.address);
        let who = format!("pid {} \"{}\"", current.pid, current.comm);
        let evidence = |why: String| {
            Evidence::new(format!("rq[{}].curr", cpu.cpu), why)
                .at(Place::Kernel(rq))
                .value(Value::Hex(current.address.get()))
        };
        if outranks {
            let why = format!(
                "{who} runs on its CPU and outranks it: {} prio {} against {} prio {}",
                current.policy.name(),
                current.prio,
                self.task.policy.name(),
                self.task.prio
            );
            return Starved::Outranked(evidence(why));
        }
        match (spins, facts.preemption.0) {
            (true, KernelPreemption::No) => Starved::BySpinner(evidence(format!(
                "{who} runs on its CPU: a spinner, in kernel code that is not preempted and never offers the CPU"
            ))),
            (true, KernelPreemption::Unknown) => Starved::PreemptionUnknown,
            (true, KernelPreemption::Yes) => {
                Starved::NotExplained(format!("{who} spins on its CPU, but this kernel preempts kernel code"))
            }
            (false, _) => Starved::NotExplained(format!("{who} runs on its CPU and is not a spinner")),
        }
    }

    /// The splitter for the report, with the evidence collected about it.
    pub(crate) fn report(&self, facts: &Facts<'_>, head_page: Option<VirtAddr>, more: Vec<Evidence>) -> Splitter {
        let task = self.task;
        let mut evidence = self.own_evidence(facts);
        evidence.extend(more);
        Splitter {
            task: task.address,
            pid: task.pid,
            comm: task.comm.clone(),
            cpu: task.cpu,
            state: task.state.letter(),
            on_rq: task.on_rq,
            on_cpu: task.on_cpu,
            waiting_ns: self.waiting_ns,
            split_function: self.function.clone(),
            head_page,
            evidence,
        }
    }

    fn own_evidence(&self, facts: &Facts<'_>) -> Vec<Evidence> {
        let task = self.task;
        let here = Place::Kernel(task.address);
        let int = |value: u64| Value::Decimal(i64::try_from(value).unwrap_or(i64::MAX));
        let mut evidence = Vec::new();
        if let Some(frame) = self.stack.frames.get(self.frame) {
            let meaning = format!("{} is on its stack: it is splitting a huge page", self.function);
            evidence.push(
                Evidence::new("return address", meaning).at(Place::Kernel(frame.sp)).value(Value::Hex(frame.pc.get())),
            );
        }
        let state = Evidence::new("task_struct.__state", "TASK_RUNNING: it wants a CPU");
        evidence.push(state.at(here).value(Value::Hex(task.state.state)));
        evidence.push(Evidence::new("task_struct.on_rq", "queued on a run queue").at(here).value(int(task.on_rq)));
        let on_cpu = Evidence::new("task_struct.on_cpu", "not on a CPU");
        evidence.push(on_cpu.at(here).value(int(u64::from(task.on_cpu))));
        if let (Some(waiting), Some(queued)) = (self.waiting_ns, task.last_queued_ns) {
            let meaning = format!("waiting in the run queue of CPU {} for {}", task.cpu, seconds(waiting));
            evidence.push(Evidence::new("task_struct.sched_info.last_queued", meaning).at(here).value(int(queued)));
        }
        let class = facts.snapshot.cpu(task.cpu).and_then(|cpu| {
            cpu.run_queue.as_ref()?.queued.iter().find(|queued| queued.task == task.address).map(|queued| queued.class)
        });
        if let Some(class) = class {
            let name = match class {
                Class::Fair => "found in the fair queue of that CPU",
                Class::RealTime => "found in the real-time queue of that CPU",
                Class::Deadline => "found in the deadline queue of that CPU",
            };
            evidence.push(Evidence::new("run queue", name).at(here));
        }
        evidence
    }
}

/// The words of a task's stack from what was saved when it was scheduled out to above its outermost frame.
fn stack_words(stack: &Stack, reader: &dyn Reader) -> Vec<(VirtAddr, u64)> {
    let (Some(first), Some(last)) = (stack.frames.first(), stack.frames.last()) else { return Vec::new() };
    let low = first.sp.wrapping_sub(SAVED_BELOW).get() & !7;
    let high = last.sp.wrapping_add(SAVED_ABOVE).get().min(low.saturating_add(MAX_STACK));
    let mut words = Vec::new();
    let mut at = low;
    while at < high {
        let mut chunk = vec![0; 4096];
        let to_page_end = 4096 - (at & 4095);
        chunk.truncate(usize::try_from(to_page_end.min(high - at)).unwrap_or_default());
        if reader.read(VirtAddr::new(at), &mut chunk).is_ok() {
            let word = |offset: usize| Some((VirtAddr::new(at.wrapping_add(offset as u64)), le_u64(&chunk, offset)?));
            words.extend((0..chunk.len()).step_by(8).filter_map(word));
        }
        at = at.saturating_add(chunk.len() as u64);
    }
    words
}
