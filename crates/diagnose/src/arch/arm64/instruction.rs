//! One instruction of A64, in the words that the rest asks in.
//!
//! Source: Arm Architecture Reference Manual, C4 and C6.

use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::{self, Opcode, Operand, ShiftStyle, SizeCode};

use vmcore_memory::arch::arm64::Registers;

/// The number that means the stack pointer as a base, and the register that is always 0 elsewhere.
const SP_OR_ZERO: u16 = 31;

/// A decoded instruction.
pub(super) struct Instruction {
    decoded: a64::Instruction,
    mnemonic: String,
}

/// Where an instruction goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// At the next one, or, of a conditional branch, maybe there.
    Next,
    /// So many bytes further, always.
    Jump(i64),
    /// Elsewhere.
    Leaves,
}

/// A memory operand: the lowest address is `base` plus what the registers make of the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    /// The number of the base register; 31 is the stack pointer.
    pub(super) base: u16,
    pub(super) offset: Offset,
}

/// What is added to a base.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Offset {
    /// Bytes.
    Constant(i32),
    /// A register, extended and shifted to the left.
    Register { number: u16, style: ShiftStyle, shift: u8 },
}

impl Instruction {
    /// The instruction at the start of `code`; `None` where there is none.
    pub(super) fn decode(code: &[u8]) -> Option<Self> {
        let word = code.get(..4)?;
        let decoded = a64::InstDecoder::default().decode(&mut U8Reader::new(word)).ok()?;
        let known = !matches!(decoded.opcode, Opcode::Invalid | Opcode::UDF);
        known.then(|| Self { mnemonic: decoded.opcode.to_string(), decoded })
    }

    /// As objdump shows it.
    pub(super) fn text(&self) -> String {
        self.decoded.to_string()
    }

    fn operands(&self) -> &[Operand] {
        let operands = &self.decoded.operands;
        let count = operands.iter().take_while(|operand| !matches!(operand, Operand::Nothing)).count();
        operands.get(..count).unwrap_or(operands)
    }

    /// Its memory operand.
    pub(super) fn memory(&self) -> Option<Memory> {
        if matches!(self.decoded.opcode, Opcode::SYS(_)) {
            // The upkeep of a cache (`dc civac, x0`) takes an address in a register, and faults on it as a load does.
            return self.operands().iter().find_map(|operand| match *operand {
                Operand::Register(SizeCode::X, base) if base != SP_OR_ZERO => {
                    Some(Memory { base, offset: Offset::Constant(0) })
                }
                _ => None,
            });
        }
        self.touches_memory().then(|| self.operands().iter().find_map(memory)).flatten()
    }

    /// Whether it loads or stores: a prefetch does neither.
    fn touches_memory(&self) -> bool {
        self.reads() || self.writes()
    }

    /// Whether it reads its memory operand.
    pub(super) fn reads(&self) -> bool {
        self.mnemonic.starts_with("ld") || self.is_atomic()
    }

    /// Whether it writes its memory operand.
    pub(super) fn writes(&self) -> bool {
        self.mnemonic.starts_with("st") || self.is_atomic()
    }

    /// An instruction of the large system extensions, which reads and writes at once: `cas`, `swp`, `ldadd`, `stset` and so on.
    fn is_atomic(&self) -> bool {
        const WORK: [&str; 8] = ["add", "clr", "eor", "set", "smax", "smin", "umax", "umin"];
        let works = |rest: &str| WORK.iter().any(|work| rest.starts_with(work));
        let rest = self.mnemonic.get(2..).unwrap_or_default();
        let begins = |start: &str| self.mnemonic.starts_with(start);
        begins("cas") || begins("swp") || ((begins("ld") || begins("st")) && works(rest))
    }

    /// How many bytes it touches.
    pub(super) fn bytes(&self) -> u64 {
        let one = match (self.mnemonic.get(self.mnemonic.len().saturating_sub(1)..), self.operands().first()) {
            (Some("b"), _) => 1,
            (Some("h"), _) => 2,
            (Some("w"), _) | (_, Some(Operand::Register(SizeCode::W, _))) => 4,
            (_, Some(Operand::Register(..))) => 8,
            _ => 16,
        };
        let pair = self.mnemonic == "ldpsw" || (self.mnemonic.ends_with('p') && !self.mnemonic.starts_with("swp"));
        one << u32::from(pair)
    }

