//! What would make the verdict false: each claim is checked, and none that holds leaves it confirmed.

use super::*;

/// What the check whose claim contains `words` came to, for each time it was made.
fn checks(diagnosis: &Diagnosis, words: &str) -> Vec<CheckResult> {
    let about = diagnosis.refutations.iter().filter(|refutation| refutation.claim.contains(words));
    about.map(|refutation| refutation.result).collect()
}

const CLAIMS: [&str; 8] = [
    "was scheduled out meanwhile",
    "was back in user mode",
    "is mapped after all",
    "is not its task's memory",
    "is unlocked",
    "was given a CPU within the threshold",
    "was charged for run time",
    "would take the CPU",
];

#[test]
fn every_claim_against_the_livelock_is_checked() {
    let diagnosis = World::livelock().judge();
    for words in CLAIMS {
        let results = checks(&diagnosis, words);
        assert!(!results.is_empty() && results.iter().all(|result| *result == CheckResult::Refuted), "{words}");
    }
}

#[test]
fn no_claim_that_holds_leaves_it_confirmed() {
    type Damage = fn(&mut World);
    let against: [(&str, Damage); 4] = [
        ("is unlocked", |world| world.head().flags = 0),
        ("was given a CPU", |world| world.task(SPLITTER).last_queued_ns = Some(CLOCK - 3_000_000)),
        ("was charged for run time", |world| world.task(SPLITTER).exec_start_ns = Some(CLOCK - 3_000_000)),
        ("would take the CPU", |world| world.preemption = KernelPreemption::Yes),
    ];
    for (words, damage) in against {
        let mut world = World::livelock();
        damage(&mut world);
        world.head().flag_names.retain(|name| words != "is unlocked" || *name != "PG_locked");
        let diagnosis = world.judge();
        assert!(checks(&diagnosis, words).contains(&CheckResult::Holds), "{words}: {:?}", diagnosis.refutations);
        assert!(diagnosis.verdict.confidence <= Confidence::Possible, "{words}: {:?}", diagnosis.verdict);
    }
}

#[test]
fn what_cannot_be_checked_is_said_to_be_unknown() {
    type Damage = fn(&mut World);
    let blind: [(&str, Damage); 6] = [
        ("was scheduled out meanwhile", |world| world.task(SPINNER[1]).last_arrival_ns = None),
        ("was back in user mode", |world| {
            world.memory.preempt_count = None;
            world.task(SPINNER[1]).accounting.user_ns = None;
        }),
        ("is mapped after all", |world| world.memory.entries.clear()),
        ("is not its task's memory", |world| world.memory.entries.clear()),
        ("is unlocked", |world| world.memory.pages.clear()),
        ("would take the CPU", |world| world.preemption = KernelPreemption::Unknown),
    ];
    for (words, damage) in blind {
        let mut world = World::livelock();
        damage(&mut world);
        let diagnosis = world.judge();
        assert!(checks(&diagnosis, words).contains(&CheckResult::Unknown), "{words}: {:?}", diagnosis.refutations);
    }
}

/// Nobody waits for CPU 0: that the scheduler does not ask for it says nothing.
#[test]
fn that_the_scheduler_does_not_ask_proves_nothing_about_user_mode() {
    let judge = |user_ns| {
        let mut world = World::livelock();
        world.memory.preempt_count = Some(PreemptCount::Bits32(0x8001_0000));
        world.task(SPINNER[0]).accounting.user_ns = user_ns;
        checks(&world.judge(), "the task on CPU 0 (pid 101) was back in user mode")
    };
    assert_eq!(judge(None), [CheckResult::Unknown]);
    assert_eq!(judge(Some(8_000_000)), [CheckResult::Refuted]);
}

#[test]
fn a_cpu_that_is_refuted_is_left_out_of_a_verdict_that_stands() {
    let mut world = World::livelock();
    let other = 0x9000;
    world.memory.entries.insert(FAULT[0] & !0xfff, (PageLevel::Pte, migration_entry(other)));
    world.memory.pages.insert(page_address(other), page(other, 0, None));
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    assert_eq!(diagnosis.spinners.iter().map(|spinner| spinner.cpu).collect::<Vec<_>>(), [1]);
    assert!(diagnosis.refutations.iter().all(|refutation| refutation.result == CheckResult::Refuted));
    assert_eq!(checks(&diagnosis, "CPU 0 (pid 101) is part of it"), [CheckResult::Refuted]);
}

#[test]
fn what_speaks_against_the_livelock_is_not_against_a_soft_lockup() {
    let mut world = World::livelock();
    world.head().flag_names.retain(|name| *name != "PG_locked");
    world.log.push(LogLine {
        timestamp_ns: CLOCK,
        caller: None,
        text: format!("watchdog: BUG: soft lockup - CPU#1 stuck for 9s! [comm102:{}]", SPINNER[1]),
    });
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (Some(Issue::SoftLockup), Confidence::Confirmed));
    assert!(diagnosis.refutations.iter().all(|refutation| refutation.result != CheckResult::Holds));
    assert!(!checks(&diagnosis, "it is the huge-page livelock").is_empty());
}

#[test]
fn a_flag_whose_number_is_not_known_is_not_clear() {
    let mut world = World::livelock();
    world.memory.no_page_flags = true;
    world.head().flag_names.clear();
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Probable));
    assert!(checks(&diagnosis, "is unlocked").iter().all(|result| *result == CheckResult::Unknown));
    assert!(diagnosis.unknown.iter().any(|unknown| unknown.contains("PG_locked")), "{:?}", diagnosis.unknown);
}
