use std::collections::BTreeSet;

use super::*;

#[test]
fn names_and_ranks_are_unique_and_in_order() {
    let ids: BTreeSet<_> = Issue::ALL.iter().map(|issue| issue.id()).collect();
    assert_eq!(ids.len(), Issue::ALL.len());
    // The list has the order of the enumeration, so that none is missing.
    assert!(Issue::ALL.is_sorted() && Issue::ALL.windows(2).all(|pair| pair[0].rank() > pair[1].rank()));
    assert_eq!(Issue::ALL.last().map(|last| *last as usize + 1), Some(Issue::ALL.len()));
    for issue in Issue::ALL {
        assert_eq!(Issue::by_id(issue.id()), Some(issue));
    }
}

#[test]
fn each_reason_to_panic_has_an_issue_that_explains_it() {
    let reasons = [
        PanicReason::Requested,
        PanicReason::HungTask,
        PanicReason::SoftLockup,
        PanicReason::HardLockup,
        PanicReason::RcuStall,
        PanicReason::WorkqueueStall,
        PanicReason::OutOfMemory,
        PanicReason::Oops,
        PanicReason::Warning,
        PanicReason::Hardware,
        PanicReason::Other,
    ];
    for reason in reasons {
        let explained = Issue::ALL.into_iter().any(|issue| issue.explains(Some(reason)));
        assert!(explained, "{reason:?}");
    }
    assert!(!Issue::Deadlock.explains(Some(PanicReason::OutOfMemory)));
}

#[test]
fn each_issue_has_its_section_in_the_guide() {
    let guide = include_str!("../../../../docs/verdicts.md");
    let headings: Vec<_> = guide.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    let sections: BTreeSet<_> = headings.iter().copied().collect();
    assert_eq!(sections, Issue::ALL.iter().map(|issue| issue.id()).collect());
    assert_eq!(headings.len(), sections.len(), "a heading stands twice");
}

#[test]
fn whoever_is_ill_is_told_what_to_do() {
    for issue in Issue::ALL {
        let Definition { severity, remedy, .. } = issue.definition();
        let by_known_bug = issue == Issue::ThpLivelock;
        if severity > Severity::Info {
            assert_eq!(remedy.is_none(), by_known_bug, "{issue:?}");
        }
    }
}
