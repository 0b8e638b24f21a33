//! Code that no table covers.

use super::*;

/// A kernel without tables: a function called by entry code, which saved the registers of another function.
fn without_tables(cs: u64, ss: u64, flags: u64, rsp: u64) -> Unwound {
    let registers = TASK + 0x210;
    let fake = Fake { entry_code: Some(0x800), ..Fake::default() }
        .word(TASK + 0x208, TEXT + 0x850)
        .pt_regs(registers, TEXT + 0x123, cs, rsp, 0)
        .word(registers + 18 * 8, flags)
        .word(registers + 20 * 8, ss);
    fake.unwind(TEXT + 0x10, TASK + 0x200)
}

#[test]
fn entry_code_without_tables_is_crossed_by_the_registers_that_it_saved() {
    // With FRED the rest of the words has the level of the stack, and what has come: a page fault.
    for (cs, ss) in [(0x10, 0x18), (0x2_0010, 0x0203_000e_0000_0018)] {
        let unwound = without_tables(cs, ss, 0x246, TASK + 0x400);
        assert_eq!(pcs(&unwound)[..3], [0x10, 0x850, 0x123]);
        assert_eq!((unwound.interrupts.len(), unwound.interrupts[0].address), (1, VirtAddr::new(TASK + 0x210)));
        let interrupted = unwound.frames[2];
        assert_eq!((interrupted.sp.get(), interrupted.exact, interrupted.trust), (TASK + 0x400, true, Trust::Scan));
    }
}

#[test]
fn what_does_not_look_like_saved_registers_is_not_taken_for_them() {
    for (cs, ss, flags, rsp) in [
        (0x11, 0x18, 0x246, TASK + 0x400),
        (0x10, 0x20, 0x246, TASK + 0x400),
        (0x10, 0x18, 0x244, TASK + 0x400),
        (0x10, 0x18, 1 << 40 | 0x246, TASK + 0x400),
        (0x10, 0x18, 0x246, 0x7fff_0000_0000),
        (0x10, 0x18, 0x246, TASK + 0x100),
        (0x33, 0x2b, 0x246, 0x7fff_0000_0000),
    ] {
        let unwound = without_tables(cs, ss, flags, rsp);
        assert!(unwound.interrupts.is_empty(), "{cs:#x} {ss:#x} {flags:#x} {rsp:#x}");
    }
}

#[test]
fn above_the_first_function_of_a_thread_is_nothing() {
    // The registers of user code, all 0 for a kernel thread, are all that is left.
    let top = TASK + STACK_SIZE - PT_REGS_SIZE as u64;
    let unwound = Fake::default().unwind(TEXT + 0x10, top);
    assert_eq!((pcs(&unwound), unwound.end, unwound.problem), (vec![0x10], End::Outermost, None));
    let unwound = Fake::default().unwind(TEXT + 0x10, top - 0x100);
    assert_eq!(unwound.end, End::Truncated);
}

/// In the function at 0x100, which the one at 0x200 called, as that was by the one at 0x300; RBP is what the middle one left.
fn without_tables_in_a_function(bp: u64, called: u64) -> Unwound {
    let fake = Fake::default()
        .call(0x350, 0x200)
        .call(0x250, called)
        // A call of something else, left over.
        .call(0x450, 0x400)
        .word(TASK + 0x108, TEXT + 0x450)
        .word(TASK + 0x110, TEXT + 0x250)
        .word(TASK + 0x140, TASK + 0x180)
        .word(TASK + 0x148, TEXT + 0x350);
    let registers = Registers { rip: TEXT + 0x110, rsp: TASK + 0x100, rbp: bp, cs: 0x10, ..Registers::default() };
    Unwinder::new(&fake).unwind(Start { registers: registers.into(), exact: true, complete: true })
}

#[test]
fn a_frame_pointer_that_is_the_callers_does_not_pass_over_it() {
    let unwound = without_tables_in_a_function(TASK + 0x140, 0x100);
    assert_eq!(pcs(&unwound)[..3], [0x110, 0x250, 0x350]);
    let trust: Vec<_> = unwound.frames[..3].iter().map(|frame| frame.trust).collect();
    assert_eq!(trust, [Trust::Context, Trust::Scan, Trust::FramePointer]);
}

#[test]
fn without_a_frame_pointer_the_call_that_led_here_is_preferred_to_what_is_left_over() {
    assert_eq!(pcs(&without_tables_in_a_function(0, 0x100))[..2], [0x110, 0x250]);
    // Nothing here called this function: the first return address is all there is.
    assert_eq!(pcs(&without_tables_in_a_function(0, 0x500))[..2], [0x110, 0x450]);
}

#[test]
fn a_frame_pointer_is_followed_where_nothing_on_the_stack_called_this_function() {
    let unwound = without_tables_in_a_function(TASK + 0x140, 0x500);
    assert_eq!((pcs(&unwound)[..2].to_vec(), unwound.frames[1].trust), (vec![0x110, 0x350], Trust::FramePointer));
}

#[test]
fn a_frame_pointer_of_this_function_finds_its_caller() {
    let fake = Fake::default().call(0x250, 0x100).word(TASK + 0x100, TASK + 0x180).word(TASK + 0x108, TEXT + 0x250);
    let registers =
        Registers { rip: TEXT + 0x110, rsp: TASK + 0x80, rbp: TASK + 0x100, cs: 0x10, ..Registers::default() };
    let unwound = Unwinder::new(&fake).unwind(Start { registers: registers.into(), exact: true, complete: true });
    assert_eq!((pcs(&unwound)[..2].to_vec(), unwound.frames[1].trust), (vec![0x110, 0x250], Trust::FramePointer));
}
