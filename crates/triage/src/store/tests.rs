use super::*;
use crate::document::Summary;
use crate::input::ItemKind;
use crate::row::{Failure, FailureKind, Row};
use crate::signature::Signature;

pub(crate) fn row(key: &str) -> Row {
    Row {
        key: key.to_owned(),
        tool: "1.0".to_owned(),
        kind: ItemKind::Dump,
        paths: vec![format!("/pile/{key}/vmcore")],
        size: 1 << 30,
        host: Some("web1".to_owned()),
        crashed: Some(1_795_874_709),
        finished: 1_795_875_000,
        elapsed_ns: 50_000_000,
        failure: None,
        from_log: false,
        summary: Summary {
            release: Some("6.1.0".to_owned()),
            panic_cpu: Some(2),
            issue: Some("soft-lockup".to_owned()),
            confidence: Some("confirmed".to_owned()),
            unknown: 3,
            ..Summary::default()
        },
        signature: Signature { exact: "soft-lockup | spin".to_owned(), similar: "soft-lockup".to_owned() },
        crash: Some("c".to_owned()),
    }
}

fn all(store: &Store) -> Vec<Row> {
    let mut rows = Vec::new();
    store
        .each_row(|row| {
            rows.push(row);
            Ok::<_, TriageError>(())
        })
        .unwrap();
    rows
}

#[test]
fn a_row_comes_back_as_it_was_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/store.db");
    let failed = Row {
        failure: Some(Failure { kind: FailureKind::Signal, message: "killed".to_owned() }),
        summary: Summary::default(),
        from_log: true,
        ..row("b")
    };
    let mut store = Store::open(&path).unwrap();
    store.put(&row("a"), Some("{}")).unwrap();
    store.put(&failed, None).unwrap();
    store.put_path("a", "/other").unwrap();
    drop(store);
    let store = Store::open(&path).unwrap();
    let with_paths = Row { paths: vec!["/other".to_owned(), "/pile/a/vmcore".to_owned()], ..row("a") };
    assert_eq!(all(&store), [with_paths.clone(), failed]);
    assert_eq!(store.row("a", "1.0").unwrap(), Some(with_paths));
    assert_eq!(store.row("a", "2.0").unwrap(), None);
    assert_eq!(store.document("a", "1.0").unwrap().as_deref(), Some("{}"));
    assert_eq!(store.document("b", "1.0").unwrap(), None);
    assert!(store.has_group(&row("a").signature.group()).unwrap() && !store.has_group("x").unwrap());
}

#[test]
fn of_two_versions_the_newer_row_is_shown_and_a_repeated_one_replaces() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(&directory.path().join("s")).unwrap();
    let newer = Row { tool: "1.1".to_owned(), finished: row("a").finished + 5, ..row("a") };
    store.put(&newer, None).unwrap();
    store.put(&row("a"), Some("{\"a\":1}")).unwrap();
    store.put(&row("a"), Some("{\"a\":2}")).unwrap();
    assert_eq!(all(&store), [newer]);
    assert_eq!(store.document("a", "1.0").unwrap().as_deref(), Some("{\"a\":2}"));
}

#[test]
fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    Store::open(&path).unwrap().connection.pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&path).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(&format!("has schema 99, but this program knows none newer than {}", MIGRATIONS.len())),
        "{error}"
    );
    std::fs::write(&path, "no database, but long enough to be taken for one that is damaged").unwrap();
    assert!(matches!(Store::open(&path), Err(TriageError::Store { .. })));
}

#[test]
fn what_is_claimed_is_claimed_once_and_the_dead_claim_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut one = Store::open(&path).unwrap();
    let mut two = Store::open(&path).unwrap();
    assert_eq!(one.claim("a", "1.0", false).unwrap(), Claim::Mine);
    assert_eq!(two.claim("a", "1.0", false).unwrap(), Claim::Taken);
    assert_eq!(one.again().unwrap().claim("a", "1.0", false).unwrap(), Claim::Taken);
    assert_eq!(two.claim("b", "1.0", false).unwrap(), Claim::Mine);
    one.put(&row("a"), None).unwrap();
    assert_eq!(two.claim("a", "1.0", false).unwrap(), Claim::Done);
    assert_eq!(two.claim("a", "1.0", true).unwrap(), Claim::Mine);
    // As if it had been killed: the claim of b stays, and its lock goes.
    drop(two);
    assert_eq!(one.claim("b", "1.0", false).unwrap(), Claim::Mine);
}

