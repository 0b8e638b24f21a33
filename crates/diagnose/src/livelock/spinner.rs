//! Is a CPU spinning in the page-fault path? Every CPU gets an answer: no and why, a candidate, or unknown and why.

mod displaced;
mod shown;

use vmcore_kernel::{Class, Cpu, Stack, StackEnd, Task};
use vmcore_memory::VirtAddr;

use super::faulting::{self, Faulting};
use super::times;
use super::waited_page::{Entry, WaitedPage};
use crate::access::Access;
use crate::arch::asked_for_cpu;
use crate::clock::lag_ns;
use crate::fault::{self, Caught, KernelFault};
use crate::idle::{OnIdle, on_idle};
use crate::interrupts::{flags, interrupts_off};
use crate::kernel_code::in_kernel_code;
use crate::names::syscall_function;
use crate::text::seconds;
use crate::time_on_cpu::{TimeOnCpu, time_on_cpu};
use crate::{CheckResult, Evidence, Facts, Reader, Spinner, counted};
pub(crate) use displaced::assess_displaced;
use shown::{running_evidence, witness_evidence};

/// After so many ticks the scheduler asks a fair task for its CPU if another one waits.
const ASKS_NS: u64 = 1_000_000_000;

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
    /// It is user code that faults, of a task that gives way to nobody below its rank.
    pub(crate) in_user_code: bool,
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
    /// Whether it has been faulting all the time.
    pub(crate) faulting: Faulting,
    /// What is wrong with its times: then nothing is concluded from them.
    pub(crate) contradictions: Vec<String>,
    /// A fair task that has been waiting in its CPU's queue, and for how long: the scheduler asks for the CPU then.
    pub(crate) kept_waiting: Option<(i32, u64)>,
    /// It is off its CPU for a moment that fair tasks are granted there, in these words; `None` where it has its CPU.
    pub(crate) lends: Option<String>,
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

    /// Whether it is proven that this task keeps its CPU: long enough, at an entry that it waits for, of a locked page,
    /// faulting all the time, and nothing that is known of it contradicts that.
    pub(crate) fn certainly_spins(&self) -> bool {
        let links = [Some(self.waits_on_entry()), self.long_enough, self.page_locked()];
        let asked = self.need_resched != Some(false) || self.kept_waiting.is_none();
        links == [Some(true); 3] && self.faults_all_the_time() && self.contradictions.is_empty() && asked
    }

    /// Whether its counters show that it has been faulting all the time.
    fn faults_all_the_time(&self) -> bool {
        self.counted.is_some() || self.faulting.result == CheckResult::Refuted
    }

    /// What could not be established about this CPU.
    pub(crate) fn doubts(&self) -> Vec<String> {
        let who = format!("CPU {}", self.spinner.cpu);
        let mut doubts = self.contradictions.clone();
        if let Some(lends) = self.lends.as_ref().filter(|_| self.may_have_just_come) {
            doubts.push(format!(
                "{who}: pid {} waits in a page fault for a locked page, and {lends}: for how long it has been faulting is not known",
                self.spinner.pid
            ));
        } else if self.may_have_just_come {
            doubts.push(format!(
                "{who}: pid {} waits in a page fault for a locked page; it was scheduled in not long before, but as a \
                 real-time task that may have been after one of the breaks that fair tasks are granted: for how long it \
                 has been faulting is not known",
                self.spinner.pid
            ));
        } else if self.long_enough.is_none() && self.contradictions.is_empty() {
            doubts.push(format!("{who}: how long its task has been running is not known"));
        }
        match &self.waited {
            None => doubts.push(format!(
                "{who}: the faulting instruction cannot be read or is not understood, so its address is not known"
            )),
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
        return idle(facts, cpu);
    }
    let time = time_on_cpu(facts, cpu);
    let short = time.as_ref().map(|time| time.ns).filter(|&running| running < threshold_ns);
    if let Some(running) = short {
        if let Some(why) = lags(facts, cpu, threshold_ns) {
            return Assessment::Unknown(format!(
                "CPU {number}: {why}, and how long its task has been running is not known"
            ));
        }
        if !task.is_above_fair() {
            return Assessment::No(scheduled_in(running));
        }
    }
    let assessment = assess_stack(facts, cpu, task, time.as_ref(), reader);
    match short {
        Some(running) => by_count(facts, task, scheduled_in(running), assessment, reader, threshold_ns),
        None if time.is_none() && matches!(assessment, Assessment::No(_)) && may_loop_unseen(facts, cpu) => {
            Assessment::Unknown(format!(
                "CPU {number}: it is in kernel code, and how long its task has been running is not known"
            ))
        }
        None => assessment,
    }
}

