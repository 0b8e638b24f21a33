//! Which registers belong to which CPU.
//!
//! * A crash kernel's dump has one `NT_PRSTATUS` for each CPU that answered the NMI, in CPU order with the others
//!   skipped, so counting notes gives wrong CPUs. The per-CPU `crash_notes` buffers in memory are the very notes that
//!   were copied: they say which CPU each belongs to.
//! * QEMU writes one note for each virtual CPU. Its number need not be Linux's, but GS holds the per-CPU offset (in
//!   `kernel_gs_base` while user code runs).
//! * Of a CPU that the dump has no note of, its `crash_notes` alone may be in memory: where a crash kernel hung and the
//!   machine was dumped from outside, or a tool lost the notes.
//! * Otherwise the process id in the note (the task that ran) is compared with each run queue's current task.

use std::collections::BTreeMap;

use vmcore_dump::{Dump, Prstatus, QemuCpuState};
use vmcore_memory::{Architecture, FileOffset, ReadVirtual, Registers, VirtAddr, le_u32};

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
    /// By the stack that the stack pointer lies on.
    Stack,
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

impl CpuRegisters {
    const fn new(registers: Registers, source: RegisterSource) -> Self {
        Self { registers, source }
    }
}

/// Note header and the name `CORE`, padded.
const NOTE_HEAD: usize = 12 + 8;
/// `NT_PRSTATUS`.
const NT_PRSTATUS: u32 = 1;

/// On x86-64: attributes every set of registers in the dump to a CPU. `crash_notes` is the address of the kernel variable;
/// `current_pid` gives the process id of the task that ran on a CPU.
pub(crate) fn attribute<M: ReadVirtual + ?Sized>(
    dump: &Dump,
    memory: &M,
    percpu: &PerCpu,
    crash_notes: Option<VirtAddr>,
    current_pid: impl Fn(u32) -> Option<i32>,
) -> BTreeMap<u32, CpuRegisters> {
    let saved = CrashNotes::read(dump.architecture(), memory, percpu, crash_notes);
    let notes = Notes { prstatus: dump.prstatus(), qemu: dump.qemu_cpus() };
    notes.attribute(&saved, percpu, current_pid)
}

/// The notes of a dump that have registers.
#[derive(Clone, Copy)]
struct Notes<'a> {
    prstatus: &'a [Prstatus],
    qemu: &'a [QemuCpuState],
}

impl Notes<'_> {
    fn attribute(
        self,
        saved: &CrashNotes,
        percpu: &PerCpu,
        current_pid: impl Fn(u32) -> Option<i32>,
    ) -> BTreeMap<u32, CpuRegisters> {
        let mut found = BTreeMap::new();
        by_gs(self.qemu, percpu, &mut found);
        if found.is_empty() {
            saved.repeated(self.prstatus, &mut found);
        }
        let taken: Vec<Registers> = found.values().map(|cpu| cpu.registers).collect();
        let is_left = |note: &&Prstatus| note.registers.are_saved() && !taken.contains(&note.registers);
        let left: Vec<&Prstatus> = self.prstatus.iter().filter(is_left).collect();
        // What QEMU writes as a process id is the virtual CPU's index plus one.
        if self.qemu.is_empty() {
            by_pid(&left, percpu, &current_pid, &mut found);
        }
        saved.alone(&current_pid, &mut found);
        if found.is_empty() {
            let registers = left.iter().map(|note| CpuRegisters::new(note.registers, RegisterSource::NoteOrder));
            found.extend(percpu.cpus().zip(registers));
        }
        found
    }
}

fn by_gs(states: &[QemuCpuState], percpu: &PerCpu, found: &mut BTreeMap<u32, CpuRegisters>) {
    for state in states.iter().filter(|state| state.registers.are_saved()) {
        let by = |base: VirtAddr| percpu.cpu_of_offset(base.get());
        let cpu = by(state.gs_base).or_else(|| by(state.kernel_gs_base?));
        if let Some(cpu) = cpu {
            found.entry(cpu).or_insert(CpuRegisters::new(state.registers.into(), RegisterSource::GsBase));
        }
    }
}

/// The notes that CPUs wrote when the kernel crashed, as they are in its memory.
pub(crate) struct CrashNotes(Vec<(u32, Prstatus)>);

