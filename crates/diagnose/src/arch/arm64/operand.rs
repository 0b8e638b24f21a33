//! What an instruction of A64 touches.
//!
//! In a copy to user space that is memory at the base of `sttr x7, [x6, #8]` or `stp x7, x8, [x6], #16`, or what `cpyfpwt` copies. The highest byte
//! of a user address is a tag that translation ignores.
//!
//! Source: `arch/arm64/lib/copy_template.S`, `Documentation/arch/arm64/tagged-address-abi.rst`.

use vmcore_memory::{VirtAddr, arch::arm64::Registers};

use super::instruction::{Flow, Instruction};
use super::memory_copy::MemoryCopy;
use crate::Reader;
use crate::access::{Access, read_code};

/// The bit of an address that says which half it is in, whatever its tag is.
const KERNEL_HALF: u64 = 1 << 55;
/// `TTBR0`'s addresses without their tag.
const UNTAGGED: u64 = (1 << 56) - 1;
/// The smallest page: an access that crosses its end may fault at the second part.
const PAGE_SIZE: u64 = 4096;

/// The names of `x0` to `x30`.
const NAMES: [&str; 31] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
    "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30",
];

/// All addresses that the instruction at the start of `code` touches with these registers, the stack among them. Empty where
/// it touches none or cannot be decoded.
pub(crate) fn memory_accesses(code: &[u8], registers: &Registers) -> Vec<Access> {
    if let Some(copy) = MemoryCopy::decode(code) {
        return copy.accesses(registers);
    }
    let Some(instruction) = Instruction::decode(code) else { return Vec::new() };
    let Some(first) = instruction.memory().and_then(|memory| memory.address(registers)) else { return Vec::new() };
    let last = first.wrapping_add(instruction.bytes() - 1);
    let second_page = (last / PAGE_SIZE != first / PAGE_SIZE).then_some(last & !(PAGE_SIZE - 1));
    let access = |address| Access { address: VirtAddr::new(address), write: instruction.writes() };
    [Some(first), second_page].into_iter().flatten().map(access).collect()
}

/// An access to user memory, above the page that is never mapped, without its tag.
pub(crate) fn user_access(access: Access) -> Option<Access> {
    let address = access.address.get();
    let untagged = address & UNTAGGED;
    (address & KERNEL_HALF == 0 && untagged >= PAGE_SIZE)
        .then_some(Access { address: VirtAddr::new(untagged), ..access })
}

/// The word that a loop reads until it changes: what the first instruction from the program counter on that reads memory reads,
/// with these registers. A CPU that waits for the word in `wfe` comes back to that.
pub(crate) fn polled_address(reader: &dyn Reader, registers: &Registers) -> Option<VirtAddr> {
    const MAX_INSTRUCTIONS: usize = 24;
    let mut at = registers.pc();
    let mut written = Vec::new();
    for _ in 0..MAX_INSTRUCTIONS {
        let instruction = Instruction::decode(&read_code(reader, at))?;
        if let Some(memory) = instruction.memory().filter(|memory| instruction.reads() && memory.base != 31) {
            let known = !memory.made_of().any(|register| written.contains(&register));
            return memory.address(registers).filter(|_| known).map(VirtAddr::new);
        }
        at = match instruction.flow() {
            Flow::Next => at.wrapping_add(4),
            Flow::Jump(bytes) => at.wrapping_add(bytes.cast_unsigned()),
            Flow::Leaves => return None,
        };
        written.extend(instruction.written());
    }
    None
}

/// `x0` to `x30`, by name.
pub(crate) fn general_registers(registers: &Registers) -> Vec<(&'static str, u64)> {
    NAMES.into_iter().zip(registers.x).collect()
}

/// The instruction, for the report.
pub(crate) fn disassemble(code: &[u8]) -> Option<String> {
    let copy = MemoryCopy::decode(code).map(|copy| copy.text());
    copy.or_else(|| Some(Instruction::decode(code)?.text()))
}

#[cfg(test)]
mod tests {
    use vmcore_memory::{ReadError, Registers as AnyRegisters};

    use super::*;
    use crate::operand::user_accesses;
    use crate::reader::nothing_is_there;

    const USER: u64 = 0xffff_a060_3140;
    const KERNEL: u64 = 0xffff_8000_8064_bc40;

    fn with(values: &[(usize, u64)]) -> Registers {
        let mut registers = Registers::default();
        for (number, value) in values {
            registers.x[*number] = *value;
        }
        registers
    }

    fn accesses(instruction: u32, registers: Registers) -> Vec<(u64, bool)> {
        let code = instruction.to_le_bytes();
        let found = user_accesses(&code, &AnyRegisters::Arm64(registers));
        found.into_iter().map(|access| (access.address.get(), access.write)).collect()
    }

    /// Of `__arch_copy_to_user` and `__arch_copy_from_user` of 6.1 and 6.12, and others.
    const STTR_X7: u32 = 0xf800_08c7; // sttr x7, [x6]
    const STTR_X8_8: u32 = 0xf800_88c8; // sttr x8, [x6, #8]
    const LDTRB_W3: u32 = 0x3840_0823; // ldtrb w3, [x1]
    const STP_POST: u32 = 0xa881_20c7; // stp x7, x8, [x6], #16
    const LDP: u32 = 0xa8c1_2027; // ldp x7, x8, [x1], #16
    const LDR_INDEX: u32 = 0xf862_7820; // ldr x0, [x1, x2, lsl #3]
    const LDR_SXTW: u32 = 0xb862_d820; // ldr w0, [x1, w2, sxtw #2]
    const PRFM: u32 = 0xf980_0031; // prfm pstl1strm, [x1]
    const NOP: u32 = 0xd503_201f;
    const WFE: u32 = 0xd503_205f;
    const RET: u32 = 0xd65f_03c0;
    const DC_CVAU: u32 = 0xd50b_7b24; // dc cvau, x4

