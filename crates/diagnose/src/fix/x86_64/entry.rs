//! The first instruction of a function: what ftrace, live patches and probes replace.
//!
//! ```text
//! (endbr64) nopl 0(%rax,%rax,1)      as it runs
//! (endbr64) call ftrace_trampoline   traced, or patched by ftrace with IPMODIFY
//! (endbr64) jmp / int3               a probe
//! ```
//!
//! Source: `arch/x86/kernel/ftrace.c`, `arch/x86/kernel/kprobes/core.c`.

use super::super::hook::Hook;
use crate::Reader;

/// `endbr64`, and what the kernel makes of it where nothing jumps through a pointer (`gen_endbr_poison`): up to 6.14, since.
const MARKS: [[u8; 4]; 3] = [[0xf3, 0x0f, 0x1e, 0xfa], [0x66, 0x0f, 0x1f, 0x00], [0x0f, 0x1f, 0x40, 0xd6]];
const CALL: u8 = 0xe8;
const JUMP: u8 = 0xe9;
const INT3: u8 = 0xcc;

/// What hooks a function at its entry in the dump; the code of the vmlinux says nothing about that.
pub(in crate::fix) fn hook(reader: &dyn Reader, name: &str) -> Option<Hook> {
    let start = reader.function(name)?;
    let mut code = [0; 12];
    reader.read(start, &mut code).ok()?;
    let skip = if MARKS.iter().any(|mark| code.starts_with(mark)) { 4 } else { 0 };
    let at = start.wrapping_add(skip as u64);
    let mut entry = [0; 8];
    entry.copy_from_slice(code.get(skip..skip + 8)?);
    let kind = match entry.first() {
        Some(&CALL) => "a call",
        Some(&JUMP) => "a jump",
        Some(&INT3) => "a breakpoint",
        _ => return None,
    };
    Some(Hook { name: name.to_owned(), at, code: entry, kind })
}
