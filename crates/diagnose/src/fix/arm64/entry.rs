//! The first instructions of a function: what ftrace, live patches and probes replace.
//!
//! ```text
//! (bti c) nop;         nop             as it was linked
//! (bti c) mov x9, x30; nop             as it runs
//! (bti c) mov x9, x30; bl trampoline   traced, or patched by ftrace with IPMODIFY
//! (bti c) brk #4 / b                   a probe
//! ```
//!
//! Source: `arch/arm64/kernel/ftrace.c`, `arch/arm64/include/asm/brk-imm.h`.

use vmcore_memory::le_u32;

use super::super::hook::Hook;
use crate::Reader;

/// `bti c` and `paciasp`: marks of a place that may be called.
const MARKS: [u32; 2] = [0xd503_245f, 0xd503_233f];
/// `mov x9, x30`
const KEEP_CALLER: u32 = 0xaa1e_03e9;

const fn is_call(word: u32) -> bool {
    word >> 26 == 0x9400_0000 >> 26
}

const fn is_jump(word: u32) -> bool {
    word >> 26 == 0x1400_0000 >> 26
}

const fn is_break(word: u32) -> bool {
    word & 0xffe0_001f == 0xd420_0000
}

/// What hooks a function at its entry in the dump.
pub(in crate::fix) fn hook(reader: &dyn Reader, name: &str) -> Option<Hook> {
    let start = reader.function(name)?;
    let mut code = [0; 16];
    reader.read(start, &mut code).ok()?;
    let word = |index: usize| le_u32(&code, index * 4);
    let first = usize::from(word(0).is_some_and(|word| MARKS.contains(&word)));
    let (kind, index) = match (word(first)?, word(first + 1)?) {
        (KEEP_CALLER, second) if is_call(second) => ("a call", first + 1),
        (word, _) if is_jump(word) => ("a jump", first),
        (word, _) if is_break(word) => ("a breakpoint", first),
        _ => return None,
    };
    let mut entry = [0; 8];
    entry.copy_from_slice(code.get(index * 4..index * 4 + 8)?);
    Some(Hook { name: name.to_owned(), at: start.wrapping_add(index as u64 * 4), code: entry, kind })
}
