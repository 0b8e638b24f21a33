//! Machine code of arm64 as objdump shows it: addresses where the instruction has distances, and data as `.word`.
//!
//! Source: Arm Architecture Reference Manual, C6.

use vmcore_memory::{VirtAddr, le_u32};
use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::{InstDecoder, Instruction, Opcode, Operand};

use super::Decoded;

/// The length of every instruction, in bytes.
pub(super) const LENGTH: usize = 4;
/// `ADRP` counts in pages of 4 KiB, whatever pages the machine has.
const ADRP_PAGE: u64 = 1 << 12;
/// Where the operands begin, in characters.
const OPERANDS: usize = 8;

/// The instructions of some code.
pub(super) fn instructions(code: &[u8], from: VirtAddr) -> impl Iterator<Item = Decoded<'_>> {
    let words = code.as_chunks::<LENGTH>().0;
    words.iter().zip(0u64..).map(move |(bytes, number)| decode(bytes, from.wrapping_add(number * LENGTH as u64)))
}

fn decode(bytes: &[u8; LENGTH], address: VirtAddr) -> Decoded<'_> {
    let decoded = InstDecoder::default().decode(&mut U8Reader::new(bytes)).ok();
    let decoded = decoded.filter(|decoded| decoded.opcode != Opcode::Invalid);
    let target = decoded.as_ref().and_then(|decoded| target(decoded, address));
    let text = match decoded {
        Some(decoded) => aligned(&text(&decoded, target)),
        None => aligned(&format!(".word {:#010x}", le_u32(bytes, 0).unwrap_or_default())),
    };
    Decoded { address, bytes, text, target }
}

/// The address that an instruction names by its distance.
fn target(instruction: &Instruction, address: VirtAddr) -> Option<VirtAddr> {
    let distance = instruction.operands.iter().find_map(|operand| match operand {
        Operand::PCOffset(distance) => Some(distance.cast_unsigned()),
        _ => None,
    })?;
    let base = if instruction.opcode == Opcode::ADRP { address.get() & !(ADRP_PAGE - 1) } else { address.get() };
    Some(VirtAddr::new(base).wrapping_add(distance))
}

/// The registers of the system that kernel code names most; the decoder knows all by their numbers.
const SYSTEM: [(&str, &str); 20] = [
    ("pstate.0x1e", "daifset"),
    ("pstate.0x1f", "daifclr"),
    ("s3_0_c0_c0_5", "mpidr_el1"),
    ("s3_0_c1_c0_0", "sctlr_el1"),
    ("s3_0_c2_c0_0", "ttbr0_el1"),
    ("s3_0_c2_c0_1", "ttbr1_el1"),
    ("s3_0_c4_c0_0", "spsr_el1"),
    ("s3_0_c4_c0_1", "elr_el1"),
    ("s3_0_c4_c1_0", "sp_el0"),
    ("s3_0_c4_c2_2", "currentel"),
    ("s3_0_c4_c6_0", "icc_pmr_el1"),
    ("s3_0_c5_c2_0", "esr_el1"),
    ("s3_0_c6_c0_0", "far_el1"),
    ("s3_0_c13_c0_4", "tpidr_el1"),
    ("s3_3_c4_c2_0", "nzcv"),
    ("s3_3_c4_c2_1", "daif"),
    ("s3_3_c13_c0_2", "tpidr_el0"),
    ("s3_3_c13_c0_3", "tpidrro_el0"),
    ("s3_3_c14_c0_2", "cntvct_el0"),
    ("s3_4_c13_c0_2", "tpidr_el2"),
];

/// The decoder writes distances from the instruction as `$+0x10`.
fn text(instruction: &Instruction, target: Option<VirtAddr>) -> String {
    let text = instruction.to_string();
    match (text.split_once('$'), target) {
        (Some((before, distance)), Some(target)) => {
            let digits = |c: char| matches!(c, '+' | '-' | 'x') || c.is_ascii_hexdigit();
            format!("{before}{target}{}", distance.trim_start_matches(digits))
        }
        _ if matches!(instruction.opcode, Opcode::MRS | Opcode::MSR) => with_system_register(text),
        _ => text,
    }
}

fn with_system_register(text: String) -> String {
    let is = |number: &str| text.split([' ', ',']).any(|word| word == number);
    let named = SYSTEM.iter().find(|(number, _)| is(number));
    named.map_or_else(|| text.clone(), |(number, name)| text.replace(number, name))
}

fn aligned(text: &str) -> String {
    match text.split_once(' ') {
        Some((mnemonic, operands)) => format!("{mnemonic:<width$}{operands}", width = OPERANDS.max(mnemonic.len() + 1)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[u32]) -> Vec<(String, Option<u64>)> {
        let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let shown = instructions(&code, VirtAddr::new(0xffff_8000_0801_0ff8));
        shown.map(|decoded| (decoded.text, decoded.target.map(VirtAddr::get))).collect()
    }

    #[test]
    fn branches_and_addresses_have_targets() {
        // bl, back by 8; cbz; tbnz; b.ne; adrp; adr
        let shown = shown(&[0x97ff_fffe, 0xb400_0060, 0x3707_ffe1, 0x5400_0041, 0xd000_0000, 0x1000_0020]);
        let expected = [
            ("bl      0xffff800008010ff0", 0xffff_8000_0801_0ff0),
            ("cbz     x0, 0xffff800008011008", 0xffff_8000_0801_1008),
            ("tbnz    w1, #0x0, 0xffff800008010ffc", 0xffff_8000_0801_0ffc),
            ("b.ne    0xffff80000801100c", 0xffff_8000_0801_100c),
            ("adrp    x0, 0xffff800008013000", 0xffff_8000_0801_3000),
            ("adr     x0, 0xffff800008011010", 0xffff_8000_0801_1010),
        ];
        let expected: Vec<_> = expected.map(|(text, target)| (text.to_owned(), Some(target))).into();
        assert_eq!(shown, expected);
    }

    #[test]
    fn entry_code_of_the_kernel() {
        // paciasp; stp x29, x30, [sp, #-32]!; mov x29, sp; mrs x0, sp_el0; msr daifset, #15; dmb ish; wfe; ret
        let words =
            [0xd503_233f, 0xa9be_7bfd, 0x9100_03fd, 0xd538_4100, 0xd503_4fdf, 0xd503_3bbf, 0xd503_205f, 0xd65f_03c0];
        let text: Vec<_> = shown(&words).into_iter().map(|(text, _)| text).collect();
        assert_eq!(
            text,
            [
                "paciasp",
                "stp     x29, x30, [sp, #-0x20]!",
                "mov     x29, sp",
                "mrs     x0, sp_el0",
                "msr     daifset, #0xf",
                "dmb     ish",
                "wfe",
                "ret"
            ]
        );
    }

    #[test]
    fn what_is_no_instruction_is_shown_as_data() {
        assert_eq!(shown(&[0x0000_0004, 0xffff_ffff])[1].0, ".word   0xffffffff");
        assert!(shown(&[]).is_empty());
        assert_eq!(instructions(&[1, 2, 3], VirtAddr::new(0)).count(), 0, "half an instruction");
    }
}
