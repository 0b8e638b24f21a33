//! Stacks as `crash` writes them.

use std::fmt;
use std::io::{self, Write};

use super::{Arm64Registers, Bt, Exception, Frame, Registers, Stack, X86Registers, fold, ordered};
use crate::json::write_part;
use crate::{Hex, Painted, Report, SCHEMA_VERSION, Sanitized, Theme};

/// How much of stacks the text shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// All registers that were saved on the way; without, where they were saved and the user's instruction.
    pub registers: bool,
    /// Stacks of the same frames once, with the tasks that have them.
    pub fold: bool,
}

impl Report for Bt<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        if !self.style.fold {
            return ordered::write(self.stacks, out, |index, stack, text| {
                if index > 0 {
                    writeln!(text)?;
                }
                write_stack(stack, self.style, text, theme)
            });
        }
        for (index, group) in fold::fold(self.stacks).iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            let first = group.first();
            writeln!(out, "{}", Painted(theme.heading, Head(&first)))?;
            if let Some(others) = group.others() {
                writeln!(out, "{}", Painted(theme.good, others))?;
            }
            write_frames(&first, self.style, out, theme)?;
        }
        Ok(())
    }

    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        // As the derived form: see the test.
        write!(out, "{{\"schema_version\":{SCHEMA_VERSION},\"stacks\":[")?;
        ordered::write(self.stacks, out, |index, stack, text| {
            if index > 0 {
                text.write_all(b",")?;
            }
            write_part(stack, text)
        })?;
        out.write_all(b"],\"gaps\":")?;
        write_part(&self.gaps, out)?;
        out.write_all(b"}\n")
    }
}

/// Writes stacks with all registers, and with an empty line between them.
pub(crate) fn write_stacks(stacks: &[Stack<'_>], out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    for (index, stack) in stacks.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_stack(stack, Style { registers: true, fold: false }, out, theme)?;
    }
    Ok(())
}

/// One stack, as [`write_stacks`] writes it.
pub(crate) fn stack_text(stack: &Stack<'_>, theme: &Theme) -> Vec<u8> {
    let mut text = Vec::new();
    // A vector takes whatever is written to it.
    let _ = write_stack(stack, Style { registers: true, fold: false }, &mut text, theme);
    text
}

fn write_stack(stack: &Stack<'_>, style: Style, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    writeln!(out, "{}", Painted(theme.heading, Head(stack)))?;
    write_frames(stack, style, out, theme)
}

fn write_frames(stack: &Stack<'_>, style: Style, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let mut exceptions = stack.exceptions.iter().peekable();
    let mut segment = None;
    let mut guessed = false;
    for (index, frame) in stack.frames.iter().enumerate() {
        let mut crossed = false;
        while let Some(exception) = exceptions.next_if(|exception| exception.frame <= index) {
            crossed |= looks_saved(exception);
            write_exception(exception, Some(frame), style, out, theme)?;
        }
        if let Some(left) = segment.filter(|left| frame.segment.is_some_and(|entered| entered != *left)) {
            writeln!(out, "{}", Painted(theme.dim, StackChange(left)))?;
        }
        segment = frame.segment.or(segment);
        guessed &= !crossed;
        write_frame(index, frame, guessed, out, theme)?;
        guessed |= frame.trust == "scan" && !crossed;
    }
    for exception in exceptions {
        write_exception(exception, None, style, out, theme)?;
    }
    if stack.frames.is_empty() && stack.end == "user_mode" {
        writeln!(out, "    {}", Painted(theme.dim, "(in user mode: nothing on the kernel's stack)"))?;
    }
    if let Some(error) = stack.error {
        let what = match stack.end {
            "truncated" if stack.frames.is_empty() => "no stack",
            "truncated" => "stack cut off",
            _ => "note",
        };
        writeln!(out, "    {}", Painted(theme.doubtful, format_args!("({what}: {})", Sanitized::new(error))))?;
    }
    Ok(())
}

