//! What a page fault is about, by the functions that stand between its entry and where it was caught.
//!
//! A fault that is retried at once finds a migration entry and goes back. One that waits for a lock, for other CPUs or for
//! memory is on its way to an end, and its CPU does not fault again and again.

use crate::names::{base_name, leads_to_call, leads_to_spin_lock};

/// The first of `functions`, from the fault's entry inwards, that waits or works, which a fault that is retried does not;
/// none where a look at the migration entry comes before it.
pub(crate) fn waits_in<'f>(functions: impl Iterator<Item = &'f str>) -> Option<&'f str> {
    let mut before_the_entry = functions.take_while(|function| !looks_at_entry(base_name(function)));
    before_the_entry.find(|function| waits(base_name(function)))
}

/// The code that finds a migration entry and goes back: what it takes and gives back on the way is no wait.
fn looks_at_entry(base: &str) -> bool {
    base.contains("migration_entry_wait") || base.contains("softleaf_entry_wait") || base == "do_swap_page"
}

/// Locks, calls to other CPUs, compaction and reclaim, input and output: by how their functions' names begin.
fn waits(base: &str) -> bool {
    const STARTS: [&str; 19] = [
        "osq_lock",
        "pv_wait",
        "kvm_wait",
        "rwsem_",
        "down_read_failed",
        "down_write_failed",
        "mutex_",
        "__mutex_lock",
        "compact_",
        "try_to_compact",
        "compaction_",
        "isolate_",
        "migrate_pages",
        "alloc_pages",
        "__alloc_pages",
        "shrink_",
        "try_to_free_pages",
        "wait_on_page",
        "io_schedule",
    ];
    leads_to_call(base) || leads_to_spin_lock(base) || STARTS.iter().any(|start| base.starts_with(start))
}

/// The first of `functions`, from the fault's entry inwards, that no fault which finds a migration entry runs: what it does
/// there may take long for another reason. None where a look at the entry comes before it.
pub(crate) fn other_work<'f>(functions: impl Iterator<Item = &'f str>) -> Option<&'f str> {
    let is_wait = |function: &&str| !base_name(function).contains("entry_wait");
    functions.take_while(is_wait).find(|function| !is_of_retry(base_name(function)))
}

/// What a fault runs until it finds the entry, by how the functions' names begin: the entry code, the search for the mapping,
/// the walk through the page tables, counters.
///
/// Source: `arch/x86/entry/entry_64.S`, `arch/x86/mm/fault.c`, `mm/memory.c`, `mm/mmap_lock.c`, `lib/maple_tree.c`,
/// `mm/vmacache.c` up to 6.0, `mm/memcontrol.c`.
fn is_of_retry(base: &str) -> bool {
    const STARTS: [&str; 59] = [
        "asm_exc_page_fault",
        "exc_page_fault",
        "async_page_fault",
        "page_fault",
        "error_entry",
        "error_return",
        "error_exit",
        "paranoid_",
        "sync_regs",
        "native_iret",
        "irqentry_",
        "do_async_page_fault",
        "do_page_fault",
        "__do_page_fault",
        "trace_do_page_fault",
        "do_user_addr_fault",
        "do_kern_addr_fault",
        "kvm_read_and_reset",
        "kvm_handle_async_pf",
        "__kvm_handle_async_pf",
        "handle_mm_fault",
        "__handle_mm_fault",
        "handle_pte_fault",
        "do_swap_page",
        "mm_account_fault",
        "find_vma",
        "find_exact_vma",
        "lock_mm_and_find_vma",
        "lock_vma_under_rcu",
        "get_mmap_lock",
        "mmap_read_",
        "vma_start_read",
        "vma_end_read",
        "vmacache_",
        "mt_find",
        "mas_",
        "mtree_",
        "down_read_trylock",
        "__down_read_trylock",
        "up_read",
        "__up_read",
        "down_read",
        "search_exception_tables",
        "access_error",
        "fault_signal_pending",
        "count_memcg_event",
        "__count_memcg_event",
        "count_vm_event",
        "mem_cgroup_",
        "memcg_",
        "pgd_",
        "p4d_",
        "pud_",
        "pmd_",
        "pte_",
        "__pte_offset_map",
        "perf_",
        "__perf_",
        "rcu_read_",
    ];
    const INTERRUPTS: [&str; 8] = [
        "asm_sysvec_",
        "sysvec_",
        "asm_common_interrupt",
        "common_interrupt",
        "apic_timer_interrupt",
        "reschedule_interrupt",
        "ret_from_intr",
        "retint_",
    ];
    const OTHERS: [&str; 8] = [
        "__rcu_read_lock",
        "__rcu_read_unlock",
        "_cond_resched",
        "__cond_resched",
        "__might_sleep",
        "___might_sleep",
        "__might_resched",
        "native_load_gs_index",
    ];
    // Returns and indirect calls of kernels with mitigations: `__x86_return_thunk`, `__x86_indirect_thunk_array`.
    let is_thunk = base.contains("_thunk");
    let mut starts = STARTS.iter().chain(&INTERRUPTS);
    is_thunk || starts.any(|start| base.starts_with(start)) || OTHERS.contains(&base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_the_fault_is_a_wait_and_one_of_the_look_at_the_entry_is_none() {
        let waits = |functions: &[&'static str]| waits_in(functions.iter().copied());
        let lock = "native_queued_spin_lock_slowpath";
        assert_eq!(waits(&["asm_exc_page_fault", "exc_page_fault", "__handle_mm_fault", lock]), Some(lock));
        assert_eq!(
            waits(&["handle_mm_fault", "do_huge_pmd_anonymous_page.part.0", "compact_zone"]),
            Some("compact_zone")
        );
        assert_eq!(
            waits(&["__handle_mm_fault", "do_swap_page", "__migration_entry_wait", "_raw_spin_lock", lock]),
            None
        );
        assert_eq!(waits(&["handle_mm_fault", "softleaf_entry_wait_on_locked", lock]), None);
        assert_eq!(waits(&["exc_page_fault", "__handle_mm_fault"]), None);
    }

    #[test]
    fn what_a_fault_does_that_finds_no_migration_entry() {
        let other = |functions: &[&'static str]| other_work(functions.iter().copied());
        assert_eq!(other(&["async_page_fault", "do_page_fault", "__do_page_fault"]), None);
        assert_eq!(other(&["asm_exc_page_fault", "do_user_addr_fault", "lock_mm_and_find_vma", "mt_find"]), None);
        assert_eq!(other(&["__handle_mm_fault", "do_swap_page", "migration_entry_wait", "_raw_spin_lock"]), None);
        // 7.3 does not have the function in between inlined.
        let walks = ["__handle_mm_fault", "handle_pte_fault", "pte_offset_map_rw_nolock", "__pte_offset_map"];
        assert_eq!(other(&walks), None);
        for (function, within) in [
            ("do_huge_pmd_anonymous_page", "clear_huge_page"),
            ("do_fault", "filemap_map_pages"),
            ("swapin_readahead", "swapcache_prepare"),
        ] {
            let before = if within == "swapcache_prepare" { "do_swap_page" } else { "__handle_mm_fault" };
            assert_eq!(other(&["page_fault", "handle_mm_fault", before, function, within]), Some(function));
        }
    }
}
