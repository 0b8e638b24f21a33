use iced_x86::{Decoder, DecoderOptions};

use super::*;
use crate::reader::nothing_is_there;

mod arm64;

/// Functions with and without the fix, compiled in many ways; how is in `fixtures/make.sh`, from what in `wait.c`.
const COMPILED: &str = include_str!("fixtures/code.txt");

/// `struct page` of `wait.c`.
const OFFSETS: PageOffsets = PageOffsets { size: 64, link: 8, refcount: 0x34 };
const START: u64 = 0xffff_ffff_8130_0000;

struct Blob(Vec<u8>);

impl Text for Blob {
    fn code(&self, address: u64) -> Vec<u8> {
        let from = usize::try_from(address.wrapping_sub(START)).unwrap_or(usize::MAX);
        self.0.get(from..).map(|rest| rest.iter().take(MAX_INSTRUCTION).copied().collect()).unwrap_or_default()
    }

    fn leaves(&self, target: u64) -> bool {
        target.wrapping_sub(START) >= self.0.len() as u64
    }
}

/// What the compiled code says: `Some(true)` that it takes the head.
fn verdict(offset: u64, code: Vec<u8>) -> Option<bool> {
    verdict_of(Architecture::X86_64, offset, code)
}

fn verdict_of(machine: Architecture, offset: u64, code: Vec<u8>) -> Option<bool> {
    let found = flow::follow(&Blob(code), super::machine(machine), START + offset, OFFSETS);
    let page = found.decisions.iter().any(|decision| matches!(decision, Decision::Page(_)));
    match found.decisions.is_empty() {
        true => None,
        false if page => Some(false),
        false => (!found.incomplete).then_some(true),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Name, offset of the function, bytes.
fn compiled() -> impl Iterator<Item = (&'static str, u64, Vec<u8>)> {
    lines(COMPILED)
}

fn lines(text: &'static str) -> impl Iterator<Item = (&'static str, u64, Vec<u8>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (name, rest) = line.split_once(": ").unwrap();
        let (offset, code) = rest.split_once(' ').unwrap();
        (name, offset.parse().unwrap(), bytes(code))
    })
}

