//! Kernel code that faults an address in by a look-up, and tries again without offering its CPU: no exception is on its stack.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test support")]

use super::*;

/// Both CPUs are in `futex()`, which looks its word up in the frames of `looks_up`.
fn in_futex(looks_up: &str, words: bool) -> World {
    let mut world = World::livelock();
    let functions = [
        "migration_entry_wait",
        "do_swap_page",
        "handle_mm_fault",
        looks_up,
        "futex_lock_pi",
        "do_futex",
        "__do_sys_futex",
        "do_syscall_64",
        "entry_SYSCALL_64_after_hwframe",
    ];
    for (index, pid) in SPINNER.into_iter().enumerate() {
        world.running[index].1 = stack(index, pid, &functions);
        let local = world.running[index].1.frames[3].sp.get() + 8;
        if words {
            world.memory.words.insert(local, FAULT[index]);
        }
    }
    world
}

#[test]
fn who_looks_an_address_up_again_and_again_spins() {
    let diagnosis = in_futex("fixup_user_fault", true).judge();
    // Which address it is follows from no instruction.
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Probable), "{:?}", diagnosis.unknown);
    let spinners: Vec<_> = diagnosis.spinners.iter().map(|one| (one.cpu, one.address.unwrap().get())).collect();
    assert_eq!(spinners, [(0, FAULT[0]), (1, FAULT[1])]);
    let proof = &diagnosis.spinners[0].evidence;
    let how = "fixup_user_fault looks up a user address as a fault would";
    assert!(proof.iter().any(|fact| fact.meaning.contains(how)), "{proof:?}");
}

/// Half a million faults in ten seconds, and no user code: the empty entry, or its table, is what is wrong.
#[test]
fn an_empty_entry_does_not_refute_what_the_counters_show() {
    let emptied = |faults, incomplete: Option<&str>| {
        let mut world = World::livelock();
        world.incomplete = incomplete.map(str::to_owned);
        for address in FAULT {
            world.memory.entries.insert(address & !0xfff, (PageLevel::Pte, 0));
        }
        for pid in SPINNER {
            world.task(pid).accounting.minor_faults = Some(faults);
        }
        world.judge()
    };
    let lost = emptied(500_000, Some("it ends too early"));
    assert!(lost.spinners.is_empty());
    assert!(lost.unknown.iter().any(|why| why.contains("has been faulting all the time")), "{:?}", lost.unknown);
    for other in [emptied(300, Some("it ends too early")), emptied(500_000, None)] {
        assert!(other.unknown.iter().all(|why| !why.contains("faulting all the time")), "{:?}", other.unknown);
    }
}

#[test]
fn a_look_up_of_something_else_is_no_spinner() {
    assert!(in_futex("fixup_user_fault", false).judge().spinners.is_empty(), "no address at hand");
    assert!(in_futex("do_user_addr_fault", true).judge().spinners.is_empty(), "no look-up");
    let mut world = in_futex("fixup_user_fault", true);
    for address in FAULT {
        world.memory.entries.insert(address & !0xfff, (PageLevel::Pte, 0x420_3067));
    }
    assert!(world.judge().spinners.is_empty(), "the page is there");
    let mut world = in_futex("fixup_user_fault", true);
    for pid in SPINNER {
        world.task(pid).accounting.minor_faults = Some(300);
    }
    assert!(confidence(&world.judge()).1 < Confidence::Probable, "it has not done so often");
}
