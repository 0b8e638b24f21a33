//! `dis`: machine code, with the tasks that are in it.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_inspect::{Disassembly, Named};
use vmcore_memory::VirtAddr;

use crate::{Hex, Painted, Report, Sanitized, Theme};

/// Tasks that are named at one instruction; others are counted.
const MAX_MARKERS: usize = 3;

/// Instructions of a function.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Dis")]
pub struct Dis<'a> {
    /// The function.
    pub function: Option<&'a str>,
    /// The module that it is in; null for the image.
    pub module: Option<&'a str>,
    /// Whether the bytes are those of the vmlinux, because the dump does not have them.
    pub from_vmlinux: bool,
    /// The instructions; null where the code could not be read.
    pub instructions: Option<Vec<Instruction<'a>>>,
    /// Why it could not.
    pub error: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    lines: bool,
}

/// One instruction.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Instruction")]
pub struct Instruction<'a> {
    /// Its address.
    pub address: Hex,
    /// Bytes from the start of the function.
    pub offset: Option<u64>,
    /// Its bytes, in hexadecimal.
    pub bytes: String,
    /// In AT&T form.
    pub text: &'a str,
    /// The source file of the innermost function that it was made of.
    pub file: Option<&'a str>,
    /// The line in it.
    pub line: Option<u32>,
    /// The tasks whose stacks have this instruction.
    pub tasks: Vec<Marker<'a>>,
}

/// A task that is at an instruction: next to execute it, or to return to the one behind it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Marker")]
pub struct Marker<'a> {
    /// The thread id.
    pub pid: i32,
    /// The task's name, chosen by itself.
    pub comm: &'a str,
    /// The CPU that was executing it; null for a task that was not running.
    pub running_on: Option<u32>,
    /// The number of the frame in its stack; 0 is the innermost.
    pub frame: usize,
}

impl<'a> Dis<'a> {
    /// The instructions, with source lines in text if `lines`; `markers` says which tasks are at which instruction.
    #[must_use]
    pub fn new(
        disassembly: &'a Disassembly,
        lines: bool,
        markers: &mut dyn FnMut(VirtAddr, VirtAddr) -> Vec<Marker<'a>>,
    ) -> Self {
        let instructions = disassembly.instructions.iter().map(|instruction| {
            let source = instruction.source.first();
            let end = instruction.address.wrapping_add(instruction.bytes.len() as u64);
            Instruction {
                address: instruction.address.into(),
                offset: instruction.offset,
                bytes: instruction.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
                text: &instruction.text,
                file: source.and_then(|source| source.file.as_deref()),
                line: source.and_then(|source| source.line),
                tasks: markers(instruction.address, end),
            }
        });
        let function = disassembly.function.as_ref();
        Self {
            function: function.map(|function| function.symbol.as_str()),
            module: function.and_then(|function| function.module.as_deref()),
            from_vmlinux: disassembly.from_vmlinux,
            instructions: Some(instructions.collect()),
            error: None,
            lines,
        }
    }

    /// No instructions of what `name` names, and why.
    #[must_use]
    pub fn unread(name: Option<&'a Named>, why: String) -> Self {
        Self {
            function: name.map(|name| name.symbol.as_str()),
            module: name.and_then(|name| name.module.as_deref()),
            from_vmlinux: false,
            instructions: None,
            error: Some(why),
            lines: false,
        }
    }
}

impl Report for Dis<'_> {
    fn write_text(&self, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
        if self.from_vmlinux {
            let note = "(the dump does not have this code: these are the bytes of the vmlinux, before the kernel patched them)";
            writeln!(out, "{}", Painted(theme.doubtful, note))?;
        }
        let name = Sanitized::new(self.function.unwrap_or("?")).to_string();
        let mut source = None;
        for instruction in self.instructions.iter().flatten() {
            let here = instruction.file.map(|file| (file, instruction.line));
            if self.lines && here.is_some() && here != source {
                let (file, line) = here.unwrap_or_default();
                let line = line.map(|line| format!(": {line}")).unwrap_or_default();
                writeln!(out, "{}", Painted(theme.dim, format_args!("{}{line}", Sanitized::new(file))))?;
            }
            source = here.or(source);
            write_instruction(instruction, &name, out, theme)?;
        }
        Ok(())
    }
}

fn write_instruction(instruction: &Instruction<'_>, name: &str, out: &mut dyn Write, theme: &Theme) -> io::Result<()> {
    let mark = if instruction.tasks.is_empty() { "  " } else { "=>" };
    let offset =
        instruction.offset.map(|offset| if offset == 0 { name.to_owned() } else { format!("{name}+{offset}") });
    let place = offset.map(|offset| format!(" <{offset}>:")).unwrap_or_else(|| ":".to_owned());
    write!(out, "{mark} {:#018x}{place:<28} {}", instruction.address.0, Sanitized::new(instruction.text))?;
    let tasks = instruction.tasks.iter().take(MAX_MARKERS).map(|task| {
        let on = task.running_on.map(|cpu| format!(" on CPU {cpu}")).unwrap_or_default();
        format!("pid {} \"{}\"{on} #{}", task.pid, Sanitized::new(task.comm), task.frame)
    });
    let mut tasks: Vec<_> = tasks.collect();
    if let Some(more @ 1..) = instruction.tasks.len().checked_sub(MAX_MARKERS) {
        tasks.push(format!("{more} more"));
    }
    if tasks.is_empty() {
        return writeln!(out);
    }
    writeln!(out, "  {}", Painted(theme.bad, format_args!("<- {}", tasks.join(", "))))
}
