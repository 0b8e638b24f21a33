//! Is a CPU spinning in the page-fault path? Every CPU gets an answer: no and why, a candidate, or unknown and why.

use vmcore_kernel::{Cpu, Stack, StackEnd, Task};
use vmcore_memory::VirtAddr;

use super::waited_page::{Entry, WaitedPage};
use crate::evidence::{self, decimal};
use crate::fault::{self, Caught, KernelFault};
use crate::names::syscall_function;
use crate::operand::UserAccess;
use crate::text::seconds;
use crate::time_on_cpu::{TimeOnCpu, time_on_cpu};
use crate::{Evidence, Facts, Place, Reader, Spinner, Value, counted};

/// What became of one CPU.
pub(crate) enum Assessment {
    /// It is not spinning, for this reason.
    No(String),
    /// It is in a kernel-mode fault and has been for long.
    Candidate(Box<Candidate>),
    /// It cannot be told, for this reason.
    Unknown(String),
}

/// A CPU that may be spinning, with what is known of its links of the proof.
pub(crate) struct Candidate {
    pub(crate) spinner: Spinner,
    /// The exception itself is on the stack, not only the instruction that causes it.
    pub(crate) in_handler: bool,
    /// The time on the CPU is known and above the threshold.
    pub(crate) long_enough: Option<bool>,
    /// What its page tables say; `None` where the faulting address is not known.
    pub(crate) waited: Option<WaitedPage>,
    pub(crate) mm: Option<VirtAddr>,
    /// Whether the scheduler is asking its task for the CPU; `None` where that is not known.
    pub(crate) need_resched: Option<bool>,
    /// Whether the stack leads from the fault to where the task entered the kernel.
    pub(crate) reaches_entry: bool,
    /// That it is in a fault, on what address, and for how long.
    pub(crate) fault_evidence: Vec<Evidence>,
    /// What shows that it has spun for long though it was scheduled in not long before, in words.
    pub(crate) counted: Option<String>,
    /// It was scheduled in not long before, and nothing shows for how long it has been spinning with breaks.
    pub(crate) may_have_just_come: bool,
}

impl Candidate {
    /// Whether its fault is known to end at an entry that it has to wait for.
    pub(crate) fn waits_on_entry(&self) -> bool {
        self.waited.as_ref().is_some_and(|waited| matches!(waited.entry, Entry::Waits))
    }

    /// Whether the waited-for page is locked; `None` where that is not known.
    pub(crate) fn page_locked(&self) -> Option<bool> {
        self.waited.as_ref()?.is_locked()
    }

    /// Whether it is proven that this task keeps its CPU: long enough, at an entry that it waits for, of a locked page.
    pub(crate) fn certainly_spins(&self) -> bool {
        self.waits_on_entry() && self.long_enough == Some(true) && self.page_locked() == Some(true)
    }

    /// What could not be established about this CPU.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let who = format!("CPU {}", self.spinner.cpu);
        let mut doubts = Vec::new();
        if self.may_have_just_come {
            doubts.push(format!(
                "{who}: pid {} waits in a page fault for a locked page; it was scheduled in not long before, but as a \
                 real-time task that may have been after one of the breaks that fair tasks are granted: for how long it \
                 has been faulting is not known",
                self.spinner.pid
            ));
        } else if self.long_enough.is_none() {
            doubts.push(format!("{who}: how long its task has been running is not known"));
        }
        match &self.waited {
            None => doubts.push(format!("{who}: the faulting instruction cannot be read, so its address is not known")),
            Some(WaitedPage { entry: Entry::Unknown(why), .. }) => doubts.push(format!("{who}: {why}")),
            Some(WaitedPage { unreadable: Some(why), .. }) => doubts.push(format!("{who}: {why}")),
            Some(waited) if waited.head.is_some() && waited.is_locked().is_none() => {
                doubts.push(format!("{who}: which bit of a page's flags is PG_locked is not known"));
            }
            Some(_) => {}
        }
        doubts
    }
}

/// Assesses one CPU.
pub(crate) fn assess(facts: &Facts<'_>, cpu: &Cpu, reader: &dyn Reader, threshold_ns: u64) -> Assessment {
    let number = cpu.cpu;
    if cpu.run_queue.is_none() {
        return Assessment::Unknown(format!("CPU {number}: its run queue cannot be read"));
    }
    let Some(task) = facts.snapshot.current(cpu) else {
        return Assessment::Unknown(format!("CPU {number}: its current task is not a task that can be read"));
    };
    if task.pid == 0 {
        return idle(cpu);
    }
    let time = time_on_cpu(facts, cpu);
    let short = time.as_ref().map(|time| time.ns).filter(|&running| running < threshold_ns);
    if let Some(running) = short {
        if let Some(lag) = clock_lag(facts, cpu).filter(|&lag| lag > threshold_ns) {
            return Assessment::Unknown(format!(
                "CPU {number}: its clock stopped {} before the others', so its interrupts were off and how long its \
                 task has been running is not known",
                seconds(lag)
            ));
        }
        if !task.is_above_fair() {
            return Assessment::No(scheduled_in(running));
        }
    }
    let assessment = assess_stack(facts, cpu, task, time.as_ref(), reader);
    match short {
        Some(running) => by_count(facts, task, running, assessment, reader, threshold_ns),
        None => assessment,
    }
}

