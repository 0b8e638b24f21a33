use std::collections::BTreeSet;

use super::*;
use crate::document::Summary;
use crate::input::ItemKind;
use crate::row::{Failure, FailureKind};
use crate::signature::Signature;

fn row(key: &str, crash: Option<&str>, exact: &str) -> Row {
    Row {
        key: key.to_owned(),
        tool: "1".to_owned(),
        kind: ItemKind::Dump,
        paths: vec![key.to_owned()],
        size: 100,
        host: Some(format!("host-{key}")),
        crashed: Some(1000),
        finished: 2000,
        elapsed_ns: 1,
        failure: None,
        from_log: false,
        summary: Summary {
            release: Some("6.1".to_owned()),
            confidence: Some("confirmed".to_owned()),
            ..Summary::default()
        },
        signature: Signature { exact: exact.to_owned(), similar: exact.split(' ').next().unwrap().to_owned() },
        crash: crash.map(str::to_owned),
    }
}

const ALL: Extent = Extent { groups: 100, unjudged: 100, newest: 100 };

fn pile(rows: Vec<Row>) -> Pile {
    Pile::of(rows, &|issue, release| (issue == "known").then_some(release == "5.10.2"), ALL)
}

#[test]
fn one_crash_in_many_forms_counts_once_and_the_surest_stands_for_it() {
    let doubtful = Row {
        summary: Summary { confidence: Some("probable".to_owned()), ..row("a", None, "x").summary },
        ..row("a", Some("1"), "x")
    };
    let pile = pile(vec![doubtful, row("b", Some("1"), "x"), row("c", Some("2"), "x"), row("d", None, "x")]);
    let [group] = pile.groups.as_slice() else { panic!("{pile:?}") };
    assert_eq!(group.listed().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["b", "c", "d", "a"]);
    assert_eq!((group.crashes, group.duplicates, pile.crashes, pile.duplicates), (3, 1, 3, 1));
    assert_eq!(group.kernels["6.1"], 3);
}

#[test]
fn a_crash_whose_forms_are_judged_differently_still_counts_once() {
    let log = Row { kind: ItemKind::Log, ..row("a", Some("1"), "x | vaguer") };
    let pile = pile(vec![log, row("b", Some("1"), "x")]);
    assert_eq!(pile.crashes, 1);
}

#[test]
fn groups_come_by_size_the_healthy_last_and_the_unjudged_apart() {
    let healthy = |key| Row {
        summary: Summary { confidence: Some("none".to_owned()), ..Summary::default() },
        ..row(key, None, "nothing found")
    };
    let failure = Some(Failure { kind: FailureKind::Timeout, message: "late".to_owned() });
    let failed = Row { failure, summary: Summary::default(), ..row("f", None, "not judged") };
    let by_log = Row { from_log: true, ..Row { failure: failed.failure.clone(), ..row("g", None, "z") } };
    let rows = vec![
        healthy("a"),
        healthy("b"),
        healthy("c"),
        row("d", None, "x"),
        row("e", None, "y 1"),
        row("e2", None, "y 1"),
        row("h", None, "y 2"),
        failed,
        by_log,
    ];
    let pile = pile(rows);
    let names: Vec<_> = pile.groups.iter().map(|group| group.signature.as_str()).collect();
    assert_eq!((names[0], names.last().copied()), ("y 1", Some("nothing found")));
    assert_eq!(names.len(), 5);
    assert_eq!(pile.unjudged.len(), 1);
    assert_eq!(pile.groups[0].like.len(), 1);
}

