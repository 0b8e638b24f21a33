//! Evidence that a function is on a stack.

use vmcore_kernel::StackFrame;

use crate::arch;
use crate::{Evidence, Place, Reader, Value};

/// That a function is on a stack: the return address of its frame, as it lies there.
pub(crate) fn return_address(
    reader: &dyn Reader,
    frames: &[StackFrame],
    index: usize,
    meaning: impl Into<String>,
) -> Option<Evidence> {
    let (at, value) = arch::return_address(reader, frames, index)?;
    let evidence = Evidence::new("return address", meaning).value(Value::Hex(value));
    Some(match at {
        Some(at) => evidence.at(Place::Kernel(at)),
        None => evidence,
    })
}
