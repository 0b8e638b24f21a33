//! Walks over hand-built stacks: text at 0x1000, a task stack, an interrupt stack.

use std::collections::BTreeMap;

use vmcore_memory::{ReadError, ReadVirtual};

use super::*;
use crate::{CfiRow, ReturnAddress, SavedReturn};

mod traced;
mod without_tables;

const TEXT: u64 = 0xffff_ffff_8100_0000;
const TASK: u64 = 0xffff_c900_0000_0000;
const IRQ: u64 = 0xffff_fe00_0000_0000;
const STACK_SIZE: u64 = 0x1000;

/// A machine whose text is 0x1000 bytes of `call` instructions: any address in it may be returned to.
#[derive(Default)]
struct Fake {
    words: BTreeMap<u64, u64>,
    entries: BTreeMap<u64, OrcEntry>,
    cfi: Option<CfiRow>,
    /// Where calls lead, by the address that they return to.
    calls: BTreeMap<u64, u64>,
    /// Where entry code begins in the text.
    entry_code: Option<u64>,
    /// Return addresses that a tracer replaced, by their places.
    traced: BTreeMap<u64, u64>,
    /// Those of which it did not keep the places, in their order.
    traced_in_order: Vec<u64>,
    /// How large the task's stack is, where it is smaller than others.
    task_size: Option<u64>,
}

impl Fake {
    /// One whose task's stack ends here.
    fn with_top(top: u64) -> Self {
        Self { task_size: Some(top - TASK), ..Self::default() }
    }

    fn orc(mut self, at: u64, sp_base: Base, sp_offset: i16, kind: Kind) -> Self {
        let signal = matches!(kind, Kind::Regs | Kind::PartialRegs);
        let entry = OrcEntry { sp_base, sp_offset, frame_pointer: FramePointer::Unchanged, kind, signal };
        self.entries.insert(TEXT + at, entry);
        self
    }

    fn word(mut self, address: u64, value: u64) -> Self {
        self.words.insert(address, value);
        self
    }

    fn call(mut self, returns_to: u64, target: u64) -> Self {
        self.calls.insert(TEXT + returns_to, TEXT + target);
        self
    }

    fn pt_regs(self, address: u64, rip: u64, cs: u64, rsp: u64, rbp: u64) -> Self {
        self.word(address + 4 * 8, rbp)
            .word(address + 16 * 8, rip)
            .word(address + 17 * 8, cs)
            .word(address + 19 * 8, rsp)
    }

    fn unwind(&self, rip: u64, rsp: u64) -> Unwound {
        let registers = Registers { rip, rsp, cs: 0x10, ..Registers::default() };
        Unwinder::new(self).unwind(Start { registers: registers.into(), exact: true, complete: true })
    }
}

impl ReadVirtual for Fake {
    fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let start = address.get();
        if (TEXT..TEXT + 0x1000).contains(&start) {
            buf.fill(0x90);
            let end = start + buf.len() as u64;
            if let [.., call, one, two, three, four] = buf {
                *call = 0xe8;
                if let Some(target) = self.calls.get(&end) {
                    [*one, *two, *three, *four] = (target.wrapping_sub(end) as u32).to_le_bytes();
                }
            }
            return Ok(());
        }
        let stacks = [TASK..TASK + STACK_SIZE, IRQ..IRQ + STACK_SIZE];
        if !stacks.iter().any(|stack| stack.contains(&start)) {
            return Err(ReadError::NonCanonical { address });
        }
        for (index, byte) in buf.iter_mut().enumerate() {
            let at = start + index as u64;
            let word = self.words.get(&(at & !7)).copied().unwrap_or_default();
            *byte = word.to_le_bytes()[(at & 7) as usize];
        }
        Ok(())
    }
}

impl Machine for Fake {
    fn orc(&self, pc: VirtAddr) -> Option<OrcEntry> {
        self.is_text(pc).then(|| self.entries.range(..=pc.get()).next_back().map(|(_, entry)| *entry))?
    }

    fn cfi(&self, _: VirtAddr) -> Option<CfiRow> {
        self.cfi
    }

