//! Plans, shares and what is made of them, with `/bin/sh` for an analyzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::row_file::Rows;
use super::*;
use crate::{Analyzer, Inputs, Options, Row, Servers, Store, TriageError, find, run, test_program};

const ANALYZER: &str = r#"#!/bin/sh
for last; do :; done
case $(cat "$last") in
    *poison*) kill -SEGV $$ ;;
    *) echo '{"verdict":{"issue":"oops","confidence":"confirmed"},"kernel":{"release":"6.1"}}'; exit 1 ;;
esac
"#;

struct Pile {
    root: tempfile::TempDir,
}

impl Pile {
    fn new(dumps: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("analyzer");
        test_program::write(ANALYZER, &program);
        for number in 0..dumps {
            let directory = root.path().join(format!("pile/h{number}-2026-11-28-03:12:45"));
            fs::create_dir_all(&directory).unwrap();
            let kind = if number % 7 == 3 { "poison" } else { "dump" };
            fs::write(directory.join("vmcore"), format!("{kind} {number}{}", "x".repeat(number * 1000))).unwrap();
        }
        let pile = Self { root };
        let items =
            find(&Inputs { paths: vec![pile.path("pile")], manifests: Vec::new(), ..Inputs::default() }).unwrap().items;
        assert_eq!(items.len(), dumps);
        write_plan(&items, &mut fs::File::create(pile.path("plan")).unwrap()).unwrap();
        pile
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn analyzer(&self) -> Analyzer {
        test_program::analyzer(self.path("analyzer"), Duration::from_secs(60))
    }

    /// Does a share; how many of its items were judged, and how many skipped.
    fn work(&self, number: u64, of: u64) -> (usize, usize) {
        let share = Share {
            plan: self.path("plan"),
            directory: self.path("store"),
            shard: Shard { number, of },
            analyzer: self.analyzer(),
            jobs: 2,
            tool: "1".to_owned(),
            again: false,
        };
        let mut counts = (0, 0);
        let all = work(&share, |done| match done {
            ShardDone::Begins(_) => {}
            ShardDone::Judged(..) => counts.0 += 1,
            ShardDone::Lost(item, why) => panic!("{}: {why}", item.path.display()),
            ShardDone::Skipped(_) => counts.1 += 1,
        });
        assert!(all.unwrap());
        counts
    }

    fn merge(&self) -> Merged {
        let mut store = Store::open(&self.path("merged.db")).unwrap();
        merge(&self.path("plan"), &self.path("store"), &mut store, &Servers::default(), |_| ()).unwrap()
    }
}

/// The rows of a store, without times.
fn rows(store: &Path) -> Vec<(Row, Option<String>)> {
    let store = Store::open(store).unwrap();
    let mut rows = Vec::new();
    store
        .each_row(|row| {
            let document = store.document(&row.key, &row.tool)?;
            rows.push((Row { finished: 0, elapsed_ns: 0, ..row }, document));
            Ok::<_, TriageError>(())
        })
        .unwrap();
    rows
}

#[test]
fn shares_make_the_store_that_one_machine_makes() {
    let pile = Pile::new(20);
    let mut judged = 0;
    for number in 1..=3 {
        judged += pile.work(number, 3).0;
    }
    assert_eq!(judged, 20);
    assert_eq!(pile.work(2, 3).0, 0, "what is there is not done again");
    let merged = pile.merge();
    assert_eq!((merged.planned, merged.missing), (20, 0));
    let items =
        find(&Inputs { paths: vec![pile.path("pile")], manifests: Vec::new(), ..Inputs::default() }).unwrap().items;
    let (analyzer, tool) = (pile.analyzer(), "1".to_owned());
    let options = Options { analyzer, jobs: 1, tool, again: false, retry: false };
    let one = pile.path("one.db");
    run(&items, &Store::open(&one).unwrap(), &options, |_| true).unwrap();
    let ours = rows(&pile.path("merged.db"));
    assert_eq!(ours.len(), 20);
    assert_eq!(ours, rows(&one));
    assert_eq!(pile.merge().missing, 0, "a second merge changes nothing");
    assert_eq!(rows(&pile.path("merged.db")), ours);
}

#[test]
fn what_is_missing_or_damaged_is_named_and_made_again() {
    let pile = Pile::new(9);
    pile.work(1, 2);
    let missing = pile.merge();
    assert!(missing.missing > 0 && missing.missing < 9 && missing.named.len() == missing.missing, "{missing:?}");
    pile.work(2, 2);
    assert_eq!(pile.merge().missing, 0);
    // A row that a failing disk has cut short, one that was emptied, and one of another version of the program.
    let planned: Vec<_> = Plan::open(&pile.path("plan"), &Servers::default()).unwrap().map(Result::unwrap).collect();
    let file = |at: usize| {
        let key = &planned[at].key;
        pile.path(&format!("store/rows/{}/{key}.json", key.get(..2).unwrap()))
    };
    let text = fs::read(file(0)).unwrap();
    fs::write(file(0), &text[..text.len() / 2]).unwrap();
    fs::write(file(1), "").unwrap();
    fs::write(file(2), fs::read_to_string(file(2)).unwrap().replace("\"tool\":\"1\"", "\"tool\":\"0\"")).unwrap();
    let _ = fs::remove_file(pile.path("merged.db"));
    assert_eq!(pile.merge().missing, 2);
    assert_eq!(pile.work(1, 1), (3, 6));
    assert_eq!(pile.merge().missing, 0);
}

#[test]
fn a_plan_depends_on_the_pile_alone_and_its_shares_are_even() {
    let pile = Pile::new(40);
    let items =
        find(&Inputs { paths: vec![pile.path("pile")], manifests: Vec::new(), ..Inputs::default() }).unwrap().items;
    let mut again = Vec::new();
    write_plan(&items, &mut again).unwrap();
    assert_eq!(fs::read(pile.path("plan")).unwrap(), again);
    let mut seen = BTreeSet::new();
    for number in 1..=7 {
        let share = Plan::open(&pile.path("plan"), &Servers::default()).unwrap().share(number, 7).unwrap();
        assert!((5..=6).contains(&share.len()));
        assert!(share.into_iter().all(|item| seen.insert(item.key)), "no item is in two shares");
    }
    assert_eq!(seen.len(), 40);
    assert_eq!(Plan::open(&pile.path("plan"), &Servers::default()).unwrap().share(50, 100).unwrap().len(), 0);
    assert_eq!(Plan::open(&pile.path("plan"), &Servers::default()).unwrap().share(1, u64::MAX).unwrap().len(), 1);
}

#[test]
fn a_plan_names_the_kernel_that_a_header_names() {
    let root = tempfile::tempdir().unwrap();
    let mut header = vec![0; 8192];
    for (at, text) in [(0, "KDUMP   \x06"), (142, "6.1.0-amd64"), (272, "x86_64")] {
        header[at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    for (name, bytes) in [("a.kdump", header.as_slice()), ("b", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0")] {
        fs::write(root.path().join(name), bytes).unwrap();
    }
    let items = find(&Inputs { paths: vec![root.path().to_owned()], manifests: Vec::new(), ..Inputs::default() })
        .unwrap()
        .items;
    let mut plan = Vec::new();
    write_plan(&items, &mut plan).unwrap();
    let plan = String::from_utf8(plan).unwrap();
    assert_eq!((items.len(), plan.matches("\"kernel\"").count()), (2, 1), "{plan}");
    assert!(plan.lines().any(|line| line.contains("a.kdump") && line.contains("\"kernel\":\"6.1.0-amd64\"")), "{plan}");
}

#[test]
fn plans_that_make_no_sense_say_so() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("plan");
    let line = "{\"key\":\"../../evil\",\"path\":\"/x\",\"kind\":\"dump\",\"size\":1,\"changed\":null}\n";
    for text in
        ["", "{\"plan\":2}\n", "nonsense\n", "{\"plan\":1}", "{\"plan\":1}\n{\"key\":\"a\"}\n", "{\"plan\":1}\n{"]
    {
        fs::write(&path, text).unwrap();
        let all = Plan::open(&path, &Servers::default()).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        assert!(matches!(all, Err(TriageError::Plan { .. })), "{text}");
    }
    fs::write(&path, format!("{{\"plan\":1}}\n{line}")).unwrap();
    let item = Plan::open(&path, &Servers::default()).unwrap().next().unwrap().unwrap();
    assert!(Rows::of(root.path(), &Servers::default()).unwrap().get(&item.key).unwrap().is_none());
    let row = super::super::one::content(&item.item(), &Servers::default(), "1").unwrap_err();
    assert!(
        Rows::of(root.path(), &Servers::default()).unwrap().put(&item.key, *row, None, false).is_err(),
        "a key cannot leave the directory"
    );
}

#[test]
fn old_temporaries_go_and_new_ones_stay() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("rows/ab");
    fs::create_dir_all(&directory).unwrap();
    for name in [".old.tmp", ".new.tmp", "old.json"] {
        fs::write(directory.join(name), "").unwrap();
    }
    for name in [".old.tmp", "old.json"] {
        fs::File::open(directory.join(name)).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    }
    Rows::of(root.path(), &Servers::default()).unwrap().remove_stale();
    assert!(!directory.join(".old.tmp").exists());
    assert!(directory.join(".new.tmp").exists() && directory.join("old.json").exists());
}
