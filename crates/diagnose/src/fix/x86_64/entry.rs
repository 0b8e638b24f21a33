//! The first instruction of a function: what ftrace, live patches and probes replace.
//!
//! ```text
//! (endbr64) nopl 0(%rax,%rax,1)      as it runs
//! (endbr64) call ftrace_trampoline   traced, or patched by ftrace with IPMODIFY
//! (endbr64) jmp / int3               a probe
//! ```
//!
//! Source: `arch/x86/kernel/ftrace.c`, `arch/x86/kernel/kprobes/core.c`.

use vmcore_memory::{VirtAddr, le_u64};

use crate::{Evidence, Place, Reader, Value};

/// `endbr64`, and what the kernel makes of it where nothing jumps through a pointer (`gen_endbr_poison`): up to 6.14, since.
const MARKS: [[u8; 4]; 3] = [[0xf3, 0x0f, 0x1e, 0xfa], [0x66, 0x0f, 0x1f, 0x00], [0x0f, 0x1f, 0x40, 0xd6]];
const CALL: u8 = 0xe8;
const JUMP: u8 = 0xe9;
const INT3: u8 = 0xcc;

/// Something that runs before, or instead of, a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) name: String,
    at: VirtAddr,
    code: [u8; 8],
}

/// What hooks a function at its entry in the dump; the code of the vmlinux says nothing about that.
pub(super) fn hook(reader: &dyn Reader, name: &str) -> Option<Hook> {
    let start = reader.function(name)?;
    let mut code = [0; 12];
    reader.read(start, &mut code).ok()?;
    let skip = if MARKS.iter().any(|mark| code.starts_with(mark)) { 4 } else { 0 };
    let at = start.wrapping_add(skip as u64);
    let mut entry = [0; 8];
    entry.copy_from_slice(code.get(skip..skip + 8)?);
    let hooked = matches!(entry.first(), Some(&(CALL | JUMP | INT3)));
    hooked.then(|| Hook { name: name.to_owned(), at, code: entry })
}

impl Hook {
    pub(super) fn evidence(&self) -> Evidence {
        let kind = match self.code.first() {
            Some(&CALL) => "a call",
            Some(&JUMP) => "a jump",
            _ => "a breakpoint",
        };
        let meaning = format!("{} begins with {kind} where its nop was: it is hooked", self.name);
        let fact = Evidence::new("code", meaning).at(Place::Kernel(self.at));
        match le_u64(&self.code, 0) {
            Some(bytes) => fact.value(Value::Hex(bytes)),
            None => fact,
        }
    }
}
