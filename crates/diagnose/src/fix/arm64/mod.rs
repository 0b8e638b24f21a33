//! Following code of arm64.
//!
//! Atomic accesses are those of the large system extensions (`stset`, `ldsetal`, `casal`) and pairs of `ldxr` and `stxr`; kernels
//! have both, and one of them on the way that this machine takes.

mod entry;
mod execute;

use vmcore_memory::le_u32;
use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::{InstDecoder, Instruction, Opcode, Operand};

use super::flow::{Decision, Machine, Walk};
use super::state::{Numbered, State, TailTest};
use super::value::{Origin, Value};
pub(super) use entry::hook;

const STACK_POINTER: u32 = 31;
/// How code of arm64 is followed.
pub(super) const MACHINE: Machine =
    Machine { stack_pointer: STACK_POINTER, step: |walk, at, state| walk.step_arm64(at, state) };
/// Number 31 where it is not the stack pointer: always 0.
const ZERO: Register = Register(32);
/// `x0` to `x17`, the platform's `x18`, and the link register: what a call does not keep.
const CLOBBERED: [Register; 20] = [
    Register(0),
    Register(1),
    Register(2),
    Register(3),
    Register(4),
    Register(5),
    Register(6),
    Register(7),
    Register(8),
    Register(9),
    Register(10),
    Register(11),
    Register(12),
    Register(13),
    Register(14),
    Register(15),
    Register(16),
    Register(17),
    Register(18),
    Register(30),
];
const EQUAL: u8 = 0;
const NOT_EQUAL: u8 = 1;

/// A general register: 0 to 30, the stack pointer, [`ZERO`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Register(u32);

impl Numbered for Register {
    fn number(self) -> u32 {
        self.0
    }
}

/// The instruction as objdump shows it; `None` where there is none.
pub(super) fn disassemble(code: &[u8]) -> Option<String> {
    Some(decode(code)?.to_string())
}

fn decode(code: &[u8]) -> Option<Instruction> {
    // Not a word of the kernel's: code that was overwritten, or data.
    le_u32(code, 0).filter(|&word| word != 0)?;
    InstDecoder::default().decode(&mut U8Reader::new(code.get(..4)?)).ok()
}

impl Walk<'_> {
    fn step_arm64(&mut self, at: u64, mut state: State) {
        let Some(instruction) = decode(&self.text.code(at)) else {
            self.found.incomplete = true;
            return;
        };
        if let Some(taken) = self.taken_arm64(&instruction, at, &mut state) {
            self.found.decisions.extend(taken);
            return;
        }
        let next = at.wrapping_add(4);
        let target = instruction.operands.iter().find_map(|operand| match operand {
            Operand::PCOffset(bytes) => Some(at.wrapping_add(bytes.cast_unsigned())),
            _ => None,
        });
        match (instruction.opcode, target) {
            (Opcode::B, Some(target)) => self.jump(target, state),
            (Opcode::Bcc(condition), Some(target)) => {
                let tested = by_condition(state.flags, condition);
                self.branch(next, target, tested, state);
            }
            (Opcode::TBZ | Opcode::TBNZ | Opcode::CBZ | Opcode::CBNZ, Some(target)) => {
                let tested = by_register(&instruction, &mut state);
                self.branch(next, target, tested, state);
            }
            (Opcode::BL | Opcode::BLR | Opcode::BLRAA | Opcode::BLRAAZ | Opcode::BLRAB | Opcode::BLRABZ, _) => {
                state.after_call(&CLOBBERED, at);
                self.open.push((next, state));
            }
            // What reports a bug, and a return: nothing follows here.
            (Opcode::RET | Opcode::RETAA | Opcode::RETAB | Opcode::ERET, _) => {}
            (Opcode::BRK, _) if !is_probe(&instruction) => {}
            // A probe, a jump through a register.
            (Opcode::BRK | Opcode::HLT | Opcode::UDF | Opcode::Invalid, _) => self.found.incomplete = true,
            (Opcode::BR | Opcode::BRAA | Opcode::BRAAZ | Opcode::BRAB | Opcode::BRABZ, _) => {
                self.found.incomplete = true;
            }
            _ => {
                self.execute_arm64(&instruction, at, &mut state);
                self.go_on(next, state);
            }
        }
    }

    /// Whether this is the access that decides for this way, and what.
    fn taken_arm64(&mut self, instruction: &Instruction, at: u64, state: &mut State) -> Option<Option<Decision>> {
        if !is_atomic(&instruction.opcode.to_string()) {
            return None;
        }
        let (address, _) = self.address_arm64(instruction, state)?;
        self.decide(at, address, state)
    }
}

/// Whether a `brk` stands in for another instruction: of kprobes, uprobes and kgdb (`arch/arm64/include/asm/brk-imm.h`). The
/// others report something: behind a warning the code goes on, with nothing that decides.
fn is_probe(instruction: &Instruction) -> bool {
    matches!(instruction.operands.first(), Some(Operand::Imm16(4..=7 | 0x400 | 0x401)))
}

/// Whether an instruction reads memory and writes it at once: an atomic access of the large system extensions.
fn is_read_and_write(mnemonic: &str) -> bool {
    const EXCLUSIVE: [&str; 4] = ["ldx", "ldax", "stx", "stlx"];
    is_atomic(mnemonic) && !EXCLUSIVE.iter().any(|start| mnemonic.starts_with(start))
}

/// Whether an instruction is part of an atomic access.
fn is_atomic(mnemonic: &str) -> bool {
    const WORK: [&str; 8] = ["add", "clr", "eor", "set", "smax", "smin", "umax", "umin"];
    const EXCLUSIVE: [&str; 4] = ["ldxr", "ldaxr", "stxr", "stlxr"];
    let works = |rest: &str| WORK.iter().any(|work| rest.starts_with(work));
    let rest = mnemonic.strip_prefix("ld").or_else(|| mnemonic.strip_prefix("st"));
    mnemonic.starts_with("cas")
        || mnemonic.starts_with("swp")
        || rest.is_some_and(works)
        || EXCLUSIVE.iter().any(|start| mnemonic.starts_with(start))
}

fn by_condition(flags: Option<TailTest>, condition: u8) -> Option<(TailTest, bool)> {
    match condition {
        NOT_EQUAL => Some((flags?, true)),
        EQUAL => Some((flags?, false)),
        _ => None,
    }
}

/// What a jump by a register says of bit 0 of a link where it is taken.
fn by_register(instruction: &Instruction, state: &mut State) -> Option<(TailTest, bool)> {
    let [Operand::Register(_, number), bit, ..] = instruction.operands else { return None };
    let value = state.get(register(number));
    let is_bit_0 = matches!(bit, Operand::Imm16(0) | Operand::Immediate(0));
    let (by_bit, taken) = match instruction.opcode {
        Opcode::TBZ => (true, false),
        Opcode::TBNZ => (true, true),
        Opcode::CBZ => (false, false),
        _ => (false, true),
    };
    let test = |origin: Origin| Some((TailTest { origin, in_carry: false }, taken));
    match value {
        Value::Loaded { origin } | Value::TailBit { origin } if by_bit && is_bit_0 => test(origin),
        Value::TailBit { origin } if !by_bit => test(origin),
        Value::Unclear if !by_bit || is_bit_0 => {
            state.unclear_test = true;
            None
        }
        _ => None,
    }
}

/// A register as an operand that is not a base: number 31 is always 0.
const fn register(number: u16) -> Register {
    if number == 31 { ZERO } else { Register(number as u32) }
}
