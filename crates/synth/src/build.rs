//! From a scenario and a kernel generation to a machine's memory, its vmlinux and its notes.

use std::collections::HashMap;

use vmcore_dump::RawNote;
use vmcore_memory::{Pfn, Registers, VirtAddr};

use crate::SynthError;
use crate::generation::{Generation, PreemptionForm};
use crate::machine::{Cpu, Line, Machine, NewTask, Queue, TaskList, prstatus_note};
use crate::memory::physical::Physical;
use crate::plan::{self, Plan};
use crate::random::Random;
use crate::scenario::{Policy, Scenario, State, Task};
use crate::stack::{Bounds, Layer, StackBuilder};
use crate::vmlinux::code::{CallGraph, Code};
use crate::vmlinux::elf;
use crate::vmlinux::image::Image;

/// `THREAD_SIZE`.
const THREAD_SIZE: u64 = 16 << 10;
/// The most CPUs of a synthetic machine.
pub const MAX_CPUS: u32 = 512;

/// A synthetic machine, ready to be written.
#[derive(Debug)]
pub struct Synthetic {
    /// Its memory.
    pub memory: Physical,
    /// The notes of its dump.
    pub notes: Vec<RawNote>,
    /// The file that describes its kernel.
    pub vmlinux: Vec<u8>,
}

/// Builds the machine of `scenario` on a kernel of `generation`. The same seed gives the same bytes.
///
/// # Errors
///
/// [`SynthError`] where the scenario asks for what cannot be.
pub fn build(scenario: &Scenario, generation: &Generation, seed: u64) -> Result<Synthetic, SynthError> {
    if !(1..=MAX_CPUS).contains(&scenario.cpus) {
        return Err(SynthError::scenario(format!("there are {} CPUs; hint: 1 to {MAX_CPUS}", scenario.cpus)));
    }
    let mut random = Random::new(seed);
    let mut build_id = [0; 20];
    build_id.iter_mut().for_each(|byte| *byte = random.below(256) as u8);
    let code = Code::lay_out(generation, calls(scenario, generation)?);
    let image = Image::link(generation, code)?;
    let vmlinux = elf::write(generation, &image, &build_id)?;
    let levels = scenario.page_levels.unwrap_or(4);
    let machine = Machine::boot(generation, image, &mut random, levels)?;
    let mut builder = Builder::new(scenario, machine)?;
    builder.add_pages()?;
    builder.add_processes()?;
    builder.add_idle_tasks()?;
    builder.add_tasks()?;
    let notes = builder.finish(&build_id)?;
    Ok(Synthetic { memory: builder.machine.space.physical, notes, vmlinux })
}

/// Every call that is seen on a stack.
fn calls(scenario: &Scenario, generation: &Generation) -> Result<CallGraph, SynthError> {
    let mut graph = CallGraph::of(generation);
    let nowhere = Bounds { low: VirtAddr::default(), high: VirtAddr::default() };
    for task in scenario.task.iter().chain([&sleeper(0)]) {
        let planned = plan::plan(generation, task, nowhere)?;
        plan::chains(&planned.layers).iter().for_each(|chain| graph.add_chain(chain));
    }
    let idle = [generation.chain("idle")?, generation.chain("schedule")?].concat();
    graph.add_chain(&idle);
    Ok(graph)
}

/// One of the many that do nothing.
fn sleeper(number: i32) -> Task {
    Task {
        pid: SLEEPERS + number,
        tgid: None,
        comm: format!("sleeper/{number}"),
        process: None,
        cpu: 0,
        state: State::Sleeping,
        seconds: 1.0,
        policy: Policy::Fair,
        doing: crate::scenario::Doing::Sleep,
        under: crate::scenario::Under::Nothing,
    }
}

/// The thread id of the first sleeper.
const SLEEPERS: i32 = 100_000;

