//! Following code of x86-64.

mod entry;
mod execute;

use iced_x86::{
    ConditionCode, Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, Mnemonic, OpKind,
    Register,
};

use super::flow::{Decision, Machine, Walk};
use super::state::{Numbered, State, TailTest};
pub(super) use entry::hook;

/// How code of x86-64 is followed.
pub(super) const MACHINE: Machine =
    Machine { stack_pointer: Register::RSP as u32, step: |walk, at, state| walk.step_x86_64(at, state) };

impl Numbered for Register {
    fn number(self) -> u32 {
        self.full_register() as u32
    }
}

/// Registers that a call does not keep.
const CLOBBERED: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
];

/// The instruction in AT&T syntax.
pub(super) fn disassemble(code: &[u8], at: u64) -> String {
    let instruction = Decoder::with_ip(64, code, at, DecoderOptions::NONE).decode();
    let mut text = String::new();
    GasFormatter::new().format(&instruction, &mut text);
    text
}

impl Walk<'_> {
    fn step_x86_64(&mut self, at: u64, mut state: State) {
        let code = self.text.code(at);
        let instruction = Decoder::with_ip(64, &code, at, DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            self.found.incomplete = true;
            return;
        }
        if let Some(taken) = self.taken(&instruction, &mut state) {
            self.found.decisions.extend(taken);
            return;
        }
        let next = instruction.next_ip();
        match instruction.flow_control() {
            FlowControl::Next => {
                self.execute(&instruction, &mut state);
                self.go_on(next, state);
            }
            FlowControl::ConditionalBranch => {
                let tested = tested(state.flags, instruction.condition_code());
                self.branch(next, instruction.near_branch_target(), tested, state);
            }
            FlowControl::UnconditionalBranch => self.jump(instruction.near_branch_target(), state),
            FlowControl::Call | FlowControl::IndirectCall => {
                state.after_call(&CLOBBERED, at);
                self.open.push((next, state));
            }
            // `ret`, `ud2`, a jump through a register: nothing follows here.
            FlowControl::Return | FlowControl::Exception | FlowControl::XbeginXabortXend => {}
            // `int3` is a probe, or the middle of a change of the code.
            FlowControl::IndirectBranch | FlowControl::Interrupt => self.found.incomplete = true,
        }
    }

    /// Whether this is the access that decides for this way, and what.
    fn taken(&mut self, instruction: &Instruction, state: &mut State) -> Option<Option<Decision>> {
        // On a machine with one CPU the kernel makes DS prefixes of its lock prefixes (`alternatives_smp_unlock()` in
        // `arch/x86/kernel/alternative.c`).
        let is_atomic = instruction.has_lock_prefix()
            || instruction.segment_prefix() == Register::DS
            || (instruction.mnemonic() == Mnemonic::Xchg && instruction.op0_kind() == OpKind::Memory);
        let memory = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::Memory);
        if !is_atomic || !memory {
            return None;
        }
        let address = self.address(instruction, state)?;
        self.decide(instruction.ip(), address, state)
    }
}

/// The test that a condition is about, and what bit 0 is where it holds.
fn tested(flags: Option<TailTest>, condition: ConditionCode) -> Option<(TailTest, bool)> {
    let test = flags?;
    let bit = match (condition, test.in_carry) {
        (ConditionCode::ne, false) | (ConditionCode::b, true) => true,
        (ConditionCode::e, false) | (ConditionCode::ae, true) => false,
        _ => return None,
    };
    Some((test, bit))
}
