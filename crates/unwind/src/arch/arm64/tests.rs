//! Walks over hand-built stacks of arm64.

use std::collections::BTreeMap;
use std::ops::Range;

use vmcore_memory::{ReadError, ReadVirtual};

use super::*;
use crate::orc::OrcEntry;
use crate::{CfiRow, ReturnAddress, SavedReturn, Start, Unwinder};

const TEXT: u64 = 0xffff_8000_0801_0000;
const TASK: u64 = 0xffff_8000_0a00_0000;
const IRQ: u64 = 0xffff_8000_0b00_0000;
const STACK_SIZE: u64 = 0x1000;
/// `offsetof(struct pt_regs, stackframe)`.
const RECORD: u64 = 304;
const KERNEL: u64 = 0x6040_0005;
/// Entry code begins here in the text; functions have 0x100 bytes each.
const ENTRY: u64 = TEXT + 0x800;
/// The code that begins a task.
const FIRST: u64 = TEXT + 0xa00;
/// What a tracer puts in the place of return addresses.
const TRACER: u64 = TEXT + 0xb00;

#[derive(Default)]
struct Fake {
    words: BTreeMap<u64, u64>,
    cfi: BTreeMap<u64, CfiRow>,
    pac_mask: u64,
    /// The bytes of the stacks that the dump lacks.
    lost: Range<u64>,
    /// Return addresses that a tracer replaced, by what it knows their places by.
    traced: BTreeMap<u64, u64>,
}

impl Fake {
    fn word(mut self, address: u64, value: u64) -> Self {
        self.words.insert(address, value);
        self
    }

    fn record(self, at: u64, fp: u64, lr: u64) -> Self {
        self.word(at, fp).word(at + 8, lr)
    }

    /// A `struct pt_regs` with its record.
    fn pt_regs(self, at: u64, registers: &Registers) -> Self {
        let x = registers.x.iter().enumerate();
        let fake = x.fold(self, |fake, (index, value)| fake.word(at + index as u64 * 8, *value));
        fake.word(at + 31 * 8, registers.sp.get())
            .word(at + 32 * 8, registers.pc.get())
            .word(at + 33 * 8, registers.pstate)
            .record(at + RECORD, registers.x[29], registers.pc.get())
    }

    fn unwind(&self, registers: Registers, exact: bool) -> Unwound {
        Unwinder::new(self).unwind(Start { registers: registers.into(), exact, complete: exact })
    }
}

impl ReadVirtual for Fake {
    fn read_virtual(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        let start = address.get();
        if ![TASK..TASK + STACK_SIZE, IRQ..IRQ + STACK_SIZE].iter().any(|stack| stack.contains(&start)) {
            return Err(ReadError::NonCanonical { address });
        }
        if start < self.lost.end && self.lost.start < start + buf.len() as u64 {
            return Err(ReadError::NonCanonical { address });
        }
        for (index, byte) in buf.iter_mut().enumerate() {
            let at = start + index as u64;
            *byte = self.words.get(&(at & !7)).copied().unwrap_or_default().to_le_bytes()[(at & 7) as usize];
        }
        Ok(())
    }
}

impl Machine for Fake {
    fn orc(&self, _pc: VirtAddr) -> Option<OrcEntry> {
        None
    }

    fn cfi(&self, pc: VirtAddr) -> Option<CfiRow> {
        self.cfi.get(&(pc.get() & !0xff)).copied()
    }

    fn is_text(&self, pc: VirtAddr) -> bool {
        (TEXT..TEXT + 0x1000).contains(&pc.get())
    }

    fn is_entry(&self, pc: VirtAddr) -> bool {
        (ENTRY..ENTRY + 0x100).contains(&pc.get())
    }

    fn is_same_function(&self, one: VirtAddr, other: VirtAddr) -> bool {
        one.get() >> 8 == other.get() >> 8
    }

    fn is_first(&self, pc: VirtAddr) -> bool {
        pc.get() >> 8 == FIRST >> 8
    }

    fn pac_mask(&self) -> u64 {
        self.pac_mask
    }

    fn frame_record_offset(&self) -> Option<u64> {
        Some(RECORD)
    }

    fn return_address(&self, saved: SavedReturn) -> ReturnAddress {
        if saved.pc.get() != TRACER {
            return ReturnAddress::OfCall;
        }
        let original = saved.places.into_iter().flatten().find_map(|place| self.traced.get(&place.get()));
        original.map_or(ReturnAddress::Lost, |original| ReturnAddress::Replaced(VirtAddr::new(*original)))
    }

