//! What one instruction does to the state.

use yaxpeax_arm::armv8::a64::{Instruction, Opcode, Operand, ShiftStyle, SizeCode};

use super::super::flow::Walk;
use super::super::state::{State, TailTest};
use super::super::value::{PAGE_OF_VARIABLES, SHIFTED, VARIABLE, Value, Which};
use super::{EQUAL, NOT_EQUAL, Register, STACK_POINTER, ZERO, by_condition, register};

const WORD: i64 = 8;

/// What an instruction leaves in a register; `None` where that is a value that is not known further.
type Result = (Register, Option<Value>);

impl Walk<'_> {
    pub(super) fn execute_arm64(&mut self, instruction: &Instruction, at: u64, state: &mut State) {
        let name = instruction.opcode.to_string();
        if super::is_read_and_write(&name) {
            // What was in memory, on which nothing is known; the base stays.
            for operand in &instruction.operands {
                if let Operand::Register(_, number) | Operand::RegisterPair(_, number) = *operand {
                    state.forget(register(number), at);
                }
            }
            return;
        }
        if name.starts_with("ld") && !name.starts_with("ldx") && !name.starts_with("ldax") {
            return self.load_arm64(instruction, at, state);
        }
        if name.starts_with("st") {
            return self.store_arm64(instruction, &name, at, state);
        }
        let unclear = reads_link(instruction, state) && !is_product(instruction);
        let result = self.result(instruction, at, state);
        self.set_flags(instruction, &name, state);
        // What is written to the zero register is gone.
        let Some((register, value)) = result.filter(|(register, _)| *register != ZERO) else { return };
        match value {
            Some(value) => state.set(register, value),
            None if unclear => state.set(register, Value::Unclear),
            None => state.forget(register, at),
        }
    }

    /// The address of the memory operand, and what the base is afterwards where that is written back.
    pub(super) fn address_arm64(&mut self, instruction: &Instruction, state: &State) -> Option<(Value, Option<Value>)> {
        instruction.operands.iter().find_map(|operand| match *operand {
            Operand::RegPreIndex(base, bytes, back) => {
                let address = state.get(Register(base.into())).plus(bytes.into())?;
                Some((address, back.then_some(address)))
            }
            Operand::RegPostIndex(base, bytes) => {
                let address = state.get(Register(base.into()));
                Some((address, address.plus(bytes.into())))
            }
            Operand::RegRegOffset(base, index, SizeCode::X, ShiftStyle::LSL, 0) => {
                let sum = self.numbered(state.get(Register(base.into())), state.get(register(index)))?;
                Some((sum, None))
            }
            _ => None,
        })
    }

    fn write_back(instruction: &Instruction, back: Option<Value>, at: u64, state: &mut State) {
        for operand in &instruction.operands {
            let base = match *operand {
                Operand::RegPreIndex(base, _, true) | Operand::RegPostIndex(base, _) => base,
                Operand::RegPostIndexReg(base, _) => base,
                _ => continue,
            };
            match back {
                Some(value) => state.set(Register(base.into()), value),
                None => state.forget(Register(base.into()), at),
            }
        }
    }

    fn load_arm64(&mut self, instruction: &Instruction, at: u64, state: &mut State) {
        let (address, back) =
            self.address_arm64(instruction, state).map_or((None, None), |(at, back)| (Some(at), back));
        let targets = instruction.operands.iter().map_while(|operand| match *operand {
            Operand::Register(size, number) => Some((size, register(number))),
            _ => None,
        });
        let targets: Vec<_> = targets.collect();
        let step = if targets.first().is_some_and(|(size, _)| *size == SizeCode::W) { 4 } else { WORD };
        for (index, (size, target)) in (0..).zip(targets).filter(|(_, (_, target))| *target != ZERO) {
            let value = match address.and_then(|address| address.plus(index * step)) {
                Some(address) => self.loaded(address, size, state),
                // From where is not known: it may be a link.
                None => Some(Value::Unclear),
            };
            match value {
                Some(value) => state.set(target, value),
                None => state.forget(target, at),
            }
        }
        Self::write_back(instruction, back, at, state);
    }

    fn loaded(&mut self, address: Value, size: SizeCode, state: &mut State) -> Option<Value> {
        match address {
            Value::Stack(offset) if size == SizeCode::X => state.slot(offset),
            Value::Pointer { origin, which: Which::Itself, offset } => {
                if origin.register == PAGE_OF_VARIABLES {
                    return Some(Value::unknown(origin.at.wrapping_add(offset.cast_unsigned()), VARIABLE));
                }
                // Half of a link has its bit 0.
                self.is_link(offset).then(|| state.load_link(origin))
            }
            _ => None,
        }
    }

    fn store_arm64(&mut self, instruction: &Instruction, name: &str, at: u64, state: &mut State) {
        let found = self.address_arm64(instruction, state);
        let mut registers = instruction.operands.iter().map_while(|operand| match *operand {
            Operand::Register(size, number) => Some((size, register(number))),
            _ => None,
        });
        if name.starts_with("stx") || name.starts_with("stlx") {
            // Whether it succeeded.
            if let Some((_, status)) = registers.next() {
                state.forget(status, at);
            }
        }
        if let Some((Value::Stack(offset), _)) = found {
            let narrow = name.ends_with('b') || name.ends_with('h');
            for (index, (size, source)) in (0..).zip(registers) {
                let whole = size == SizeCode::X && !narrow;
                let step = if size == SizeCode::X { WORD } else { 4 };
                state.store(offset.saturating_add(index * step), whole.then(|| state.get(source)));
            }
        }
        Self::write_back(instruction, found.and_then(|(_, back)| back), at, state);
    }

    /// What an instruction that touches no memory leaves, and where.
    fn result(&mut self, instruction: &Instruction, at: u64, state: &State) -> Option<Result> {
        let [first, second, third, fourth] = instruction.operands;
        let (size, target) = match first {
            Operand::Register(size, number) => (size, register(number)),
            Operand::RegisterOrSP(size, number) => (size, Register(number.into())),
            _ => return None,
        };
        if !writes_first(instruction) {
            return None;
        }
        let value = |operand| operand_value(operand, state);
        let one = value(second);
        let whole = size == SizeCode::X;
        let known = match instruction.opcode {
            Opcode::ORR if is_zero(second) => {
                // Half of a pointer is none, but half of a link has its bit 0.
                value(third).filter(|value| whole || matches!(value, Value::Loaded { .. } | Value::TailBit { .. }))
            }
            Opcode::ADD | Opcode::ADDS if whole => match constant(third) {
                Some(bytes) => one?.plus(bytes),
                None => self.shifted_sum(one?, third, false, state),
            },
            Opcode::SUB | Opcode::SUBS if whole => match constant(third) {
                Some(bytes) => one?.plus(bytes.checked_neg()?),
                None => self.shifted_sum(one?, third, true, state),
            },
            Opcode::AND | Opcode::ANDS => match constant(third) {
                Some(1) => one?.only_bit_0(),
                Some(-2) if whole => one?.without_bit_0(),
                Some(_) => None,
                None if whole => pair(one, value(third), Value::masked),
                None => None,
            },
            Opcode::ORR if whole => pair(one, value(third), Value::or),
            Opcode::CSEL if whole => chosen(state, one, value(third), fourth),
            Opcode::UBFM if constant(third) == Some(0) && constant(fourth) == Some(0) => one?.only_bit_0(),
            Opcode::ADRP => match second {
                Operand::PCOffset(bytes) => {
                    Some(Value::unknown((at & !0xfff).wrapping_add(bytes.cast_unsigned()), PAGE_OF_VARIABLES))
                }
                _ => None,
            },
            _ => None,
        };
        Some((target, known))
    }

    /// A register plus or minus another one, shifted: the same sum each time.
    fn shifted_sum(&mut self, one: Value, other: Operand, minus: bool, state: &State) -> Option<Value> {
        let (style, shift, number) = match other {
            Operand::RegShift(style, shift, SizeCode::X, number) => (style, shift, number),
            Operand::Register(SizeCode::X, number) => (ShiftStyle::LSL, 0, number),
            _ => return None,
        };
        let other = state.get(register(number));
        let how = match style {
            ShiftStyle::LSL => 0_u64,
            ShiftStyle::LSR => 1,
            ShiftStyle::ASR => 2,
            _ => return None,
        };
        let how = u64::from(shift) | how << 8 | u64::from(minus) << 16;
        let other = if how == 0 { other } else { self.numbered(other, Value::unknown(how, SHIFTED))? };
        self.numbered(one, other)
    }

    fn set_flags(&self, instruction: &Instruction, name: &str, state: &mut State) {
        const SET: [&str; 9] = ["adds", "subs", "ands", "bics", "ccmp", "ccmn", "adcs", "sbcs", "fc"];
        if !SET.iter().any(|start| name.starts_with(start)) {
            return;
        }
        let [_, second, third, _] = instruction.operands;
        let one = operand_value(second, state);
        let tests = matches!(instruction.opcode, Opcode::ANDS) && constant(third) == Some(1);
        if one == Some(Value::Unclear) && constant(third).is_some_and(|constant| (0..=1).contains(&constant)) {
            state.unclear_test = true;
        }
        state.flags = match one {
            Some(Value::Loaded { origin } | Value::TailBit { origin }) if tests => {
                Some(TailTest { origin, in_carry: false })
            }
            // `cmp` of the bit with 0.
            Some(Value::TailBit { origin })
                if matches!(instruction.opcode, Opcode::SUBS) && constant(third) == Some(0) =>
            {
                Some(TailTest { origin, in_carry: false })
            }
            _ => None,
        };
    }
}

