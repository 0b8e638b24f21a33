//! What the function graph tracer records: the task's `ret_stack`, as far as `curr_ret_stack`.
//!
//! Until 6.11 that is an array of `struct ftrace_ret_stack` and the index of the last one in use, or -1. Since then (kernel
//! commit 42675b723b48, and those after it) it is an array of words, of which so many are in use: an entry, words of the tracers,
//! if any, and a word whose lowest ten bits say how many words back the entry begins; and so on.
//!
//! `ret` is the return address. `retp` is where it was on x86, and on arm64 the
//! caller's frame pointer, which is `fp` before 5.17 (c6d3cd32fd00).
//!
//! Sources: `kernel/trace/fgraph.c`, `get_ret_stack()`, `ftrace_graph_ret_addr()`; `arch/x86/kernel/ftrace.c`,
//! `prepare_ftrace_return()`; `arch/arm64/kernel/ftrace.c`.

use vmcore_debuginfo::Shape;
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::Record;
use crate::layout::{Field, Resolver};

/// Entries of an array: `FTRACE_RETFUNC_DEPTH` is 50.
const MAX_ENTRIES: u32 = 1 << 10;
/// Words of the other form: they fill a page, which has 64 KiB at most.
const MAX_WORDS: u32 = (64 << 10) / 8;
/// The bits that say where an entry begins (`FGRAPH_FRAME_OFFSET_MASK`).
const BACK: u64 = 0x3ff;

/// Where the records are and what is in them.
pub(super) struct Graph {
    pub(super) stack: Field,
    pub(super) top: Field,
    pub(super) form: Form,
    pub(super) original: Field,
    pub(super) place: Option<Field>,
}

/// What `ret_stack` is.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Words,
    /// Of entries of this size.
    Array {
        size: u64,
    },
}

impl Graph {
    pub(super) fn resolve(types: Resolver<'_>) -> Option<Self> {
        let entry = "ftrace_ret_stack";
        let Shape::Pointer(target) = types.types().find("task_struct")?.member("ret_stack")?.ty.shape()? else {
            return None;
        };
        let form = match target.shape()? {
            Shape::Integer { .. } => Form::Words,
            _ => Form::Array { size: types.size_of(entry).ok()? },
        };
        Some(Self {
            stack: types.optional("task_struct", "ret_stack")?,
            top: types.optional("task_struct", "curr_ret_stack")?,
            form,
            original: types.optional(entry, "ret")?,
            place: types.optional(entry, "retp").or_else(|| types.optional(entry, "fp")),
        })
    }

    /// Those of a task, innermost first. A damaged stack ends at the damage.
    pub(super) fn records<M: ReadVirtual + ?Sized>(&self, memory: &M, task: VirtAddr) -> Vec<Record> {
        let (Ok(stack), Ok(top)) = (self.stack.read_pointer(memory, task), self.top.read_i32(memory, task)) else {
            return Vec::new();
        };
        let Ok(top) = u32::try_from(top) else { return Vec::new() };
        if stack.is_null() {
            return Vec::new();
        }
        let entries = match self.form {
            Form::Array { size } if top < MAX_ENTRIES => {
                (0..=top).rev().map(|index| stack.wrapping_add(u64::from(index).wrapping_mul(size))).collect()
            }
            Form::Words if top <= MAX_WORDS => entries(memory, stack, u64::from(top)),
            _ => Vec::new(),
        };
        entries.into_iter().map_while(|entry| self.record(memory, entry)).collect()
    }

    fn record<M: ReadVirtual + ?Sized>(&self, memory: &M, entry: VirtAddr) -> Option<Record> {
        let place = self.place.map(|place| place.read_pointer(memory, entry)).transpose().ok()?;
        Some(Record { place, original: self.original.read_pointer(memory, entry).ok()? })
    }
}

/// Where the entries are among `used` words, from the last to the first.
fn entries<M: ReadVirtual + ?Sized>(memory: &M, stack: VirtAddr, used: u64) -> Vec<VirtAddr> {
    let (mut entries, mut used) = (Vec::new(), used);
    while let Some(last) = used.checked_sub(1) {
        let Ok(word) = memory.read_pointer(stack.wrapping_add(last * 8)) else { break };
        let back = word.get() & BACK;
        let Some(start) = last.checked_sub(back).filter(|_| back > 0) else { break };
        entries.push(stack.wrapping_add(start * 8));
        used = start;
    }
    entries
}
