//! How large a task's stack is.

use vmcore_debuginfo::SymbolTable;

use crate::layout::Resolver;

/// `THREAD_SIZE` without KASAN, since 3.15 (kernel commit 6538b8ea886e).
const DEFAULT_THREAD_SIZE: u64 = 16 << 10;
/// What it may be: with KASAN twice or four times as much, and a page of 64 KiB at least.
const POSSIBLE: std::ops::RangeInclusive<u64> = 8 << 10..=128 << 10;
/// What the linker script puts around the first task's stack, newest kernel first (kernel commit 8f69cba096b5).
const INIT_STACK: [(&str, &str); 2] =
    [("__start_init_stack", "__end_init_stack"), ("__start_init_task", "__end_init_task")];

/// `THREAD_SIZE`: the size of a task's stack. Compilers describe `union thread_union` in few kernels; the linker script has it in all
/// (`include/asm-generic/vmlinux.lds.h`, `INIT_TASK_DATA`). Where neither is known it is what kernels without KASAN have, and no
/// smaller than a page, which matters on arm64 (`arch/arm64/include/asm/memory.h`, `THREAD_SHIFT`).
pub(crate) fn thread_size(types: Resolver<'_>, symbols: &SymbolTable, page_size: u64) -> u64 {
    let linked = || {
        let address = |name: &str| symbols.address(name);
        INIT_STACK.iter().find_map(|(start, end)| size_between(address(start)?.get(), address(end)?.get()))
    };
    types.size_of("thread_union").ok().or_else(linked).unwrap_or(usual_thread_size(page_size))
}

/// The size without KASAN.
pub(crate) fn usual_thread_size(page_size: u64) -> u64 {
    DEFAULT_THREAD_SIZE.max(page_size)
}

fn size_between(start: u64, end: u64) -> Option<u64> {
    end.checked_sub(start).filter(|size| size.is_power_of_two() && POSSIBLE.contains(size))
}

#[cfg(test)]
mod tests {
    use super::size_between;

    #[test]
    fn only_what_a_stack_may_have() {
        let start = 0xffff_ffff_8260_0000;
        assert_eq!(size_between(start, start + 0x4000), Some(0x4000));
        assert_eq!(size_between(start, start + 0x8000), Some(0x8000), "with KASAN");
        for end in [start, start + 0x1000, start + 0x6000, start + (1 << 20), start - 0x4000] {
            assert_eq!(size_between(start, end), None, "{end:#x}");
        }
    }
}