    /// The numbers of the general registers that it may write; more than it does, rather than less.
    pub(super) fn written(&self) -> Vec<u16> {
        let operands = self.operands();
        let is_store = self.writes() && !self.is_atomic();
        let only_reads = ["cb", "tb", "cmp", "ccm", "tst", "msr", "ret", "br", "blr"];
        let count = match self.mnemonic.as_str() {
            // The exclusive ones leave in the first whether they succeeded.
            name if is_store && (name.starts_with("stx") || name.starts_with("stlx")) => 1,
            _ if is_store => 0,
            name if only_reads.iter().any(|start| name.starts_with(start)) => 0,
            // What it reads of two, and what was there.
            _ if self.touches_memory() => operands.len(),
            _ => 1,
        };
        let registers = operands.iter().take(count).filter_map(|operand| match *operand {
            Operand::Register(_, number) if number != SP_OR_ZERO => Some(number),
            Operand::RegisterOrSP(_, number) | Operand::RegisterPair(_, number) => Some(number),
            _ => None,
        });
        let written_back = operands.iter().filter_map(|operand| match *operand {
            Operand::RegPreIndex(base, _, true)
            | Operand::RegPostIndex(base, _)
            | Operand::RegPostIndexReg(base, _) => Some(base),
            _ => None,
        });
        registers.chain(written_back).collect()
    }

    /// Where it goes on.
    pub(super) fn flow(&self) -> Flow {
        match (self.decoded.opcode, self.operands().first()) {
            (Opcode::B, Some(Operand::PCOffset(bytes))) => Flow::Jump(*bytes),
            (Opcode::Bcc(_), _) => Flow::Next,
            (Opcode::BL | Opcode::BLR | Opcode::BR | Opcode::RET | Opcode::ERET | Opcode::B, _) => Flow::Leaves,
            (Opcode::BRK | Opcode::HLT | Opcode::SVC | Opcode::HVC | Opcode::SMC, _) => Flow::Leaves,
            _ if self.mnemonic.starts_with("ret") || self.mnemonic.starts_with("br") => Flow::Leaves,
            _ if self.mnemonic.starts_with("blr") => Flow::Leaves,
            _ => Flow::Next,
        }
    }
}

fn memory(operand: &Operand) -> Option<Memory> {
    let constant = |base, bytes| Some(Memory { base, offset: Offset::Constant(bytes) });
    match *operand {
        Operand::RegPreIndex(base, bytes, _) => constant(base, bytes),
        Operand::RegPostIndex(base, _) | Operand::RegPostIndexReg(base, _) => constant(base, 0),
        Operand::RegRegOffset(base, number, _, style, shift) => {
            Some(Memory { base, offset: Offset::Register { number, style, shift } })
        }
        _ => None,
    }
}

impl Memory {
    /// The address, with these registers; `None` where it is made in a way that no load or store has.
    pub(super) fn address(&self, registers: &Registers) -> Option<u64> {
        let base = if self.base == SP_OR_ZERO { registers.sp.get() } else { general(registers, self.base)? };
        let offset = match self.offset {
            Offset::Constant(bytes) => i64::from(bytes).cast_unsigned(),
            Offset::Register { number, style, shift } => {
                let value = general(registers, number)?;
                let extended = match style {
                    ShiftStyle::LSL | ShiftStyle::UXTX | ShiftStyle::SXTX => value,
                    ShiftStyle::UXTW => value & 0xffff_ffff,
                    #[allow(clippy::cast_possible_truncation)] // The lower half, as a signed number.
                    ShiftStyle::SXTW => i64::from(value as u32 as i32).cast_unsigned(),
                    _ => return None,
                };
                extended.checked_shl(shift.into())?
            }
        };
        Some(base.wrapping_add(offset))
    }

    /// The registers that it is made of.
    pub(super) fn made_of(&self) -> impl Iterator<Item = u16> {
        let index = match self.offset {
            Offset::Constant(_) => None,
            Offset::Register { number, .. } => Some(number),
        };
        std::iter::once(self.base).chain(index)
    }
}

/// A general register as an operand: number 31 is always 0.
fn general(registers: &Registers, number: u16) -> Option<u64> {
    if number == SP_OR_ZERO { Some(0) } else { registers.x.get(usize::from(number)).copied() }
}
