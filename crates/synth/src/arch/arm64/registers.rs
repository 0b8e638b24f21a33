//! Registers of arm64.

use vmcore_memory::{VirtAddr, arch::arm64::Registers};

/// `PSR_MODE_EL1h`, with the carry flag as compares leave it.
pub(crate) const KERNEL_MODE: u64 = 0x6040_0005;
/// `PSR_MODE_EL0t`.
const USER_MODE: u64 = 0x6000_1000;
const USER_CODE: u64 = 0x42_c628;
const USER_STACK: u64 = 0xf_81de_ec80;
/// The buffer in kernel memory that `fstat` copies from; any kernel address will do.
const KERNEL_BUFFER: u64 = 0xffff_8000_0861_3b50;
/// `sizeof(struct stat)`, left to copy.
const COPY_LEN: u64 = 0x80;

pub(crate) fn user() -> Registers {
    let mut x = [0; 31];
    let [.., fp, lr] = &mut x;
    (*fp, *lr) = (USER_STACK, USER_CODE - 0x100);
    Registers { x, sp: VirtAddr::new(USER_STACK), pc: VirtAddr::new(USER_CODE), pstate: USER_MODE }
}

/// In the middle of a copy to `address`: `x6` is where `__arch_copy_to_user` writes next.
pub(crate) fn copy(address: u64) -> Registers {
    let mut x = [0; 31];
    let known = [(0, address), (1, KERNEL_BUFFER + 8), (2, COPY_LEN), (5, address + COPY_LEN), (6, address)];
    for (register, value) in known {
        if let Some(place) = x.get_mut(register) {
            *place = value;
        }
    }
    Registers { x, ..Registers::default() }
}

/// `struct user_pt_regs`, with which `struct pt_regs` begins.
pub(crate) fn user_pt_regs(registers: &Registers) -> Vec<u8> {
    let rest = [registers.sp.get(), registers.pc.get(), registers.pstate];
    registers.x.iter().chain(&rest).flat_map(|word| word.to_le_bytes()).collect()
}
