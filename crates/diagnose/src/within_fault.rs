//! What a page fault is about, by the functions that stand between its entry and where it was caught.
//!
//! A fault that is retried at once finds a migration entry and goes back. One that waits for a lock, for other CPUs or for
//! memory is on its way to an end, and its CPU does not fault again and again.

use crate::names::base_name;

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
    const STARTS: [&str; 34] = [
        "native_queued_spin_lock_slowpath",
        "queued_spin_lock_slowpath",
        "__pv_queued_spin_lock_slowpath",
        "pv_wait",
        "kvm_wait",
        "_raw_spin_lock",
        "_spin_lock",
        "do_raw_spin_lock",
        "__ticket_spin_lock",
        "queued_write_lock",
        "queued_read_lock",
        "_raw_read_lock",
        "_raw_write_lock",
        "rwsem_",
        "down_read_failed",
        "down_write_failed",
        "mutex_",
        "__mutex_lock",
        "smp_call_function",
        "on_each_cpu",
        "flush_tlb",
        "native_flush_tlb",
        "csd_lock_wait",
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
    STARTS.iter().any(|start| base.starts_with(start))
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
}
