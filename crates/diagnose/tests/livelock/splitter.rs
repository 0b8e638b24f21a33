//! The task that splits: what ties it to the spinners, and whether it is kept from running.

use super::*;

#[test]
fn a_splitter_that_waited_only_shortly_is_not_starved() {
    let mut world = World::livelock();
    world.task(SPLITTER).last_queued_ns = Some(CLOCK - 3_000_000);
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Possible));
    assert!(diagnosis.refutations.iter().any(|refutation| refutation.result == CheckResult::Holds));
}

#[test]
fn an_address_in_the_huge_page_ties_threads_of_one_process() {
    let mut world = World::livelock();
    world.splitter_word(huge_page_address(0x4000));
    assert_eq!(confidence(&world.judge()), (LIVELOCK, Confidence::Confirmed));
}

/// `struct mmu_notifier_range` of the page below ends where the spinners' page begins.
#[test]
fn who_splits_the_page_below_is_not_tied_by_where_that_one_ends() {
    let with = |words: &[u64]| {
        let mut world = World::livelock();
        world.splitter_word(0);
        for (index, word) in words.iter().enumerate() {
            world.memory.words.insert(below_the_split(index as u64), *word);
        }
        let diagnosis = world.judge();
        (diagnosis.splitters[0].is_tied, diagnosis.verdict.confidence)
    };
    let (start, below, inside) = (huge_page_address(0), huge_page_address(0) - (2 << 20), huge_page_address(0x4000));
    assert_eq!(with(&[below, start]), (false, Confidence::Probable));
    assert_eq!(with(&[start, start + (2 << 20)]), (true, Confidence::Confirmed), "the range of the page itself");
    assert_eq!(with(&[start]), (true, Confidence::Confirmed));
    assert_eq!(with(&[below, start, inside]), (true, Confidence::Confirmed), "an address within is of this page");
    // What is shown for the tie is the word that makes it.
    let mut world = World::livelock();
    world.splitter_word(0);
    for (index, word) in [below, start, inside].into_iter().enumerate() {
        world.memory.words.insert(below_the_split(index as u64), word);
    }
    let splitter = world.judge().splitters.remove(0);
    let shown: Vec<_> = splitter.evidence.iter().filter(|fact| fact.what == "stack word").collect();
    assert_eq!(shown.iter().map(|fact| fact.value.clone()).collect::<Vec<_>>(), [Some(Value::Hex(inside))]);
}

/// `kcompactd` moves a huge page that is mapped by PTEs, whose tails spinners wait for.
#[test]
fn who_moves_the_page_is_tied_by_the_page_alone() {
    let with = |mm: Option<VirtAddr>, word: u64| {
        let mut world = World::livelock();
        let moving = [
            "__schedule",
            "__cond_resched",
            "rmap_walk_anon",
            "remove_migration_ptes",
            "unmap_and_move",
            "migrate_pages",
            "compact_zone",
        ];
        world.waiting[0] = stack(2, SPLITTER, &moving);
        world.task(SPLITTER).mm = mm;
        world.splitter_word(word);
        world.judge()
    };
    let diagnosis = with(None, page_address(0x4200).get());
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed), "{:?}", diagnosis.unknown);
    for part in ["a huge page that is being moved", "which is moving it"] {
        assert!(diagnosis.verdict.summary.contains(part), "{}", diagnosis.verdict.summary);
    }
    let edges = diagnosis.graph.edges();
    assert!(edges.iter().any(|edge| edge.why == "is locked and being moved by it (migrate_pages)"));
    // It works for many: neither its process nor an address ties it to a page.
    for word in [0, huge_page_address(0x4000)] {
        let diagnosis = with(Some(MM), word);
        assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Possible));
        assert!(diagnosis.splitters.is_empty());
    }
}

