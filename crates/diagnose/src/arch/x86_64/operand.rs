//! What an instruction of x86-64 touches.
//!
//! For `rep movsb` in a copy to user space that is memory at RDI, for `mov %al,(%rcx)` in `__put_user_1` at RCX.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Formatter, GasFormatter, Instruction, InstructionInfoFactory, OpAccess,
    Register,
};
use vmcore_memory::{VirtAddr, arch::x86_64::Registers};

use crate::Reader;
use crate::access::{Access, read_code};

/// All addresses that the instruction at the start of `code` touches with these registers, the stack among them. Empty where
/// it touches none or cannot be decoded.
pub(crate) fn memory_accesses(code: &[u8], registers: &Registers) -> Vec<Access> {
    let instruction = Decoder::with_ip(64, code, registers.rip, DecoderOptions::NONE).decode();
    if instruction.is_invalid() { Vec::new() } else { memory_operands(&instruction, registers) }
}

/// The word that a loop reads until it changes: what the first instruction from RIP on that reads memory reads, with
/// these registers. Jumps that are always taken are followed, others are not.
pub(crate) fn polled_address(reader: &dyn Reader, registers: &Registers) -> Option<VirtAddr> {
    const MAX_INSTRUCTIONS: usize = 24;
    let mut at = registers.pc();
    let mut written = Vec::new();
    for _ in 0..MAX_INSTRUCTIONS {
        let code = read_code(reader, at);
        let instruction = Decoder::with_ip(64, &code, at.get(), DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            return None;
        }
        if let Some(read) = polls(&instruction) {
            let known = !written.contains(&read.full_register());
            let base = value(read, registers).filter(|_| known)?;
            return Some(VirtAddr::new(base.wrapping_add(instruction.memory_displacement64())));
        }
        at = match instruction.flow_control() {
            FlowControl::Next | FlowControl::ConditionalBranch => VirtAddr::new(instruction.next_ip()),
            FlowControl::UnconditionalBranch => VirtAddr::new(instruction.near_branch_target()),
            _ => return None,
        };
        let mut factory = InstructionInfoFactory::new();
        let used = factory.info(&instruction).used_registers().iter();
        let writes = used.filter(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None));
        written.extend(writes.map(|used| used.register().full_register()));
    }
    None
}