    fn stack(&self, sp: VirtAddr) -> Option<StackRange> {
        let stacks = [(Segment::Task, TASK), (Segment::Irq, IRQ)];
        let mut ranges = stacks.into_iter().map(|(segment, low)| {
            let low = VirtAddr::new(low);
            StackRange { segment, low, high: low.wrapping_add(STACK_SIZE) }
        });
        ranges.find(|stack| stack.contains(sp))
    }
}

fn registers(pc: u64, sp: u64, fp: u64, lr: u64) -> Registers {
    let mut registers =
        Registers { pc: VirtAddr::new(pc), sp: VirtAddr::new(sp), pstate: KERNEL, ..Registers::default() };
    registers.x[29] = fp;
    registers.x[30] = lr;
    registers
}

fn pcs(unwound: &Unwound) -> Vec<u64> {
    unwound.frames.iter().map(|frame| frame.pc.get().wrapping_sub(TEXT)).collect()
}

/// As of `kthreadd`: the outermost record, in the topmost `pt_regs`, has zeroes.
#[test]
fn a_task_that_sleeps_is_followed_by_its_records() {
    let top = TASK + 0xeb0;
    let fake = Fake::default().record(TASK + 0x800, TASK + 0x900, TEXT + 0x110).record(TASK + 0x900, top, TEXT + 0x210);
    let unwound = fake.unwind(registers(TEXT + 0x10, TASK + 0x800, TASK + 0x800, 0), false);
    assert_eq!((pcs(&unwound), unwound.end, unwound.problem.clone()), (vec![0x10, 0x110, 0x210], End::Outermost, None));
    assert!(unwound.frames[1..].iter().all(|frame| frame.trust == Trust::FramePointer));
}

/// As of `kthreadd` before 5.14, whose outermost record is that of the thread's function.
#[test]
fn a_frame_pointer_of_0_ends_a_stack_in_code_that_began_a_task_alone() {
    let walk = |outermost: u64| {
        let fake = Fake::default().record(TASK + 0x800, TASK + 0xeb0, TEXT + 0x110).record(TASK + 0xeb0, 0, outermost);
        fake.unwind(registers(TEXT + 0x10, TASK + 0x800, TASK + 0x800, 0), false)
    };
    let unwound = walk(FIRST + 0x10);
    assert_eq!((pcs(&unwound), unwound.end), (vec![0x10, 0x110, FIRST + 0x10 - TEXT], End::Outermost));
    let unwound = walk(TEXT + 0x210);
    assert_eq!(unwound.end, End::Truncated);
    assert!(unwound.problem.is_some(), "whoever called this function did not keep 0 as its frame pointer");
    // A CPU's first function makes a record with whatever was in the link register.
    let idle = Fake::default().record(TASK + 0x800, 0, 0x4120_0040);
    let unwound = idle.unwind(registers(FIRST + 0x20, TASK + 0x800, TASK + 0x800, 0), false);
    assert_eq!((unwound.frames.len(), unwound.end), (1, End::Outermost));
    let unwound = idle.unwind(registers(TEXT + 0x20, TASK + 0x800, TASK + 0x800, 0), false);
    assert_eq!((unwound.frames.len(), unwound.end), (1, End::Truncated));
    // One that has not run yet.
    let unwound = Fake::default().unwind(registers(FIRST, TASK + 0xeb0, 0, 0), true);
    assert_eq!((pcs(&unwound), unwound.end), (vec![FIRST - TEXT], End::Outermost));
}

#[test]
fn authentication_codes_are_taken_off() {
    const MASK: u64 = 0xff7f << 48;
    let signed = (TEXT + 0x110) & !MASK | 0x8a3f << 48 & MASK;
    let fake = Fake::default().record(TASK + 0x800, TASK + 0x900, signed);
    let walk = |fake: &Fake| fake.unwind(registers(TEXT + 0x10, TASK + 0x800, TASK + 0x800, 0), false);
    assert_eq!(walk(&fake).frames.len(), 1, "without a mask it is no code address");
    let unwound = walk(&Fake { pac_mask: MASK, ..fake });
    assert_eq!((pcs(&unwound), unwound.end), (vec![0x10, 0x110], End::Outermost));
}