struct Builder<'s, 'g> {
    scenario: &'s Scenario,
    machine: Machine<'g>,
    cpus: Vec<Cpu>,
    queues: Vec<Queue>,
    /// The registers of CPUs, and the thread ids of who ran there.
    registers: HashMap<u32, (i32, Registers)>,
    pages: HashMap<String, (Pfn, VirtAddr)>,
    /// The heads of pages by their names.
    heads: HashMap<String, VirtAddr>,
    processes: HashMap<String, VirtAddr>,
    tasks: TaskList,
    clock_ns: u64,
}

impl<'s, 'g> Builder<'s, 'g> {
    fn new(scenario: &'s Scenario, mut machine: Machine<'g>) -> Result<Self, SynthError> {
        let cpus = machine.add_cpus(scenario.cpus)?;
        let queues = vec![Queue::default(); cpus.len()];
        let clock_ns = nanoseconds(scenario.uptime);
        let (registers, pages, heads, processes) = Default::default();
        let tasks = TaskList::default();
        Ok(Self { scenario, machine, cpus, queues, registers, pages, heads, processes, tasks, clock_ns })
    }

    fn add_pages(&mut self) -> Result<(), SynthError> {
        for page in &self.scenario.page {
            let (first, head) = self.machine.add_huge_page(page.locked)?;
            self.pages.insert(page.name.clone(), (first, head));
            self.heads.insert(page.name.clone(), head);
        }
        Ok(())
    }

    fn add_processes(&mut self) -> Result<(), SynthError> {
        for process in &self.scenario.process {
            let (mm, tables) = self.machine.add_process()?;
            self.processes.insert(process.name.clone(), mm);
            for mapping in &process.map {
                let first = self.pages.get(&mapping.page).map(|(first, _)| *first);
                self.machine.map(tables, VirtAddr::new(mapping.at), first, mapping.entry)?;
            }
        }
        Ok(())
    }

    /// The idle task of each CPU. That of the first is `init_task`, the head of the list of all tasks.
    fn add_idle_tasks(&mut self) -> Result<(), SynthError> {
        let init = self.machine.variable("init_task")?;
        let signal = self.machine.variable("init_signals")?;
        for cpu in self.cpus.clone() {
            let size = self.machine.generation.size_of("task_struct")?;
            let at = if cpu.number == 0 { init } else { self.machine.space.allocate_object(size) };
            let runs = !self.runs_something(cpu.number);
            let stack = self.new_stack();
            let mut functions = self.machine.generation.chain("idle")?.to_vec();
            if !runs {
                functions.extend(self.machine.generation.chain("schedule")?.iter().cloned());
            }
            let layers = [Layer::Calls(functions)];
            let saved_sp = if runs {
                let registers = self.stack_builder(stack, None).write(&layers)?;
                self.registers.insert(cpu.number, (0, registers));
                VirtAddr::default()
            } else {
                self.stack_builder(stack, None).write_switched_out(&layers)?
            };
            let task = NewTask {
                comm: format!("swapper/{}", cpu.number),
                stack: stack.low,
                saved_sp,
                cpu: cpu.number,
                on_cpu: runs,
                queued: true,
                prio: 120,
                last_arrival: if runs { self.clock_ns } else { 0 },
                ..NewTask::default()
            };
            self.machine.write_task(at, &task)?;
            if let Some(queue) = self.queues.get_mut(cpu.number as usize) {
                (queue.idle, queue.current) = (at, at);
            }
            if cpu.number == 0 {
                self.tasks.add(&mut self.machine, at, (0, 0), Some(signal))?;
            }
        }
        Ok(())
    }

    fn runs_something(&self, cpu: u32) -> bool {
        self.scenario.task.iter().any(|task| task.state == State::Running && task.cpu == cpu)
    }

    fn add_tasks(&mut self) -> Result<(), SynthError> {
        let scenario = self.scenario;
        for task in &scenario.task {
            self.add_task(task)?;
        }
        for number in 0..scenario.sleepers {
            let cpu = number % scenario.cpus;
            self.add_task(&Task { cpu, ..sleeper(number.cast_signed()) })?;
        }
        let init = self.machine.variable("init_task")?;
        std::mem::take(&mut self.tasks).finish(&mut self.machine, init)
    }