/// A CPU whose run queue says that it was idle: an interrupt handler can run there for ever all the same, which only its
/// registers show.
fn idle(cpu: &Cpu) -> Assessment {
    if cpu.is_unseen() {
        return Assessment::Unknown(format!(
            "CPU {}: the dump has no registers for it; by its run queue it was idle, but whether it was in an interrupt \
             handler is not known",
            cpu.cpu
        ));
    }
    Assessment::No("idle".to_owned())
}

fn scheduled_in(running_ns: u64) -> String {
    format!("its task was scheduled in {} before", seconds(running_ns))
}

/// Of a real-time task that was scheduled in not long before: it may have come back from one of the breaks that are
/// granted to fair tasks. Where it waits for a locked page just now, and its counters say that it has been faulting ever
/// since, it spins; where they do not tell, for how long is not known.
fn by_count(
    facts: &Facts<'_>,
    task: &Task,
    running_ns: u64,
    assessment: Assessment,
    reader: &dyn Reader,
    threshold_ns: u64,
) -> Assessment {
    let spins = counted::spins(facts, task, threshold_ns);
    match (assessment, spins) {
        (Assessment::Candidate(mut candidate), spins)
            if candidate.waits_on_entry() && candidate.page_locked() == Some(true) =>
        {
            candidate.long_enough = spins.as_ref().map(|_| true);
            candidate.may_have_just_come = spins.is_none();
            candidate.spinner.kept_ns = None;
            candidate.counted = spins.as_ref().map(counted::Spins::words);
            let evidence = spins.iter().flat_map(|spins| spins.evidence(task, reader));
            candidate.spinner.evidence.extend(evidence.clone());
            candidate.fault_evidence.extend(evidence);
            Assessment::Candidate(candidate)
        }
        (Assessment::Unknown(why), Some(_)) => Assessment::Unknown(why),
        _ => Assessment::No(scheduled_in(running_ns)),
    }
}

/// What the stack of a CPU's task says.
fn assess_stack(
    facts: &Facts<'_>,
    cpu: &Cpu,
    task: &Task,
    time: Option<&TimeOnCpu<'_>>,
    reader: &dyn Reader,
) -> Assessment {
    let number = cpu.cpu;
    let Some(stack) = facts.running_on(number) else {
        return Assessment::Unknown(format!("CPU {number}: its stack was not read"));
    };
    if cpu.registers.is_none() {
        return Assessment::Unknown(format!(
            "CPU {number}: the dump has no registers for it, so what its task (pid {}) was doing is not known",
            task.pid
        ));
    }
    match fault::find(stack, cpu, reader) {
        Some(fault) => assess_fault(cpu, task, stack, &fault, time, reader),
        None => match &stack.error {
            Some(error) => Assessment::Unknown(format!("CPU {number}: its stack cannot be followed: {error}")),
            None => Assessment::No("no kernel-mode page fault on its stack".to_owned()),
        },
    }
}

/// How far a CPU's clock is behind the newest. The tick drives it, so it stops while interrupts are off; CPUs that were
/// stopped by a panic are offline and do not count, but one without registers need not have been stopped by that.
fn clock_lag(facts: &Facts<'_>, cpu: &Cpu) -> Option<u64> {
    let clock = |cpu: &Cpu| cpu.run_queue.as_ref().map(|queue| queue.clock_ns);
    let newest = facts.snapshot.cpus.iter().filter_map(clock).max()?;
    if cpu.online || cpu.is_unseen() { newest.checked_sub(clock(cpu)?) } else { None }
}