/// An interrupt in a leaf function, which a function called that has a frame; then up to user mode.
#[test]
fn an_interrupt_leads_from_its_stack_to_the_task_and_to_user_mode() {
    let leaf = registers(TEXT + 0x310, TASK + 0x900, TASK + 0x900, TEXT + 0x410);
    let user = Registers { pstate: 0, ..registers(0x40_1000, 0x7fff_0000, 0, 0) };
    let fake = Fake::default()
        .record(IRQ + 0x800, TASK + 0x600 + RECORD, ENTRY + 0x10)
        .pt_regs(TASK + 0x600, &leaf)
        .record(TASK + 0x900, TASK + 0xe00 + RECORD, ENTRY + 0x50)
        .pt_regs(TASK + 0xe00, &user);
    let unwound = fake.unwind(registers(TEXT + 0x110, IRQ + 0x800, IRQ + 0x800, TEXT + 0x124), true);
    assert_eq!(pcs(&unwound), [0x110, 0x810, 0x310, 0x410, 0x850]);
    assert_eq!((unwound.end, unwound.problem.clone()), (End::User, None));
    let interrupts: Vec<_> = unwound.interrupts.iter().map(|it| (it.frame, it.address.get(), it.complete)).collect();
    assert_eq!(interrupts, [(2, TASK + 0x600, true), (5, TASK + 0xe00, true)]);
    assert!(unwound.frames[2].exact && unwound.interrupts[1].registers.user_mode());
}

/// A dump that was made to be given away keeps of user code where it was, and of kernel code all.
#[test]
fn general_registers_of_user_code_may_be_missing() {
    let walk = |pstate, lost| {
        let saved = Registers { pstate, ..registers(0x40_1000, 0x7fff_0000, 0, 0) };
        let fake =
            Fake::default().record(TASK + 0x800, TASK + 0xe00 + RECORD, ENTRY + 0x10).pt_regs(TASK + 0xe00, &saved);
        Fake { lost, ..fake }.unwind(registers(TEXT + 0x110, TASK + 0x800, TASK + 0x800, 0), false)
    };
    let general = TASK + 0xe00..TASK + 0xe00 + 31 * 8;
    let unwound = walk(0x8000_1000, general.clone());
    assert_eq!((unwound.end, unwound.problem.clone()), (End::User, None));
    let interrupt = unwound.interrupts[0];
    assert_eq!((interrupt.complete, interrupt.registers.pc().get()), (false, 0x40_1000));
    assert!(walk(KERNEL, general.clone()).problem.is_some());
    assert!(walk(0x8000_1000, general.start..general.end + 8).problem.is_some(), "not even the stack pointer");
}

#[test]
fn a_link_that_the_record_has_too_is_not_counted_twice() {
    // The function has made its record and called nothing yet.
    let fake = Fake::default().record(TASK + 0x800, TASK + 0x900, TEXT + 0x210);
    let unwound = fake.unwind(registers(TEXT + 0x110, TASK + 0x800, TASK + 0x800, TEXT + 0x210), true);
    assert_eq!(pcs(&unwound), [0x110, 0x210]);
}

#[test]
fn call_frame_information_comes_first() {
    let row =
        |cfa_offset, return_address, saved_bp| CfiRow { cfa_from_bp: false, cfa_offset, return_address, saved_bp };
    let mut fake = Fake::default().record(TASK + 0x820, TASK + 0x900, TEXT + 0x310);
    // A leaf that has taken stack and saved nothing, and a function whose record is not at the bottom of its frame.
    fake.cfi.insert(TEXT + 0x100, row(16, None, None));
    fake.cfi.insert(TEXT + 0x200, row(48, Some(-24), Some(-32)));
    let unwound = fake.unwind(registers(TEXT + 0x110, TASK + 0x800, TASK + 0x820, TEXT + 0x210), true);
    assert_eq!((pcs(&unwound), unwound.end), (vec![0x110, 0x210, 0x310], End::Outermost));
    let found: Vec<_> = unwound.frames.iter().map(|frame| (frame.sp.get() - TASK, frame.trust)).collect();
    assert_eq!(found, [(0x800, Trust::Context), (0x810, Trust::Cfi), (0x840, Trust::Cfi)]);
}