/// By the names of any kernel.
#[test]
fn who_moves_or_splits_a_page_is_known_by_what_does_so() {
    let with = |does: &[&str], mm: Option<VirtAddr>| {
        let mut world = World::livelock();
        // The word is in the frame that the outermost function calls.
        let walks = ["__schedule", "__cond_resched", "rmap_walk_anon", "rmap_walk", "walks"];
        let frames = [&walks[..6 - does.len()], does, &["driver_moves"]].concat();
        world.waiting[0] = stack(2, SPLITTER, &frames);
        world.task(SPLITTER).mm = mm;
        world.splitter_word(page_address(0x4200).get());
        world.judge()
    };
    for moves in [
        &["remove_migration_ptes", "__migrate_device_finalize", "migrate_vma_finalize"][..],
        &["__migrate_device_finalize"],
        &["folio_migrate_mapping", "__migrate_device_pages"],
        &["try_to_migrate", "migrate_device_unmap"],
        &["migrate_vma_collect_pmd", "migrate_vma_setup"],
        &["migrate_vma_pages"],
        &["migrate_vma_finalize"],
    ] {
        let diagnosis = with(moves, None);
        assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed), "{moves:?}");
        assert!(diagnosis.verdict.summary.contains("a huge page that is being moved"), "{moves:?}");
    }
    for splits in [
        &["try_to_migrate", "__split_huge_page_to_list_to_order"][..],
        &["folio_split_unmapped"],
        &["__folio_freeze_and_split_unmapped"],
        &["split_huge_page_to_list_to_order"],
    ] {
        let diagnosis = with(splits, Some(MM));
        assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed), "{splits:?}");
        assert!(!diagnosis.verdict.summary.contains("moved"), "{splits:?}");
    }
}

#[test]
fn the_same_process_alone_is_a_weak_tie() {
    let mut world = World::livelock();
    world.splitter_word(0);
    assert_eq!(confidence(&world.judge()), (LIVELOCK, Confidence::Probable));
}

#[test]
fn a_splitter_of_another_process_with_the_head_on_its_stack_is_tied() {
    let mut world = World::livelock();
    world.task(SPLITTER).mm = Some(OTHER_MM);
    assert_eq!(confidence(&world.judge()), (LIVELOCK, Confidence::Confirmed));
}

#[test]
fn a_splitter_of_another_process_and_another_page_is_not_ours() {
    let mut world = World::livelock();
    world.task(SPLITTER).mm = Some(OTHER_MM);
    world.splitter_word(0);
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Possible));
    assert!(diagnosis.splitters.is_empty());
}

#[test]
fn a_sleeping_splitter_is_another_problem() {
    let mut world = World::livelock();
    let splitter = world.task(SPLITTER);
    splitter.state = TaskState { state: 2, exit_state: 0 };
    splitter.on_rq = 0;
    world.blocked = std::mem::take(&mut world.waiting);
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Possible));
    assert!(diagnosis.unknown.iter().any(|unknown| unknown.contains("sleeps")), "{:?}", diagnosis.unknown);
}

#[test]
fn words_above_the_splits_own_frame_tie_nothing() {
    // Registers of user code, saved at the top of the stack, may point anywhere into the process's memory.
    let mut world = World::livelock();
    world.splitter_word(0);
    world.memory.words.insert(above_the_split(), huge_page_address(0x4000));
    assert_eq!(confidence(&world.judge()), (LIVELOCK, Confidence::Probable));
}

#[test]
fn a_splitter_that_runs_is_not_starved() {
    let mut world = World::livelock();
    // CPU 1 runs the splitter; CPU 0 spins.
    world.cpus[1].run_queue.as_mut().unwrap().current = task_address(SPLITTER);
    world.task(SPLITTER).on_cpu = true;
    let splitter = world.waiting.remove(0);
    world.running[1] = (1, splitter);
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Possible));
    assert!(diagnosis.unknown.iter().any(|unknown| unknown.contains("runs on CPU 1")), "{:?}", diagnosis.unknown);
}

#[test]
fn an_occupant_that_may_not_spin_does_not_explain_starvation() {
    // The task on the splitter's CPU waits for another page, which is not locked.
    let mut world = World::livelock();
    let other = 0x9000;
    world.memory.entries.insert(FAULT[1] & !0xfff, (PageLevel::Pte, migration_entry(other)));
    world.memory.pages.insert(page_address(other), page(other, 0, None));
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Probable));
    assert!(diagnosis.unknown.iter().any(|unknown| unknown.contains("not proven")), "{:?}", diagnosis.unknown);
}
