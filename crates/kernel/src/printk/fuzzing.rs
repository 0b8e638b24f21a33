//! The readers of both log buffers, for fuzzers.

use super::{legacy, lockless};
use crate::fuzzing::{Flat, START};
use vmcore_memory::VirtAddr;

/// Reads `memory` as a lock-less log buffer, to which its first word points.
pub fn printk_lockless(memory: &[u8]) {
    let (mut gaps, memory) = (Vec::new(), Flat(memory));
    let _ = lockless::read(&memory, &lockless::sample::LAYOUT, VirtAddr::new(START), &mut gaps);
}

/// Reads `memory` as a log buffer of variable records. Its variables begin at 0x1000, by which the addresses in it
/// count.
pub fn printk_legacy(memory: &[u8]) {
    let has_caller = memory.first().is_some_and(|byte| byte % 2 == 1);
    let (mut gaps, memory) = (Vec::new(), Flat(memory));
    let _ = legacy::read(&memory, &legacy::sample::layout(has_caller), &legacy::sample::VARIABLES, &mut gaps);
}