#[test]
fn a_chain_of_records_that_goes_in_circles_ends() {
    let fake = Fake::default().record(TASK + 0x800, TASK + 0x800, TEXT + 0x110);
    let unwound = fake.unwind(registers(TEXT + 0x10, TASK + 0x800, TASK + 0x800, 0), false);
    assert!(matches!(unwound.problem, Some(Problem::NotAdvancing { .. })), "{unwound:?}");
    let back = Fake::default().record(TASK + 0x800, IRQ + 0x100, TEXT + 0x110).record(IRQ + 0x100, TASK + 0x800, TEXT);
    let unwound = back.unwind(registers(TEXT + 0x10, TASK + 0x800, TASK + 0x800, 0), false);
    assert_eq!((unwound.frames.len(), unwound.end), (1, End::Truncated), "from the task's stack to no other");
}

#[test]
fn a_return_address_that_a_tracer_replaced_is_put_back() {
    const MASK: u64 = 0xff7f << 48;
    let signed = TRACER & !MASK | 0x8a3f << 48 & MASK;
    let fake = || {
        let records = Fake::default().record(TASK + 0x800, TASK + 0x900, signed);
        Fake { pac_mask: MASK, ..records.record(TASK + 0x900, TASK + 0xeb0, TEXT + 0x210) }
    };
    let walk = |fake: Fake| fake.unwind(registers(TEXT + 0x10, TASK + 0x800, TASK + 0x800, 0), false);
    // By the caller's frame pointer.
    let unwound = walk(Fake { traced: [(TASK + 0x900, TEXT + 0x110)].into(), ..fake() });
    assert_eq!((pcs(&unwound), unwound.end, unwound.problem), (vec![0x10, 0x110, 0x210], End::Outermost, None));
    // By its stack pointer, where that is known.
    let row = CfiRow { cfa_from_bp: false, cfa_offset: 48, return_address: Some(-40), saved_bp: Some(-48) };
    let by_sp = Fake { traced: [(TASK + 0x830, TEXT + 0x110)].into(), cfi: [(TEXT, row)].into(), ..fake() };
    let unwound = by_sp.unwind(registers(TEXT + 0x10, TASK + 0x800, TASK + 0x800, 0), true);
    assert_eq!((pcs(&unwound), unwound.problem), (vec![0x10, 0x110, 0x210], None));
    // Where it is lost the records lead on, past a caller that is not known.
    let unwound = walk(fake());
    assert_eq!((pcs(&unwound), unwound.end), (vec![0x10, TRACER - TEXT, 0x210], End::Outermost));
    assert_eq!(unwound.problem, Some(Problem::Traced { pc: VirtAddr::new(TRACER) }));
    assert_eq!(unwound.frames[1].lookup_pc().get(), TRACER, "it is the tracer's, not what lies before it");
}

/// A leaf function and the one that called it are both traced: the link register and the innermost record are the same.
#[test]
fn the_link_of_a_traced_leaf_is_not_that_of_its_caller() {
    let fake = |traced: &[(u64, u64)]| {
        let traced = traced.iter().copied().collect();
        let records = Fake { traced, ..Fake::default() }.record(TASK + 0x800, TASK + 0x900, TRACER);
        records.record(TASK + 0x900, TASK + 0xeb0, TEXT + 0x310)
    };
    let leaf = registers(TEXT + 0x10, TASK + 0x800, TASK + 0x800, TRACER);
    let unwound = fake(&[(TASK + 0x800, TEXT + 0x110), (TASK + 0x900, TEXT + 0x210)]).unwind(leaf, true);
    assert_eq!((pcs(&unwound), unwound.problem), (vec![0x10, 0x110, 0x210, 0x310], None));
    // The function has made its record: both are its own.
    let unwound = fake(&[(TASK + 0x900, TEXT + 0x210)]).unwind(leaf, true);
    assert_eq!((pcs(&unwound), unwound.problem), (vec![0x10, 0x210, 0x310], None));
}

proptest::proptest! {
    #[test]
    fn any_stack_ends(words in proptest::collection::vec(0u64..0x1000, 512), sp in 0u64..0x1000) {
        let mut fake = Fake::default();
        for (index, word) in words.iter().enumerate() {
            let value = if *word < 0x40 { TRACER } else if word & 4 == 0 { TEXT + word } else if word & 8 == 0 { TASK + (word & !7) } else { IRQ + (word & !7) };
            fake = fake.word(TASK + index as u64 * 8, value).word(IRQ + index as u64 * 8, value);
        }
        for start in [TASK, IRQ] {
            let unwound = fake.unwind(registers(TEXT + words[0], start + sp, start + words[1], TEXT + words[2]), true);
            proptest::prop_assert!(unwound.frames.len() <= MAX_FRAMES);
        }
    }
}