/// Whether a CPU may be in a loop of which nothing tells: in kernel code, and with no watchdog that would have complained.
fn may_loop_unseen(facts: &Facts<'_>, cpu: &Cpu) -> bool {
    let has_panicked = facts.state.panic.cpu == Some(cpu.cpu);
    !has_panicked && !facts.state.limits.is_watched(cpu.cpu) && in_kernel_code(facts, cpu)
}

/// A CPU whose run queue says that it was idle: something else can run there for ever all the same, which only its registers
/// show.
fn idle(facts: &Facts<'_>, cpu: &Cpu) -> Assessment {
    let number = cpu.cpu;
    if cpu.is_unseen() {
        return Assessment::Unknown(format!(
            "CPU {number}: the dump has no registers for it; by its run queue it was idle, but whether it was in an interrupt \
             handler is not known"
        ));
    }
    match on_idle(facts, cpu) {
        OnIdle::Nothing => Assessment::No("idle".to_owned()),
        OnIdle::Briefly(work) => Assessment::No(format!("idle but for {}, which has only just come", work.code())),
        OnIdle::Long(work, _) | OnIdle::Unknown(work) => Assessment::Unknown(format!("CPU {number}: {}", work.doubt())),
    }
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
    otherwise: String,
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
            let evidence: Vec<_> = spins.iter().flat_map(|spins| spins.evidence(task, reader)).collect();
            for known in [&mut candidate.spinner.evidence, &mut candidate.fault_evidence] {
                // The same count, of all the time that it ran.
                known.retain(|fact| !evidence.iter().any(|new| new.what == fact.what));
                known.extend(evidence.iter().cloned());
            }
            if spins.is_some() {
                candidate.faulting.stays_in_kernel = Some(true);
            }
            Assessment::Candidate(candidate)
        }
        (Assessment::Unknown(why), Some(_)) => Assessment::Unknown(why),
        (Assessment::Candidate(candidate), Some(_)) => {
            // It has been faulting for all its life, and what it waits for cannot be read to the end.
            match candidate.doubts().pop().filter(|_| candidate.page_locked().is_none()) {
                Some(why) => Assessment::Unknown(why),
                None => Assessment::No(otherwise),
            }
        }
        _ => Assessment::No(otherwise),
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
    match fault::find(stack, Some(cpu), keeping_mm(task), reader) {
        Some(fault) => assess_fault(facts, cpu, task, (stack, &fault), time, reader),
        None => match &stack.error {
            Some(error) => Assessment::Unknown(format!("CPU {number}: its stack cannot be followed: {error}")),
            None => Assessment::No("no kernel-mode page fault on its stack".to_owned()),
        },
    }
}

/// The memory of a task whose user code keeps its CPU, too: on its way back to that it gives way to no fair task.
fn keeping_mm(task: &Task) -> Option<VirtAddr> {
    task.mm.filter(|_| task.is_above_fair())
}

/// Why a CPU's clock is far behind the others', in words; `None` where it is not.
pub(crate) fn lags(facts: &Facts<'_>, cpu: &Cpu, threshold_ns: u64) -> Option<String> {
    let lag = seconds(lag_ns(facts, cpu).filter(|&lag| lag > threshold_ns)?);
    let why = match flags(facts, cpu.cpu) {
        Some(_) if interrupts_off(facts, cpu.cpu) => ", so its interrupts were off",
        Some(_) => {
            " though its interrupts were on: it got no tick, as when the host does not run a virtual CPU (stolen time)"
        }
        None => ": its interrupts were off, or its host did not run it",
    };
    Some(format!("its clock stopped {lag} before the others'{why}"))
}

/// Whether some of what the kernel keeps could not be read: then a table of zeroes may be one that is lost.
fn has_lost_pages(all: &Facts<'_>) -> bool {
    all.snapshot.is_partial || all.incomplete.is_some()
}

/// Whether the task's counters show that it has done nothing but fault, in kernel code, for as long as it has had its CPU. A process that
/// fills new memory does so too, but not for seconds.
fn never_leaves_its_faults(task: &Task, time: Option<&TimeOnCpu<'_>>, reader: &dyn Reader) -> bool {
    let faulting = faulting::assess(task, time.map(|time| time.ns), reader);
    faulting.result == CheckResult::Refuted && faulting.stays_in_kernel == Some(true)
}

