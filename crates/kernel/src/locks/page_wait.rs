//! Tasks that sleep until a page is unlocked or written back.
//!
//! ```text
//! struct wait_page_queue    on the stack of the task that waits
//!   folio, bit_nr           which page (`page` before 5.16), which of its flags
//!   wait.private            the task
//!   wait.func               wake_page_function
//!   wait.entry              in the list of one of the shared wait queues
//! ```
//!
//! Who has a page locked is recorded nowhere.
//!
//! Source: `mm/filemap.c`, `include/linux/pagemap.h`.

use vmcore_memory::{ReadVirtual, VirtAddr};

use super::find::{function_at, stack_words};
use crate::layout::{Field, Named, Resolver, Source};
use crate::list::is_linked_both_ways;
use crate::{Kernel, Snapshot, Stack};

/// A task that sleeps for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageWait {
    /// The address of its `struct task_struct`.
    pub task: VirtAddr,
    /// The `struct page` or `struct folio`.
    pub page: VirtAddr,
    /// The number of the flag that it waits for to be cleared.
    pub bit: u64,
    /// The flag's name, such as `PG_locked`.
    pub flag: Option<&'static str>,
    /// Where on its stack the page's address is.
    pub names_page: Source,
    /// The function in whose frame that is.
    pub function: String,
}

struct Layout {
    page: Named,
    bit: Field,
    private: Field,
    func: Field,
    entry: Field,
}

impl Layout {
    fn resolve(types: Resolver<'_>) -> Option<Self> {
        let field = |path| types.optional("wait_page_queue", path);
        Some(Self {
            // `page` before 5.16 (kernel commit 6974d7c977d7).
            page: types.named("wait_page_queue", &["folio", "page"])?,
            bit: field("bit_nr")?,
            private: field("wait.private")?,
            func: field("wait.func")?,
            entry: field("wait.entry")?,
        })
    }
}

impl Kernel<'_> {
    /// Which of the tasks with these stacks sleep for a page, and for which.
    #[must_use]
    pub fn page_waits(&self, snapshot: &Snapshot, stacks: &[Stack]) -> Vec<PageWait> {
        let types = Resolver::new(self.vmlinux().types());
        let Some(layout) = Layout::resolve(types) else { return Vec::new() };
        let wakes = |func: VirtAddr| self.is_function(func, "wake_page_function");
        let number = |name: &'static str| Some((u64::try_from(types.types().enumerator(name)?).ok()?, name));
        let flags: Vec<_> = ["PG_locked", "PG_writeback", "PG_private_2"].into_iter().filter_map(number).collect();
        let wait = |stack: &Stack| {
            let task = snapshot.tasks.get(stack.task)?;
            stack.frames.iter().any(|frame| frame.function().is_some_and(sleeps_for_page)).then_some(())?;
            let mut wait = page_wait(self.memory(), &layout, &wakes, task.address, stack)?;
            wait.flag = flags.iter().find(|(bit, _)| *bit == wait.bit).map(|(_, name)| *name);
            Some(wait)
        };
        stacks.iter().filter_map(wait).collect()
    }
}

/// Whether a function sleeps for a page: `wait_on_page_bit_common` up to 5.15, then `folio_wait_bit_common`;
/// `migration_entry_wait_on_locked` since 5.15.
#[must_use]
pub fn sleeps_for_page(function: &str) -> bool {
    ["wait_on_page_bit_common", "folio_wait_bit_common", "migration_entry_wait_on_locked", "wait_on_page_bit"]
        .iter()
        .any(|name| function.starts_with(name))
}