    fn is_text(&self, pc: VirtAddr) -> bool {
        (TEXT..TEXT + 0x1000).contains(&pc.get())
    }

    fn is_entry(&self, pc: VirtAddr) -> bool {
        self.is_text(pc) && self.entry_code.is_some_and(|start| pc.get() >= TEXT + start)
    }

    /// Functions have 0x100 bytes.
    fn is_same_function(&self, one: VirtAddr, other: VirtAddr) -> bool {
        one.get() >> 8 == other.get() >> 8
    }

    fn return_address(&self, saved: SavedReturn) -> ReturnAddress {
        if saved.pc.get() != traced::TRACER {
            return ReturnAddress::OfCall;
        }
        let by_place = saved.places[0].and_then(|place| self.traced.get(&place.get()));
        let original = by_place.or_else(|| self.traced_in_order.get(saved.before?));
        original.map_or(ReturnAddress::Lost, |original| ReturnAddress::Replaced(VirtAddr::new(*original)))
    }

    fn stack(&self, sp: VirtAddr) -> Option<StackRange> {
        let task_size = self.task_size.unwrap_or(STACK_SIZE);
        [(TASK, task_size, Segment::Task), (IRQ, STACK_SIZE, Segment::Irq)].into_iter().find_map(
            |(low, size, segment)| {
                let range = StackRange { segment, low: VirtAddr::new(low), high: VirtAddr::new(low + size) };
                range.contains(sp).then_some(range)
            },
        )
    }
}

fn pcs(unwound: &Unwound) -> Vec<u64> {
    unwound.frames.iter().map(|frame| frame.pc.get() - TEXT).collect()
}

#[test]
fn calls_up_to_the_thread_entry() {
    let fake = Fake::with_top(TASK + 0x200)
        .orc(0x000, Base::Sp, 16, Kind::Call)
        .orc(0x100, Base::Sp, 8, Kind::Call)
        .orc(0x200, Base::Undefined, 0, Kind::EndOfStack)
        .word(TASK + 0x108, TEXT + 0x150)
        .word(TASK + 0x110, TEXT + 0x250);
    let unwound = fake.unwind(TEXT + 0x10, TASK + 0x100);
    assert_eq!(pcs(&unwound), [0x10, 0x150, 0x250]);
    assert_eq!(unwound.end, End::Outermost);
    assert_eq!(unwound.frames[0].trust, Trust::Context);
    assert_eq!(unwound.frames[2].trust, Trust::Orc);
    assert!(unwound.frames[0].exact && !unwound.frames[1].exact);
}

#[test]
fn a_return_address_just_past_a_function_is_looked_up_inside_it() {
    // The call is the last instruction of the function at 0x100; the next function ends the stack.
    let fake = Fake::default()
        .orc(0x000, Base::Sp, 8, Kind::Call)
        .orc(0x100, Base::Sp, 16, Kind::Call)
        .orc(0x200, Base::Undefined, 0, Kind::EndOfStack)
        .word(TASK + 0x100, TEXT + 0x200)
        .word(TASK + 0x110, TEXT + 0x280);
    assert_eq!(pcs(&fake.unwind(TEXT, TASK + 0x100)), [0, 0x200, 0x280]);
}

#[test]
fn without_orc_the_interrupt_stack_leads_back_to_the_one_below() {
    let cfi = Some(CfiRow { cfa_from_bp: false, cfa_offset: 16, return_address: Some(-8), saved_bp: None });
    let top = IRQ + STACK_SIZE - 8;
    let fake = Fake { cfi, ..Fake::default() }
        .word(top - 8, TEXT + 0x150)
        .word(top, TASK + 0x800)
        .word(TASK + 0x808, TEXT + 0x250);
    assert_eq!(pcs(&fake.unwind(TEXT + 0x10, top - 16))[..3], [0x10, 0x150, 0x250]);
    // A word that leads nowhere else, or back to the same stack, is not followed.
    for wild in [0, IRQ + 0x100, top] {
        let fake = Fake { cfi, ..Fake::default() }.word(top - 8, TEXT + 0x150).word(top, wild);
        assert_eq!(pcs(&fake.unwind(TEXT + 0x10, top - 16)), [0x10, 0x150]);
    }
}

