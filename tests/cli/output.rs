//! Where output goes, with `schema` as a command that always has some.

use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Scratch, run};

#[test]
fn a_new_file_is_for_its_owner_only() {
    let scratch = Scratch::new();
    let path = scratch.path("out.json");
    let written = run(["schema".as_ref(), "bt".as_ref(), "-o".as_ref(), path.as_os_str()]);
    assert_eq!((written.status, written.stdout.as_str(), written.stderr.as_str()), (0, "", ""));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), run(["schema", "bt"]).stdout);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(scratch.0.path().read_dir().unwrap().count(), 1, "nothing else is left behind");
}

#[test]
fn an_existing_file_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.file("precious", b"precious");
    let arguments = ["schema".as_ref(), "bt".as_ref(), "-o".as_ref(), path.as_os_str()];
    let hint = run(arguments).fails_with(&["precious exists already"]).map(str::to_owned);
    assert!(hint.is_some_and(|hint| hint.contains("--force")));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    assert_eq!(run(arguments.into_iter().chain(["--force".as_ref()])).status, 0);
    assert_ne!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_symbolic_link_is_neither_followed_nor_replaced() {
    let scratch = Scratch::new();
    let target = scratch.file("target", b"precious");
    for (name, target) in [("link", &target), ("dangling", &scratch.path("nowhere"))] {
        let link = scratch.path(name);
        symlink(target, &link).unwrap();
        let arguments = ["schema".as_ref(), "bt".as_ref(), "-o".as_ref(), link.as_os_str()];
        for force in [None, Some("--force".as_ref())] {
            let run = run(arguments.into_iter().chain(force));
            // What stands for standard output is a link, too: nobody is told to replace that.
            let hint = run.fails_with(&["is a symbolic link, and is neither followed nor replaced"]).unwrap();
            assert!(hint.contains("`-o -` is standard output") && !hint.contains("--force"), "{hint}");
        }
        assert!(link.symlink_metadata().unwrap().is_symlink());
    }
    assert_eq!(std::fs::read(&target).unwrap(), b"precious");
    assert!(!scratch.path("nowhere").exists());
}

