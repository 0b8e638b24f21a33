//! Dumps that `makedumpfile --split` wrote into several files.

use std::ffi::OsStr;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::split_writer::split;
use crate::{assert_same_answers, livelock, run};

fn parts() -> (TempDir, Vec<PathBuf>) {
    let directory = TempDir::new().unwrap();
    let parts = split(&livelock(), 3, directory.path());
    (directory, parts)
}

#[test]
fn all_parts_in_any_order_are_the_whole_dump() {
    let (_directory, parts) = parts();
    let [first, second, third] = parts.as_slice() else { panic!("{} parts", parts.len()) };
    let part = OsStr::new("--part");
    assert_same_answers(second, &[part, third.as_os_str(), part, first.as_os_str()]);
    assert_same_answers(first, &[part, second.as_os_str(), part, third.as_os_str()]);
}

/// Each part alone, and each pair: what is missing is said, and nothing looks healthy.
#[test]
fn missing_parts_are_named_and_never_healthy() {
    let (_directory, parts) = parts();
    let mut opened = 0;
    for given in 1..7 {
        let files: Vec<_> = parts.iter().enumerate().filter(|(part, _)| given >> part & 1 == 1).collect();
        let mut files = files.into_iter().map(|(_, file)| file);
        let first = files.next().unwrap();
        let more: Vec<&OsStr> = files.flat_map(|file| [OsStr::new("--part"), file.as_os_str()]).collect();
        for command in ["analyze", "bt"] {
            let run = run(command, first, &more);
            assert!(run.stderr.contains("warning: the dump is incomplete: the part with the page frames"), "{command}");
            assert!(run.stderr.contains("is missing; name the other files with --part"), "{}", run.stderr);
            assert_ne!(run.status, 0, "{command} of parts {given:#b}");
            if command == "analyze" && run.status != 2 {
                let dump = &run.json()["dump"];
                assert_eq!(dump["incomplete"], true);
                assert!(dump["incomplete_reason"].as_str().unwrap().contains("is missing"), "{dump}");
                opened += 1;
            }
        }
    }
    assert!(opened > 0, "no subset of the parts could be analyzed at all");
}

#[test]
fn files_of_different_dumps_are_refused() {
    let (directory, parts) = parts();
    let run = run("analyze", &parts[0], &[OsStr::new("--part"), livelock().as_os_str()]);
    assert_eq!((run.status, run.stdout.as_slice()), (2, &[][..]));
    assert!(run.stderr.contains("are not parts of one split dump"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: name only the files that one run of makedumpfile --split wrote"));
    drop(directory);
}