/// `PID: 143      TASK: ffff888004d4c000  CPU: 3    COMMAND: "splitter"`
struct Head<'s>(&'s Stack<'s>);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Stack { pid, task: Hex(task), cpu, comm, state, .. }) = self;
        write!(
            f,
            "PID: {pid:<8} TASK: {task:016x}  CPU: {cpu:<4} STATE: {state}  COMMAND: \"{}\"",
            Sanitized::new(comm)
        )
    }
}

/// The stack that the frames above this line lie on.
struct StackChange(&'static str);

impl fmt::Display for StackChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            "irq" => "IRQ stack",
            "softirq" => "softirq stack",
            "nmi" => "NMI exception stack",
            "exception" => "exception stack",
            "entry" => "entry stack",
            other => return write!(f, "--- <{other} stack> ---"),
        };
        write!(f, "--- <{name}> ---")
    }
}

/// Whether what was crossed looks like registers that an exception saved, so that a walk that came here by a guess is on its way again.
/// On arm64 nothing is found by scanning.
fn looks_saved(exception: &Exception<'_>) -> bool {
    match &exception.registers {
        Registers::X86_64(registers) => {
            exception.kernel_mode
                && [0x18, 0].contains(&(registers.ss.0 & 0xffff))
                && registers.eflags.0 & (1 << 1) != 0
                && registers.eflags.0 < 1 << 22
        }
        Registers::Arm64(_) => false,
    }
}

/// `guessed` where it was found from a frame that was found by scanning.
fn write_frame(index: usize, frame: &Frame<'_>, guessed: bool, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    write!(out, "{:>3} ", format!("#{index}")).and_then(|()| {
        write!(
            out,
            "{} {} at {:016x}",
            Painted(theme.dim, format_args!("[{:016x}]", frame.sp.0)),
            Symbol(frame),
            frame.pc.0
        )
    })?;
    let how = match (frame.trust, guessed) {
        ("scan", _) => Some("found by scanning: may be stale"),
        ("frame_pointer", false) => Some("by frame pointer"),
        ("frame_pointer", true) => Some("by frame pointer, from one found by scanning"),
        (_, true) => Some("from one found by scanning"),
        _ => None,
    };
    if let Some(how) = how {
        write!(out, "  {}", Painted(theme.doubtful, format_args!("({how})")))?;
    }
    writeln!(out)?;
    for inlined in &frame.inlined {
        let function = Sanitized::new(inlined.function.unwrap_or("?"));
        write!(out, "    (inlined) {function}")?;
        if let Some(file) = inlined.file {
            write!(out, " {}", Painted(theme.dim, Source(file, inlined.line)))?;
        }
        writeln!(out)?;
    }
    match frame.file {
        Some(file) => writeln!(out, "    {}", Painted(theme.dim, Source(file, frame.line))),
        None => Ok(()),
    }
}

/// `function+0x12 [module]`
struct Symbol<'s>(&'s Frame<'s>);

impl fmt::Display for Symbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(frame) = self;
        match frame.symbol {
            Some(name) => write!(f, "{}", Sanitized::new(name))?,
            None => return f.write_str("(unknown)"),
        }
        if let Some(offset) = frame.offset {
            write!(f, "+{offset:#x}")?;
        }
        match frame.module {
            Some(module) => write!(f, " [{}]", Sanitized::new(module)),
            None => Ok(()),
        }
    }
}

/// `mm/memory.c:3740`
struct Source<'s>(&'s str, Option<u32>);

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(file, line) = self;
        write!(f, "{}", Sanitized::new(file))?;
        line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// The block that `crash` writes for saved registers. `interrupted` is the frame they belong to, if it is kernel code.
fn write_exception(
    exception: &Exception<'_>,
    interrupted: Option<&Frame<'_>>,
    style: Style,
    out: &mut dyn Write,
    theme: &Theme,
) -> io::Result<()> {
    if let Some(kind) = exception.kind.filter(|_| exception.kernel_mode) {
        writeln!(out, "    {}", Painted(theme.heading, format_args!("--- <{}> ---", Sanitized::new(kind))))?;
    }
    if let Some(frame) = interrupted.filter(|_| exception.kernel_mode) {
        let counter = if matches!(exception.registers, Registers::X86_64(_)) { "RIP" } else { "PC" };
        writeln!(out, "    [exception {counter}: {}]", Symbol(frame))?;
    }
    if let Some(Hex(address)) = exception.faulting_address {
        writeln!(out, "    {}", Painted(theme.heading, format_args!("[faulting address: {address:016x}]")))?;
    }
    if style.registers { write_registers(&exception.registers, out, theme) } else { write_place(exception, out, theme) }
}

