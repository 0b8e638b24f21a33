//! What is shown of a splitter: that it splits, that it is queued, and what ties it to those who wait.

use vmcore_memory::VirtAddr;

use super::SplitCandidate;
use crate::evidence::{self, decimal};
use crate::livelock::queued;
use crate::livelock::tie::Tie;
use crate::return_address::return_address;
use crate::text::seconds;
use crate::{Evidence, Facts, Place, Reader, Splitter, Value};

impl SplitCandidate<'_> {
    /// What shows a tie.
    pub(crate) fn tie_evidence(&self, tie: Tie, reader: &dyn Reader) -> Option<Evidence> {
        match tie {
            Tie::Head(head) => {
                let (at, word) = self.on_stack(|word| word == head.get())?;
                Some(self.word_evidence(at, word, "the head's struct page is on its stack"))
            }
            Tie::Range(_, start) => {
                let size = reader.huge_page_size();
                let (at, word) = self.on_stack(|word| self.says_page(word, start, size))?;
                let meaning =
                    "same process, and an address in the huge page that the spinner faults on is on its stack";
                Some(self.word_evidence(at, word, meaning))
            }
            Tie::SameMm(mm) => {
                let meaning = "the splitter belongs to the same process as the spinner";
                let member = ("task_struct", "mm");
                Some(evidence::member(reader, self.task.address, member, Value::Hex(mm.get()), meaning))
            }
        }
    }

    /// A stack word for which this holds: best one in the frame of the split itself, else the innermost.
    fn on_stack(&self, is_wanted: impl Fn(u64) -> bool) -> Option<(Option<VirtAddr>, u64)> {
        let low = self.stack.frames.get(self.frame).map(|frame| frame.sp);
        let high = self.stack.frames.get(self.frame + 1).map(|frame| frame.sp);
        let in_split = |at: VirtAddr| low.is_some_and(|low| low <= at) && high.is_some_and(|high| at < high);
        let wanted = || self.words.iter().filter(|word| is_wanted(word.value));
        let best = wanted().find(|word| word.at.is_some_and(in_split)).or_else(|| wanted().next())?;
        Some((best.at, best.value))
    }

    fn word_evidence(&self, at: Option<VirtAddr>, word: u64, meaning: &str) -> Evidence {
        let Some(at) = at else {
            let meaning = format!("{meaning}: in a register of the CPU that it has for a moment");
            return Evidence::new("register", meaning).value(Value::Hex(word));
        };
        let frame = self.stack.frames.iter().rev().find(|frame| frame.sp <= at).and_then(|frame| frame.function());
        let meaning = match frame {
            Some(function) => format!("{meaning}, in the frame of {function}"),
            None => format!("{meaning}, among the registers saved when it was scheduled out"),
        };
        Evidence::new("stack word", meaning).at(Place::Kernel(at)).value(Value::Hex(word))
    }

    /// The splitter for the report, with the evidence collected about it.
    pub(crate) fn report(
        &self,
        facts: &Facts<'_>,
        reader: &dyn Reader,
        (is_tied, head_page): (bool, Option<VirtAddr>),
        more: Vec<Evidence>,
    ) -> Splitter {
        let task = self.task;
        let mut evidence: Vec<_> = self.split_evidence(reader).into_iter().collect();
        evidence.extend(self.sleep.iter().flat_map(|sleep| sleep.evidence(facts, reader)));
        evidence.extend(self.queue_evidence(facts, reader));
        evidence.extend(more);
        Splitter {
            task: task.address,
            pid: task.pid,
            comm: task.comm.clone(),
            cpu: self.place.cpu,
            state: task.state.letter(),
            on_rq: task.on_rq,
            on_cpu: task.on_cpu,
            waiting_ns: self.waiting_ns.filter(|_| self.sleep.is_none()),
            split_function: self.function.clone(),
            is_tied,
            head_page,
            evidence,
        }
    }

    /// That it is runnable, queued, and off its CPU, and for how long.
    pub(crate) fn queue_evidence(&self, facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Evidence> {
        let task = self.waiter;
        let fact = |path, value, meaning: String| {
            evidence::member(reader, task.address, ("task_struct", path), value, meaning)
        };
        let mut evidence = Vec::new();
        let state = Value::Hex(task.state.state);
        let running = "TASK_RUNNING: it wants a CPU";
        evidence.push(evidence::renamed(reader, task.address, "task_struct", &["__state", "state"], state, running));
        evidence.push(fact("on_rq", decimal(task.on_rq), self.queue_name()));
        let on_cpu = match self.moment_on_cpu() {
            Some(moment) => format!("on CPU {} for a moment of {}", moment.cpu, seconds(moment.moment_ns)),
            None => "not on a CPU".to_owned(),
        };
        evidence.push(fact("on_cpu", decimal(task.on_cpu.into()), on_cpu));
        if let (Some(waiting), Some(queued)) = (self.waiting_ns, task.last_queued_ns) {
            let meaning = format!("waiting in the run queue of CPU {} for {}", self.place.cpu, seconds(waiting));
            evidence.push(fact("sched_info.last_queued", decimal(queued), meaning));
        }
        if let (Some(ago), Some(ran)) = (self.ran_ago_ns(facts), task.exec_start_ns) {
            let meaning = format!("its run time was last accounted {} before", seconds(ago));
            evidence.push(fact("se.exec_start", decimal(ran), meaning));
        }
        evidence.extend(self.pinned(facts, reader));
        evidence
    }

    /// That it is in the middle of a split.
    pub(crate) fn split_evidence(&self, reader: &dyn Reader) -> Option<Evidence> {
        let meaning = format!(
            "{} is on its stack: it is {}",
            self.function,
            if self.moves() { "moving pages" } else { "splitting a huge page" }
        );
        return_address(reader, &self.stack.frames, self.frame, meaning)
    }

    fn queue_name(&self) -> String {
        match self.place.class {
            None if self.moment_on_cpu().is_some() => format!("it has CPU {}", self.place.cpu),
            Some(class) => format!("queued: found in the {} of CPU {}", queued::name(class), self.place.cpu),
            None => format!("queued, according to its task_struct: {}", self.place.checked),
        }
    }
}