fn page_wait<M: ReadVirtual + ?Sized>(
    memory: &M,
    layout: &Layout,
    wakes: &dyn Fn(VirtAddr) -> bool,
    task: VirtAddr,
    stack: &Stack,
) -> Option<PageWait> {
    let words = stack_words(memory, stack);
    let named = words.iter().filter(|(_, word)| *word == task.get());
    named.map(|(at, _)| layout.private.container(*at)).find_map(|queue| {
        let is_page_wait = layout.func.read_pointer(memory, queue).is_ok_and(wakes);
        if !is_page_wait || !is_linked_both_ways(memory, layout.entry.address(queue)) {
            return None;
        }
        let page = layout.page.field.read_pointer(memory, queue).ok().filter(|page| page.is_kernel_half())?;
        let names_page = layout.page.of(queue);
        let function = function_at(&stack.frames, names_page.address, sleeps_for_page).unwrap_or_default().to_owned();
        Some(PageWait { task, page, bit: layout.bit.read(memory, queue).ok()?, flag: None, names_page, function })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::test_memory::TestMemory;
    use crate::{Location, StackEnd, StackFrame, SymbolName, Trust};

    const TASK: VirtAddr = VirtAddr::new(0xffff_8880_0001_0000);
    const PAGE: u64 = 0xffff_ea00_0000_1000;
    const SP: u64 = 0xffff_c900_0001_3000;
    /// The `struct wait_page_queue`.
    const QUEUE: u64 = SP + 0x40;
    /// The list that it is in.
    const LIST: u64 = 0xffff_8880_0002_0000;
    const WAKE: u64 = 0xffff_ffff_8120_0000;

    const LAYOUT: Layout = Layout {
        page: Named::for_tests("wait_page_queue", "folio", 0, 8),
        bit: Field { offset: 8, size: 4 },
        private: Field { offset: 24, size: 8 },
        func: Field { offset: 32, size: 8 },
        entry: Field { offset: 40, size: 16 },
    };

    fn memory() -> TestMemory {
        let mut memory = TestMemory::default();
        memory.put_u64(QUEUE, PAGE);
        memory.put_u64(QUEUE + 24, TASK.get());
        memory.put_u64(QUEUE + 32, WAKE);
        for (node, next) in [(QUEUE + 40, LIST), (LIST, QUEUE + 40)] {
            memory.put_u64(node, next);
            memory.put_u64(next + 8, node);
        }
        memory
    }

    fn found(memory: &TestMemory) -> Option<PageWait> {
        found_by(Trust::Orc, memory, [0, 1, 2, 8])
    }

    /// With frames that begin so many times 32 bytes above the stack's first.
    fn found_by(trust: Trust, memory: &TestMemory, depths: [u64; 4]) -> Option<PageWait> {
        let frame = |(depth, name): (u64, &str)| StackFrame {
            pc: VirtAddr::new(WAKE),
            sp: VirtAddr::new(SP + depth * 0x20),
            exact: false,
            trust,
            segment: None,
            location: Arc::new(Location {
                symbol: Some(SymbolName { name: name.to_owned(), offset: 0, module: None }),
                source: Vec::new(),
            }),
        };
        let functions = ["__schedule", "io_schedule", "folio_wait_bit_common", "__folio_lock"];
        let frames = depths.into_iter().zip(functions).map(frame).collect();
        let stack = Stack { task: 0, frames, interrupts: Vec::new(), end: StackEnd::UserMode, error: None };
        page_wait(memory, &LAYOUT, &|func| func.get() == WAKE, TASK, &stack)
    }

    #[test]
    fn the_wait_on_the_stack_names_the_page() {
        let wait = found(&memory()).unwrap();
        assert_eq!((wait.page.get(), wait.bit, wait.names_page.address.get()), (PAGE, 0, QUEUE));
        assert_eq!(wait.function, "folio_wait_bit_common");
    }

    /// As compilers lay frames out on arm64 that are protected from overruns: variables are below the frame record, which is all
    /// that is known without call-frame information.
    #[test]
    fn a_variable_below_a_frame_record_is_that_of_the_function_that_has_one() {
        let function = |trust, depths| found_by(trust, &memory(), depths).unwrap().function;
        assert_eq!(function(Trust::FramePointer, [0, 1, 5, 8]), "folio_wait_bit_common");
        assert_eq!(function(Trust::FramePointer, [0, 1, 2, 8]), "folio_wait_bit_common", "above the record");
        assert_eq!(function(Trust::Cfi, [0, 1, 5, 8]), "io_schedule", "where it begins is known");
    }

    #[test]
    fn a_wait_for_something_else_or_one_that_is_over_is_none() {
        let mut memory = memory();
        memory.put_u64(QUEUE + 32, WAKE + 0x100);
        assert_eq!(found(&memory), None);
        let mut memory = self::memory();
        memory.put_u64(LIST, LIST);
        assert_eq!(found(&memory), None);
        let mut memory = self::memory();
        memory.put_u64(QUEUE + 24, TASK.get() + 0x2000);
        assert_eq!(found(&memory), None);
    }
}