#[test]
fn user_code_whose_general_registers_are_left_out_ends_the_walk() {
    // What lies below the stack cannot be read.
    let regs = TASK - 15 * 8;
    let saved = |cs| {
        let entry = Fake::default().orc(0x000, Base::Bp, 0, Kind::Regs).pt_regs(regs, 0x401000, cs, 0x7ffd_0000, 0);
        let fake = entry.word(regs + 15 * 8, 61);
        let registers = Registers { rip: TEXT + 0x10, rsp: TASK + 0x100, rbp: regs, cs: 0x10, ..Registers::default() };
        Unwinder::new(&fake).unwind(Start { registers: registers.into(), exact: true, complete: true })
    };
    let user = saved(0x33);
    assert_eq!(user.end, End::User);
    let [interrupt] = user.interrupts[..] else { panic!("{user:?}") };
    assert_eq!((interrupt.complete, interrupt.orig_rax, interrupt.registers.pc().get()), (false, Some(61), 0x40_1000));
    assert_eq!(interrupt.registers.x86_64().unwrap().rbp, 0);
    assert_eq!(saved(0x10).end, End::Truncated);
}

#[test]
fn an_interrupt_leads_from_its_stack_to_the_task_and_to_user_mode() {
    let regs = IRQ + 0x800;
    let fake = Fake::default()
        .orc(0x000, Base::Sp, 0, Kind::Regs)
        .orc(0x100, Base::Bp, 16, Kind::Call)
        .orc(0x200, Base::Sp, 0, Kind::Regs)
        .pt_regs(regs, TEXT + 0x110, 0x10, TASK + 0x700, TASK + 0x7e0)
        .word(TASK + 0x7e8, TEXT + 0x210)
        .word(TASK + 0x7f0 + 17 * 8, 0x33);
    let unwound = fake.unwind(TEXT, regs);
    assert_eq!(pcs(&unwound), [0, 0x110, 0x210]);
    assert_eq!(unwound.end, End::User);
    let segments: Vec<_> = unwound.frames.iter().map(|frame| frame.segment).collect();
    assert_eq!(segments, [Some(Segment::Irq), Some(Segment::Task), Some(Segment::Task)]);
    let frames: Vec<_> = unwound.interrupts.iter().map(|interrupt| interrupt.frame).collect();
    assert_eq!(frames, [1, 3]);
    assert!(unwound.frames[1].exact, "interrupted code is at its next instruction");
}

/// A CPU stopped at the first instructions of `asm_exc_page_fault`: only the CPU's own part of `pt_regs` is there.
#[test]
fn entry_code_that_has_saved_nothing_leaves_the_registers_known() {
    let fake = Fake::default()
        .orc(0x000, Base::Sp, 0, Kind::PartialRegs)
        .orc(0x200, Base::Undefined, 0, Kind::EndOfStack)
        .word(TASK + 0x100, TEXT + 0x210)
        .word(TASK + 0x108, 0x10)
        .word(TASK + 0x118, TASK + 0x200);
    let registers = Registers { rip: TEXT, rsp: TASK + 0x100, cs: 0x10, rdi: 0xc000_1000, ..Registers::default() };
    let start = |complete| Start { registers: registers.into(), exact: true, complete };
    let unwound = Unwinder::new(&fake).unwind(start(true));
    let [interrupt] = unwound.interrupts[..] else { panic!("{unwound:?}") };
    assert!(interrupt.complete);
    let found = interrupt.registers.x86_64().unwrap();
    assert_eq!((found.rip, found.rdi), (TEXT + 0x210, 0xc000_1000));
    assert!(!Unwinder::new(&fake).unwind(start(false)).interrupts[0].complete);
}

#[test]
fn a_jump_to_nowhere_is_unwound_by_the_pushed_return_address() {
    let fake = Fake::with_top(TASK + 0x200)
        .orc(0x000, Base::Sp, 8, Kind::Call)
        .orc(0x200, Base::Undefined, 0, Kind::EndOfStack)
        .word(TASK + 0x100, TEXT + 0x250);
    assert_eq!(fake.unwind(0, TASK + 0x100).end, End::Outermost);
}

