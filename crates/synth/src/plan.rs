//! From what a task is doing to the functions on its stack: the only place that knows both.

use vmcore_memory::{Architecture, Registers};

use crate::SynthError;
use crate::arch::registers;
use crate::generation::Generation;
use crate::scenario::{Doing, SplitPoint, State, Task, Under};
use crate::stack::{Bounds, Layer};

/// What a task's stack and registers show.
pub(crate) struct Plan {
    pub(crate) layers: Vec<Layer>,
    /// Set where the CPU ran user code or was at an instruction with these general registers.
    pub(crate) general: Option<Registers>,
    /// Whether there is no kernel code at all.
    pub(crate) user_mode: bool,
}

/// Functions that call one another, outermost first, in pieces.
struct Planner<'g> {
    generation: &'g Generation,
    layers: Vec<Layer>,
    calls: Vec<String>,
}

/// Plans the stack of a task.
pub(crate) fn plan(generation: &Generation, task: &Task, nmi_stack: Option<Bounds>) -> Result<Plan, SynthError> {
    let mut planner = Planner { generation, layers: Vec::new(), calls: Vec::new() };
    let general = planner.activity(task)?;
    if task.state != State::Running {
        planner.off_cpu(task)?;
    }
    let interrupted = if task.state == State::Running { task.under } else { Under::Nothing };
    let user_mode = task.doing == Doing::User && interrupted == Under::Nothing && task.state == State::Running;
    planner.interrupt(interrupted, general, nmi_stack)?;
    planner.flush();
    Ok(Plan { layers: planner.layers, general: general.filter(|_| interrupted == Under::Nothing), user_mode })
}