/// What `csel` leaves.
fn chosen(state: &State, taken: Option<Value>, kept: Option<Value>, condition: Operand) -> Option<Value> {
    let Operand::ConditionCode(condition @ (EQUAL | NOT_EQUAL)) = condition else { return None };
    let (test, bit) = by_condition(state.flags, condition)?;
    State::choose(test.origin, bit, taken?, kept?)
}

fn pair(one: Option<Value>, other: Option<Value>, of: fn(Value, Value) -> Option<Value>) -> Option<Value> {
    of(one?, other?).or_else(|| of(other?, one?))
}

/// A register that is read whole.
fn operand_value(operand: Operand, state: &State) -> Option<Value> {
    match operand {
        Operand::Register(_, number) | Operand::RegShift(ShiftStyle::LSL, 0, _, number) => {
            Some(state.get(register(number)))
        }
        Operand::RegisterOrSP(_, number) => Some(state.get(Register(number.into()))),
        _ => None,
    }
}

const fn is_zero(operand: Operand) -> bool {
    matches!(operand, Operand::Register(_, 31))
}

fn constant(operand: Operand) -> Option<i64> {
    match operand {
        Operand::Immediate(value) => Some(value.into()),
        Operand::Imm16(value) => Some(value.into()),
        Operand::Imm64(value) => Some(value.cast_signed()),
        Operand::ImmShift(value, shift) => i64::from(value).checked_shl(shift.into()),
        _ => None,
    }
}

