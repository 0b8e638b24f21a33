//! Machine code as instructions, as `dis` shows it.
//!
//! The bytes are those in the dump, with whatever the kernel patched into its own code; where they are not in it, those
//! that the vmlinux was built with, which is said.

use vmcore_kernel::{Kernel, SourceFrame};
use vmcore_memory::{ReadVirtual, VirtAddr};

use crate::arch::{self, Decoded};
use crate::names::{Named, name_address};
use crate::{InspectError, symbol_addresses};

/// The longest function that is shown, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Instructions that stand side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Disassembly {
    /// The function that they are of.
    pub function: Option<Named>,
    /// The instructions.
    pub instructions: Vec<Instruction>,
    /// Whether the bytes are the vmlinux's, because the dump does not have them.
    pub from_vmlinux: bool,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// Its address.
    pub address: VirtAddr,
    /// Bytes from the start of the function.
    pub offset: Option<u64>,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// In AT&T form for x86-64, in Arm's for arm64, with symbols for addresses.
    pub text: String,
    /// Where it came from, innermost inlined function first.
    pub source: Vec<SourceFrame>,
}

/// Which instructions to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The whole function around the address.
    Function,
    /// That many from the address on.
    Count(u64),
    /// From the function's start up to the address.
    UpTo,
}

/// Disassembles code at `address`.
///
/// # Errors
///
/// [`InspectError`] where there is no code, or its bytes are nowhere.
pub fn disassemble(kernel: &Kernel<'_>, address: VirtAddr, span: Span) -> Result<Disassembly, InspectError> {
    let function = name_address(kernel, address);
    let start = function.as_ref().map_or(address, |function| address.wrapping_sub(function.offset));
    let end = function_end(kernel, start, function.as_ref());
    let longest = arch::longest_instruction(kernel.architecture());
    let (from, len, count) = match span {
        Span::Function => {
            let end = end.ok_or_else(|| {
                InspectError::Syntax(format!(
                    "where the function around {address} ends is not known: give a number of instructions"
                ))
            })?;
            (start, end.wrapping_sub(start.get()).get(), u64::MAX)
        }
        Span::Count(count) => (address, count.saturating_mul(longest), count),
        Span::UpTo => (start, address.wrapping_sub(start.get()).get().saturating_add(longest), u64::MAX),
    };
    let (bytes, from_vmlinux) = code(kernel, from, len.min(MAX_BYTES))?;
    let last = (span == Span::UpTo).then_some(address);
    let mut instructions = decode(kernel, &bytes, from, count, last);
    let base = function.as_ref().map(|_| start);
    for instruction in &mut instructions {
        instruction.offset = base.map(|base| instruction.address.wrapping_sub(base.get()).get());
    }
    let addresses: Vec<_> = instructions.iter().map(|instruction| instruction.address).collect();
    let sources = kernel.source_frames(&addresses);
    instructions.iter_mut().zip(sources).for_each(|(instruction, source)| instruction.source = source);
    Ok(Disassembly { function: function.map(|function| Named { offset: 0, ..function }), instructions, from_vmlinux })
}

/// Where the function that starts at `start` ends: by its size, or where another symbol is.
fn function_end(kernel: &Kernel<'_>, start: VirtAddr, function: Option<&Named>) -> Option<VirtAddr> {
    let function = function?;
    if function.module.is_none()
        && let Some(symbol) = kernel.vmlinux().symbols().lookup(kernel.link_address(start))
    {
        return start.checked_add(symbol.size);
    }
    // The sizes of modules' symbols are not kept: the next name is where this one ends.
    let same =
        |at: &u64| name_address(kernel, start.wrapping_add(*at)).is_some_and(|name| name.symbol == function.symbol);
    let len = (0..MAX_BYTES).step_by(16).take_while(same).last()?;
    let end = (len..len.saturating_add(16)).take_while(same).last()?;
    start.checked_add(end.saturating_add(1))
}

/// The bytes of code at `from`: as many of `len` as there are.
fn code(kernel: &Kernel<'_>, from: VirtAddr, len: u64) -> Result<(Vec<u8>, bool), InspectError> {
    let error = match kernel.memory().read_bytes(from, len) {
        Ok(bytes) => return Ok((bytes, false)),
        Err(error) => error,
    };
    if let Some(bytes) = kernel.vmlinux().read_static(kernel.link_address(from), len) {
        return Ok((bytes.to_vec(), true));
    }
    // What is in front of the first byte that is missing.
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len {
        let at = from.wrapping_add(bytes.len() as u64);
        let now = (vmcore_memory::PAGE_SIZE - at.page_offset()).min(len - bytes.len() as u64);
        match kernel.memory().read_bytes(at, now) {
            Ok(mut more) => bytes.append(&mut more),
            Err(_) => break,
        }
    }
    if bytes.is_empty() { Err(InspectError::NoCode { address: from, source: error }) } else { Ok((bytes, false)) }
}

fn decode(kernel: &Kernel<'_>, bytes: &[u8], from: VirtAddr, count: u64, last: Option<VirtAddr>) -> Vec<Instruction> {
    let decoded = arch::instructions(kernel.architecture(), bytes, from);
    let wanted = decoded.take_while(|decoded| last.is_none_or(|last| decoded.address <= last));
    wanted.take(usize::try_from(count).unwrap_or(usize::MAX)).map(|decoded| named(kernel, decoded)).collect()
}

/// The instruction with the name of what it points to.
fn named(kernel: &Kernel<'_>, decoded: Decoded<'_>) -> Instruction {
    let Decoded { address, bytes, mut text, target } = decoded;
    if let Some(name) = target.and_then(|target| name_address(kernel, target)) {
        text.push_str(&format!(" <{name}>"));
    }
    Instruction { address, offset: None, bytes: bytes.to_vec(), text, source: Vec::new() }
}

/// The address of the function `name`, where there is just one.
///
/// # Errors
///
/// [`InspectError`] where there is none.
pub fn function_address(kernel: &Kernel<'_>, name: &str) -> Result<VirtAddr, InspectError> {
    let mut all = symbol_addresses(kernel, name).into_iter().filter(|symbol| !symbol.per_cpu);
    all.next().map(|symbol| symbol.address).ok_or_else(|| InspectError::no_symbol(kernel, name))
}
