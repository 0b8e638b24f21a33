//! A real vmlinux, read by this crate and by others: the answers must be the same.
//!
//! ```text
//! VMCORE_LAB_VMLINUX=path cargo test --release -p vmcore-debuginfo --features lab-tests --test lab
//! ```
#![cfg(feature = "lab-tests")]
#![allow(clippy::expect_used, clippy::unwrap_used)] // Helpers of tests, which clippy does not see as such.

mod common;

use std::{env, path::PathBuf};

use vmcore_debuginfo::{MemberKind, Profile, TypesOrigin, Vmlinux};
use vmcore_memory::VirtAddr;

fn lab() -> Vmlinux {
    let path = env::var_os("VMCORE_LAB_VMLINUX").expect("VMCORE_LAB_VMLINUX names the vmlinux to test with");
    Vmlinux::open(&PathBuf::from(path)).unwrap()
}

/// Every 611th byte of the code, which is never the distance between two things that repeat.
fn code_addresses(vmlinux: &Vmlinux) -> Vec<VirtAddr> {
    let sections = [".text", ".init.text", ".exit.text"].map(|name| vmlinux.section(name).unwrap());
    let addresses = sections.iter().flat_map(|section| {
        (0..section.data.len() as u64).step_by(611).map(|offset| section.address.checked_add(offset).unwrap())
    });
    addresses.collect()
}

#[test]
fn source_frames_are_those_of_addr2line() {
    let vmlinux = lab();
    let addresses = code_addresses(&vmlinux);
    let compared = common::compare_with_addr2line(&vmlinux, &addresses);
    println!("{compared:?}");
    assert!(addresses.len() > 10_000 && compared.with_inlined > 1000);
}

/// Structs that an analysis reads, of several kernels: not all of them are in each.
const STRUCTS: [&str; 40] = [
    "task_struct",
    "thread_info",
    "thread_struct",
    "sched_entity",
    "sched_info",
    "sched_rt_entity",
    "cfs_rq",
    "rt_rq",
    "dl_rq",
    "rq",
    "mm_struct",
    "vm_area_struct",
    "page",
    "folio",
    "zone",
    "pglist_data",
    "mem_section",
    "anon_vma",
    "anon_vma_chain",
    "address_space",
    "file",
    "inode",
    "dentry",
    "super_block",
    "module",
    "module_layout",
    "module_memory",
    "mod_kallsyms",
    "mod_arch_specific",
    "printk_ringbuffer",
    "prb_desc",
    "printk_info",
    "pt_regs",
    "signal_struct",
    "cred",
    "pid",
    "workqueue_struct",
    "worker_pool",
    "swap_info_struct",
    "hrtimer_cpu_base",
];

#[test]
fn btf_and_dwarf_agree_on_every_member() {
    let vmlinux = lab();
    let (btf, dwarf) = (vmlinux.types(), vmlinux.dwarf_types().unwrap());
    assert_eq!((btf.origin(), dwarf.origin()), (TypesOrigin::Btf, TypesOrigin::Dwarf));
    let mut members = 0;
    let mut different = Vec::new();
    for name in STRUCTS {
        assert_eq!(btf.size_of(name), dwarf.size_of(name), "sizeof({name})");
        assert_eq!(btf.has_type(name), dwarf.has_type(name), "{name}");
        assert_eq!(btf.member_names(name), dwarf.member_names(name), "{name}");
        for member in btf.member_names(name) {
            let mut paths = vec![member.clone(), format!("{member}[0]"), format!("{member}[1]")];
            if let Some(MemberKind::Struct(Some(inner))) = btf.member(name, &member).map(|member| member.kind) {
                paths.extend(btf.member_names(&inner).iter().map(|inner| format!("{member}.{inner}")));
            }
            for path in paths {
                let (ours, theirs) = (btf.member(name, &path), dwarf.member(name, &path));
                members += usize::from(ours.is_some());
                if ours != theirs {
                    different.push(format!("{name}.{path}: BTF {ours:?}\nDWARF {theirs:?}"));
                }
            }
        }
    }
    println!("{members} members, {} different", different.len());
    assert!(members > 2000);
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn btf_and_dwarf_agree_on_enumerators_and_base_types() {
    let vmlinux = lab();
    let (btf, dwarf) = (vmlinux.types(), vmlinux.dwarf_types().unwrap());
    let enumerators = [
        "PG_locked",
        "PG_waiters",
        "PG_head",
        "PG_swapbacked",
        "MIGRATE_UNMOVABLE",
        "MIGRATE_TYPES",
        "ZONE_NORMAL",
        "MAX_NR_ZONES",
        "PIDTYPE_PID",
        "PIDTYPE_MAX",
        "MM_ANONPAGES",
        "NR_MM_COUNTERS",
        "HRTIMER_RESTART",
        "BH_Lock",
        "SD_BALANCE_NEWIDLE",
        "PREEMPT_DYNAMIC_NONE",
        "preempt_dynamic_none",
        "preempt_dynamic_full",
        "desc_finalized",
        "desc_committed",
        "LOG_NEWLINE",
        "MOD_TEXT",
        "MODULE_STATE_LIVE",
        "WORK_STRUCT_PENDING_BIT",
        "NR_FREE_PAGES",
        "TRANSPARENT_HUGEPAGE_FLAG",
        "no_such_enumerator",
    ];
    for name in enumerators {
        assert_eq!(btf.enumerator(name), dwarf.enumerator(name), "{name}");
    }
    assert_eq!(btf.enumerator("PG_locked"), Some(0));
    for name in ["int", "long unsigned int", "_Bool", "char", "u64", "atomic_t", "pgd_t", "enum pageflags", "nothing"] {
        assert_eq!(btf.size_of(name), dwarf.size_of(name), "{name}");
    }
    for variable in ["swap_info", "init_task", "runqueues", "log_buf_len", "__per_cpu_offset"] {
        assert_eq!(btf.variable_type_size(variable), dwarf.variable_type_size(variable), "{variable}");
    }
    assert_eq!(btf.variable_type_size("swap_info").unwrap() / 8, dwarf.variable_array_len("swap_info").unwrap());
}

#[test]
fn a_profile_answers_like_its_vmlinux() {
    let vmlinux = lab();
    let made = Profile::of(&vmlinux).unwrap();
    let (size, profile) = (made.bytes().len(), made.opened());
    println!("profile: {} KiB", size >> 10);
    assert!(size < 10 << 20);
    assert_eq!(profile.build_id().unwrap(), vmlinux.build_id().unwrap());
    assert_eq!(profile.banner().unwrap(), vmlinux.banner().unwrap());
    for section in [".orc_unwind_ip", ".orc_unwind", ".orc_header", ".BTF"] {
        assert_eq!(profile.section(section), vmlinux.section(section), "{section}");
    }
    assert_eq!(profile.types().origin(), TypesOrigin::Btf);
    for name in STRUCTS {
        assert_eq!(profile.types().size_of(name), vmlinux.types().size_of(name), "{name}");
        for member in vmlinux.types().member_names(name) {
            assert_eq!(profile.types().member(name, &member), vmlinux.types().member(name, &member), "{name}.{member}");
        }
    }
    for address in code_addresses(&vmlinux) {
        let expected = vmlinux.symbols().lookup(address);
        if expected.is_some_and(|symbol| symbol.name.starts_with("__pfx_")) {
            // The padding before a function, which a profile leaves out.
            continue;
        }
        assert_eq!(profile.symbols().lookup(address), expected, "{address}");
        if let Some(symbol) = expected {
            assert_eq!(profile.symbols().address(symbol.name), vmlinux.symbols().address(symbol.name));
        }
    }
}