#[test]
fn what_lacks_something_is_told_from_what_failed() {
    let lacking = |key: &str| Row {
        summary: Summary { confidence: Some("insufficient".to_owned()), ..Summary::default() },
        ..row(key, None, "crash-requested")
    };
    let failed = |key: &str, kind: FailureKind| Row {
        failure: Some(Failure { kind, message: "why".to_owned() }),
        summary: Summary::default(),
        ..row(key, None, kind.name())
    };
    let of =
        pile(vec![lacking("a"), lacking("b"), failed("c", FailureKind::Missing), failed("d", FailureKind::Timeout)]);
    assert_eq!(of.without_verdict(), "2 inconclusive, 2 failed, of which 1 is not there");
    let [(_, inconclusive), (_, gone)] = of.unjudged_by_kind();
    assert_eq!((inconclusive.len(), inconclusive[0].signature.as_str(), gone.len()), (1, "crash-requested", 2));
    // Of a dump that could not be read, the log beside it shows nothing: that is no failure of the log.
    let by_log = Row { from_log: true, ..Row { summary: lacking("e").summary, ..failed("e", FailureKind::Refused) } };
    assert_eq!(pile(vec![by_log]).without_verdict(), "1 inconclusive, 0 failed");
}

#[test]
fn kernels_with_the_bug_that_did_not_crash_of_it_are_next() {
    let of = |key, release: &str| {
        let mut row = row(key, None, key);
        row.summary.release = Some(release.to_owned());
        row
    };
    let mut known = of("a", "5.10.1");
    known.summary.known_issue = Some("fix".to_owned());
    known.summary.issue = Some("known".to_owned());
    known.summary.in_this_kernel = Some("yes".to_owned());
    let pile = pile(vec![known, of("b", "5.10.2"), of("c", "6.1")]);
    let group = pile.groups.iter().find(|group| group.signature == "a").unwrap();
    assert_eq!(group.next, BTreeSet::from(["5.10.2".to_owned()]));
    assert!(pile.groups.iter().filter(|group| group.signature != "a").all(|group| group.next.is_empty()));
}

#[test]
fn what_is_not_shown_is_counted() {
    let healthy = |key| Row {
        summary: Summary { confidence: Some("none".to_owned()), ..Summary::default() },
        ..row(key, None, "nothing found")
    };
    let failure = |key: &str, message: &str| Row {
        failure: Some(Failure { kind: FailureKind::Timeout, message: message.to_owned() }),
        summary: Summary::default(),
        ..row(key, None, message)
    };
    let at = |crashed, row| Row { crashed: Some(crashed), ..row };
    let rows = vec![
        healthy("a"),
        healthy("b"),
        healthy("c"),
        at(5000, row("d", None, "x")),
        row("e", None, "y"),
        at(4000, row("f", None, "y")),
        failure("g", "one"),
        failure("h", "two"),
        failure("i", "two"),
    ];
    let pile = Pile::of(rows, &|_, _| None, Extent { groups: 2, unjudged: 1, newest: 2 });
    let names: Vec<_> = pile.groups.iter().chain(&pile.unjudged).map(|group| group.signature.as_str()).collect();
    assert_eq!(names, ["y", "x", "two"], "a crash is shown before many machines that are well");
    assert_eq!(pile.left_out, LeftOut { groups: 1, unjudged: 1, crashes: 4 });
    assert_eq!((pile.rows, pile.crashes, pile.all_groups()), (9, 9, 3));
    assert_eq!(pile.newest.iter().map(|row| row.key.as_str()).collect::<Vec<_>>(), ["d", "f"]);
    assert_eq!(
        pile.confidences,
        BTreeMap::from([(Confidence::Confirmed, 3), (Confidence::None, 3), (Confidence::Failed, 3)])
    );
}

#[test]
fn of_many_rows_a_group_keeps_the_best() {
    let rows = (0..40).map(|number| Row { size: 1000 - number, ..row(&format!("{number:02}"), None, "x") }).collect();
    let pile = pile(rows);
    let [group] = pile.groups.as_slice() else { panic!("{pile:?}") };
    let listed: Vec<_> = group.listed().map(|row| row.size).collect();
    assert_eq!(listed, (961..=961 + LISTED as u64 - 1).collect::<Vec<_>>());
    assert_eq!((group.crashes, group.hosts.len()), (40, 40));
}
