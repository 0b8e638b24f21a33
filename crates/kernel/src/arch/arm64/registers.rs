//! Which registers belong to which CPU.
//!
//! A crash kernel's dump repeats the per-CPU `crash_notes` of the CPUs that answered. QEMU writes one note for each
//! virtual CPU and nothing that names Linux's CPU: what tells is the stack that the stack pointer lies on, for every CPU
//! has its own, and its current task another. Of the CPUs that ran user code, whose stack pointer is the process's, only
//! the order is left; it counts where there is a note for every CPU.

use std::collections::BTreeMap;

use vmcore_dump::Prstatus;
use vmcore_memory::{Registers, VirtAddr};
use vmcore_unwind::StackRange;

use crate::cpu_registers::{CpuRegisters, RegisterSource};

/// Attributes the notes that are in no CPU's `crash_notes`; `found` has those that are. `stacks` are those that a CPU may
/// run kernel code on.
pub(crate) fn attribute(
    notes: &[Prstatus],
    cpus: &[u32],
    stacks: impl Fn(u32) -> Vec<StackRange>,
    found: &mut BTreeMap<u32, CpuRegisters>,
) {
    let taken: Vec<Registers> = found.values().map(|cpu| cpu.registers).collect();
    let left = |note: &&Prstatus| note.registers.are_saved() && !taken.contains(&note.registers);
    let free: Vec<u32> = cpus.iter().copied().filter(|cpu| !found.contains_key(cpu)).collect();
    let of_cpu: Vec<(u32, Vec<StackRange>)> = free.iter().map(|&cpu| (cpu, stacks(cpu))).collect();
    let is_inside = |stack: &StackRange, sp: VirtAddr| stack.low <= sp && sp < stack.high;
    // The top of an empty stack, as one is for a moment that has just been changed to, may be where another one begins.
    let is_at_top = |stack: &StackRange, sp: VirtAddr| sp == stack.high;
    for note in notes.iter().filter(left).filter(|note| !note.registers.user_mode()) {
        let only = |is_on: &dyn Fn(&StackRange, VirtAddr) -> bool| {
            let is_on_one = |stacks: &[StackRange]| stacks.iter().any(|stack| is_on(stack, note.registers.sp()));
            let mut on = of_cpu.iter().filter(|(_, stacks)| is_on_one(stacks));
            (on.next(), on.next())
        };
        let found_on = match only(&is_inside) {
            (None, _) => only(&is_at_top),
            inside => inside,
        };
        if let (Some((cpu, _)), None) = found_on {
            found.entry(*cpu).or_insert(CpuRegisters { registers: note.registers, source: RegisterSource::Stack });
        }
    }
    if notes.len() != cpus.len() {
        return;
    }
    for (note, &cpu) in notes.iter().zip(cpus).filter(|(note, _)| left(note) && note.registers.user_mode()) {
        found.entry(cpu).or_insert(CpuRegisters { registers: note.registers, source: RegisterSource::NoteOrder });
    }
}

#[cfg(test)]
mod tests {
    use vmcore_memory::FileOffset;
    use vmcore_memory::arch::arm64;
    use vmcore_unwind::Segment;

    use super::*;

    const STACKS: u64 = 0xffff_8000_0800_0000;

    fn note(sp: u64, pstate: u64) -> Prstatus {
        let registers =
            arm64::Registers { sp: VirtAddr::new(sp), pc: VirtAddr::new(sp.min(1)), pstate, ..Default::default() };
        let registers = registers.into();
        Prstatus { pid: 1, registers, fs_base: 0, gs_base: 0, file_offset: FileOffset::new(0), note: Vec::new() }
    }

    fn attributed(notes: &[Prstatus], cpus: &[u32]) -> Vec<(u32, u64, RegisterSource)> {
        let mut found = BTreeMap::new();
        let stacks = |cpu: u32| {
            let low = VirtAddr::new(STACKS + u64::from(cpu) * 0x1_0000);
            vec![StackRange { segment: Segment::Task, low, high: low.wrapping_add(0x4000) }]
        };
        attribute(notes, cpus, stacks, &mut found);
        found.into_iter().map(|(cpu, found)| (cpu, found.registers.sp().get(), found.source)).collect()
    }

    #[test]
    fn kernel_code_is_told_by_its_stack_and_user_code_by_the_order_of_notes() {
        const KERNEL: u64 = 0x6040_0005;
        let (on_one, on_zero) = (STACKS + 0x1_1000, STACKS + 0x1000);
        let notes = [note(on_one, KERNEL), note(on_zero, KERNEL)];
        let expected = [(0, on_zero, RegisterSource::Stack), (1, on_one, RegisterSource::Stack)];
        assert_eq!(attributed(&notes, &[0, 1]), expected);
        let user = [note(0xffff_a060_0000, 0), note(on_one, KERNEL)];
        let expected = [(0, 0xffff_a060_0000, RegisterSource::NoteOrder), (1, on_one, RegisterSource::Stack)];
        assert_eq!(attributed(&user, &[0, 1]), expected);
        // A note is missing: the order tells nothing.
        assert_eq!(attributed(&user, &[0, 1, 2]), expected[1..]);
        // Just changed to an empty stack, as `call_on_irq_stack` does.
        let expected = [(0, STACKS + 0x4000, RegisterSource::Stack), (1, on_one, RegisterSource::Stack)];
        assert_eq!(attributed(&[note(STACKS + 0x4000, KERNEL), note(on_one, KERNEL)], &[0, 1]), expected);
        // On no stack that is known, or nothing saved.
        assert_eq!(attributed(&[note(STACKS + 0x8000, KERNEL), note(0, 0)], &[0, 1]), []);
    }
}