/// Whether the code itself does not say enough: nothing in it shows that what it counts is a page, or the compiler
/// left the choice of the head to a function of its own.
fn says_too_little(name: &str) -> bool {
    let has = |word: &str| name.split(' ').any(|part| part == word);
    let shows_page = has("-DASSERT") || has("-DOLD") || has("fixed");
    !shows_page || (has("gcc-12") && has("-Os") && has("-DASSERT") && has("-DOLD"))
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

/// The code as it runs on a machine with one CPU: there the kernel makes DS prefixes of its lock prefixes.
fn for_one_cpu(mut code: Vec<u8>) -> (usize, Vec<u8>) {
    let decoded: Vec<_> = Decoder::with_ip(64, &code, 0, DecoderOptions::NONE).into_iter().collect();
    let locked: Vec<_> = decoded.iter().filter(|instruction| instruction.has_lock_prefix()).collect();
    for instruction in &locked {
        let at = usize::try_from(instruction.ip()).unwrap();
        let prefix = code[at..].iter().position(|byte| *byte == 0xf0).unwrap();
        code[at + prefix] = 0x3e;
    }
    (locked.len(), code)
}

#[test]
fn one_cpu_makes_no_difference() {
    let mut changed = 0;
    for (name, offset, code) in compiled() {
        let before = verdict(offset, code.clone());
        let (count, code) = for_one_cpu(code);
        changed += count;
        assert_eq!(verdict(offset, code), before, "{name}");
    }
    assert!(changed >= 240, "only {changed} lock prefixes");
}

#[test]
fn damaged_code_is_survived_and_code_that_breaks_off_proves_nothing() {
    for (_, offset, code) in compiled().step_by(7) {
        for length in (0..code.len()).step_by(11) {
            let cut = verdict(offset, code[..length].to_vec());
            assert!(cut.is_none() || cut == verdict(offset, code.clone()), "{length}");
        }
    }
}

/// Instructions of two operands whose second is neither register, memory, branch nor constant, or nothing that is there:
/// `movsb`, `cmpsb`, `lodsb`, a far call, `in`, `shl`.
#[test]
fn operands_of_every_kind_are_survived() {
    for code in ["a4", "a6", "ac", "66e800000000", "ec", "d3e0", "48ab", "c8100001", "6690", "0f01c8", "c5f877"] {
        assert_eq!(verdict(0, bytes(code)), None, "{code}");
    }
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

/// A kernel whose functions are those of one line of the compiled ones.
struct Kernel {
    start: VirtAddr,
    code: Vec<u8>,
    /// Whether `migration_entry_wait` begins with a call.
    hooked: bool,
}

const WRAPPER: u64 = 0xffff_ffff_8120_0000;

impl Reader for Kernel {
    nothing_is_there! { pages }

    fn page_address(&self, pfn: Pfn) -> Option<VirtAddr> {
        Some(VirtAddr::new(pfn.get() * 64))
    }

    fn member(&self, object: VirtAddr, type_name: &'static str, path: &'static str) -> Option<vmcore_kernel::Source> {
        let offset = if path == "compound_head" { 8 } else { 0x34 };
        Some(vmcore_kernel::Source { type_name: Some(type_name), path, address: object.checked_add(offset)? })
    }

    fn function(&self, name: &str) -> Option<VirtAddr> {
        match name {
            "__migration_entry_wait" => Some(self.start),
            "migration_entry_wait" => Some(VirtAddr::new(WRAPPER)),
            _ => None,
        }
    }

    fn function_at(&self, address: VirtAddr) -> Option<(String, u64)> {
        let own = address.get().wrapping_sub(START) < self.code.len() as u64;
        (!own).then(|| ("put_and_wait_on_page_locked".to_owned(), 0))
    }

    fn read(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), vmcore_memory::ReadError> {
        if address.get() == WRAPPER {
            buf.fill(0x90);
            buf[..4].copy_from_slice(&[0xf3, 0x0f, 0x1e, 0xfa]);
            buf[4] = if self.hooked { 0xe8 } else { 0x0f };
            return Ok(());
        }
        let from = usize::try_from(address.get().wrapping_sub(START)).unwrap_or(usize::MAX);
        let bytes = self.code.get(from..).ok_or(vmcore_memory::ReadError::NonCanonical { address })?;
        buf.fill(0x90);
        let length = bytes.len().min(buf.len());
        buf[..length].copy_from_slice(&bytes[..length]);
        Ok(())
    }
}

fn kernel(wanted: &str, hooked: bool) -> Kernel {
    let (_, offset, code) = compiled().find(|(name, ..)| *name == wanted).unwrap();
    Kernel { start: VirtAddr::new(START + offset), code, hooked }
}

const WITH: &str = "gcc-12 -O2 -DUNLIKELY=1 -DASSERT fixed";
const WITHOUT: &str = "gcc-12 -O2 -DUNLIKELY=1 -DASSERT unfixed";

#[test]
fn a_hook_may_be_the_fix_but_cannot_take_it_away() {
    let says = |name, hooked| examine(&kernel(name, hooked));
    assert_eq!(says(WITH, false).has_fix, Some(true));
    assert_eq!(says(WITHOUT, false).has_fix, Some(false));
    assert_eq!(says(WITH, true).has_fix, Some(true));
    let hotfixed = says(WITHOUT, true);
    assert_eq!(hotfixed.has_fix, None);
    assert!(hotfixed.why.contains("migration_entry_wait is hooked"), "{}", hotfixed.why);
}

#[test]
fn the_answer_shows_the_instruction_that_decides() {
    let says = examine(&kernel(WITHOUT, false));
    let fact = says.evidence.first().unwrap();
    assert!(fact.meaning.starts_with("`lock cmpxchg ") && fact.place.is_some() && fact.value.is_some(), "{fact:?}");
}
