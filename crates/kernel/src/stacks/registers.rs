//! Which registers belong to which CPU.
//!
//! * A crash kernel's dump has one `NT_PRSTATUS` for each CPU that answered the NMI, in CPU order with the others
//!   skipped, so counting notes gives wrong CPUs. The per-CPU `crash_notes` buffers in memory are the very notes that
//!   were copied: they say which CPU each belongs to.
//! * QEMU writes one note for each virtual CPU. Its number need not be Linux's, but GS holds the per-CPU offset (in
//!   `kernel_gs_base` while user code runs).
//! * Otherwise the process id in the note (the task that ran) is compared with each run queue's current task.

use std::collections::BTreeMap;

use vmcore_dump::{Dump, Prstatus};
use vmcore_memory::{ReadVirtual, Registers, VirtAddr, le_u32};

use crate::PerCpu;

/// How a CPU's registers were attributed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterSource {
    /// By the per-CPU `crash_notes`.
    CrashNotes,
    /// By the per-CPU offset in GS.
    GsBase,
    /// By the process id in the note.
    Pid,
    /// By the position of the note: there was nothing better.
    NoteOrder,
}

/// One CPU's registers when the machine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuRegisters {
    /// The registers.
    pub registers: Registers,
    /// How they were attributed.
    pub source: RegisterSource,
}

/// `sizeof(struct elf_prstatus)` on x86-64.
const PRSTATUS_SIZE: usize = 336;
/// Note header and the name `CORE`, padded.
const NOTE_HEAD: usize = 12 + 8;
/// `NT_PRSTATUS`.
const NT_PRSTATUS: u32 = 1;

/// Attributes every set of registers in the dump to a CPU. `crash_notes` is the address of the kernel variable;
/// `current_pid` gives the process id of the task that ran on a CPU.
pub(crate) fn attribute<M: ReadVirtual + ?Sized>(
    dump: &Dump,
    memory: &M,
    percpu: &PerCpu,
    crash_notes: Option<VirtAddr>,
    current_pid: impl Fn(u32) -> Option<i32>,
) -> BTreeMap<u32, CpuRegisters> {
    let mut found = BTreeMap::new();
    by_gs(dump, percpu, &mut found);
    if found.is_empty() {
        by_crash_notes(dump, memory, percpu, crash_notes, &mut found);
    }
    let taken: Vec<Registers> = found.values().map(|cpu| cpu.registers).collect();
    let left: Vec<&Prstatus> = dump.prstatus().iter().filter(|note| !taken.contains(&note.registers)).collect();
    by_pid(&left, percpu, current_pid, &mut found);
    if found.is_empty() {
        let pairs = percpu.cpus().zip(&left);
        found.extend(
            pairs.map(|(cpu, note)| {
                (cpu, CpuRegisters { registers: note.registers, source: RegisterSource::NoteOrder })
            }),
        );
    }
    found
}

fn by_gs(dump: &Dump, percpu: &PerCpu, found: &mut BTreeMap<u32, CpuRegisters>) {
    for state in dump.qemu_cpus() {
        let by = |base: VirtAddr| percpu.cpu_of_offset(base.get());
        let cpu = by(state.gs_base).or_else(|| by(state.kernel_gs_base?));
        if let Some(cpu) = cpu {
            let registers = CpuRegisters { registers: state.registers, source: RegisterSource::GsBase };
            found.entry(cpu).or_insert(registers);
        }
    }
}

/// Reads the per-CPU notes, and believes those that the dump's own notes repeat: memory may be older than the notes.
fn by_crash_notes<M: ReadVirtual + ?Sized>(
    dump: &Dump,
    memory: &M,
    percpu: &PerCpu,
    crash_notes: Option<VirtAddr>,
    found: &mut BTreeMap<u32, CpuRegisters>,
) {
    let Some(pointer) = crash_notes.and_then(|variable| memory.read_pointer(variable).ok()) else { return };
    for cpu in percpu.cpus() {
        let Some(address) = percpu.dereference(pointer, cpu) else { continue };
        let Ok(note) = memory.read_bytes(address, (NOTE_HEAD + PRSTATUS_SIZE) as u64) else { continue };
        if le_u32(&note, 8) != Some(NT_PRSTATUS) {
            continue;
        }
        let Some(desc) = note.get(NOTE_HEAD..) else { continue };
        if let Some(same) = dump.prstatus().iter().find(|prstatus| prstatus.note == desc) {
            let registers = CpuRegisters { registers: same.registers, source: RegisterSource::CrashNotes };
            found.insert(cpu, registers);
        }
    }
}

/// Idle tasks all have pid 0, so a pid attributes only where one CPU alone could have been meant.
fn by_pid(
    notes: &[&Prstatus],
    percpu: &PerCpu,
    current_pid: impl Fn(u32) -> Option<i32>,
    found: &mut BTreeMap<u32, CpuRegisters>,
) {
    let free: Vec<(u32, i32)> =
        percpu.cpus().filter(|cpu| !found.contains_key(cpu)).filter_map(|cpu| Some((cpu, current_pid(cpu)?))).collect();
    for note in notes {
        let mut cpus = free.iter().filter(|(_, pid)| *pid == note.pid);
        let same_pid = notes.iter().filter(|other| other.pid == note.pid).count();
        if let (Some((cpu, _)), None, 1) = (cpus.next(), cpus.next(), same_pid) {
            found.insert(*cpu, CpuRegisters { registers: note.registers, source: RegisterSource::Pid });
        }
    }
}
