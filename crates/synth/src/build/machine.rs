//! The machine as a whole: pages, processes, what comes before the tasks and what after them.

use std::collections::HashMap;

use vmcore_dump::RawNote;
use vmcore_memory::{Architecture, PhysAddr, Registers, VirtAddr};

use super::nanoseconds;
use crate::SynthError;
use crate::generation::PreemptionForm;
use crate::machine::{Cpu, Line, Machine, Queue, TaskList, prstatus_note};
use crate::scenario::{LogLine, Route, Scenario};

/// A machine as it grows from its scenario.
pub(super) struct Builder<'s, 'g> {
    pub(super) scenario: &'s Scenario,
    pub(super) machine: Machine<'g>,
    pub(super) cpus: Vec<Cpu>,
    pub(super) queues: Vec<Queue>,
    /// The registers of CPUs, and the thread ids of who ran there.
    pub(super) registers: HashMap<u32, (i32, Registers)>,
    pages: HashMap<String, (PhysAddr, VirtAddr)>,
    /// The heads of pages by their names.
    pub(super) heads: HashMap<String, VirtAddr>,
    pub(super) processes: HashMap<String, VirtAddr>,
    pub(super) tasks: TaskList,
    /// The tasks that were written, by thread id.
    pub(super) written: HashMap<i32, VirtAddr>,
    /// Objects by their names.
    pub(super) objects: HashMap<String, VirtAddr>,
    pub(super) clock_ns: u64,
}

impl<'s, 'g> Builder<'s, 'g> {
    pub(super) fn new(scenario: &'s Scenario, mut machine: Machine<'g>) -> Result<Self, SynthError> {
        let cpus = machine.add_cpus(scenario.cpus)?;
        let queues = vec![Queue::default(); cpus.len()];
        let clock_ns = nanoseconds(scenario.uptime);
        let (registers, pages, heads, processes) = Default::default();
        let (tasks, written, objects) = Default::default();
        Ok(Self {
            scenario,
            machine,
            cpus,
            queues,
            registers,
            pages,
            heads,
            processes,
            tasks,
            written,
            objects,
            clock_ns,
        })
    }

    pub(super) fn add_pages(&mut self) -> Result<(), SynthError> {
        for page in &self.scenario.page {
            let (first, head) = self.machine.add_huge_page(page.locked, self.scenario.memory_gib.is_some())?;
            self.pages.insert(page.name.clone(), (first, head));
            self.heads.insert(page.name.clone(), head);
        }
        Ok(())
    }

    pub(super) fn add_processes(&mut self) -> Result<(), SynthError> {
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

    /// The rest of the machine, and the notes of its dump.
    pub(super) fn finish(&mut self, build_id: &[u8; 20]) -> Result<Vec<RawNote>, SynthError> {
        self.machine.add_modules(&self.scenario.module)?;
        self.machine.write_utsname()?;
        self.write_masks()?;
        for (cpu, queue) in self.cpus.iter().zip(&self.queues) {
            self.machine.write_queue(cpu, self.clock_ns, queue)?;
        }
        self.write_log()?;
        let panicked = self.scenario.panicked.map_or(-1, u32::cast_signed);
        self.machine.set_int("panic_cpu", panicked)?;
        if self.machine.image.variables.contains_key("crashing_cpu") {
            self.machine.set_int("crashing_cpu", panicked)?;
        }
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
        self.write_objects()?;
        self.write_grace_period()?;
        for (name, size, value) in self.scenario.limits.variables() {
            match size {
                8 => self.machine.set_variable(name, value.into())?,
                _ => self.machine.set_int(name, value.cast_signed())?,
            }
        }
        let mut notes = self.cpu_notes()?;
        notes.push(self.machine.vmcoreinfo(build_id, self.scenario.route)?);
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
        lines.extend(self.scenario.log.iter().map(|line| self.line(line)));
        let data = self.machine.write_log(&lines)?;
        if self.scenario.missing.log {
            let physical = self.machine.space.translate(data)?;
            self.machine.space.physical.remove(physical.pfn());
        }
        Ok(())
    }

    fn line<'l>(&self, line: &'l LogLine) -> Line<'l> {
        const BY_CPU: u32 = 1 << 31;
        let dying = BY_CPU | self.scenario.panicked.unwrap_or_default();
        let (at, caller) = match line {
            LogLine::Text(_) => (None, dying),
            LogLine::At(line) => (line.at, line.cpu.map(|cpu| BY_CPU | cpu).or(line.pid).unwrap_or(dying)),
        };
        Line { text: line.text(), at_ns: at.map_or(self.clock_ns, nanoseconds), caller }
    }

    /// The registers of every CPU that ran, as whoever took the dump writes them.
    fn cpu_notes(&mut self) -> Result<Vec<RawNote>, SynthError> {
        let scenario = self.scenario;
        let answered =
            |cpu: &&Cpu| !scenario.missing.notes.contains(&cpu.number) && !scenario.offline.contains(&cpu.number);
        let mut cpus: Vec<Cpu> = self.cpus.iter().filter(answered).copied().collect();
        let mut notes = Vec::new();
        let is_x86_64 = self.machine.generation.architecture() == Architecture::X86_64;
        // Where nothing but their order says whose user code they are of, virtual CPUs are in that of Linux.
        if scenario.route == Route::Qemu && is_x86_64 {
            cpus.reverse();
        }
        for (virtual_cpu, cpu) in (1..).zip(&cpus) {
            let Some((pid, registers)) = self.registers.get(&cpu.number).copied() else { continue };
            match scenario.route {
                Route::Kdump => {
                    let note = prstatus_note(pid, &registers, cpu.offset);
                    self.machine.keep_crash_note(cpu, &note)?;
                    notes.push(note);
                }
                Route::Qemu => {
                    self.machine.add_qemu_notes(virtual_cpu, cpu, &registers, &mut notes);
                }
            }
        }
        Ok(notes)
    }
}
