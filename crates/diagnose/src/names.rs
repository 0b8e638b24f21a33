//! Kernel functions by what they mean to a detector. Names change between versions: newest first.

use vmcore_kernel::StackFrame;

/// Entry code of the page-fault exception: `asm_exc_page_fault` since 5.8, before that `page_fault` and, in guests of
/// KVM, `async_page_fault`.
const PAGE_FAULT_ENTRY: [&str; 3] = ["asm_exc_page_fault", "page_fault", "async_page_fault"];

/// Functions whose presence on a stack means that the task is splitting a huge page or a huge mapping.
const SPLIT: [&str; 10] = [
    // 6.16, 6.9, and before
    "__folio_split",
    "folio_split",
    "split_huge_page_to_list_to_order",
    "split_huge_page_to_list",
    "split_folio_to_list",
    "deferred_split_scan",
    "__split_huge_page",
    "__split_huge_pmd",
    "__split_huge_pmd_locked",
    "split_huge_pmd_address",
];

/// Functions that dispatch system calls; the frame below them is the call's own function.
const SYSCALL_DISPATCH: [&str; 4] = ["x64_sys_call", "do_syscall_64", "do_syscall_x64", "do_fast_syscall_32"];

/// A function's name without what compilers append to clones and split-off parts: `.isra.0`, `.constprop.0`, `.part.0`,
/// `.cold`, `.llvm.123`.
pub(crate) fn base_name(symbol: &str) -> &str {
    symbol.split_once('.').map_or(symbol, |(base, _)| if base.is_empty() { symbol } else { base })
}

pub(crate) fn is_page_fault_entry(symbol: &str) -> bool {
    PAGE_FAULT_ENTRY.contains(&base_name(symbol))
}

/// The outermost function of a split on the stack, by symbol or inlined name, with the index of its frame.
pub(crate) fn split_function(frames: &[StackFrame]) -> Option<(usize, String)> {
    frames.iter().enumerate().rev().find_map(|(index, frame)| {
        let name = functions(frame).find(|name| SPLIT.contains(&base_name(name)))?;
        Some((index, name.to_owned()))
    })
}

/// The system call's own function.
pub(crate) fn syscall_function(frames: &[StackFrame]) -> Option<String> {
    let dispatch =
        frames.iter().position(|frame| functions(frame).any(|name| SYSCALL_DISPATCH.contains(&base_name(name))))?;
    let function = frames.get(dispatch.checked_sub(1)?)?.function()?;
    Some(function.to_owned())
}

/// All functions of a frame: the symbol, and those inlined into it.
pub(crate) fn functions(frame: &StackFrame) -> impl Iterator<Item = &str> {
    let inlined = frame.location.source.iter().filter_map(|source| source.function.as_deref());
    frame.function().into_iter().chain(inlined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_suffixes_do_not_matter() {
        assert_eq!(base_name("madvise_free_page_range.isra.0"), "madvise_free_page_range");
        assert_eq!(base_name("remap_page.part.0.cold"), "remap_page");
        assert_eq!(base_name("panic"), "panic");
        assert!(is_page_fault_entry("asm_exc_page_fault"));
        assert!(!is_page_fault_entry("exc_page_fault"));
    }
}