/// A thunk at 0x100, whose inner call is at 0x100 too and leads to 0x110; called from 0x250 by the function at 0x200.
fn in_a_thunk(pc: u64, kind: Kind, called: u64) -> Unwound {
    let fake = Fake::with_top(TASK + 0x200)
        .orc(0x000, Base::Undefined, 0, Kind::EndOfStack)
        .orc(0x100, Base::Undefined, 0, kind)
        .orc(0x200, Base::Sp, 8, Kind::Call)
        .call(0x255, called)
        .call(0x105, 0x110)
        .word(TASK + 0xf8, TEXT + 0x105)
        .word(TASK + 0x100, TEXT + 0x255)
        .word(TASK + 0x108, TEXT + 0x50);
    fake.unwind(TEXT + pc, if pc == 0x110 { TASK + 0xf8 } else { TASK + 0x100 })
}

#[test]
fn the_call_that_led_to_a_thunk_is_its_caller_whatever_its_table_says() {
    for kind in [Kind::EndOfStack, Kind::Undefined] {
        let unwound = in_a_thunk(0x100, kind, 0x100);
        assert_eq!((pcs(&unwound), unwound.end), (vec![0x100, 0x255, 0x50], End::Outermost));
        assert!(unwound.frames[1..].iter().all(|frame| frame.trust == Trust::Orc));
        assert_eq!(pcs(&in_a_thunk(0x110, kind, 0x100)), [0x110, 0x105, 0x255, 0x50]);
    }
}

#[test]
fn a_thunk_that_was_jumped_to_has_the_caller_of_what_jumped() {
    // The function that was called jumped to the thunk.
    assert_eq!(pcs(&in_a_thunk(0x100, Kind::EndOfStack, 0x300)), [0x100, 0x255, 0x50]);
}

/// The function at 0x000, called from code at 0x100 that ends a stack; above that is what a call has left.
fn called_from_where_stacks_end(fake: Fake) -> Unwound {
    fake.orc(0x000, Base::Sp, 8, Kind::Call)
        .orc(0x100, Base::Undefined, 0, Kind::EndOfStack)
        .call(0x255, 0x300)
        .word(TASK + 0x100, TEXT + 0x150)
        .word(TASK + 0x108, TEXT + 0x255)
        .unwind(TEXT + 0x10, TASK + 0x100)
}

#[test]
fn code_that_ends_a_stack_has_no_caller_where_the_walk_does_not_begin_in_it() {
    let unwound = called_from_where_stacks_end(Fake::with_top(TASK + 0x200));
    assert_eq!((pcs(&unwound), unwound.end), (vec![0x10, 0x150], End::Outermost));
}