/// Where registers were saved from, on one line; for a system call, its number.
fn write_place(exception: &Exception<'_>, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let whose = if exception.kernel_mode { "" } else { "user " };
    let X86Registers { rip, rsp, eflags, orig_rax, .. } = match &exception.registers {
        Registers::X86_64(registers) => &**registers,
        Registers::Arm64(registers) => {
            let Arm64Registers { pc, sp, pstate, .. } = registers;
            let place = format_args!("{whose}PC: {:016x}  SP: {:016x}  PSTATE: {:08x}", pc.0, sp.0, pstate.0);
            return writeln!(out, "    {}", Painted(theme.dim, place));
        }
    };
    // Faults and interrupts keep an error code or -1 there.
    let call = orig_rax.filter(|_| !exception.kernel_mode && exception.kind == Some("syscall"));
    let call = call.map(|Hex(number)| format!("  system call {number}")).unwrap_or_default();
    let place = format_args!("{whose}RIP: {:016x}  RSP: {:016x}  RFLAGS: {:08x}{call}", rip.0, rsp.0, eflags.0);
    writeln!(out, "    {}", Painted(theme.dim, place))
}

fn write_registers(registers: &Registers, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    match registers {
        Registers::X86_64(registers) => write_x86_registers(registers, out, theme),
        Registers::Arm64(registers) => write_arm64_registers(registers, out, theme),
    }
}

/// As a kernel of arm64 prints them, from `x0` on.
fn write_arm64_registers(registers: &Arm64Registers, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let Arm64Registers { pc, sp, pstate, x } = registers;
    let mut line = |text: fmt::Arguments<'_>| writeln!(out, "    {}", Painted(theme.dim, text));
    line(format_args!("PC: {:016x}  SP: {:016x}  PSTATE: {:08x}", pc.0, sp.0, pstate.0))?;
    let named: Vec<String> =
        x.iter().flatten().enumerate().map(|(n, x)| format!("{:>3}: {:016x}", format!("X{n}"), x.0)).collect();
    named.chunks(3).try_for_each(|row| line(format_args!("{}", row.join("  "))))
}

fn write_x86_registers(registers: &X86Registers, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let X86Registers { rip, rsp, cs, ss, eflags, orig_rax, .. } = registers;
    let mut line = |text: fmt::Arguments<'_>| writeln!(out, "    {}", Painted(theme.dim, text));
    line(format_args!("RIP: {:016x}  RSP: {:016x}  RFLAGS: {:08x}", rip.0, rsp.0, eflags.0))?;
    let r = registers;
    for row in [
        [("RAX", r.rax), ("RBX", r.rbx), ("RCX", r.rcx)],
        [("RDX", r.rdx), ("RSI", r.rsi), ("RDI", r.rdi)],
        [("RBP", r.rbp), (" R8", r.r8), (" R9", r.r9)],
        [("R10", r.r10), ("R11", r.r11), ("R12", r.r12)],
        [("R13", r.r13), ("R14", r.r14), ("R15", r.r15)],
    ] {
        if let [(a, Some(x)), (b, Some(y)), (c, Some(z))] = row {
            line(format_args!("{a}: {:016x}  {b}: {:016x}  {c}: {:016x}", x.0, y.0, z.0))?;
        }
    }
    match orig_rax {
        Some(orig_rax) => line(format_args!("ORIG_RAX: {:016x}  CS: {:04x}  SS: {:04x}", orig_rax.0, cs.0, ss.0)),
        None => line(format_args!("CS: {:04x}  SS: {:04x}", cs.0, ss.0)),
    }
}
