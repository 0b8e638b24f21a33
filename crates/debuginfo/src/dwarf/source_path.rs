//! Source files named as kernel developers do: from the top of the kernel tree.
//!
//! Where a kernel was built decides what its debug information says: `kernel/sched/core.c`, `./include/linux/mm.h`,
//! `../../../arch/x86/entry/entry_64.S`, or `/build/linux-6.1.192/arch/x86/entry/../lib/copy_user_64.S`.

/// Top-level directories of the kernel tree that hold code that is compiled into it.
const TOP: [&str; 20] = [
    "arch", "block", "certs", "crypto", "drivers", "fs", "include", "init", "io_uring", "ipc", "kernel", "lib", "mm",
    "net", "rust", "scripts", "security", "sound", "tools", "virt",
];

/// The path of `file` in `directory`, relative to the top of the kernel tree if that can be told.
pub(super) fn shorten(compilation_directory: &str, directory: &str, file: &str) -> String {
    let path =
        if file.starts_with('/') || directory.is_empty() { file.to_owned() } else { format!("{directory}/{file}") };
    let parts = simplify(&path);
    let skipped =
        if path.starts_with('/') { common(&parts, &simplify(compilation_directory)) } else { leading_up(&parts) };
    let rest = parts.get(skipped..).unwrap_or_default();
    match rest.first() {
        Some(first) if TOP.contains(first) => rest.join("/"),
        _ if path.starts_with('/') => format!("/{}", parts.join("/")),
        _ => parts.join("/"),
    }
}

/// The parts of a path without `.`, and without `..` where a part before it can be removed instead.
fn simplify(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|&last| last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

fn common(a: &[&str], b: &[&str]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// How many `..` a path starts with: a build directory below the tree.
fn leading_up(parts: &[&str]) -> usize {
    parts.iter().take_while(|&&part| part == "..").count()
}

#[cfg(test)]
mod tests {
    use super::shorten;

    #[test]
    fn paths_start_at_the_top_of_the_tree() {
        let build = "/build/linux-6.1/debian/build/amd64";
        assert_eq!(shorten(build, "kernel/sched", "core.c"), "kernel/sched/core.c");
        assert_eq!(shorten(build, "./arch/x86/include/asm", "bitops.h"), "arch/x86/include/asm/bitops.h");
        assert_eq!(shorten(build, "../../../mm", "memory.c"), "mm/memory.c");
        assert_eq!(shorten(build, "/build/linux-6.1/arch/x86/a/../entry", "entry_64.S"), "arch/x86/entry/entry_64.S");
        assert_eq!(shorten("/usr/src/linux", "/usr/src/linux/fs", "stat.c"), "fs/stat.c");
        assert_eq!(shorten("/usr/src/linux", "fs", "/usr/src/linux/mm/gup.c"), "mm/gup.c");
        assert_eq!(shorten("/usr/src/linux", "", "init/main.c"), "init/main.c");
    }

    #[test]
    fn what_is_not_in_the_tree_stays_as_it_is() {
        assert_eq!(shorten("/build/x", "/usr/lib/gcc/include", "stdarg.h"), "/usr/lib/gcc/include/stdarg.h");
        assert_eq!(shorten("/home/a/build", "/home/a/linux/fs", "stat.c"), "/home/a/linux/fs/stat.c");
        assert_eq!(shorten("", "../lib64", "x.h"), "../lib64/x.h");
        assert_eq!(shorten("", "", ""), "");
    }
}
