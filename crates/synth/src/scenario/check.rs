//! What a scenario must keep to so that a machine can be made of it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::{Mapping, Module, Policy, Scenario, State, Task, Under};
use crate::SynthError;
use crate::build::MAX_CPUS;

/// More tasks than a machine is made for.
const MAX_SLEEPERS: u32 = 1_000_000;
/// Ten years in seconds.
const MAX_UPTIME: f64 = 3.2e8;
const HUGE_PAGE: u64 = 2 << 20;
/// From what the image needs to what four levels of page tables can map.
const MEMORY_GIB: RangeInclusive<u64> = 8..=65_536;
const VA_BITS: RangeInclusive<u32> = 36..=52;
/// As many as there is room for.
const MAX_MODULES: usize = 256;
/// `MODULE_NAME_LEN`, with the zero at the end.
const MODULE_NAME_LEN: usize = 56;
const MAX_MODULE_FUNCTIONS: usize = 1000;
/// The end of user space with 52 bits of address; what a kernel has of it is known once that is.
const USER_END: u64 = 1 << 52;

impl Scenario {
    /// Whether a machine can be made of it.
    ///
    /// # Errors
    ///
    /// [`SynthError::Scenario`] that says what is wrong.
    pub fn check(&self) -> Result<(), SynthError> {
        let ensure = |fine: bool, why: String| if fine { Ok(()) } else { Err(SynthError::Scenario(why)) };
        ensure((1..=MAX_CPUS).contains(&self.cpus), format!("there are {} CPUs; hint: 1 to {MAX_CPUS}", self.cpus))?;
        ensure(
            self.sleepers <= MAX_SLEEPERS,
            format!("there are {} sleepers; hint: up to {MAX_SLEEPERS}", self.sleepers),
        )?;
        ensure((0.0..=MAX_UPTIME).contains(&self.uptime), format!("an uptime of {} s cannot be", self.uptime))?;
        if let Some(va_bits) = self.va_bits {
            ensure(VA_BITS.contains(&va_bits), format!("addresses of {va_bits} bits cannot be"))?;
        }
        let levels = self.page_levels.unwrap_or(4);
        ensure(matches!(levels, 4 | 5), format!("there are {levels} levels of page tables; hint: 4 or 5"))?;
        if let Some(memory) = self.memory_gib {
            let [first, last] = [MEMORY_GIB.start(), MEMORY_GIB.end()];
            ensure(MEMORY_GIB.contains(&memory), format!("there are {memory} GiB of memory; hint: {first} to {last}"))?;
        }
        ensure(self.module.len() <= MAX_MODULES, format!("there are more than {MAX_MODULES} modules"))?;
        self.module.iter().try_for_each(check_module)?;
        for cpu in self.offline.iter().chain(&self.panicked) {
            ensure(*cpu < self.cpus, format!("there is no CPU {cpu}"))?;
        }
        let pages: BTreeSet<_> = self.page.iter().map(|page| &page.name).collect();
        ensure(pages.len() == self.page.len(), "two pages have one name".to_owned())?;
        let processes: BTreeSet<_> = self.process.iter().map(|process| &process.name).collect();
        ensure(processes.len() == self.process.len(), "two processes have one name".to_owned())?;
        let pids: BTreeSet<_> = self.task.iter().map(|task| task.pid).collect();
        ensure(pids.len() == self.task.len(), "two tasks have one pid".to_owned())?;
        for pid in &self.missing.stacks {
            ensure(pids.contains(pid), format!("the stack of pid {pid} cannot be missing: there is no such task"))?;
        }
        self.process.iter().flat_map(|process| &process.map).try_for_each(check_mapping)?;
        self.task.iter().try_for_each(|task| self.check_task(task))
    }

    fn check_task(&self, task: &Task) -> Result<(), SynthError> {
        let refuse = |why: String| Err(SynthError::Scenario(format!("pid {}: {why}", task.pid)));
        if task.pid <= 0 {
            return refuse("0 and below are not for tasks of a scenario".to_owned());
        }
        if task.cpu >= self.cpus {
            return refuse(format!("there is no CPU {}", task.cpu));
        }
        if self.offline.contains(&task.cpu) {
            return refuse(format!("CPU {} was never started", task.cpu));
        }
        if !(0.0..=self.uptime).contains(&task.seconds) {
            return refuse(format!("{} s is longer than the machine was up", task.seconds));
        }
        if task.under != Under::Nothing && task.state != State::Running {
            return refuse("only a task that runs is interrupted".to_owned());
        }
        match task.policy {
            Policy::Fifo(0 | 100..) => refuse("a real-time priority is 1 to 99".to_owned()),
            _ => Ok(()),
        }
    }
}

fn check_module(module: &Module) -> Result<(), SynthError> {
    let name = &module.name;
    if name.is_empty() || name.len() >= MODULE_NAME_LEN || name.contains('\0') {
        return Err(SynthError::Scenario(format!("the module name {name:?} is not one of 1 to 55 bytes")));
    }
    if module.functions.len() > MAX_MODULE_FUNCTIONS || module.functions.iter().any(|name| name.contains('\0')) {
        return Err(SynthError::Scenario(format!("the functions of the module {name:?} cannot be")));
    }
    Ok(())
}

fn check_mapping(mapping: &Mapping) -> Result<(), SynthError> {
    if mapping.at.is_multiple_of(HUGE_PAGE) && mapping.at < USER_END {
        return Ok(());
    }
    Err(SynthError::Scenario(format!("{:#x} is not a user address that is a multiple of 2 MiB", mapping.at)))
}
