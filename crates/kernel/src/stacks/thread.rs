//! How large a task's stack is.

use crate::layout::Resolver;

/// `THREAD_SIZE` without KASAN, since 3.15 (kernel commit 6538b8ea886e).
const DEFAULT_THREAD_SIZE: u64 = 16 << 10;

/// `THREAD_SIZE`: the size of a task's stack. No smaller than a page, which matters on arm64, whose kernels do not describe
/// `union thread_union` (`arch/arm64/include/asm/memory.h`, `THREAD_SHIFT`).
pub(crate) fn thread_size(types: Resolver<'_>, page_size: u64) -> u64 {
    types.size_of("thread_union").unwrap_or(DEFAULT_THREAD_SIZE.max(page_size))
}