fn assess_fault(
    cpu: &Cpu,
    task: &Task,
    stack: &Stack,
    fault: &KernelFault,
    time: Option<&TimeOnCpu<'_>>,
    reader: &dyn Reader,
) -> Assessment {
    // A kernel thread that works on a process's memory has that process's mm as its own (`kthread_use_mm`).
    let mm = task.mm;
    if fault.touches_no_user_memory() {
        return Assessment::No("its faulting instruction touches no user memory".to_owned());
    }
    if let Some(function) = fault.waits_in(stack) {
        return Assessment::No(format!("its page fault waits in {function}, and is not one that is retried at once"));
    }
    let found = waited_access(fault, mm, reader);
    if let Some((_, WaitedPage { entry: Entry::Other(why), .. })) = &found {
        return match &stack.error {
            Some(error) => Assessment::Unknown(format!(
                "CPU {}: its stack cannot be followed to the end, so another fault may be on it: {error}",
                cpu.cpu
            )),
            None => Assessment::No(format!("its fault does not wait for a page: {why}")),
        };
    }
    let running_ns = cpu.run_queue.as_ref().and_then(|queue| queue.running_ns(task));
    let mut facts = Vec::new();
    facts.extend(running_evidence(cpu, task, running_ns, reader));
    facts.extend(time.and_then(|time| witness_evidence(cpu, time, reader)));
    let asked = asked_for_cpu(cpu, reader);
    facts.extend(asked.as_ref().map(|(_, evidence)| evidence.clone()));
    facts.push(fault.evidence());
    facts.extend(found.as_ref().map(|(access, _)| fault.address_evidence(access)));
    let fault_evidence = facts.clone();
    if let Some((_, waited)) = &found {
        facts.extend(waited.walk_evidence.iter().chain(&waited.page_evidence).cloned());
    }
    let spinner = Spinner {
        cpu: cpu.cpu,
        task: task.address,
        pid: task.pid,
        comm: task.comm.clone(),
        address: found.as_ref().map(|(access, _)| access.address),
        running_ns,
        kept_ns: time.map(|time| time.ns),
        fault_function: fault.function.clone(),
        syscall_function: syscall_function(stack.frames.get(fault.frame..).unwrap_or_default()),
        entry: found.as_ref().and_then(|(_, waited)| waited.raw),
        head_page: found.as_ref().and_then(|(_, waited)| waited.head.as_ref()).map(|head| head.address),
        evidence: facts,
    };
    Assessment::Candidate(Box::new(Candidate {
        spinner,
        in_handler: fault.caught == Caught::InHandler,
        // Below the threshold it would not have come this far.
        long_enough: time.map(|_| true),
        waited: found.map(|(_, waited)| waited),
        mm,
        need_resched: asked.map(|(asked, _)| asked),
        reaches_entry: stack.end == StackEnd::UserMode && stack.error.is_none(),
        fault_evidence,
        counted: None,
        may_have_just_come: false,
    }))
}

/// Of the user addresses that the instruction touches, the one whose page is waited for, else the first.
fn waited_access(fault: &KernelFault, mm: Option<VirtAddr>, reader: &dyn Reader) -> Option<(UserAccess, WaitedPage)> {
    let mm = mm?;
    let mut all: Vec<_> =
        fault.accesses.iter().map(|access| (*access, WaitedPage::look_up(reader, mm, access.address))).collect();
    let waits = all.iter().position(|(_, waited)| matches!(waited.entry, Entry::Waits));
    let unknown = || all.iter().position(|(_, waited)| matches!(waited.entry, Entry::Unknown(_)));
    let index = waits.or_else(unknown).unwrap_or(0);
    (index < all.len()).then(|| all.swap_remove(index))
}

/// Whether the scheduler asks for the CPU: bit 31 of the preemption count is clear then.
///
/// Source: `arch/x86/include/asm/preempt.h` (`PREEMPT_NEED_RESCHED`, inverted).
fn asked_for_cpu(cpu: &Cpu, reader: &dyn Reader) -> Option<(bool, Evidence)> {
    let (address, count) = reader.preempt_count(cpu.cpu)?;
    let asked = count >> 31 == 0;
    let meaning = if asked {
        "bit 31, PREEMPT_NEED_RESCHED, is clear: the scheduler asks for this CPU, and would switch its task out on its next \
         way back to user mode"
    } else {
        "bit 31, PREEMPT_NEED_RESCHED, is set: the scheduler does not ask for this CPU"
    };
    let fact = Evidence::new("preempt_count", meaning).at(Place::Kernel(address)).value(Value::Hex(count.into()));
    Some((asked, fact))
}

/// Who shows that only tasks of a higher rank came in between.
fn witness_evidence(cpu: &Cpu, time: &TimeOnCpu<'_>, reader: &dyn Reader) -> Option<Evidence> {
    let witness = time.witness?;
    let meaning = format!(
        "pid {} has been waiting for CPU {} since then, so that it was not idle, and for {} no other task has run there \
         but such that outrank its current one",
        witness.pid,
        cpu.cpu,
        seconds(time.ns)
    );
    let member = ("task_struct", "sched_info.last_queued");
    Some(evidence::member(reader, witness.address, member, decimal(witness.last_queued_ns?), meaning))
}

fn running_evidence(cpu: &Cpu, task: &Task, running_ns: Option<u64>, reader: &dyn Reader) -> Option<Evidence> {
    let queue = cpu.run_queue.as_ref()?;
    let meaning = format!(
        "on CPU {} without being scheduled out for {}: rq.clock {} minus this",
        cpu.cpu,
        seconds(running_ns?),
        queue.clock_ns
    );
    let member = ("task_struct", "sched_info.last_arrival");
    Some(evidence::member(reader, task.address, member, decimal(task.last_arrival_ns?), meaning))
}
