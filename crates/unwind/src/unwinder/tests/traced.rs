//! Return addresses that a tracer replaced.

use super::*;

/// What the tracer puts in their place.
pub(super) const TRACER: u64 = TEXT + 0x700;

/// The functions at 0x000, 0x100 and 0x200 each called the one before; a call at 0x480 is left over in the frame of the one at
/// 0x100.
fn three_calls(returns: [u64; 2]) -> Fake {
    Fake::with_top(TASK + 0x200)
        .orc(0x000, Base::Sp, 16, Kind::Call)
        .orc(0x100, Base::Sp, 32, Kind::Call)
        .orc(0x200, Base::Undefined, 0, Kind::EndOfStack)
        .orc(0x300, Base::Sp, 8, Kind::Call)
        .orc(0x700, Base::Sp, 8, Kind::Call)
        .word(TASK + 0x108, returns[0])
        .word(TASK + 0x110, 0x1234)
        .word(TASK + 0x128, returns[1])
}

#[test]
fn the_original_is_put_back_by_its_place() {
    let traced = [(TASK + 0x108, TEXT + 0x150), (TASK + 0x128, TEXT + 0x250), (TASK + 0x110, TEXT + 0x666)].into();
    let unwound = Fake { traced, ..three_calls([TRACER, TRACER]) }.unwind(TEXT + 0x10, TASK + 0x100);
    assert_eq!((pcs(&unwound), unwound.end, unwound.problem), (vec![0x10, 0x150, 0x250], End::Outermost, None));
    assert!(unwound.frames[1..].iter().all(|frame| frame.trust == Trust::Orc && !frame.exact));
}

#[test]
fn without_places_the_order_tells() {
    let traced_in_order = vec![TEXT + 0x150, TEXT + 0x250];
    let fake = Fake { traced_in_order, ..three_calls([TRACER, TRACER]) };
    assert_eq!(pcs(&fake.unwind(TEXT + 0x10, TASK + 0x100)), [0x10, 0x150, 0x250]);
    // Only the outer one is traced.
    let fake = Fake { traced_in_order: vec![TEXT + 0x250], ..three_calls([TEXT + 0x150, TRACER]) };
    assert_eq!(pcs(&fake.unwind(TEXT + 0x10, TASK + 0x100)), [0x10, 0x150, 0x250]);
}

#[test]
fn the_order_tells_nothing_behind_a_guess() {
    let fake = Fake { traced_in_order: vec![TEXT + 0x150, TEXT + 0x250], ..three_calls([TEXT + 0x150, TRACER]) };
    let fake = fake.orc(0x000, Base::Undefined, 0, Kind::Undefined);
    let unwound = fake.unwind(TEXT + 0x10, TASK + 0x100);
    assert_eq!((pcs(&unwound)[..3].to_vec(), unwound.frames[1].trust), (vec![0x10, 0x150, 0x700], Trust::Scan));
}

#[test]
fn one_that_is_lost_is_the_tracers_and_what_follows_is_a_guess() {
    let unwound = three_calls([TRACER, TEXT + 0x250]).unwind(TEXT + 0x10, TASK + 0x100);
    assert_eq!((pcs(&unwound), unwound.end), (vec![0x10, 0x700, 0x250], End::Outermost));
    assert_eq!(unwound.problem, Some(Problem::Traced { pc: VirtAddr::new(TRACER) }));
    let [_, lost, guess] = unwound.frames[..] else { panic!("{unwound:?}") };
    assert_eq!((lost.lookup_pc().get(), lost.trust, lost.sp.get()), (TRACER, Trust::Orc, TASK + 0x110));
    assert_eq!(guess.trust, Trust::Scan);
    // What made it a guess is said also where the walk then finds no end.
    let unwound = three_calls([TRACER, 0]).unwind(TEXT + 0x10, TASK + 0x100);
    assert_eq!((unwound.end, unwound.problem), (End::Truncated, Some(Problem::Traced { pc: VirtAddr::new(TRACER) })));
}

#[test]
fn without_tables_too() {
    let registers = |bp| Registers { rip: TEXT + 0x10, rsp: TASK + 0x80, rbp: bp, cs: 0x10, ..Registers::default() };
    let walk = |fake: Fake, bp: u64| {
        let fake = Fake { traced: [(TASK + 0x108, TEXT + 0x150)].into(), ..fake };
        Unwinder::new(&fake).unwind(Start { registers: registers(bp).into(), exact: true, complete: true })
    };
    let fake = || Fake::default().word(TASK + 0x100, TASK + 0x180).word(TASK + 0x108, TRACER);
    let found = |unwound: Unwound| (unwound.frames[1].pc.get() - TEXT, unwound.frames[1].trust);
    assert_eq!(found(walk(fake(), TASK + 0x100)), (0x150, Trust::FramePointer));
    assert_eq!(found(walk(fake(), 0)), (0x150, Trust::Scan));
    let cfi = Some(CfiRow { cfa_from_bp: false, cfa_offset: 0x90, return_address: Some(-8), saved_bp: None });
    assert_eq!(found(walk(Fake { cfi, ..fake() }, 0)), (0x150, Trust::Cfi));
    assert_eq!(found(walk(fake().call(0x150, 0), 0)), (0x150, Trust::Scan));
    // What is left over from a call that has returned is in no record.
    let stale = fake().word(TASK + 0x90, TRACER).word(TASK + 0x98, TEXT + 0x250);
    assert_eq!(found(walk(stale, 0)), (0x250, Trust::Scan));
}
