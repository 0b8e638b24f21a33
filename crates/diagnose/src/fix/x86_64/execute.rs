//! What one instruction does to the state.

use iced_x86::{
    Code, ConditionCode, FlowControl, Instruction, InstructionInfoFactory, MemorySize, Mnemonic, OpAccess, OpKind,
    Register,
};

use super::super::flow::Walk;
use super::super::state::{State, TailTest};
use super::super::value::{VARIABLE, Value, Which};
use super::tested;

impl Walk<'_> {
    pub(super) fn execute(&mut self, instruction: &Instruction, state: &mut State) {
        let source = self.source(instruction, state);
        let result = result(instruction, state, source).or_else(|| self.sum(instruction, state, source));
        let unclear = reads_link(instruction, state);
        let test = self.test(instruction, state, source);
        let stored = self.stored(instruction, state);
        forget_written(instruction, state, unclear);
        if instruction.rflags_modified() != 0 {
            state.flags = test;
        }
        if let Some((offset, value)) = stored {
            state.store(offset, value);
        }
        if let Some((register, value)) = result {
            state.set(register, value);
        }
    }

    /// The value of the last operand, where it is one; loading a link counts.
    fn source(&mut self, instruction: &Instruction, state: &mut State) -> Option<Value> {
        let last = instruction.op_count().checked_sub(1)?;
        if instruction.mnemonic() == Mnemonic::Lea {
            return self.address(instruction, state);
        }
        match instruction.op_kind(last) {
            OpKind::Register => {
                let register = instruction.op_register(last);
                (register.size() >= 4).then(|| state.get(register))
            }
            OpKind::Memory => self.load(instruction, state),
            _ => None,
        }
    }

    /// The address of the memory operand: one or two registers plus a constant.
    pub(super) fn address(&mut self, instruction: &Instruction, state: &State) -> Option<Value> {
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        if is_elsewhere(instruction) || matches!(base, Register::None | Register::RIP) {
            return None;
        }
        let start = match index {
            Register::None => state.get(base),
            _ if instruction.memory_index_scale() == 1 => self.numbered(state.get(base), state.get(index))?,
            _ => return None,
        };
        start.plus(instruction.memory_displacement64().cast_signed())
    }

    /// A register plus a register or a variable.
    fn sum(&mut self, instruction: &Instruction, state: &State, source: Option<Value>) -> Option<(Register, Value)> {
        let register = instruction.op0_register();
        let adds = instruction.mnemonic() == Mnemonic::Add && instruction.op0_kind() == OpKind::Register;
        if !adds || register.size() != 8 {
            return None;
        }
        Some((register, self.numbered(state.get(register), source?)?))
    }

    fn load(&mut self, instruction: &Instruction, state: &mut State) -> Option<Value> {
        if is_variable(instruction) {
            return Some(Value::unknown(instruction.memory_displacement64(), VARIABLE));
        }
        let Some(address) = self.address(instruction, state) else { return Some(Value::Unclear) };
        match address {
            Value::Stack(offset) => state.slot(offset),
            Value::Pointer { origin, which: Which::Itself, offset } if self.is_link(offset) => {
                Some(state.load_link(origin))
            }
            _ => None,
        }
    }

    /// A store to the stack: where, and what if it is a whole register.
    fn stored(&mut self, instruction: &Instruction, state: &State) -> Option<(i64, Option<Value>)> {
        let (to, register) = match instruction.mnemonic() {
            Mnemonic::Push => (state.get(Register::RSP).plus(-8)?, instruction.op0_register()),
            Mnemonic::Mov if instruction.op0_kind() == OpKind::Memory => {
                (self.address(instruction, state)?, instruction.op1_register())
            }
            _ => return None,
        };
        let Value::Stack(offset) = to else { return None };
        let whole = register.size() == 8 && instruction.memory_size() != MemorySize::UInt32;
        Some((offset, whole.then(|| state.get(register))))
    }

    /// Whether the flags now say what bit 0 of a link is.
    fn test(&mut self, instruction: &Instruction, state: &mut State, source: Option<Value>) -> Option<TailTest> {
        let in_memory = instruction.op0_kind() == OpKind::Memory;
        let first = match instruction.op0_kind() {
            OpKind::Register => Some(state.get(instruction.op0_register())),
            OpKind::Memory if instruction.mnemonic() == Mnemonic::Test => self.load(instruction, state),
            _ => source,
        };
        if first == Some(Value::Unclear) && constant(instruction).is_some_and(|constant| constant <= 1) {
            state.unclear_test = true;
        }
        let Some(Value::Loaded { origin }) = first else { return None };
        match instruction.mnemonic() {
            Mnemonic::Test | Mnemonic::And if constant(instruction) == Some(1) => {
                Some(TailTest { origin, in_carry: false })
            }
            Mnemonic::Bt if !in_memory && constant(instruction) == Some(0) => Some(TailTest { origin, in_carry: true }),
            _ => None,
        }
    }
}

/// The constant that is the second and last operand.
fn constant(instruction: &Instruction) -> Option<u64> {
    if instruction.op_count() == 2 { instruction.try_immediate(1).ok() } else { None }
}