    fn add_task(&mut self, task: &Task) -> Result<(), SynthError> {
        let cpu = self.cpus.get(task.cpu as usize).copied();
        let cpu = cpu.ok_or_else(|| SynthError::scenario(format!("pid {} is on CPU {}", task.pid, task.cpu)))?;
        let planned = plan::plan(self.machine.generation, task, cpu.nmi_stack)?;
        let stack = self.new_stack();
        let mut written = self.describe(task, stack)?;
        if task.state == State::Running {
            let registers = self.running_registers(&planned, stack, &cpu)?;
            if self.registers.insert(task.cpu, (task.pid, registers)).is_some() {
                return Err(SynthError::scenario(format!("two tasks run on CPU {}", task.cpu)));
            }
        } else {
            written.saved_sp = self.stack_builder(stack, None).write_switched_out(&planned.layers)?;
        }
        let size = self.machine.generation.size_of("task_struct")?;
        let at = self.machine.space.allocate_object(size);
        self.machine.write_task(at, &written)?;
        self.tasks.add(&mut self.machine, at, (written.pid, written.tgid), None)?;
        self.enqueue(task, at);
        if self.scenario.missing.stacks.contains(&task.pid) {
            self.forget(stack)?;
        }
        Ok(())
    }

    fn running_registers(&mut self, planned: &Plan, stack: Bounds, cpu: &Cpu) -> Result<Registers, SynthError> {
        if let (true, Some(user)) = (planned.user_mode, planned.general) {
            return Ok(user);
        }
        let registers = self.stack_builder(stack, Some(cpu.irq_stack)).write(&planned.layers)?;
        let place = registers;
        Ok(planned.general.map_or(registers, |general| general.with_return_frame(&place)))
    }

    /// What the task's own structure says.
    fn describe(&self, task: &Task, stack: Bounds) -> Result<NewTask, SynthError> {
        let unknown = |name: &String| SynthError::scenario(format!("there is no process '{name}'"));
        let mm = match &task.process {
            Some(name) => Some(*self.processes.get(name).ok_or_else(|| unknown(name))?),
            None => None,
        };
        let since = self.clock_ns.saturating_sub(nanoseconds(task.seconds));
        let (policy, prio) = match task.policy {
            Policy::Fair => (0, 120),
            Policy::Fifo(priority) => (1, 99 - i32::from(priority.min(99))),
            Policy::Deadline => (6, -1),
        };
        Ok(NewTask {
            pid: task.pid,
            tgid: task.tgid.unwrap_or(task.pid),
            comm: task.comm.clone(),
            stack: stack.low,
            saved_sp: VirtAddr::default(),
            state: match task.state {
                State::Running | State::Queued => 0,
                State::Sleeping => 1,
                State::Blocked => 2,
            },
            cpu: task.cpu,
            on_cpu: task.state == State::Running,
            queued: matches!(task.state, State::Running | State::Queued),
            policy,
            prio,
            mm,
            last_arrival: since,
            last_queued: if task.state == State::Queued { since } else { 0 },
        })
    }

    fn enqueue(&mut self, task: &Task, at: VirtAddr) {
        let Some(queue) = self.queues.get_mut(task.cpu as usize) else { return };
        match (task.state, task.policy) {
            (State::Running, _) => (queue.current, queue.busy) = (at, true),
            (State::Queued, Policy::Fair) => queue.fair.push(at),
            (State::Queued, Policy::Fifo(priority)) => queue.real_time.push((at, 99 - u64::from(priority.min(99)))),
            (State::Queued, Policy::Deadline) => queue.deadline.push(at),
            _ => {}
        }
    }

    fn new_stack(&mut self) -> Bounds {
        let low = self.machine.space.allocate_mapped(THREAD_SIZE, THREAD_SIZE);
        Bounds { low, high: low.wrapping_add(THREAD_SIZE) }
    }

