//! The tasks: their structures, their stacks, their places in run queues.

use vmcore_memory::{Architecture, Registers, VirtAddr};

use super::machine::Builder;
use super::{nanoseconds, sleeper};
use crate::SynthError;
use crate::arch::registers;
use crate::machine::{Cpu, NewTask};
use crate::plan::{self, Plan};
use crate::scenario::{Doing, Policy, State, Task};
use crate::stack::{self, Bounds, Ground, Layer, Placing, SwitchedOut};

impl Builder<'_, '_> {
    /// The idle task of each CPU. That of the first is `init_task`, the head of the list of all tasks.
    pub(super) fn add_idle_tasks(&mut self) -> Result<(), SynthError> {
        let generation = self.machine.generation;
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
            let mut placing = Placing::default();
            let ground = self.ground(stack, None, &mut placing);
            let saved = if runs {
                let registers = stack::write(generation, ground, &layers, None)?;
                self.registers.insert(cpu.number, (0, registers));
                SwitchedOut::default()
            } else {
                stack::write_switched_out(generation, ground, &layers)?
            };
            let task = NewTask {
                comm: format!("swapper/{}", cpu.number),
                stack: stack.low,
                saved,
                cpu: cpu.number,
                on_cpu: runs,
                queued: true,
                prio: 120,
                last_arrival: if runs { self.clock_ns } else { 0 },
                allowed: vec![cpu.number],
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

    pub(super) fn add_tasks(&mut self) -> Result<(), SynthError> {
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
        let mut planned = plan::plan(self.machine.generation, task, cpu.nmi_stack)?;
        if let (Doing::Spin { lock, owner, .. }, Some(general)) = (&task.doing, &mut planned.general) {
            let unknown = || SynthError::scenario(format!("there is no object '{lock}'"));
            *general = registers::with_argument(*general, self.objects.get(lock).ok_or_else(unknown)?.get());
            if let Some(pid) = owner {
                let unknown = || SynthError::scenario(format!("no task before pid {} is pid {pid}", task.pid));
                *general = registers::with_second_argument(*general, self.written.get(pid).ok_or_else(unknown)?.get());
            }
        }
        let mut placing = self.objects_of(task.pid);
        let generation = self.machine.generation;
        let stack = self.new_stack();
        let mut written = self.describe(task, stack)?;
        if task.state == State::Running {
            let registers = self.running_registers(&planned, stack, &cpu, &mut placing)?;
            if self.registers.insert(task.cpu, (task.pid, registers)).is_some() {
                return Err(SynthError::scenario(format!("two tasks run on CPU {}", task.cpu)));
            }
        } else {
            let ground = self.ground(stack, None, &mut placing);
            written.saved = stack::write_switched_out(generation, ground, &planned.layers)?;
        }
        self.keep_objects(placing)?;
        let size = self.machine.generation.size_of("task_struct")?;
        let at = self.machine.space.allocate_object(size);
        self.machine.write_task(at, &written)?;
        self.written.insert(task.pid, at);
        self.tasks.add(&mut self.machine, at, (written.pid, written.tgid), None)?;
        self.enqueue(task, at);
        if self.scenario.missing.stacks.contains(&task.pid) {
            self.forget(stack)?;
        }
        Ok(())
    }

    fn running_registers(
        &mut self,
        planned: &Plan,
        stack: Bounds,
        cpu: &Cpu,
        placing: &mut Placing,
    ) -> Result<Registers, SynthError> {
        if let (true, Some(user)) = (planned.user_mode, planned.general) {
            return Ok(user);
        }
        let generation = self.machine.generation;
        let ground = self.ground(stack, Some(cpu.irq_stack), placing);
        stack::write(generation, ground, &planned.layers, planned.general.as_ref())
    }

    /// What the task's own structure says.
    fn describe(&self, task: &Task, stack: Bounds) -> Result<NewTask, SynthError> {
        let unknown = |name: &String| SynthError::scenario(format!("there is no process '{name}'"));
        let mm = match &task.process {
            Some(name) => Some(*self.processes.get(name).ok_or_else(|| unknown(name))?),
            None => None,
        };
        let since = self.clock_ns.saturating_sub(nanoseconds(task.seconds));
        let (policy, prio) = rank(task.policy);
        Ok(NewTask {
            pid: task.pid,
            tgid: task.tgid.unwrap_or(task.pid),
            comm: task.comm.clone(),
            stack: stack.low,
            saved: SwitchedOut::default(),
            state: match task.state {
                State::Running | State::Queued => 0,
                State::Sleeping => 1,
                State::Blocked => 2,
                State::Killable => 0x102,
            },
            cpu: task.cpu,
            on_cpu: task.state == State::Running,
            queued: matches!(task.state, State::Running | State::Queued),
            policy,
            prio,
            mm,
            last_arrival: since,
            last_queued: if task.state == State::Queued { since } else { 0 },
            faults: task.faults.unwrap_or_else(|| faults(task)),
            times: times(task),
            ran: task.life.ran.map(nanoseconds),
            waited: task.life.waited.map(nanoseconds),
            started: task.life.age.map(|age| self.clock_ns.saturating_sub(nanoseconds(age))),
            allowed: task.allowed.clone().unwrap_or_else(|| (0..self.scenario.cpus).collect()),
        })
    }

    fn enqueue(&mut self, task: &Task, at: VirtAddr) {
        let Some(queue) = self.queues.get_mut(task.cpu as usize) else { return };
        match (task.state, task.policy) {
            (State::Running, policy) => (queue.current, queue.busy) = (at, Some(rank(policy).1)),
            (State::Queued, Policy::Fair) => queue.fair.push(at),
            (State::Queued, Policy::Fifo(priority)) => queue.real_time.push((at, 99 - u64::from(priority.min(99)))),
            (State::Queued, Policy::Deadline) => queue.deadline.push(at),
            _ => {}
        }
    }

    fn new_stack(&mut self) -> Bounds {
        let size = self.machine.thread_size();
        // `THREAD_ALIGN` of arm64: a bit of the stack pointer tells an overflow.
        let align = match self.machine.generation.architecture() {
            Architecture::X86_64 => size,
            Architecture::Arm64 => 2 * size,
        };
        let low = self.machine.space.allocate_mapped(size, align);
        Bounds { low, high: low.wrapping_add(size) }
    }

    fn ground<'b>(&'b mut self, stack: Bounds, irq_stack: Option<Bounds>, placing: &'b mut Placing) -> Ground<'b> {
        Ground::new(&mut self.machine.space, &self.machine.image, &self.heads, (stack, irq_stack), placing)
    }

    fn forget(&mut self, stack: Bounds) -> Result<(), SynthError> {
        for page in (stack.low.get()..stack.high.get()).step_by(4096) {
            let physical = self.machine.space.translate(VirtAddr::new(page))?;
            self.machine.space.physical.remove(physical.pfn());
        }
        Ok(())
    }
}

/// `SCHED_*`, and `task_struct.prio`.
fn rank(policy: Policy) -> (u64, i32) {
    match policy {
        Policy::Fair => (0, 120),
        Policy::Fifo(priority) => (1, 99 - i32::from(priority.min(99))),
        Policy::Deadline => (6, -1),
    }
}

/// How often a task has faulted that has been doing this for so long: real spinners do it 30 000 to 100 000 times a second.
fn faults(task: &Task) -> u64 {
    match task.doing {
        Doing::Fault { .. } | Doing::BetweenFaults { .. } => 100 + nanoseconds(task.seconds) / 20_000,
        _ => 100,
    }
}

/// `utime` and `stime` of a task that has had its CPU for so long.
fn times(task: &Task) -> (u64, u64) {
    const STARTED: u64 = 8_000_000;
    let spent = if task.state == State::Running { nanoseconds(task.seconds) } else { 0 };
    let (user, system) = match task.doing {
        Doing::User | Doing::UserFault { .. } => (STARTED + spent, STARTED),
        _ => (STARTED, STARTED + spent),
    };
    (task.life.user.map_or(user, nanoseconds), task.life.system.map_or(system, nanoseconds))
}