    #[test]
    fn a_copy_touches_memory_at_its_base() {
        let at = |base: usize, address| with(&[(base, address)]);
        assert_eq!(accesses(STTR_X7, at(6, USER)), [(USER, true)]);
        assert_eq!(accesses(STTR_X8_8, at(6, USER)), [(USER + 8, true)]);
        assert_eq!(accesses(LDTRB_W3, at(1, USER)), [(USER, false)]);
        assert_eq!(accesses(STP_POST, at(6, USER)), [(USER, true)], "the base changes afterwards");
        assert_eq!(accesses(LDP, at(1, KERNEL)), []);
        assert_eq!(accesses(LDR_INDEX, with(&[(1, USER), (2, 5)])), [(USER + 40, false)]);
        assert_eq!(accesses(LDR_SXTW, with(&[(1, USER), (2, 0xffff_fffe)])), [(USER - 8, false)]);
        assert_eq!(accesses(DC_CVAU, at(4, USER)), [(USER, false)], "the upkeep of a cache faults, too");
        assert_eq!(accesses(PRFM, at(1, USER)), [], "a prefetch does not fault");
        assert_eq!(accesses(STTR_X7, at(6, 0x10)), []);
    }

    #[test]
    fn the_tag_of_a_user_address_is_no_part_of_it() {
        assert_eq!(accesses(STTR_X7, with(&[(6, USER | 0xb4 << 56)])), [(USER, true)]);
        assert_eq!(accesses(STTR_X7, with(&[(6, KERNEL & 0x00ff_ffff_ffff_ffff)])), [], "bit 55 says which half");
    }

    #[test]
    fn an_access_across_the_end_of_a_page_may_fault_at_either() {
        let end = USER & !0xfff | 0xff8;
        assert_eq!(accesses(STP_POST, with(&[(6, end)])), [(end, true), (end + 8, true)]);
        assert_eq!(accesses(STTR_X7, with(&[(6, end)])), [(end, true)]);
        assert_eq!(accesses(LDTRB_W3, with(&[(1, end + 7)])), [(end + 7, false)]);
    }

    #[test]
    fn what_is_no_instruction_gives_nothing() {
        for word in [NOP, RET, 0, 0xffff_ffff] {
            assert_eq!(accesses(word, with(&[(0, USER), (1, USER)])), []);
        }
        assert_eq!(memory_accesses(&[0xc7, 0x08], &with(&[(6, USER)])), []);
        assert_eq!(disassemble(&STTR_X8_8.to_le_bytes()).unwrap(), "sttr x8, [x6, #0x8]");
        assert_eq!(disassemble(&[0; 4]), None);
    }

    /// Code at 0x1000, and nothing else.
    struct Code(&'static [u32]);

    impl Reader for Code {
        nothing_is_there! { pages addresses members }

        fn read(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
            let start = address.get().checked_sub(0x1000).ok_or(ReadError::NonCanonical { address })?;
            let code: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
            let code = code.get(usize::try_from(start).unwrap()..).ok_or(ReadError::NonCanonical { address })?;
            buf.iter_mut().zip(code.iter().chain(std::iter::repeat(&0))).for_each(|(to, from)| *to = *from);
            Ok(())
        }
    }

    fn polled(at: u64, code: &'static [u32]) -> Option<u64> {
        let registers = Registers { pc: VirtAddr::new(0x1000 + at * 4), ..with(&[(19, KERNEL), (2, KERNEL + 0x100)]) };
        polled_address(&Code(code), &registers).map(VirtAddr::get)
    }

    #[test]
    fn a_loop_reads_the_word_that_it_waits_for() {
        // ldar w0, [x19]; cbz w0, out; ldxr w1, [x19]; eor w1, w1, w0; cbnz w1, .+8; wfe; b back; out: ret
        let code = &[0x88df_fe60, 0x3400_00c0, 0x885f_7e61, 0x4a00_0021, 0x3500_0041, WFE, 0x17ff_fffa, RET];
        for at in 0..=6 {
            assert_eq!(polled(at, code), Some(KERNEL), "from {at}");
        }
        assert_eq!(polled(7, code), None, "behind the loop");
        // yield; ldr w1, [x2, #8]
        assert_eq!(polled(0, &[0xd503_203f, 0xb940_0841]), Some(KERNEL + 0x108));
        // casal w0, w1, [x2] reads, too
        assert_eq!(polled(0, &[0x88e0_fc41]), Some(KERNEL + 0x100));
    }

    #[test]
    fn a_register_that_the_code_changes_before_it_reads_tells_nothing() {
        // mov x19, x0; ldr w1, [x19]
        assert_eq!(polled(0, &[0xaa00_03f3, 0xb940_0261]), None);
        // ldr w0, [sp, #8]; b to itself
        assert_eq!(polled(0, &[0xb940_0be0, 0x1400_0000]), None, "the stack is no lock");
        // add x19, x19, #8; ldr w1, [x19]
        assert_eq!(polled(0, &[0x9100_2273, 0xb940_0261]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_code_and_registers_are_survived(word: u32, one: u64, other: u64) {
            let registers = with(&[(0, one), (1, other), (6, one), (19, other)]);
            for (address, _) in accesses(word, registers) {
                proptest::prop_assert!(address < 1 << 56);
            }
        }
    }
}
