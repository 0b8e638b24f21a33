//! Registers of x86-64.

use vmcore_memory::arch::x86_64::Registers;

/// The buffer in kernel memory that `fstat` copies from; any kernel address will do.
const KERNEL_BUFFER: u64 = 0xffff_8880_0000_1000;
/// `sizeof(struct stat)`, left to copy.
const COPY_LEN: u64 = 0x90;
/// `__USER_CS`, `__USER_DS`, code and stack of a program.
const USER_CS: u64 = 0x33;
const USER_SS: u64 = 0x2b;
const USER_CODE: u64 = 0x44_7329;
const USER_STACK: u64 = 0x7ffd_1234_5678;

pub(crate) fn user() -> Registers {
    let (rip, rsp) = (USER_CODE, USER_STACK);
    Registers { rip, rsp, rbp: rsp, cs: USER_CS, ss: USER_SS, eflags: 0x246, orig_rax: 5, ..Registers::default() }
}

/// In the middle of a copy to `address`.
pub(crate) fn copy(address: u64) -> Registers {
    let (rdi, rsi) = (address, KERNEL_BUFFER);
    Registers { rdi, rsi, rcx: COPY_LEN, rdx: COPY_LEN, rax: COPY_LEN, ..Registers::default() }
}

/// `struct pt_regs`, which is also the beginning of `struct user_regs_struct`.
pub(crate) fn pt_regs(r: &Registers) -> Vec<u8> {
    let words = [
        r.r15, r.r14, r.r13, r.r12, r.rbp, r.rbx, r.r11, r.r10, r.r9, r.r8, r.rax, r.rcx, r.rdx, r.rsi, r.rdi,
        r.orig_rax, r.rip, r.cs, r.eflags, r.rsp, r.ss,
    ];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
