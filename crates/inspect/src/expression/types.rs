//! Types by their names, and those of variables.

use vmcore_debuginfo::Type;
use vmcore_kernel::Kernel;

use crate::InspectError;

/// Variables whose types C has had for as long as they exist, for kernels that come with BTF only, which has the types
/// of per-CPU variables. Each with the header that declares it.
const KNOWN_VARIABLES: [(&str, &str); 15] = [
    ("init_task", "struct task_struct"),      // linux/sched/task.h
    ("init_mm", "struct mm_struct"),          // linux/mm_types.h
    ("init_uts_ns", "struct uts_namespace"),  // linux/utsname.h
    ("init_pid_ns", "struct pid_namespace"),  // linux/pid_namespace.h
    ("init_css_set", "struct css_set"),       // linux/cgroup.h
    ("root_task_group", "struct task_group"), // kernel/sched/sched.h
    // linux/jiffies.h; the linker script defines it, so that not even DWARF has its type.
    ("jiffies", "unsigned long"),
    ("jiffies_64", "u64"),                   // linux/jiffies.h
    ("modules", "struct list_head"),         // kernel/module/main.c
    ("super_blocks", "struct list_head"),    // fs/super.c
    ("workqueues", "struct list_head"),      // kernel/workqueue.c
    ("slab_caches", "struct list_head"),     // mm/slab.h
    ("panic_cpu", "atomic_t"),               // linux/panic.h
    ("cgrp_dfl_root", "struct cgroup_root"), // linux/cgroup-defs.h
    ("oops_in_progress", "int"),             // linux/printk.h
];

/// The type of the variable `name`, if it is known: without DWARF, that of few but per-CPU variables.
#[must_use]
pub fn variable_type<'k>(kernel: &'k Kernel<'_>, name: &str) -> Option<Type<'k>> {
    let vmlinux = kernel.vmlinux();
    let known = || {
        let (_, type_name) = KNOWN_VARIABLES.iter().find(|(known, _)| *known == name)?;
        find_type(kernel, type_name).ok()
    };
    // Last, because all of DWARF may have to be searched.
    let searched = || vmlinux.variable_types()?.variable_type(name);
    vmlinux.types().variable_type(name).or_else(known).or_else(searched)
}

/// The type `name`: as [`vmcore_debuginfo::Types`] has it, an integer in any order of its words, or one that a loaded module
/// defines.
///
/// # Errors
///
/// [`InspectError::NoType`] where there is none.
pub fn find_type<'k>(kernel: &'k Kernel<'_>, name: &str) -> Result<Type<'k>, InspectError> {
    let types = kernel.vmlinux().types();
    types
        .find(name)
        .or_else(|| integer_names(name).iter().find_map(|name| types.find(name)))
        .or_else(|| kernel.module_type(name))
        .ok_or_else(|| InspectError::NoType(name.to_owned()))
}

/// How compilers call an integer type that may be written in several ways.
fn integer_names(name: &str) -> &'static [&'static str] {
    let words: Vec<_> = name.split_whitespace().collect();
    let has = |word: &str| words.contains(&word);
    if words.iter().any(|word| !["unsigned", "signed", "long", "int", "short", "char"].contains(word)) {
        return &[];
    }
    match (has("unsigned"), words.iter().filter(|word| **word == "long").count()) {
        (true, _) if has("char") => &["unsigned char"],
        (false, _) if has("char") => &["signed char", "char"],
        (true, _) if has("short") => &["short unsigned int", "unsigned short"],
        (false, _) if has("short") => &["short int", "short"],
        (true, 0) => &["unsigned int"],
        (false, 0) => &["int"],
        (true, 1) => &["long unsigned int", "unsigned long"],
        (false, 1) => &["long int", "long"],
        (true, _) => &["long long unsigned int", "unsigned long long"],
        (false, _) => &["long long int", "long long"],
    }
}