impl CrashNotes {
    pub(crate) fn read<M: ReadVirtual + ?Sized>(
        architecture: Architecture,
        memory: &M,
        percpu: &PerCpu,
        crash_notes: Option<VirtAddr>,
    ) -> Self {
        let size = NOTE_HEAD + Prstatus::len_on(architecture);
        let pointer = crash_notes.and_then(|variable| memory.read_pointer(variable).ok());
        let note = |cpu: u32| {
            let address = percpu.dereference(pointer?, cpu)?;
            let note = memory.read_bytes(address, size as u64).ok()?;
            let is_prstatus = le_u32(&note, 8) == Some(NT_PRSTATUS) && note.get(12..16) == Some(b"CORE");
            let saved =
                Prstatus::parse(architecture, note.get(NOTE_HEAD..)?, FileOffset::new(0)).filter(|_| is_prstatus)?;
            saved.registers.are_saved().then_some((cpu, saved))
        };
        Self(percpu.cpus().filter_map(note).collect())
    }

    /// Those that the dump's own notes repeat: where they differ, memory is older than the notes.
    pub(crate) fn repeated(&self, notes: &[Prstatus], found: &mut BTreeMap<u32, CpuRegisters>) {
        for (cpu, saved) in &self.0 {
            if notes.iter().any(|prstatus| prstatus.note == saved.note) {
                found.insert(*cpu, CpuRegisters::new(saved.registers, RegisterSource::CrashNotes));
            }
        }
    }

    /// Those of CPUs that the dump has nothing of, where they are of the task that its run queue says ran there.
    pub(crate) fn alone(&self, current_pid: &impl Fn(u32) -> Option<i32>, found: &mut BTreeMap<u32, CpuRegisters>) {
        for (cpu, saved) in self.0.iter().filter(|(cpu, saved)| current_pid(*cpu) == Some(saved.pid)) {
            found.entry(*cpu).or_insert(CpuRegisters::new(saved.registers, RegisterSource::CrashNotes));
        }
    }
}

/// Idle tasks all have pid 0, so a pid attributes only where one CPU alone could have been meant.
fn by_pid(
    notes: &[&Prstatus],
    percpu: &PerCpu,
    current_pid: &impl Fn(u32) -> Option<i32>,
    found: &mut BTreeMap<u32, CpuRegisters>,
) {
    let free: Vec<(u32, i32)> =
        percpu.cpus().filter(|cpu| !found.contains_key(cpu)).filter_map(|cpu| Some((cpu, current_pid(cpu)?))).collect();
    for note in notes {
        let mut cpus = free.iter().filter(|(_, pid)| *pid == note.pid);
        let same_pid = notes.iter().filter(|other| other.pid == note.pid).count();
        if let (Some((cpu, _)), None, 1) = (cpus.next(), cpus.next(), same_pid) {
            found.insert(*cpu, CpuRegisters::new(note.registers, RegisterSource::Pid));
        }
    }
}

#[cfg(test)]
mod tests {
    use vmcore_dump::DescriptorTable;
    use vmcore_memory::{PhysAddr, arch::x86_64};

    use super::*;
    use crate::test_memory::TestMemory;

    /// The per-CPU areas of CPUs 0 to 3.
    const AREAS: [u64; 4] = [0xa_0000, 0xb_0000, 0xc_0000, 0xd_0000];
    /// The kernel variable, and what it points to in the area of a CPU.
    const CRASH_NOTES: u64 = 0x1000;
    const NOTES: u64 = 0x500;

    fn registers(rip: u64) -> x86_64::Registers {
        x86_64::Registers { rip, ..x86_64::Registers::default() }
    }

    fn prstatus(pid: i32, rip: u64) -> Prstatus {
        let mut note = vec![0; Prstatus::len_on(Architecture::X86_64)];
        note[32..36].copy_from_slice(&pid.to_le_bytes());
        note[112 + 16 * 8..][..8].copy_from_slice(&rip.to_le_bytes());
        Prstatus {
            pid,
            registers: registers(rip).into(),
            fs_base: 0,
            gs_base: 0,
            file_offset: FileOffset::new(0),
            note,
        }
    }

    fn qemu(rip: u64, gs_base: u64, kernel_gs_base: Option<u64>) -> QemuCpuState {
        QemuCpuState {
            registers: registers(rip),
            cr0: 0,
            cr2: VirtAddr::new(0),
            cr3: PhysAddr::new(0),
            cr4: 0,
            idt: DescriptorTable::default(),
            gdt: DescriptorTable::default(),
            fs_base: VirtAddr::new(0),
            gs_base: VirtAddr::new(gs_base),
            kernel_gs_base: kernel_gs_base.map(VirtAddr::new),
            file_offset: FileOffset::new(0),
        }
    }

    /// The kernel's own copy of a CPU's note.
    fn put_crash_note(memory: &mut TestMemory, cpu: usize, note: &Prstatus) {
        memory.put_u64(CRASH_NOTES, NOTES);
        let at = AREAS[cpu] + NOTES;
        memory.put(at, &[5, 0, 0, 0, 80, 1, 0, 0, 1, 0, 0, 0]);
        memory.put(at + 12, b"CORE\0\0\0\0");
        memory.put(at + NOTE_HEAD as u64, &note.note);
    }