/// A whole word at an address that the instruction holds.
fn is_variable(instruction: &Instruction) -> bool {
    matches!(instruction.memory_base(), Register::None | Register::RIP)
        && instruction.memory_index() == Register::None
        && !is_elsewhere(instruction)
        && matches!(instruction.memory_size(), MemorySize::UInt64 | MemorySize::Int64)
}

/// Whether an operand, not counting what only addresses memory, is made of a link.
fn reads_link(instruction: &Instruction, state: &State) -> bool {
    let operands = (0..instruction.op_count()).filter(|&operand| instruction.op_kind(operand) == OpKind::Register);
    let mut registers: Vec<_> = operands.map(|operand| instruction.op_register(operand)).collect();
    match instruction.mnemonic() {
        // The first operand is only written.
        Mnemonic::Mov | Mnemonic::Movsxd | Mnemonic::Movzx if !registers.is_empty() => {
            registers.remove(0);
        }
        Mnemonic::Lea => registers = vec![instruction.memory_base(), instruction.memory_index()],
        _ => {}
    }
    registers.iter().any(|register| register.is_gpr() && state.get(*register).is_of_link())
}

/// What an instruction leaves in its first operand, where that is known.
fn result(instruction: &Instruction, state: &State, source: Option<Value>) -> Option<(Register, Value)> {
    let stack = |bytes| Some((Register::RSP, state.get(Register::RSP).plus(bytes)?));
    match instruction.mnemonic() {
        Mnemonic::Push => return stack(-8),
        Mnemonic::Pop => return None,
        _ => {}
    }
    if instruction.op0_kind() != OpKind::Register {
        return None;
    }
    let register = instruction.op0_register();
    // Half of a pointer is none, but half of a link has its bit 0.
    if let (4, Mnemonic::Mov, Some(link @ Value::Loaded { .. })) = (register.size(), instruction.mnemonic(), source) {
        return Some((register, link));
    }
    let before = state.get(register);
    let constant = || constant(instruction).map(u64::cast_signed);
    if instruction.mnemonic() == Mnemonic::And && constant() == Some(1) && register.size() >= 4 {
        return Some((register, before.only_bit_0()?));
    }
    if register.size() != 8 {
        return None;
    }
    let value = match instruction.mnemonic() {
        Mnemonic::Mov | Mnemonic::Lea => source,
        Mnemonic::Add => before.plus(constant()?),
        Mnemonic::Sub => before.plus(constant()?.checked_neg()?),
        Mnemonic::Dec => before.plus(-1),
        Mnemonic::And if constant() == Some(-2) => before.without_bit_0(),
        Mnemonic::Or => before.or(source?).or_else(|| source?.or(before)),
        // A mask instead of a pointer (kernel commit d6746190bbf3, 7.1).
        Mnemonic::And => before.masked(source?).or_else(|| source?.masked(before)),
        _ if instruction.is_cmov_like() => {
            let (test, bit) = tested(state.flags, instruction.condition_code())?;
            State::choose(test.origin, bit, source?, before)
        }
        _ => None,
    };
    Some((register, value?))
}

trait CmovLike {
    fn is_cmov_like(&self) -> bool;
}

impl CmovLike for Instruction {
    fn is_cmov_like(&self) -> bool {
        self.condition_code() != ConditionCode::None && self.flow_control() == FlowControl::Next && self.op_count() == 2
    }
}

/// Whatever an instruction writes is not known any more. `pop` is known again at once.
fn forget_written(instruction: &Instruction, state: &mut State, unclear: bool) {
    let at = instruction.ip();
    let stack = state.get(Register::RSP);
    let popped = match (instruction.mnemonic(), stack) {
        (Mnemonic::Pop, Value::Stack(offset)) => state.slot(offset),
        _ => None,
    };
    let moves_stack = matches!(instruction.mnemonic(), Mnemonic::Push | Mnemonic::Pop | Mnemonic::Add | Mnemonic::Sub);
    if !moves_stack && instruction.op0_kind() == OpKind::Register && instruction.op0_register() == Register::RSP {
        state.forget(Register::RSP, at);
    }
    let mut factory = InstructionInfoFactory::new();
    for used in factory.info(instruction).used_registers() {
        let writes =
            !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess | OpAccess::None);
        if writes && used.register().full_register() != Register::RSP && used.register().is_gpr() {
            if unclear {
                state.set(used.register(), Value::Unclear);
            } else {
                state.forget(used.register(), at);
            }
        }
    }
    if instruction.mnemonic() == Mnemonic::Pop && instruction.code() != Code::Pop_r16 {
        if let Some(value) = stack.plus(8) {
            state.set(Register::RSP, value);
        }
        if let (OpKind::Register, Some(value)) = (instruction.op0_kind(), popped) {
            state.set(instruction.op0_register(), value);
        }
    }
}

/// Whether the operand is in per-CPU memory: of the segments only FS and GS have a base.
fn is_elsewhere(instruction: &Instruction) -> bool {
    matches!(instruction.segment_prefix(), Register::FS | Register::GS)
}