impl Planner<'_> {
    /// What it is in the middle of; the general registers of the innermost function where they matter.
    fn activity(&mut self, task: &Task) -> Result<Option<Registers>, SynthError> {
        match &task.doing {
            Doing::User if task.state == State::Running => return Ok(Some(registers::user(self.machine()))),
            Doing::User => self.system_call(task, &[])?,
            Doing::Sleep => {
                let chain = if task.process.is_some() { "sleep" } else { "kthread-sleep" };
                self.system_call(task, &[chain])?;
            }
            Doing::Loop => self.system_call(task, &["loop"])?,
            Doing::Spin { calls, slow_path, .. } => {
                self.system_call(task, &[])?;
                let (last, chain) = self.generation.chain("spin")?.split_last().unzip();
                let calls = if calls.is_empty() { chain.unwrap_or_default() } else { calls };
                self.calls.extend(calls.iter().cloned());
                self.calls.extend(slow_path.as_ref().or(last).cloned());
                return Ok(Some(registers::none(self.machine())));
            }
            Doing::Stack { calls, page } => {
                self.system_call(task, &[])?;
                for function in calls {
                    self.calls.push(function.clone());
                    if let Some(page) = page {
                        self.flush();
                        self.layers.push(Layer::Local(page.clone()));
                    }
                }
            }
            Doing::Fault { address, calls } => self.fault(task, *address, calls, "fault")?,
            Doing::WaitOnPage { address } => self.fault(task, *address, &[], "wait-on-page")?,
            Doing::BetweenFaults { address, calls } => {
                self.copy_to_user(task, calls)?;
                return Ok(Some(registers::copy(self.machine(), *address)));
            }
            Doing::Exception { calls, handler } => {
                self.system_call(task, &[])?;
                self.calls.extend(calls.iter().cloned());
                self.flush();
                self.layers.push(Layer::Exception(Box::new(registers::none(self.machine())), None));
                self.calls.extend(handler.iter().cloned());
            }
            Doing::UserFault { address } => {
                let user = registers::with_argument(registers::user(self.machine()), *address);
                self.layers.push(Layer::User(Box::new(user)));
                self.first_chain(&["user-fault", "fault"])?;
            }
            Doing::Split { page, at, reclaim } => self.split(task, page, *at, *reclaim)?,
        }
        Ok(None)
    }

    /// The way into the kernel and on through these chains.
    fn system_call(&mut self, task: &Task, chains: &[&str]) -> Result<(), SynthError> {
        if task.process.is_some() {
            self.layers.push(Layer::User(Box::new(registers::user(self.machine()))));
            self.chain("syscall")?;
        } else {
            self.chain("kthread")?;
        }
        chains.iter().try_for_each(|chain| self.chain(chain))
    }

    /// A copy to user space in the middle of these calls, or of `fstat`.
    fn copy_to_user(&mut self, task: &Task, calls: &[String]) -> Result<(), SynthError> {
        if calls.is_empty() {
            return self.system_call(task, &["fstat"]);
        }
        self.system_call(task, &[])?;
        self.calls.extend(calls.iter().cloned());
        let copy = self.generation.chain("fstat")?.last().cloned();
        self.calls.extend(copy);
        Ok(())
    }

    fn fault(&mut self, task: &Task, address: u64, calls: &[String], chain: &str) -> Result<(), SynthError> {
        self.copy_to_user(task, calls)?;
        self.flush();
        self.layers.push(Layer::Exception(Box::new(registers::copy(self.machine(), address)), None));
        self.chain(chain)
    }

    fn split(&mut self, task: &Task, page: &str, at: SplitPoint, reclaim: bool) -> Result<(), SynthError> {
        self.system_call(task, &[if reclaim { "deferred" } else { "madvise" }])?;
        let chain = match at {
            SplitPoint::Start => "split-start",
            SplitPoint::Unmap => "split-unmap",
            SplitPoint::Remap => "split-remap",
            SplitPoint::Tail => "split-tail",
            SplitPoint::Pmd => "split-pmd",
        };
        let functions = self.generation.chain(chain)?;
        let (first, rest) = functions.split_at(1);
        self.calls.extend(first.iter().cloned());
        self.flush();
        self.layers.push(Layer::Local(page.to_owned()));
        self.calls.extend(rest.iter().cloned());
        Ok(())
    }

    /// The way into the scheduler.
    fn off_cpu(&mut self, task: &Task) -> Result<(), SynthError> {
        match (task.state, &task.doing) {
            (State::Queued, Doing::Split { .. }) => self.chain("preempted"),
            (State::Blocked, Doing::Split { .. }) => ["blocked", "schedule"].iter().try_for_each(|one| self.chain(one)),
            _ => self.chain("schedule"),
        }
    }

    fn interrupt(&mut self, by: Under, general: Option<Registers>, nmi: Option<Bounds>) -> Result<(), SynthError> {
        let mut general = general;
        for (chain, above, stack) in match by {
            Under::Nothing => vec![],
            Under::Tick => vec![("tick", "tick", None)],
            Under::TickAndNmi => vec![("tick", "tick", None), ("nmi", "nmi-above-tick", nmi)],
            Under::Nmi => vec![("nmi", "nmi", nmi)],
        } {
            self.flush();
            let registers = Box::new(general.take().unwrap_or_else(|| registers::none(self.machine())));
            let of_user = format!("{chain}-of-user");
            let chain = match (self.layers.is_empty(), stack) {
                // User code was interrupted: the first thing on the kernel's stack.
                (true, None) => {
                    self.layers.push(Layer::User(registers));
                    [of_user.as_str(), chain]
                }
                (_, stack) => {
                    self.layers.push(Layer::Exception(registers, stack));
                    [above, chain]
                }
            };
            self.first_chain(&chain)?;
        }
        Ok(())
    }

    fn machine(&self) -> Architecture {
        self.generation.architecture()
    }

    /// The first of several chains that this kernel has: where the machine has one way for all, it has only the last.
    fn first_chain(&mut self, names: &[&str]) -> Result<(), SynthError> {
        let known = names.iter().find(|name| self.generation.has_chain(name)).or(names.last());
        known.map_or(Ok(()), |name| self.chain(name))
    }

    fn chain(&mut self, name: &str) -> Result<(), SynthError> {
        self.calls.extend(self.generation.chain(name)?.iter().cloned());
        Ok(())
    }

    fn flush(&mut self) {
        if !self.calls.is_empty() {
            self.layers.push(Layer::Calls(std::mem::take(&mut self.calls)));
        }
    }
}

/// The functions that call one another in these layers: what the code must be able to do.
pub(crate) fn chains(layers: &[Layer]) -> Vec<Vec<String>> {
    let mut chains: Vec<Vec<String>> = vec![Vec::new()];
    for layer in layers {
        match (layer, chains.last_mut()) {
            (Layer::Calls(functions), Some(chain)) => chain.extend(functions.iter().cloned()),
            (Layer::User(_) | Layer::Exception(..), _) => chains.push(Vec::new()),
            _ => {}
        }
    }
    chains
}
