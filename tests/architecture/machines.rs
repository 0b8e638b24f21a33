//! What is of one machine architecture stands in files that say so by their path; how many others name x86-64 is counted.

use std::path::{Path, PathBuf};

use super::{code_lines, is_test, root, sources, words};

/// Files outside of `arch` and `x86_64` modules whose code names registers, instructions or constants of x86-64. It may only become less.
const NAME_X86: usize = 26;

/// Crates that are about text that people and kernels wrote, or that make x86-64 machines.
const APART: &[&str] = &["crates/console", "crates/synth"];

/// Names of machines are not among them: what chooses by the machine has to name it.
const NAMES: &[&str] = &[
    "x86",
    "EM_X86_64",
    "iced_x86",
    "rip",
    "rsp",
    "rbp",
    "rax",
    "rbx",
    "rcx",
    "rdx",
    "rsi",
    "rdi",
    "eflags",
    "orig_rax",
    "cr2",
    "cr3",
    "cr4",
    "gs_base",
    "phys_base",
    "orc",
    "Orc",
    "IMAGE_BASE",
    "PROTNONE",
    "NO_EXECUTE",
    "cea_exception_stacks",
    "hardirq_stack_ptr",
    "inactive_task_frame",
];

#[test]
fn no_more_files_name_x86() {
    let is_apart = |name: &str| name.starts_with("x86_64") || name == "arch";
    let of_one_machine = |path: &Path| path.components().any(|part| is_apart(&part.as_os_str().to_string_lossy()));
    let named: Vec<_> = sources()
        .into_iter()
        .filter(|path| !is_test(path) && !of_one_machine(path))
        .map(|path| path.strip_prefix(root()).unwrap().to_owned())
        .filter(|path| !APART.iter().any(|apart| path.starts_with(apart)))
        .filter(|path| code_lines(&root().join(path)).iter().any(|line| words(line).any(|word| NAMES.contains(&word))))
        .collect();
    assert_eq!(named.len(), NAME_X86, "files that name x86-64, of which there may only be fewer: {named:#?}");
}

/// Where a bit of a page-table entry stands is of one machine.
#[test]
fn walks_of_page_tables_know_no_bits_of_entries() {
    let walks = |path: &Path| path.to_string_lossy().contains("crates/kernel/src/paging/");
    // Of the last, which is test code, no line says so.
    let of_walks = |path: &PathBuf| walks(path) && !path.ends_with("walk_cases.rs");
    for path in sources().into_iter().filter(of_walks) {
        let lines = code_lines(&path);
        let bits: Vec<_> =
            lines.iter().filter(|line| line.contains("const ") && line.contains(": u64 = 1 <<")).collect();
        assert!(bits.is_empty(), "{}: {bits:#?}", path.display());
    }
}
