//! The addresses that faulted, for every page fault on a stack.
//!
//! A kernel does not save it with the registers of an exception. The instruction that was interrupted and its saved
//! registers give the address instead; of its operands, it is the one that the page tables do not map. Where that
//! leaves none, or more than one, nothing is said.

use std::collections::BTreeMap;

use vmcore_kernel::{Interrupt, Snapshot, Stack};
use vmcore_memory::{Registers, VirtAddr};

use crate::Reader;
use crate::access::{MAX_INSTRUCTION, read_code};
use crate::arch::is_page_fault;
use crate::operand::memory_accesses;

/// The address that each page fault was about, by where the fault's `struct pt_regs` lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultingAddresses(BTreeMap<VirtAddr, VirtAddr>);

impl FaultingAddresses {
    /// Those of all page faults on stacks that were unwound from `snapshot`, as far as they can be told. Of faults of user
    /// code this reads the memory of processes.
    #[must_use]
    pub fn of(stacks: &[Stack], snapshot: &Snapshot, reader: &dyn Reader) -> Self {
        let of_stack = |stack: &Stack| {
            let mm = snapshot.tasks.get(stack.task).and_then(|task| task.mm);
            let told = |fault: Fault<'_>| Some((fault.at, fault.address(mm, reader)?));
            faults(stack).filter_map(told).collect::<Vec<_>>()
        };
        stacks.iter().flat_map(of_stack).collect()
    }

    /// Those of the kernel's own code.
    #[must_use]
    pub fn of_kernel_code(stacks: &[Stack], reader: &dyn Reader) -> Self {
        let kernel_code = stacks.iter().flat_map(faults).filter(|fault| !fault.registers.user_mode());
        kernel_code.filter_map(|fault| Some((fault.at, fault.address(None, reader)?))).collect()
    }

    /// The address that the page fault whose registers were saved at `pt_regs` was about.
    #[must_use]
    pub fn at(&self, pt_regs: VirtAddr) -> Option<VirtAddr> {
        self.0.get(&pt_regs).copied()
    }
}

/// Pairs of where a fault's registers were saved and what it was about.
impl FromIterator<(VirtAddr, VirtAddr)> for FaultingAddresses {
    fn from_iter<I: IntoIterator<Item = (VirtAddr, VirtAddr)>>(told: I) -> Self {
        Self(told.into_iter().collect())
    }
}

/// A page fault with all registers of the code that took it.
#[derive(Clone, Copy)]
struct Fault<'s> {
    at: VirtAddr,
    registers: &'s Registers,
}

fn faults(stack: &Stack) -> impl Iterator<Item = Fault<'_>> {
    let is_fault =
        |interrupt: &&Interrupt| interrupt.complete && stack.frames.get(..interrupt.frame).is_some_and(is_page_fault);
    stack
        .interrupts
        .iter()
        .filter(is_fault)
        .map(|interrupt| Fault { at: interrupt.address, registers: &interrupt.registers })
}

impl Fault<'_> {
    /// `mm` is that of the process whose code it may be.
    fn address(self, mm: Option<VirtAddr>, reader: &dyn Reader) -> Option<VirtAddr> {
        let Self { registers, .. } = self;
        if registers.user_mode() {
            let mm = mm?;
            let mut code = [0; MAX_INSTRUCTION];
            let is_mapped = |address| reader.is_mapped(Some(mm), address);
            // Code that is not mapped may have been taken back since: that it faulted, nothing says.
            let has_code = is_mapped(registers.pc()) && reader.read_user(mm, registers.pc(), &mut code).is_ok();
            return the_one_unmapped(has_code.then_some(code.as_slice())?, registers, is_mapped);
        }
        // User addresses count as not mapped: kernel code touches them only where it may fault.
        let is_mapped = |address: VirtAddr| address.is_kernel_half() && reader.is_mapped(None, address);
        touched(registers, &read_code(reader, registers.pc()), is_mapped)
    }
}

/// What kernel code touched. Where the instruction itself is not mapped, fetching it was what faulted.
fn touched(registers: &Registers, code: &[u8], is_mapped: impl Fn(VirtAddr) -> bool) -> Option<VirtAddr> {
    if !is_mapped(registers.pc()) {
        return Some(registers.pc());
    }
    the_one_unmapped(code, registers, is_mapped)
}

/// The operand that is not mapped; the only one that there is, where it is mapped: what was not allowed was to write it,
/// or the fault has been served.
fn the_one_unmapped(code: &[u8], registers: &Registers, is_mapped: impl Fn(VirtAddr) -> bool) -> Option<VirtAddr> {
    let mut touched: Vec<_> = memory_accesses(code, registers).iter().map(|access| access.address).collect();
    touched.sort_unstable();
    touched.dedup();
    let only = |addresses: &[VirtAddr]| match addresses {
        [address] => Some(*address),
        _ => None,
    };
    let unmapped: Vec<_> = touched.iter().copied().filter(|&address| !is_mapped(address)).collect();
    only(&unmapped).or_else(|| only(&touched).filter(|_| unmapped.is_empty()))
}

#[cfg(test)]
mod tests {
    use vmcore_memory::arch::x86_64::Registers as X86;

    use super::*;

    const MAPPED: u64 = 0xffff_a389_886e_fdf8;
    const USER: u64 = 0xc0_0010_0000;

    fn told(code: &[u8], registers: X86) -> Option<u64> {
        the_one_unmapped(code, &registers.into(), |address| address.get() == MAPPED).map(VirtAddr::get)
    }

    #[test]
    fn of_two_operands_it_is_the_one_that_is_not_mapped() {
        let registers = X86 { rsi: MAPPED, rdi: USER, rcx: 0x90, ..X86::default() };
        // rep movsb (%rsi),(%rdi), in both directions, and between two that are not mapped.
        assert_eq!(told(&[0xf3, 0xa4], registers), Some(USER));
        assert_eq!(told(&[0xf3, 0xa4], X86 { rsi: USER, rdi: MAPPED, ..registers }), Some(USER));
        assert_eq!(told(&[0xf3, 0xa4], X86 { rsi: 0x18, rdi: USER, ..registers }), None);
    }

    #[test]
    fn what_is_mapped_was_not_to_be_written() {
        // mov %rax,(%rbx)
        assert_eq!(told(&[0x48, 0x89, 0x03], X86 { rbx: MAPPED, ..X86::default() }), Some(MAPPED));
        let pushed = X86 { rsp: USER + 8, rbx: MAPPED, ..X86::default() };
        // push (%rbx): the stack is the one that is not there.
        assert_eq!(told(&[0xff, 0x33], pushed), Some(USER));
    }

    #[test]
    fn an_offset_from_a_null_pointer_counts() {
        // mov 0x28(%rax),%rbx
        assert_eq!(told(&[0x48, 0x8b, 0x58, 0x28], X86::default()), Some(0x28));
    }

    #[test]
    fn without_an_operand_nothing_is_said() {
        assert_eq!(told(&[0x90], X86::default()), None);
        assert_eq!(told(&[], X86::default()), None);
    }

    #[test]
    fn code_that_is_not_there_is_what_was_touched() {
        let registers = X86 { rip: 0, rax: MAPPED, ..X86::default() };
        assert_eq!(touched(&registers.into(), &[], |address| address.get() == MAPPED), Some(VirtAddr::new(0)));
        let registers = X86 { rip: MAPPED, rax: 0x10, ..registers };
        assert_eq!(touched(&registers.into(), &[], |address| address.get() == MAPPED), None);
    }
}