    /// What was found: CPU, RIP and source.
    fn attribute(
        prstatus: &[Prstatus],
        qemu: &[QemuCpuState],
        memory: &TestMemory,
        current: [i32; 4],
    ) -> Vec<(u32, u64, RegisterSource)> {
        let percpu = PerCpu::for_tests(&AREAS);
        let pid = |cpu: u32| current.get(cpu as usize).copied();
        let saved = CrashNotes::read(Architecture::X86_64, memory, &percpu, Some(VirtAddr::new(CRASH_NOTES)));
        let found = Notes { prstatus, qemu }.attribute(&saved, &percpu, pid);
        found.into_iter().map(|(cpu, found)| (cpu, found.registers.pc().get(), found.source)).collect()
    }

    #[test]
    fn virtual_cpus_are_told_by_gs_in_kernel_and_user_mode() {
        let qemu = [qemu(0x10, AREAS[2], Some(0)), qemu(0x20, 0x7f00, Some(AREAS[0])), qemu(0x30, 0, None)];
        // The numbers that QEMU writes as process ids are those of current tasks of other CPUs here.
        let prstatus = [prstatus(1, 0x10), prstatus(2, 0x20), prstatus(3, 0x30)];
        let found = attribute(&prstatus, &qemu, &TestMemory::default(), [3, 2, 1, 9]);
        assert_eq!(found, [(0, 0x20, RegisterSource::GsBase), (2, 0x10, RegisterSource::GsBase)]);
    }

    #[test]
    fn a_cpu_that_did_not_answer_has_no_note() {
        let notes = [prstatus(0, 0x10), prstatus(0, 0x20), prstatus(7, 0x30)];
        let mut memory = TestMemory::default();
        for (cpu, note) in [0, 2, 3].into_iter().zip(&notes) {
            put_crash_note(&mut memory, cpu, note);
        }
        let found = attribute(&notes, &[], &memory, [0; 4]);
        let by_notes = |cpu, rip| (cpu, rip, RegisterSource::CrashNotes);
        assert_eq!(found, [by_notes(0, 0x10), by_notes(2, 0x20), by_notes(3, 0x30)]);
    }

    #[test]
    fn crash_notes_that_the_dump_contradicts_are_old() {
        let mut memory = TestMemory::default();
        put_crash_note(&mut memory, 1, &prstatus(6, 0x99));
        // And of a task that does not run any more.
        put_crash_note(&mut memory, 2, &prstatus(99, 0x98));
        let found = attribute(&[prstatus(6, 0x10)], &[], &memory, [5, 6, 7, 8]);
        assert_eq!(found, [(1, 0x10, RegisterSource::Pid)]);
    }

    #[test]
    fn crash_notes_alone_serve_where_the_dump_has_no_registers() {
        let mut memory = TestMemory::default();
        put_crash_note(&mut memory, 0, &prstatus(0, 0x10));
        put_crash_note(&mut memory, 2, &prstatus(7, 0x20));
        // A machine dumped from outside while its crash kernel ran on CPU 0.
        let qemu = [qemu(0x77, 0xcafe_0000, Some(0)), qemu(0x30, AREAS[1], Some(0))];
        let found = attribute(&[], &qemu, &memory, [0, 0, 7, 9]);
        let saved = |cpu, rip| (cpu, rip, RegisterSource::CrashNotes);
        assert_eq!(found, [saved(0, 0x10), (1, 0x30, RegisterSource::GsBase), saved(2, 0x20)]);
    }

    #[test]
    fn zeroes_are_no_registers() {
        let zeroes = Prstatus { registers: registers(0).into(), ..prstatus(0, 0) };
        let notes = [zeroes.clone(), zeroes.clone(), zeroes.clone(), zeroes];
        assert_eq!(attribute(&notes, &[], &TestMemory::default(), [0; 4]), []);
    }

    #[test]
    fn a_pid_counts_where_only_one_cpu_can_be_meant() {
        let notes = [prstatus(0, 0x10), prstatus(0, 0x20), prstatus(7, 0x30), prstatus(8, 0x40)];
        let found = attribute(&notes, &[], &TestMemory::default(), [0, 0, 8, 9]);
        assert_eq!(found, [(2, 0x40, RegisterSource::Pid)]);
    }

    #[test]
    fn the_order_of_notes_is_the_last_resort() {
        let notes = [prstatus(0, 0x10), prstatus(0, 0x20)];
        let found = attribute(&notes, &[], &TestMemory::default(), [0; 4]);
        assert_eq!(found, [(0, 0x10, RegisterSource::NoteOrder), (1, 0x20, RegisterSource::NoteOrder)]);
    }
}
