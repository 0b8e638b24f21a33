//! Functions in instructions of x86-64.
//!
//! ```text
//! ordinary      sub $FRAME,%rsp | call A | call B | nop... | add $FRAME,%rsp | ret
//! copy          stac | rep movsb | clac | ret
//! exception     cld | call HANDLER | nop... | jmp .
//! ```

use crate::arch::{Instructions, Kind, Sketch};

const CALL_LEN: u64 = 5;
const NOPS: usize = 4;
/// From the kernel's text to that of its first module: `MODULES_VADDR` is 1 GiB above `__START_KERNEL_map`, the text 16 MiB.
const FIRST_MODULE: u64 = (1 << 30) - (16 << 20);

/// The instructions of x86-64.
pub(crate) struct Code;

impl Instructions for Code {
    fn call_len(&self) -> u64 {
        CALL_LEN
    }

    fn filler(&self) -> u8 {
        0xcc
    }

    fn frame(&self, room: u64) -> u64 {
        room
    }

    fn prologue(&self, function: Sketch<'_>) -> Vec<u8> {
        match function.kind {
            // sub $FRAME,%rsp
            Kind::Ordinary | Kind::SwitchBySp => {
                [[0x48, 0x81, 0xec].as_slice(), &(function.frame as u32).to_le_bytes()].concat()
            }
            // push %rbp; mov %rsp,%rbp; mov %rdi,%rsp
            Kind::SwitchByBp => vec![0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xfc],
            // cld
            Kind::Exception | Kind::SwitchInEntry => vec![0xfc],
            Kind::Outermost => vec![0x90],
            // stac; rep movsb
            Kind::Copy => vec![0x0f, 0x01, 0xcb, 0xf3, 0xa4],
            // pause; mov (%rdi),%eax
            Kind::Poll => vec![0xf3, 0x90, 0x8b, 0x07],
        }
    }

    fn call(&self, distance: u64) -> Vec<u8> {
        [[0xe8].as_slice(), &(distance.wrapping_sub(CALL_LEN) as u32).to_le_bytes()].concat()
    }

    fn epilogue(&self, function: Sketch<'_>) -> Vec<u8> {
        let mut bytes = vec![0x90; NOPS];
        match function.kind {
            // add $FRAME,%rsp; ret
            Kind::Ordinary | Kind::SwitchBySp => {
                bytes.extend([0x48, 0x81, 0xc4]);
                bytes.extend((function.frame as u32).to_le_bytes());
                bytes.push(0xc3);
            }
            // leave; ret
            Kind::SwitchByBp => bytes.extend([0xc9, 0xc3]),
            // jmp .
            Kind::Exception | Kind::SwitchInEntry | Kind::Outermost => bytes.extend([0xeb, 0xfe]),
            // clac; ret
            Kind::Copy => bytes.extend([0x0f, 0x01, 0xca, 0xc3]),
            Kind::Poll => bytes.push(0xc3),
        }
        bytes
    }

    fn leaf_body(&self, kind: Kind) -> u64 {
        match kind {
            // At the `rep movsb`.
            Kind::Copy => 3,
            _ => 0,
        }
    }

    /// `asm_…` since 5.8, of FRED one for all, named after the exception before.
    fn is_entry(&self, name: &str) -> bool {
        const OLD: [&str; 6] =
            ["page_fault", "general_protection", "invalid_op", "divide_error", "stack_segment", "double_fault"];
        ["asm_exc_", "asm_sysvec_", "asm_common_interrupt", "asm_fred_entrypoint_"]
            .iter()
            .any(|begin| name.starts_with(begin))
            || OLD.contains(&name)
    }

    fn entry_first(&self) -> bool {
        false
    }

    fn modules(&self) -> (u64, u64) {
        (FIRST_MODULE, 1 << 20)
    }
}