/// A node like that which swallows everything, where the test may make one.
fn null_device(path: &Path) -> bool {
    Command::new("mknod").arg(path).args(["c", "1", "3"]).stderr(Stdio::null()).status().unwrap().success()
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Files that have their name from the program, not from whoever starts it.
#[test]
fn what_is_in_the_way_of_other_files_stays() {
    let scratch = Scratch::new();
    let log = scratch.path("pile/console.log");
    std::fs::create_dir(log.parent().unwrap()).unwrap();
    std::fs::write(&log, "[    1.000000] Kernel panic - not syncing: test\n").unwrap();
    let at = |name: &str| scratch.path(name).display().to_string();
    let precious = scratch.file("precious", b"precious");
    let judge = ["triage", &at("pile"), "--store", &at("s.db")].map(str::to_owned).to_vec();
    let with = |more: &[&str]| run(judge.iter().cloned().chain(more.iter().map(ToString::to_string)));

    // Metrics, before anything is judged.
    fifo(&scratch.path("fifo"));
    symlink(&precious, scratch.path("link")).unwrap();
    let mut in_the_way = vec!["fifo", "link"];
    in_the_way.extend(null_device(&scratch.path("null")).then_some("null"));
    for name in &in_the_way {
        with(&["--metrics", &at(name), "--force"]).fails_with(&["replaced"]);
        assert!(!scratch.path(name).symlink_metadata().unwrap().is_file(), "{name}");
    }
    assert!(!scratch.path("s.db").exists());

    // What lies beside a dump.
    fifo(&scratch.path("pile/verdict.txt"));
    let beside = with(&["--beside"]);
    assert!(beside.status == 1 && beside.stderr.contains("not a regular file"), "{}", beside.stderr);
    assert!(scratch.path("pile/verdict.txt").symlink_metadata().unwrap().file_type().is_fifo());

    // A synthetic machine, and the manual.
    for (command, name) in [("synth idle", "made/vmlinux"), ("man --all", "made/vmcore-thp-bt.1")] {
        let path = scratch.path(name);
        let _ = std::fs::create_dir(path.parent().unwrap());
        fifo(&path);
        let words = command.split(' ').map(str::to_owned);
        run(words.chain(["-o".to_owned(), at("made"), "--force".to_owned()])).fails_with(&[name, "not a regular file"]);
        assert!(path.symlink_metadata().unwrap().file_type().is_fifo());
    }

    // Pages of single dumps.
    let report = |page: &str, more: &[&str]| {
        let own = ["triage", "report", "--store", &at("s.db"), "--pages", &at("pages"), "-o", &at(page)];
        run(own.iter().chain(more))
    };
    assert_eq!(report("1.html", &[]).status, 0);
    let page = std::fs::read_dir(scratch.path("pages")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(page.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    report("2.html", &[]).fails_with(&["exists already"]);
    assert_eq!(report("2.html", &["--force"]).status, 0);
    std::fs::remove_file(&page).unwrap();
    symlink(&precious, &page).unwrap();
    report("3.html", &["--force"]).fails_with(&["symbolic link"]);
    std::fs::remove_file(&page).unwrap();
    fifo(&page);
    report("3.html", &["--force"]).fails_with(&["not a regular file"]);
    assert!(page.symlink_metadata().unwrap().file_type().is_fifo() && !scratch.path("3.html").exists());
    assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
}

/// Who collects metrics is another user.
#[test]
fn metrics_are_for_everybody() {
    let scratch = Scratch::new();
    let log = scratch.file("console.log", b"[    1.000000] Kernel panic - not syncing: test\n");
    let (store, metrics) = (scratch.path("s.db"), scratch.path("vmcore.prom"));
    let words = ["triage".as_ref(), log.as_os_str(), "--store".as_ref(), store.as_os_str()];
    for _ in 0..2 {
        assert_eq!(run(words.into_iter().chain(["--metrics".as_ref(), metrics.as_os_str()])).status, 1);
        assert_eq!(metrics.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    }
}

/// Replacing a device such as the one that swallows all would break the machine for everybody.
#[test]
fn what_is_no_regular_file_is_never_replaced() {
    let scratch = Scratch::new();
    let pipe = scratch.path("pipe");
    fifo(&pipe);
    for (path, is_kept) in
        [(&pipe, FileTypeExt::is_fifo as fn(&_) -> _), (&scratch.path(""), std::fs::FileType::is_dir)]
    {
        let arguments = ["schema".as_ref(), "bt".as_ref(), "-o".as_ref(), path.as_os_str()];
        // Without --force, too: it would not help.
        for force in [None, Some("--force".as_ref())] {
            let run = run(arguments.into_iter().chain(force));
            let hint = run.fails_with(&["is not a regular file, and is not replaced"]);
            assert!(hint.is_some_and(|hint| hint.contains("redirect standard output")));
        }
        assert!(is_kept(&path.symlink_metadata().unwrap().file_type()));
    }
}

#[test]
fn a_directory_that_is_not_there() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    for path in [scratch.path("missing").join("out"), file.join("out")] {
        let run = run(["schema".as_ref(), "bt".as_ref(), "-o".as_ref(), path.as_os_str()]);
        let hint = run.fails_with(&[&format!("cannot write {}: there is no directory", path.display())]);
        assert!(hint.is_some_and(|hint| hint.contains("make the directory")));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("vmcore-thp"))
        .args(["schema", "analyze"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

/// A page is what whoever calls the file `report.html` wants.
#[test]
fn the_name_of_the_file_says_the_form() {
    let scratch = Scratch::new();
    let log = scratch.file("log.txt", b"[    1.000000] Kernel panic - not syncing: test\n");
    let written = |name: &str, more: &[&str]| {
        let path = scratch.path(name);
        let options = ["log".as_ref(), log.as_os_str(), "-o".as_ref(), path.as_os_str()];
        let run = run(options.into_iter().chain(more.iter().map(AsRef::as_ref)));
        (run.stderr, std::fs::read_to_string(path).unwrap_or_default())
    };
    assert!(written("log.JSON", &[]).1.starts_with('{'));
    assert!(written("log.json", &["--format", "text"]).1.starts_with("Verdict"));
    assert!(written("log.out", &[]).1.starts_with("Verdict"));
}

#[test]
fn help_that_cannot_be_printed_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(assert_cmd::cargo::cargo_bin("vmcore-thp")).arg("--help").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));
}

#[test]
fn a_full_device_is_an_error() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(assert_cmd::cargo::cargo_bin("vmcore-thp"))
        .args(["schema", "analyze"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error: cannot write to standard output: "));
}