#[test]
fn a_new_task_goes_to_user_mode_with_the_registers_that_it_was_given() {
    let new = |cs: u64, padding: u64| {
        let registers = TASK + STACK_SIZE - padding - PT_REGS_SIZE as u64;
        let fake = Fake::default().orc(0x000, Base::Undefined, 0, Kind::EndOfStack);
        let fake = fake.pt_regs(registers, 0x40_1000, cs, 0x7fff_0000, 0);
        let unwound = fake.unwind(TEXT, registers);
        (
            pcs(&unwound),
            unwound.end,
            unwound.interrupts.iter().map(|found| found.registers.pc().get()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(new(0x33, 0), (vec![0], End::User, vec![0x40_1000]));
    assert_eq!(new(0x33, 16), (vec![0], End::User, vec![0x40_1000]));
    assert_eq!(new(0, 0), (vec![0], End::Outermost, vec![]));
    // Words that are not where such registers are.
    assert_eq!(new(0x33, 8), (vec![0], End::Outermost, vec![]));
}

/// Such code as `return_to_handler()`, into which functions return that a tracer follows, works with the stack of their caller.
#[test]
fn no_stack_ends_far_from_its_top() {
    let unwound = called_from_where_stacks_end(Fake::default());
    assert_eq!((pcs(&unwound), unwound.end), (vec![0x10, 0x150, 0x255], End::Truncated));
    assert_eq!(unwound.frames[2].trust, Trust::Scan);
}

#[test]
fn undefined_code_falls_back_to_a_scan_and_says_so() {
    let fake = Fake::with_top(TASK + 0x200)
        .orc(0x000, Base::Undefined, 0, Kind::Undefined)
        .orc(0x200, Base::Undefined, 0, Kind::EndOfStack)
        .word(TASK + 0x100, 0x1234)
        .word(TASK + 0x108, TEXT + 0x250);
    let unwound = fake.unwind(TEXT, TASK + 0x100);
    assert_eq!(unwound.end, End::Outermost);
    assert_eq!(unwound.frames[1].trust, Trust::Scan);
}

/// As in `__crash_kexec`, where objtool counts `pushf` but not `pop 0x90(%rsp)`: the entry is off by one word.
#[test]
fn a_wrong_entry_is_corrected_by_call_frame_information() {
    let mut fake = Fake::default()
        .orc(0x000, Base::Sp, 24, Kind::Call)
        .orc(0x200, Base::Undefined, 0, Kind::EndOfStack)
        .word(TASK + 0x108, TEXT + 0x250)
        .word(TASK + 0x110, 0x1234);
    fake.cfi = Some(CfiRow { cfa_from_bp: false, cfa_offset: 16, return_address: Some(-8), saved_bp: None });
    let unwound = fake.unwind(TEXT, TASK + 0x100);
    assert_eq!(pcs(&unwound), [0, 0x250]);
    assert_eq!(unwound.frames[1].trust, Trust::Cfi);
}

#[test]
fn a_stack_that_leads_back_to_itself_ends() {
    let fake =
        Fake::default().orc(0x000, Base::Sp, 0, Kind::Regs).pt_regs(TASK + 0x100, TEXT + 0x10, 0x10, TASK + 0x100, 0);
    let unwound = fake.unwind(TEXT, TASK + 0x100);
    assert_eq!(unwound.end, End::Truncated);
    // The tables lead back to the same words; what the scan finds above them is marked as such.
    assert!(unwound.frames[1..].iter().all(|frame| frame.trust == Trust::Scan));
    assert!(unwound.problem.is_some());
}

#[test]
fn an_unreadable_stack_is_a_problem_with_its_address() {
    let fake = Fake::default().orc(0x000, Base::Sp, 16, Kind::Call);
    let unwound = fake.unwind(TEXT, 0xffff_8000_0000_0000);
    let Some(Problem::Unreadable { address, .. }) = unwound.problem else { panic!("{:?}", unwound.problem) };
    assert_eq!(address.get(), 0xffff_8000_0000_0008);
}

#[test]
fn user_mode_has_no_kernel_frames() {
    let registers = Registers { cs: 0x33, rip: 0x40_0000, ..Registers::default() };
    let unwound =
        Unwinder::new(&Fake::default()).unwind(Start { registers: registers.into(), exact: true, complete: true });
    assert_eq!((unwound.frames.len(), unwound.end), (0, End::User));
}

proptest::proptest! {
    #[test]
    fn any_stack_ends(words in proptest::collection::vec(0u64..0x1000, 512), kinds in proptest::collection::vec(0u8..5, 16)) {
        let mut fake = Fake::default();
        for (index, kind) in kinds.iter().enumerate() {
            let kind = [Kind::Call, Kind::Regs, Kind::PartialRegs, Kind::Undefined, Kind::EndOfStack][usize::from(*kind)];
            fake = fake.orc(index as u64 * 0x100, Base::Sp, 8, kind);
        }
        for (index, word) in words.iter().enumerate() {
            // Half of them text, the other half pointers into the two stacks.
            let value = if *word < 0x40 { traced::TRACER } else if word & 1 == 0 { TEXT + word } else if word & 2 == 0 { TASK + (word & !7) } else { IRQ + (word & !7) };
            fake = fake.word(TASK + index as u64 * 8, value).word(IRQ + index as u64 * 8, value);
        }
        let unwound = fake.unwind(TEXT + words[0], TASK);
        proptest::prop_assert!(unwound.frames.len() <= MAX_FRAMES);
    }
}
