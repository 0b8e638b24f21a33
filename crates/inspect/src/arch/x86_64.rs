//! Machine code of x86-64 in AT&T form.

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, OpKind};
use vmcore_memory::VirtAddr;

use super::Decoded;

/// The longest instruction, in bytes.
pub(super) const LONGEST: u64 = 15;

/// The instructions of some code.
pub(super) struct Instructions<'code> {
    code: &'code [u8],
    decoder: Decoder<'code>,
    formatter: GasFormatter,
}

impl<'code> Instructions<'code> {
    pub(super) fn new(code: &'code [u8], from: VirtAddr) -> Self {
        let mut formatter = GasFormatter::new();
        formatter.options_mut().set_first_operand_char_index(8);
        formatter.options_mut().set_show_branch_size(false);
        formatter.options_mut().set_uppercase_hex(false);
        Self { code, decoder: Decoder::with_ip(64, code, from.get(), DecoderOptions::NONE), formatter }
    }
}

impl<'code> Iterator for Instructions<'code> {
    type Item = Decoded<'code>;

    fn next(&mut self) -> Option<Decoded<'code>> {
        let at = self.decoder.position();
        let decoded = self.decoder.can_decode().then(|| self.decoder.decode())?;
        let bytes = self.code.get(at..self.decoder.position()).unwrap_or_default();
        let mut text = String::new();
        self.formatter.format(&decoded, &mut text);
        Some(Decoded { address: VirtAddr::new(decoded.ip()), bytes, text, target: target(&decoded) })
    }
}

fn target(instruction: &Instruction) -> Option<VirtAddr> {
    let branch = (0..instruction.op_count()).any(|operand| instruction.op_kind(operand) == OpKind::NearBranch64);
    if branch {
        return Some(VirtAddr::new(instruction.near_branch64()));
    }
    instruction.is_ip_rel_memory_operand().then(|| VirtAddr::new(instruction.ip_rel_memory_address()))
}