fn assess_fault(
    all: &Facts<'_>,
    cpu: &Cpu,
    task: &Task,
    (stack, fault): (&Stack, &KernelFault),
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
    if (fault.is_guessed || fault.by_user_code())
        && !found.as_ref().is_some_and(|(_, waited)| matches!(waited.entry, Entry::Waits))
    {
        return Assessment::No("the fault is on no address at hand whose page is waited for".to_owned());
    }
    if let Some((_, WaitedPage { entry: Entry::Other(why), raw, .. })) = &found {
        let of_cpu = |why: String| Assessment::Unknown(format!("CPU {}: {why}", cpu.cpu));
        return match &stack.error {
            Some(error) => {
                of_cpu(format!("its stack cannot be followed to the end, so another fault may be on it: {error}"))
            }
            None if *raw == Some(0) && has_lost_pages(all) && never_leaves_its_faults(task, time, reader) => {
                of_cpu(format!(
                    "it has been faulting all the time, and {why}: that table may be lost from the dump, or the fault had just begun"
                ))
            }
            None => Assessment::No(format!("its fault does not wait for a page: {why}")),
        };
    }
    let runs = all.snapshot.current(cpu).is_some_and(|current| current.address == task.address);
    let contradictions = times::contradictions(all, cpu, task);
    // A time that cannot be is none.
    let time = time.filter(|_| contradictions.is_empty());
    let running_ns = time.and_then(|_| all.running_ns(cpu));
    let kept_ns = time.map(|time| time.ns);
    let faulting = faulting::assess(task, kept_ns, reader);
    let mut facts = Vec::new();
    facts.extend(running_evidence(cpu, task, running_ns, reader));
    facts.extend(time.and_then(|time| witness_evidence(cpu, time, reader)));
    // Only who has the CPU can be asked for it.
    let asked = runs.then(|| asked_for_cpu(reader, cpu, task)).flatten();
    facts.extend(asked.as_ref().map(|(_, evidence)| evidence.clone()));
    facts.push(fault.evidence(reader));
    facts.extend(found.as_ref().map(|(access, _)| fault.address_evidence(access)));
    facts.extend(faulting.evidence.iter().cloned());
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
        kept_ns,
        fault_function: fault.function.clone(),
        syscall_function: syscall_function(stack.frames.get(fault.frame..).unwrap_or_default()),
        entry: found.as_ref().and_then(|(_, waited)| waited.raw),
        head_page: found.as_ref().and_then(|(_, waited)| waited.head.as_ref()).map(|head| head.address),
        evidence: facts,
    };
    Assessment::Candidate(Box::new(Candidate {
        spinner,
        in_handler: fault.caught == Caught::InHandler && !fault.is_guessed,
        in_user_code: fault.by_user_code(),
        // Below the threshold it would not have come this far.
        long_enough: time.map(|_| true),
        waited: found.map(|(_, waited)| waited),
        mm,
        need_resched: asked.map(|(asked, _)| asked),
        reaches_entry: stack.end == StackEnd::UserMode && stack.error.is_none(),
        fault_evidence,
        counted: None,
        faulting,
        kept_waiting: kept_waiting(all, cpu, task),
        contradictions,
        lends: None,
        may_have_just_come: false,
    }))
}

/// Who has been waiting longest in the queue of a CPU that a fair task has, of those that take turns with it.
fn kept_waiting(facts: &Facts<'_>, cpu: &Cpu, current: &Task) -> Option<(i32, u64)> {
    let queued = cpu.run_queue.as_ref()?.queued.iter().filter(|queued| queued.class != Class::Ext);
    let queued = queued.filter_map(|queued| facts.snapshot.task(queued.task));
    let waiting = queued.filter_map(|task| Some((task.pid, facts.waiting_ns(task)?)));
    let longest = waiting.max_by_key(|(_, waited)| *waited).filter(|(_, waited)| *waited >= ASKS_NS);
    longest.filter(|_| !current.is_above_fair())
}

/// Of the user addresses that the instruction touches, the one whose page is waited for, else the first.
fn waited_access(fault: &KernelFault, mm: Option<VirtAddr>, reader: &dyn Reader) -> Option<(Access, WaitedPage)> {
    let mm = mm?;
    let mut all: Vec<_> =
        fault.accesses.iter().map(|access| (*access, WaitedPage::look_up(reader, mm, access.address))).collect();
    let waits = all.iter().position(|(_, waited)| matches!(waited.entry, Entry::Waits));
    let unknown = || all.iter().position(|(_, waited)| matches!(waited.entry, Entry::Unknown(_)));
    let index = waits.or_else(unknown).unwrap_or(0);
    (index < all.len()).then(|| all.swap_remove(index))
}
