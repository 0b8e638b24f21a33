//! Names of kernel functions, as symbols have them.

/// What stands before the name of a system call in that of its functions, of x86-64 and of arm64, newest kernel first (`SyS_` until
/// 4.16, `__x64_sys_` since 4.17, kernel commit d5a00528b58c). The longer ones before those that they end with.
///
/// Source: `include/linux/syscalls.h`, `arch/x86/include/asm/syscall_wrapper.h`, `arch/arm64/include/asm/syscall_wrapper.h`.
const SYSTEM_CALL: [&str; 8] =
    ["__x64_sys_", "__arm64_sys_", "__se_sys_", "__do_sys_", "__ia32_sys_", "SyS_", "ksys_", "sys_"];

/// A function's name without what compilers append to clones and split-off parts: `.isra.0`, `.constprop.0`, `.part.0`,
/// `.cold`, `.llvm.123`; of kernels that Clang built with link-time optimization also `$` and a hash, and `.cfi_jt`.
///
/// ```
/// assert_eq!(vmcore_console::base_name("remap_page.part.0.cold"), "remap_page");
/// ```
#[must_use]
pub fn base_name(symbol: &str) -> &str {
    // A name may begin with one.
    let first = usize::from(symbol.starts_with('.'));
    let end = symbol.get(first..).and_then(|rest| rest.find(['.', '$']));
    end.and_then(|at| symbol.get(..first + at)).unwrap_or(symbol)
}

/// The name of the system call that a function with this name carries out.
///
/// ```
/// assert_eq!(vmcore_console::system_call("__arm64_sys_read"), Some("read"));
/// assert_eq!(vmcore_console::system_call("vfs_read"), None);
/// ```
#[must_use]
pub fn system_call(function: &str) -> Option<&str> {
    SYSTEM_CALL.iter().find_map(|prefix| function.strip_prefix(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_compilers_append_is_cut_off() {
        assert_eq!(base_name("madvise_free_page_range.isra.0"), "madvise_free_page_range");
        assert_eq!(base_name("remap_page.part.0.cold"), "remap_page");
        assert_eq!(base_name("remap_page.llvm.123"), "remap_page");
        assert_eq!(base_name("__schedule$9f2f8a4b8c5d4b1e8e4a7a1f8f0a6b3c"), "__schedule");
        assert_eq!(base_name("wake_page_function.cfi_jt"), "wake_page_function");
        assert_eq!(base_name("panic"), "panic");
        // A name may begin with a dot; that of an unnamed symbol is empty.
        assert_eq!(base_name(".foo.cold"), ".foo");
        assert_eq!(base_name(""), "");
    }

    #[test]
    fn every_way_to_name_a_call() {
        for function in [
            "__x64_sys_read",
            "__se_sys_read",
            "__do_sys_read",
            "__arm64_sys_read",
            "SyS_read",
            "ksys_read",
            "sys_read",
        ] {
            assert_eq!(system_call(function), Some("read"), "{function}");
        }
        assert_eq!(system_call("do_sys_openat2"), None);
    }
}