/// Whether the first operand is written: hints, barriers and system registers have it, too.
fn writes_first(instruction: &Instruction) -> bool {
    !matches!(instruction.opcode, Opcode::MSR | Opcode::CCMP | Opcode::CCMN)
}

/// Whether it multiplies: a hash of a page's address, as for the queue of those who wait for it, is no page.
fn is_product(instruction: &Instruction) -> bool {
    let adds_nothing = || instruction.operands.get(3).copied().is_some_and(is_zero);
    match instruction.opcode {
        Opcode::MADD => adds_nothing(),
        Opcode::UMULH | Opcode::SMULH => true,
        _ => false,
    }
}

/// Whether an operand is made of a link.
fn reads_link(instruction: &Instruction, state: &State) -> bool {
    let is_of_link = |number: u16| state.get(register(number)).is_of_link();
    // What is only moved into one of the bits keeps the others.
    let keeps = matches!(instruction.opcode, Opcode::BFM | Opcode::MOVK);
    instruction.operands.iter().skip(usize::from(!keeps)).any(|operand| match *operand {
        Operand::Register(_, number) | Operand::RegShift(_, _, _, number) => is_of_link(number),
        Operand::RegisterOrSP(_, number) if u32::from(number) != STACK_POINTER => is_of_link(number),
        _ => false,
    })
}
