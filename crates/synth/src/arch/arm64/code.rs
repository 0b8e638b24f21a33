//! Functions in instructions of A64.
//!
//! ```text
//! ordinary      paciasp | sub sp, sp, #FRAME | stp x29, x30, [sp] | mov x29, sp | bl A | bl B | nop... | ldp... | ret
//! copy          add x5, x0, x2 | mov x6, x0 | ldr x3, [x1], #8 | sttr x3, [x6] | add x6, x6, #8 | ret
//! poll          ldaxr w1, [x0] | cbz w1, out | wfe | b back | out: ret
//! exception     add x29, sp, #S_STACKFRAME | mov x0, sp | bl HANDLER | nop... | b .
//! ```
//!
//! A function whose job it is takes the offset out of a swap entry before it calls anything: `ubfx x0, x1, #FIRST, #50`.

use super::{Facts, SwapForm};
use crate::arch::{Instructions, Kind, Sketch};

const CALL_LEN: u64 = 4;
/// From the kernel's text to that of its first module: the region of modules is placed around the image, within reach of calls.
const FIRST_MODULE: u64 = 32 << 20;
/// The most that one `sub` takes off the stack pointer.
const IMMEDIATE: u64 = 0xfff;

const NOP: u32 = 0xd503_201f;
const RET: u32 = 0xd65f_03c0;
const BRANCH_TO_ITSELF: u32 = 0x1400_0000;
const PACIASP: u32 = 0xd503_233f;
const AUTIASP: u32 = 0xd503_23bf;
/// `stp x29, x30, [sp]`, `ldp x29, x30, [sp]`, `mov x29, sp`.
const SAVE_RECORD: u32 = 0xa900_7bfd;
const LOAD_RECORD: u32 = 0xa940_7bfd;
const FRAME_POINTER: u32 = 0x9100_03fd;
/// `sub sp, sp, #0`, `add sp, sp, #0`; `lsl #12` of what is added.
const SUB_SP: u32 = 0xd100_03ff;
const ADD_SP: u32 = 0x9100_03ff;
const LSL_12: u32 = 1 << 22;
/// `add x29, sp, #0x130`, `mov x0, sp`.
const RECORD_OF_REGISTERS: u32 = 0x9104_c3fd;
const REGISTERS: u32 = 0x9100_03e0;
/// `add x5, x0, x2`; `mov x6, x0`; `ldr x3, [x1], #8`; `sttr x3, [x6]`.
const COPY: [u32; 4] = [0x8b02_0005, 0xaa00_03e6, 0xf840_8423, 0xf800_08c3];
/// `add x6, x6, #8`.
const COPIED: u32 = 0x9100_20c6;
/// `ldaxr w1, [x0]`; `cbz w1, .+12`; `wfe`; `b .-12`.
const POLL: [u32; 4] = [0x885f_fc01, 0x3400_0061, 0xd503_205f, 0x17ff_fffd];
/// `ubfx x0, x1, #12, #50` and `#8, #50`.
const OFFSET_FROM_12: u32 = 0xd34c_f420;
const OFFSET_FROM_8: u32 = 0xd348_e420;

impl Instructions for Facts {
    fn call_len(&self) -> u64 {
        CALL_LEN
    }

    fn filler(&self) -> u8 {
        0
    }

    /// The record, and the stack pointer a multiple of 16.
    fn frame(&self, room: u64) -> u64 {
        (room + 16).next_multiple_of(16)
    }

    fn prologue(&self, function: Sketch<'_>) -> Vec<u8> {
        let mut words = Vec::new();
        match function.kind {
            Kind::Ordinary | Kind::SwitchBySp | Kind::SwitchByBp => {
                words.extend(self.signed_returns.then_some(PACIASP));
                words.extend(moves(SUB_SP, function.frame));
                words.extend([SAVE_RECORD, FRAME_POINTER]);
                if self.swap_readers.iter().any(|name| name == function.name) {
                    words.push(match self.swap {
                        SwapForm::FromBit8 => OFFSET_FROM_8,
                        SwapForm::FromBit12 => OFFSET_FROM_12,
                    });
                }
            }
            Kind::Exception | Kind::SwitchInEntry => words.extend([RECORD_OF_REGISTERS, REGISTERS]),
            Kind::Outermost => words.push(NOP),
            Kind::Copy => words.extend(COPY),
            Kind::Poll => words.extend(POLL),
        }
        bytes(&words)
    }

    fn call(&self, distance: u64) -> Vec<u8> {
        bytes(&[0x9400_0000 | (distance >> 2) as u32 & 0x03ff_ffff])
    }

    fn epilogue(&self, function: Sketch<'_>) -> Vec<u8> {
        let mut words = Vec::new();
        match function.kind {
            Kind::Ordinary | Kind::SwitchBySp | Kind::SwitchByBp => {
                words.extend([NOP, NOP, LOAD_RECORD]);
                words.extend(moves(ADD_SP, function.frame));
                words.extend(self.signed_returns.then_some(AUTIASP));
                words.push(RET);
            }
            Kind::Exception | Kind::SwitchInEntry | Kind::Outermost => words.extend([NOP, BRANCH_TO_ITSELF]),
            Kind::Copy => words.extend([COPIED, RET]),
            Kind::Poll => words.push(RET),
        }
        bytes(&words)
    }

    /// At the store, and in `wfe`.
    fn leaf_body(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Copy => 12,
            _ => 8,
        }
    }

    /// `el1h_64_sync` since 5.13, `el1_sync` before.
    fn is_entry(&self, name: &str) -> bool {
        const VECTORS: [&str; 4] = ["sync", "irq", "fiq", "error"];
        let levels = ["el1h_64_", "el1t_64_", "el0t_64_", "el1_", "el0_"];
        levels.iter().filter_map(|level| name.strip_prefix(level)).any(|kind| VECTORS.contains(&kind))
    }

    fn entry_first(&self) -> bool {
        true
    }

    fn modules(&self) -> (u64, u64) {
        (FIRST_MODULE, 256 << 10)
    }
}

/// The instructions that move the stack pointer by so many bytes.
fn moves(instruction: u32, by: u64) -> impl Iterator<Item = u32> {
    let high = (by > IMMEDIATE).then_some(instruction | LSL_12 | ((by >> 12 & IMMEDIATE) as u32) << 10);
    high.into_iter().chain([instruction | ((by & IMMEDIATE) as u32) << 10])
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
