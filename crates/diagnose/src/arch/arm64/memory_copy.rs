//! The instructions that copy or set memory (`FEAT_MOPS`): `cpyfpwt [x6]!, [x1]!, x2!` and its kin.
//!
//! Three in a row do one copy: the prologue, the main part and the epilogue. Kernels copy to and from user space with them, where the CPU
//! has them (kernel commit fe59e0358d9b). After the prologue the registers hold one of two forms, as the CPU likes: what is left with the
//! addresses of it, or, less than 0, its distance from the end, with the end's addresses.
//!
//! Source: Arm Architecture Reference Manual, C6, `CPYFP`, `SETP`; `arch/arm64/include/asm/traps.h`, `arm64_mops_reset_regs()`.

use vmcore_memory::VirtAddr;
use vmcore_memory::arch::arm64::Registers;

use crate::access::Access;

/// Bits 29 to 27, 25 to 24, 21 and 11 to 10 of each of them, and which those are.
const FIXED: u32 = 0x1900_0400;
const FIXED_BITS: u32 = 0x3b20_0c00;
/// `op1` of what sets memory; of a copy it is the part.
const SETS: u32 = 3;
/// The register that is always 0.
const ZERO: u32 = 31;
/// What `op2` of a copy says of how user memory is accessed, and of caches.
const OPTIONS: [&str; 16] =
    ["", "wt", "rt", "t", "wn", "wtwn", "rtwn", "twn", "rn", "wtrn", "rtrn", "trn", "n", "wtn", "rtn", "tn"];

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Prologue,
    Main,
    Epilogue,
}

impl Part {
    const fn of(bits: u32) -> Option<Self> {
        match bits {
            0 => Some(Self::Prologue),
            1 => Some(Self::Main),
            2 => Some(Self::Epilogue),
            _ => None,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Prologue => 'p',
            Self::Main => 'm',
            Self::Epilogue => 'e',
        }
    }
}

/// One of these instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryCopy {
    part: Part,
    sets: bool,
    /// Bit 26: of a copy, that it may go either way; of setting, that tags are set as well.
    other_kind: bool,
    options: u32,
    to: u32,
    /// The register with the address that is copied from, or with the byte that is set.
    from: u32,
    count: u32,
}

impl MemoryCopy {
    /// The instruction at the start of `code`, if it is one of these.
    pub(super) fn decode(code: &[u8]) -> Option<Self> {
        let word = u32::from_le_bytes(*code.first_chunk()?);
        let field = |from: u32, bits: u32| word >> from & ((1 << bits) - 1);
        if word & FIXED_BITS != FIXED || field(30, 2) != 0 {
            return None;
        }
        let (op1, op2) = (field(22, 2), field(12, 4));
        let sets = op1 == SETS;
        let (part, options) = if sets { (Part::of(op2 >> 2)?, op2 & 3) } else { (Part::of(op1)?, op2) };
        let found = Self {
            part,
            sets,
            other_kind: field(26, 1) == 1,
            options,
            to: field(0, 5),
            from: field(16, 5),
            count: field(5, 5),
        };
        let is_valid = found.to != ZERO && found.count != ZERO && (sets || found.from != ZERO);
        is_valid.then_some(found)
    }

    /// What it touches next with these registers: what it writes, and what it reads.
    pub(super) fn accesses(&self, registers: &Registers) -> Vec<Access> {
        let Some(count) = value(registers, self.count) else { return Vec::new() };
        // Less than 0 is the distance from the end.
        let distance = if self.part != Part::Prologue && count >> 63 == 1 { count } else { 0 };
        let access = |register: u32, write: bool| {
            let address = value(registers, register)?.wrapping_add(distance);
            Some(Access { address: VirtAddr::new(address), write })
        };
        let read = if self.sets { None } else { access(self.from, false) };
        access(self.to, true).into_iter().chain(read).collect()
    }

    /// As objdump shows it.
    pub(super) fn text(&self) -> String {
        let Self { to, from, count, .. } = self;
        let (part, option) = (self.part.letter(), OPTIONS.get(self.option_index()).copied().unwrap_or_default());
        match (self.sets, self.other_kind) {
            (true, tags) => {
                let name = if tags { "setg" } else { "set" };
                let byte = if *from == ZERO { "xzr".to_owned() } else { format!("x{from}") };
                format!("{name}{part}{option} [x{to}]!, x{count}!, {byte}")
            }
            (false, true) => format!("cpy{part}{option} [x{to}]!, [x{from}]!, x{count}!"),
            (false, false) => format!("cpyf{part}{option} [x{to}]!, [x{from}]!, x{count}!"),
        }
    }

    /// Of what is set, `t` and `n` have other numbers.
    fn option_index(&self) -> usize {
        let of_set = [0, 3, 12, 15];
        let index = usize::try_from(self.options).unwrap_or_default();
        if self.sets { of_set.get(index).copied().unwrap_or_default() } else { index }
    }
}

fn value(registers: &Registers, number: u32) -> Option<u64> {
    registers.x.get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPYFPWT: u32 = 0x1901_1446; // cpyfpwt [x6]!, [x1]!, x2!
    const CPYFMWT: u32 = 0x1941_1446;
    const CPYFERT: u32 = 0x1981_2446; // cpyfert [x6]!, [x1]!, x2!
    const SETP: u32 = 0x19c1_0440; // setp [x0]!, x2!, x1

    fn decoded(word: u32) -> Option<MemoryCopy> {
        MemoryCopy::decode(&word.to_le_bytes())
    }

    fn accesses(word: u32, values: [(usize, u64); 3]) -> Vec<(u64, bool)> {
        let mut registers = Registers::default();
        for (number, value) in values {
            registers.x[number] = value;
        }
        let found = decoded(word).unwrap().accesses(&registers);
        found.into_iter().map(|access| (access.address.get(), access.write)).collect()
    }

    #[test]
    fn what_is_copied_next() {
        let (to, from) = (0xffff_a060_3140, 0xffff_8000_8064_bc40);
        let begun = [(6, to), (1, from), (2, 0x90)];
        for word in [CPYFPWT, CPYFMWT, CPYFERT] {
            assert_eq!(accesses(word, begun), [(to, true), (from, false)], "{word:#x}");
        }
        let by_the_end = [(6, to + 0x90), (1, from + 0x90), (2, 0x90u64.wrapping_neg())];
        for word in [CPYFMWT, CPYFERT] {
            assert_eq!(accesses(word, by_the_end), [(to, true), (from, false)], "{word:#x}");
        }
        assert_eq!(accesses(SETP, [(0, to), (1, 7), (2, 0x90)]), [(to, true)]);
    }

    #[test]
    fn as_objdump_shows_them() {
        let text = |word| decoded(word).unwrap().text();
        assert_eq!(text(CPYFPWT), "cpyfpwt [x6]!, [x1]!, x2!");
        assert_eq!(text(CPYFMWT), "cpyfmwt [x6]!, [x1]!, x2!");
        assert_eq!(text(CPYFERT), "cpyfert [x6]!, [x1]!, x2!");
        assert_eq!(text(SETP), "setp [x0]!, x2!, x1");
    }

    #[test]
    fn others_are_none_of_them() {
        // sttr, ldr of a literal, a copy to xzr, four words of nothing in particular
        for word in [0xf800_08c7, 0x1800_0400, CPYFPWT | 0x1f, CPYFPWT | 1 << 30, CPYFPWT | 1 << 21, 0, u32::MAX] {
            assert_eq!(decoded(word), None, "{word:#x}");
        }
        assert_eq!(MemoryCopy::decode(&[0x46, 0x14, 0x01]), None);
    }
}