#[test]
fn a_path_may_have_any_characters() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(&directory.path().join("s")).unwrap();
    let row = Row { paths: vec!["a\n/b\u{1b}'\"".to_owned(), "c".to_owned()], ..row("a") };
    store.put(&row, None).unwrap();
    assert_eq!(all(&store), [row]);
}

#[test]
fn what_had_no_content_is_forgotten_once_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::open(&directory.path().join("s")).unwrap();
    store.put(&row("a"), Some("{}")).unwrap();
    store.put(&row("b"), None).unwrap();
    store.forget("a").unwrap();
    store.forget("c").unwrap();
    assert_eq!(all(&store), [row("b")]);
    assert_eq!(store.document("a", "1.0").unwrap(), None);
}

#[test]
fn a_store_that_nobody_can_write_to_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a store?#%");
    let mut store = Store::open(&path).unwrap();
    store.put(&row("a"), None).unwrap();
    // Its newest rows are still beside it.
    assert_eq!(all(&Store::open_read_only(&path).unwrap()), [row("a")]);
    drop(store);
    assert_eq!(all(&Store::open_read_only(&path).unwrap()), [row("a")]);
    assert!(Store::open_read_only(&path).unwrap().put(&row("b"), None).is_err());
    assert_eq!(uri(Path::new("/a b?")), "file:/a%20b%3F");
}

/// It holds what dumps say: stacks, lines of logs, names of hosts.
#[test]
fn a_store_is_its_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/s.db");
    let mut store = Store::open(&path).unwrap();
    store.claim("k", "1", false).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let files: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "the store, its log, its index, this process: {files:?}");
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    // Whoever shares one has said so.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    drop(store);
    Store::open(&path).unwrap().claim("k", "2", false).unwrap();
    assert_eq!(mode(&path), 0o640);
    let (link, named) = (directory.path().join("link.db"), directory.path().join("named.db"));
    std::os::unix::fs::symlink(&named, &link).unwrap();
    Store::open(&link).unwrap();
    assert_eq!(mode(&named), 0o600);
}

/// Whoever may use a store can see who else works on it; of what cannot be seen, nobody knows that it has ended.
#[test]
fn a_process_that_cannot_be_seen_may_live() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.db");
    let mut store = Store::open(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    store.claim("a", "1", false).unwrap();
    let worker = format!("worker-{}-0", std::process::id());
    let file = directory.path().join(format!("s.db-{worker}"));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    let mut other = Store::open(&path).unwrap();
    let claim = "UPDATE claims SET worker = 'worker-1-0'";
    assert_eq!(store.connection.execute(claim, []).unwrap(), 1);
    // It leads to itself.
    let (unseen, leads) = (directory.path().join("s.db-worker-1-0"), "s.db-worker-1-0");
    std::os::unix::fs::symlink(leads, &unseen).unwrap();
    assert_eq!(other.claim("a", "1", false).unwrap(), Claim::Taken);
    fs::remove_file(unseen).unwrap();
    assert_eq!(other.claim("a", "1", false).unwrap(), Claim::Mine);
}

#[test]
fn what_is_no_file_is_no_store() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for open in [Store::open, Store::open_to_read] {
        let error = open(&pipe).unwrap_err().to_string();
        assert!(error.contains("it is not a regular file"), "{error}");
    }
}

/// Nothing tells a process that was killed in the middle of its work to remove its file.
#[test]
fn files_of_killed_processes_go_with_the_next_run() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mut first = Store::open(&at("s.db")).unwrap();
    first.claim("k", "1", false).unwrap();
    let own = |name: &str| name.starts_with("s.db-worker-");
    let workers = || {
        let names =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| own(name)).collect::<Vec<_>>()
    };
    let alive = workers();
    assert_eq!(alive.len(), 1);
    for left in ["s.db-worker-4000000-0", "s.db-worker-4000001-3"] {
        fs::write(at(left), "").unwrap();
    }
    // Of another store, and what is no file of this program at all.
    for other in ["s.db-worker-notes", "t.db-worker-4000000-0", "s.db-workers"] {
        fs::write(at(other), "").unwrap();
    }
    let mut second = Store::open(&at("s.db")).unwrap();
    assert_eq!(second.claim("k", "1", false).unwrap(), Claim::Taken, "the first is alive");
    let names = workers();
    assert!(names.contains(&alive[0]) && names.contains(&"s.db-worker-notes".to_owned()), "{names:?}");
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(at("t.db-worker-4000000-0").exists() && at("s.db-workers").exists());
}
