//! Where a return address lies: in the frame record of the function that was called, beside the caller's frame pointer, where the
//! called function put it. With pointer authentication its highest bits hold a code.

use vmcore_kernel::{StackFrame, words_between};
use vmcore_memory::VirtAddr;

use crate::Reader;

/// The bits of a kernel address that no authentication code takes, on any kernel.
const ADDRESS: u64 = (1 << 39) - 1;

/// The word in the frame of `callee` that leads to `caller`; where it is not found, the address alone.
pub(crate) fn return_address(reader: &dyn Reader, callee: &StackFrame, caller: &StackFrame) -> (Option<VirtAddr>, u64) {
    let words = words_between(callee.sp, caller.sp, |at, chunk| reader.read(at, chunk).is_ok());
    let found = words.into_iter().find(|(_, word)| (word ^ caller.pc.get()) & ADDRESS == 0);
    found.map_or((None, caller.pc.get()), |(at, word)| (Some(at), word))
}
