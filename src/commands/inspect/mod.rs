//! The commands that look at a kernel by hand: `struct`, `p`, `rd`, `sym`, `dis`, `list`, `tree`, `search`.

mod code;
mod linked;
mod memory;
mod values;

use vmcore_inspect::{Expression, InspectError, member_offset};
use vmcore_kernel::Kernel;
use vmcore_memory::VirtAddr;
use vmcore_report::Report;

pub(crate) use code::{dis, sym};
pub(crate) use linked::{list, tree};
pub(crate) use memory::{rd, search};
pub(crate) use values::{p, structure};

use crate::cli::{Format, usage_of};
use crate::failure::Failure;
use crate::output::Output;
use crate::status::Status;

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        let failure = match &error {
            InspectError::Read { .. } | InspectError::NoCode { .. } | InspectError::NoCpu(_) => {
                Self::inconclusive(&error)
            }
            _ => Self::new(&error),
        };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// An address as people write it: hexadecimal digits, a symbol, or an expression.
pub(super) fn address(kernel: &Kernel<'_>, word: &str) -> Result<VirtAddr, Failure> {
    match digits(kernel, word) {
        Some(address) => Ok(address),
        None => Ok(Expression::parse(word)?.address(kernel)?),
    }
}

/// Addresses as [`address`]; a per-CPU variable has one on each CPU that is meant.
pub(super) fn addresses(kernel: &Kernel<'_>, word: &str) -> Result<Vec<(Option<u32>, VirtAddr)>, Failure> {
    match digits(kernel, word) {
        Some(address) => Ok(vec![(None, address)]),
        None => Ok(Expression::parse(word)?.addresses(kernel)?),
    }
}

/// The address that hexadecimal digits are. `add` is a number and may be a symbol; nobody means such a small number.
fn digits(kernel: &Kernel<'_>, word: &str) -> Option<VirtAddr> {
    let raw = crate::values::address(word).ok()?;
    kernel.symbol(word).is_none().then(|| VirtAddr::new(raw))
}

/// A distance as people write it: a number of bytes, or TYPE.MEMBER.
fn offset(kernel: &Kernel<'_>, word: &str) -> Result<u64, Failure> {
    let number = word.strip_prefix("0x").map_or_else(|| word.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok());
    if let Some(number) = number {
        return Ok(number);
    }
    let (type_name, path) = word.split_once('.').ok_or_else(|| {
        Failure::new(format_args!("'{word}' is neither a number of bytes nor TYPE.MEMBER"))
            .hint("such as 16, 0x10 or task_struct.tasks")
    })?;
    Ok(member_offset(kernel, type_name, path)?)
}

/// The words of a command, of which there must be at least one and at most `most`.
fn check_words<'w>(words: &'w [String], command: &str, most: usize) -> Result<(&'w str, &'w [String]), Failure> {
    let wrong = |message| Failure::new(message).hint(usage_of(command));
    match words.split_first() {
        Some((first, rest)) if rest.len() < most => Ok((first, rest)),
        Some(_) => Err(wrong("there are too many arguments; an expression with spaces needs quotes")),
        None => Err(wrong("arguments are missing")),
    }
}

/// That there is nothing to show, for people; a program gets the document that it expects as well, without what is not there.
fn unread<R: Report>(empty: &R, error: InspectError, output: Output) -> Result<Status, Failure> {
    if output.format() == Format::Json {
        output.write(empty)?;
    }
    Err(error.into())
}

/// A number of words, objects or instructions.
fn count(word: &str) -> Result<u64, Failure> {
    word.parse().map_err(|_| Failure::new(format_args!("'{word}' is not a count")).hint("a count is a decimal number"))
}