/// The base register of an instruction that reads one word of memory: `mov (%rbx),%eax`, `lock cmpxchg %edx,(%rbx)`.
fn polls(instruction: &Instruction) -> Option<Register> {
    let base = instruction.memory_base();
    let plain = instruction.memory_index() == Register::None && instruction.segment_prefix() == Register::None;
    let mut factory = InstructionInfoFactory::new();
    let reads = factory.info(instruction).used_memory().iter().any(|memory| {
        matches!(memory.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
    });
    let is_stack = base.full_register() == Register::RSP || base.is_ip() || base == Register::None;
    (plain && reads && !is_stack).then_some(base)
}

/// The general registers but the stack pointer, by name.
pub(crate) fn general_registers(registers: &Registers) -> [(&'static str, u64); 15] {
    [
        ("rax", registers.rax),
        ("rbx", registers.rbx),
        ("rcx", registers.rcx),
        ("rdx", registers.rdx),
        ("rsi", registers.rsi),
        ("rdi", registers.rdi),
        ("rbp", registers.rbp),
        ("r8", registers.r8),
        ("r9", registers.r9),
        ("r10", registers.r10),
        ("r11", registers.r11),
        ("r12", registers.r12),
        ("r13", registers.r13),
        ("r14", registers.r14),
        ("r15", registers.r15),
    ]
}

/// The instruction in AT&T syntax, for the report.
pub(crate) fn disassemble(code: &[u8], pc: VirtAddr) -> Option<String> {
    let mut decoder = Decoder::with_ip(64, code, pc.get(), DecoderOptions::NONE);
    let instruction = decoder.decode();
    if instruction.is_invalid() {
        return None;
    }
    let mut text = String::new();
    GasFormatter::new().format(&instruction, &mut text);
    Some(text)
}

fn memory_operands(instruction: &Instruction, registers: &Registers) -> Vec<Access> {
    let mut factory = InstructionInfoFactory::new();
    let mut accesses = Vec::new();
    for memory in factory.info(instruction).used_memory() {
        let touches = !matches!(memory.access(), OpAccess::None | OpAccess::NoMemAccess);
        let address = memory.virtual_address(0, |register, _, _| value(register, registers));
        if let Some(address) = address.filter(|_| touches) {
            let write = matches!(
                memory.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            accesses.push(Access { address: VirtAddr::new(address), write });
        }
    }
    accesses
}

/// A register's value. Segment bases are 0 in the flat model, and for user accesses no FS or GS is used.
fn value(register: Register, registers: &Registers) -> Option<u64> {
    if register.is_segment_register() {
        return (!matches!(register, Register::FS | Register::GS)).then_some(0);
    }
    let full = match register.full_register() {
        Register::RAX => registers.rax,
        Register::RBX => registers.rbx,
        Register::RCX => registers.rcx,
        Register::RDX => registers.rdx,
        Register::RSI => registers.rsi,
        Register::RDI => registers.rdi,
        Register::RBP => registers.rbp,
        Register::RSP => registers.rsp,
        Register::R8 => registers.r8,
        Register::R9 => registers.r9,
        Register::R10 => registers.r10,
        Register::R11 => registers.r11,
        Register::R12 => registers.r12,
        Register::R13 => registers.r13,
        Register::R14 => registers.r14,
        Register::R15 => registers.r15,
        Register::RIP => registers.rip,
        _ => return None,
    };
    Some(if register.is_gpr32() { full & 0xffff_ffff } else { full })
}

/// Whether the address is in the user half, above the page that is never mapped.
pub(crate) const fn is_user(address: VirtAddr) -> bool {
    !address.is_kernel_half() && address.get() >= 0x1000
}

#[cfg(test)]
mod tests {
    use vmcore_memory::ReadError;

    use super::*;
    use crate::reader::nothing_is_there;

    fn user_accesses(code: &[u8], registers: &Registers) -> Vec<Access> {
        crate::operand::user_accesses(code, &vmcore_memory::Registers::X86_64(*registers))
    }

    const KERNEL: u64 = 0xffff_a389_886e_fdf8;
    const USER: u64 = 0xc0_0010_0000;

    fn registers() -> Registers {
        Registers { rip: 0xffff_ffff_8100_0000, rsi: KERNEL, rdi: USER, rcx: 0x90, ..Registers::default() }
    }

    #[test]
    fn a_copy_to_user_space_writes_at_rdi() {
        // rep movsb
        let accesses = user_accesses(&[0xf3, 0xa4], &registers());
        assert_eq!(accesses, [Access { address: VirtAddr::new(USER), write: true }]);
    }

    #[test]
    fn a_copy_from_user_space_reads_at_rsi() {
        // rep movsq
        let registers = Registers { rsi: USER, rdi: KERNEL, ..registers() };
        let accesses = user_accesses(&[0xf3, 0x48, 0xa5], &registers);
        assert_eq!(accesses, [Access { address: VirtAddr::new(USER), write: false }]);
    }

    #[test]
    fn put_user_and_unrolled_copies_use_their_own_operand() {
        let registers = Registers { rcx: USER, ..registers() };
        // mov %al,(%rcx)
        assert_eq!(user_accesses(&[0x88, 0x01], &registers).len(), 1);
        // mov 0x18(%rsi),%r11 reads the kernel's side
        assert_eq!(user_accesses(&[0x4c, 0x8b, 0x5e, 0x18], &registers), []);
        // mov %r8,0x8(%rdi)
        let store = user_accesses(&[0x4c, 0x89, 0x47, 0x08], &registers);
        assert_eq!(store, [Access { address: VirtAddr::new(USER + 8), write: true }]);
    }

    #[test]
    fn instructions_are_shown_as_objdump_shows_them() {
        assert_eq!(disassemble(&[0xf3, 0xa4], VirtAddr::new(0)).unwrap(), "rep movsb (%rsi),(%rdi)");
        assert_eq!(disassemble(&[0xff, 0xff], VirtAddr::new(0)), None);
    }

    #[test]
    fn instructions_without_memory_and_garbage_give_nothing() {
        assert_eq!(user_accesses(&[0x90], &registers()), []);
        assert_eq!(user_accesses(&[], &registers()), []);
        assert_eq!(user_accesses(&[0xff, 0xff, 0xff], &registers()), []);
    }

    /// Code at an address, and nothing else.
    struct Code(u64, &'static [u8]);

    impl Reader for Code {
        nothing_is_there! { pages addresses members }

        fn read(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
            let start = address.get().checked_sub(self.0).ok_or(ReadError::NonCanonical { address })?;
            for (index, byte) in buf.iter_mut().enumerate() {
                *byte = self.1.get(start as usize + index).copied().unwrap_or(0xcc);
            }
            Ok(())
        }
    }

    fn polled(at: u64, code: &'static [u8]) -> Option<u64> {
        let registers = Registers { rip: 0x1000 + at, rbx: KERNEL, rcx: KERNEL + 0x100, ..Registers::default() };
        polled_address(&Code(0x1000, code), &registers).map(VirtAddr::get)
    }

    #[test]
    fn a_loop_reads_the_word_that_it_waits_for() {
        // mov (%rbx),%eax; test %eax,%eax; jne +4; lock cmpxchg %edx,(%rbx); ret; pause; jmp back
        let code = &[0x8b, 0x03, 0x85, 0xc0, 0x75, 0x05, 0xf0, 0x0f, 0xb1, 0x13, 0xc3, 0xf3, 0x90, 0xeb, 0xf1];
        for at in [0, 2, 6, 11, 13] {
            assert_eq!(polled(at, code), Some(KERNEL), "from {at}");
        }
        // Behind the loop there is nothing that it reads.
        assert_eq!(polled(10, code), None);
        // pause; mov 0x8(%rcx),%eax
        assert_eq!(polled(0, &[0xf3, 0x90, 0x8b, 0x41, 0x08]), Some(KERNEL + 0x108));
    }

    #[test]
    fn a_register_that_the_code_changes_before_it_reads_tells_nothing() {
        // mov %rax,%rbx; mov (%rbx),%eax
        assert_eq!(polled(0, &[0x48, 0x89, 0xc3, 0x8b, 0x03]), None);
        // jmp to itself
        assert_eq!(polled(0, &[0xeb, 0xfe]), None);
        // The stack is no lock: mov 0x8(%rsp),%eax
        assert_eq!(polled(0, &[0x8b, 0x44, 0x24, 0x08]), None);
    }

    proptest::proptest! {
        #[test]
        fn any_code_and_registers_are_survived(code: [u8; 15], rdi: u64, rsi: u64, rcx: u64) {
            let registers = Registers { rdi, rsi, rcx, ..Registers::default() };
            for access in user_accesses(&code, &registers) {
                proptest::prop_assert!(!access.address.is_kernel_half());
            }
        }
    }
}