    fn stack_builder(&mut self, stack: Bounds, irq_stack: Option<Bounds>) -> StackBuilder<'_> {
        StackBuilder::new(&mut self.machine.space, &self.machine.image.code, &self.heads, (stack, irq_stack))
    }

    fn forget(&mut self, stack: Bounds) -> Result<(), SynthError> {
        for page in (stack.low.get()..stack.high.get()).step_by(4096) {
            let physical = self.machine.space.translate(VirtAddr::new(page))?;
            self.machine.space.physical.remove(physical.pfn());
        }
        Ok(())
    }

    /// The rest of the machine, and the notes of its dump.
    fn finish(&mut self, build_id: &[u8; 20]) -> Result<Vec<RawNote>, SynthError> {
        let modules = self.machine.variable("modules")?;
        self.machine.link(&[modules])?;
        self.machine.write_utsname()?;
        self.write_masks()?;
        for (cpu, queue) in self.cpus.iter().zip(&self.queues) {
            self.machine.write_queue(cpu, self.clock_ns, queue)?;
        }
        self.write_log()?;
        let panicked = self.scenario.panicked.map_or(-1, u32::cast_signed);
        self.machine.set_int("panic_cpu", panicked)?;
        self.machine.set_int("crashing_cpu", panicked)?;
        if self.machine.generation.facts.preemption == PreemptionForm::Dynamic {
            self.machine.set_int("preempt_dynamic_mode", if self.scenario.preempt { 2 } else { 0 })?;
        } else if self.scenario.preempt {
            return Err(SynthError::scenario("this kernel was built without preemption"));
        }
        for page in self.scenario.page.iter().filter(|page| !page.described) {
            if let Some(head) = self.heads.get(&page.name) {
                self.machine.forget_page_structs(*head)?;
            }
        }
        let mut notes = self.cpu_notes()?;
        notes.push(self.machine.vmcoreinfo(build_id)?);
        Ok(notes)
    }

    fn write_masks(&mut self) -> Result<(), SynthError> {
        let all = 0..self.scenario.cpus;
        self.machine.set_int("nr_cpu_ids", self.scenario.cpus.cast_signed())?;
        self.machine.set_mask("__cpu_possible_mask", all.clone())?;
        let started = |cpu: &u32| !self.scenario.offline.contains(cpu);
        self.machine.set_mask("__cpu_present_mask", all.clone().filter(started))?;
        let online = |cpu: &u32| started(cpu) && self.scenario.panicked.is_none_or(|panicked| panicked == *cpu);
        self.machine.set_mask("__cpu_online_mask", all.filter(online))
    }

    fn write_log(&mut self) -> Result<(), SynthError> {
        let banner = self.machine.image.banner.trim_end().to_owned();
        let mut lines = vec![Line { text: &banner, at_ns: 0, caller: 0 }];
        let caller = 1 << 31 | self.scenario.panicked.unwrap_or_default();
        lines.extend(self.scenario.log.iter().map(|text| Line { text, at_ns: self.clock_ns, caller }));
        let data = self.machine.write_log(&lines)?;
        if self.scenario.missing.log {
            let physical = self.machine.space.translate(data)?;
            self.machine.space.physical.remove(physical.pfn());
        }
        Ok(())
    }

    /// The registers of every CPU that ran, in the order of their numbers.
    fn cpu_notes(&mut self) -> Result<Vec<RawNote>, SynthError> {
        let mut notes = Vec::new();
        for cpu in &self.cpus {
            let missing = self.scenario.missing.notes.contains(&cpu.number);
            if missing || self.scenario.offline.contains(&cpu.number) {
                continue;
            }
            if let Some((pid, registers)) = self.registers.get(&cpu.number) {
                let note = prstatus_note(*pid, registers, cpu.offset);
                self.machine.keep_crash_note(cpu, &note)?;
                notes.push(note);
            }
        }
        Ok(notes)
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    // Negative and absurd times saturate.
    (seconds * 1e9) as u64
}
