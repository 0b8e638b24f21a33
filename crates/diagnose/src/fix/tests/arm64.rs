//! The same functions as of x86-64, compiled for arm64: with pairs of `ldxr` and `stxr`, and with the large system extensions.

use super::*;
use crate::reader::nothing_is_there;

const COMPILED: &str = include_str!("../fixtures/code-arm64.txt");

fn compiled() -> impl Iterator<Item = (&'static str, u64, Vec<u8>)> {
    lines(COMPILED)
}

fn verdict(offset: u64, code: Vec<u8>) -> Option<bool> {
    verdict_of(Architecture::Arm64, offset, code)
}

/// Of either set of instructions the compiler leaves the choice of the head to a function of its own in the same case.
fn says_too_little(name: &str) -> bool {
    super::says_too_little(&name.replace("-lse", ""))
}

#[test]
fn compiled_code_is_told_apart() {
    let mut seen = 0;
    for (name, offset, code) in compiled() {
        let expected = (!says_too_little(name)).then_some(!name.ends_with("unfixed"));
        assert_eq!(verdict(offset, code), expected, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 240);
}

#[test]
fn damaged_code_is_survived_and_code_that_breaks_off_proves_nothing() {
    for (_, offset, code) in compiled().step_by(7) {
        for length in (0..code.len()).step_by(20) {
            let cut = verdict(offset, code[..length].to_vec());
            assert!(cut.is_none() || cut == verdict(offset, code.clone()), "{length}");
        }
    }
}

fn words(code: &[u32]) -> Vec<u8> {
    code.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// `ldr x1, [x0, #8]`: the link of the page in `x0`.
const LOAD_LINK: u32 = 0xf940_0401;
const RET: u32 = 0xd65f_03c0;

#[test]
fn an_atomic_access_loads_no_link() {
    // tbnz w1, #0, 1f; stset x2, [x0]; stset x3, [x0]; ret; 1: sub x1, x1, #1; stset x2, [x1]; ret
    let code = [LOAD_LINK, 0x3700_0081, 0xf822_301f, 0xf823_301f, RET, 0xd100_0421, 0xf822_303f, RET];
    assert_eq!(verdict(0, words(&code)), Some(true));
}

#[test]
fn the_zero_register_keeps_nothing() {
    // tst x1, #1; mov w2, wzr; cbnz w2, 1f; stset x3, [x0]; 1: ret
    let code = [LOAD_LINK, 0xf240_003f, 0x2a1f_03e2, 0x3500_0042, 0xf823_301f, RET];
    assert_eq!(verdict(0, words(&code)), Some(false));
}

#[test]
fn a_loop_that_pushes_for_ever_is_left() {
    let start = std::time::Instant::now();
    // 1: stp x0, x1, [sp, #-16]!; b 1b. With all its states kept it would need ten gigabytes.
    assert_eq!(verdict(0, words(&[0xa9bf_07e0, 0x17ff_ffff])), None);
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

proptest::proptest! {
    #[test]
    fn any_code_is_survived(code in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let _ = verdict(0, code);
    }

    #[test]
    fn changed_code_is_survived(at in 0_usize..200, byte: u8, which in 0_usize..240) {
        let (_, offset, mut code) = compiled().nth(which).unwrap();
        if let Some(place) = code.get_mut(at) {
            *place = byte;
        }
        let _ = verdict(offset, code);
    }
}

/// A kernel with one function, `migration_entry_wait`, which begins with these instructions.
struct Entry([u32; 4]);

impl Reader for Entry {
    nothing_is_there! { pages addresses members }

    fn architecture(&self) -> Architecture {
        Architecture::Arm64
    }

    fn function(&self, name: &str) -> Option<VirtAddr> {
        (name == "migration_entry_wait").then_some(VirtAddr::new(START))
    }

    fn read(&self, _: VirtAddr, buf: &mut [u8]) -> Result<(), vmcore_memory::ReadError> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        buf.copy_from_slice(&bytes[..buf.len()]);
        Ok(())
    }
}

#[test]
fn tracers_and_probes_show_at_the_entry() {
    const NOP: u32 = 0xd503_201f;
    const KEEP_CALLER: u32 = 0xaa1e_03e9;
    const BTI: u32 = 0xd503_245f;
    const CALL: u32 = 0x97ff_f000;
    const PROBE: u32 = 0xd420_0080;
    let kind = |code| hook(&Entry(code), "migration_entry_wait").map(|hook| (hook.kind, hook.at.get() - START));
    assert_eq!(kind([NOP, NOP, 0xd503_233f, NOP]), None);
    assert_eq!(kind([KEEP_CALLER, NOP, 0xd503_233f, NOP]), None, "as it runs");
    assert_eq!(kind([KEEP_CALLER, CALL, 0xd503_233f, NOP]), Some(("a call", 4)));
    assert_eq!(kind([BTI, KEEP_CALLER, CALL, NOP]), Some(("a call", 8)));
    assert_eq!(kind([PROBE, NOP, NOP, NOP]), Some(("a breakpoint", 0)));
    assert_eq!(kind([0x1400_0100, NOP, NOP, NOP]), Some(("a jump", 0)));
}
