//! The ends of a process. Each test runs this same program again as a child, with one test chosen and a variable that
//! says that it is the child.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // Helpers of tests.

use std::alloc::{GlobalAlloc, Layout};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use vmcore_os::{
    BoundedHeap, FileKind, Mapping, UnfinishedFile, end, explain_lost_mappings, remove_unfinished_on_signals,
};

#[global_allocator]
static HEAP: BoundedHeap = BoundedHeap;

const CHILD: &str = "VMCORE_OS_TEST_CHILD";

/// Runs the test `name` as a child; `None` in that child.
fn child(name: &str) -> Option<Output> {
    if std::env::var_os(CHILD).is_some() {
        return None;
    }
    let program = std::env::current_exe().unwrap();
    Some(Command::new(program).args(["--exact", name, "--nocapture"]).env(CHILD, "1").output().unwrap())
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A mapping of two pages whose file has none any more.
fn lost(kind: FileKind) -> Mapping {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[1; 8192]).unwrap();
    let mapping = Mapping::new(&file, 8192, kind).unwrap();
    assert_eq!(mapping[8191], 1);
    file.set_len(0).unwrap();
    mapping
}

#[test]
fn a_dump_that_is_cut_short_is_explained() {
    let Some(output) = child("a_dump_that_is_cut_short_is_explained") else {
        explain_lost_mappings().unwrap();
        // Others before it, of which one is gone.
        let (_first, second) = (lost(FileKind::Vmlinux), lost(FileKind::Vmlinux));
        drop(second);
        let mapping = lost(FileKind::Dump);
        println!("{}", mapping[5000]);
        return;
    };
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("error: the dump file was cut short"), "{}", stderr(&output));
    assert!(stderr(&output).contains("\nhint: "), "{}", stderr(&output));
}

#[test]
fn a_vmlinux_that_is_cut_short_is_explained_in_any_thread() {
    let Some(output) = child("a_vmlinux_that_is_cut_short_is_explained_in_any_thread") else {
        explain_lost_mappings().unwrap();
        let mapping = lost(FileKind::Vmlinux);
        std::thread::spawn(move || println!("{}", mapping[0])).join().unwrap();
        return;
    };
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).starts_with("error: the vmlinux was cut short"), "{}", stderr(&output));
}

#[test]
fn who_does_not_ask_is_ended_by_the_signal() {
    let Some(output) = child("who_does_not_ask_is_ended_by_the_signal") else {
        println!("{}", lost(FileKind::Dump)[0]);
        return;
    };
    assert_eq!(output.status.signal(), Some(7), "{}", stderr(&output));
}

#[test]
fn another_bus_error_is_not_taken_for_a_lost_mapping() {
    let Some(output) = child("another_bus_error_is_not_taken_for_a_lost_mapping") else {
        explain_lost_mappings().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 4096]).unwrap();
        drop(Mapping::new(&file, 4096, FileKind::Dump).unwrap());
        let process = std::process::id().to_string();
        Command::new("kill").args(["-BUS", &process]).status().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(20));
        return;
    };
    assert_eq!(output.status.signal(), Some(7), "{}", stderr(&output));
    assert!(!stderr(&output).contains("cut short"), "{}", stderr(&output));
}

#[test]
fn the_heap_is_bounded() {
    let Some(output) = child("the_heap_is_bounded") else {
        BoundedHeap::limit(64 << 20, 2);
        // What is freed does not count.
        (0..100).for_each(|_| drop(std::hint::black_box(vec![1u8; 8 << 20])));
        let mut growing = Vec::new();
        for step in 0..100u64 {
            growing.extend(std::iter::repeat_n(step, 1 << 17));
        }
        println!("{}", growing.len());
        return;
    };
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--max-memory"), "{}", stderr(&output));
}

#[test]
fn memory_that_the_system_does_not_give_is_explained() {
    let Some(output) = child("memory_that_the_system_does_not_give_is_explained") else {
        let more_than_any = std::hint::black_box(1usize << 56);
        println!("{}", vec![1u8; more_than_any].len());
        return;
    };
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("the system gives no more memory\nhint: "), "{}", stderr(&output));
}

#[test]
fn sizes_are_counted_both_ways() {
    let layout = Layout::array::<u64>(1000).unwrap();
    // Zeroed, grown and freed: the bytes are the system's.
    let words = vec![0u64; 1000];
    assert!(words.iter().all(|word| *word == 0) && layout.size() == 8000);
    let _: &dyn GlobalAlloc = &HEAP;
}

/// Runs the test `name` as a child that ends with unfinished files in a directory: its output, and what is left there.
fn files_left(name: &str, in_child: impl FnOnce(&std::path::Path)) -> Option<(Output, Vec<std::ffi::OsString>)> {
    const DIRECTORY: &str = "VMCORE_OS_TEST_DIRECTORY";
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        in_child(std::path::Path::new(&directory));
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", name, "--nocapture"];
    let output = Command::new(program).args(arguments).env(DIRECTORY, directory.path()).output().unwrap();
    let left = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    Some((output, left))
}

/// Three files, one of which is complete.
fn three_files(directory: &std::path::Path) -> [UnfinishedFile; 2] {
    let [first, second, third] = [(); 3].map(|()| UnfinishedFile::new_in(directory).unwrap());
    second.name(&directory.join("complete")).unwrap();
    [first, third]
}

#[test]
fn unfinished_files_are_removed_at_the_end() {
    let ended = files_left("unfinished_files_are_removed_at_the_end", |directory| {
        let _files = three_files(directory);
        end("the end\n", 2);
    });
    let Some((output, left)) = ended else { return };
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(2), "the end\n"));
    assert_eq!(left, ["complete"]);
}

#[test]
fn unfinished_files_are_removed_by_signals() {
    let ended = files_left("unfinished_files_are_removed_by_signals", |directory| {
        remove_unfinished_on_signals().unwrap();
        let _files = three_files(directory);
        Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
        std::thread::sleep(std::time::Duration::from_secs(20));
    });
    let Some((output, left)) = ended else { return };
    assert_eq!(output.status.signal(), Some(15), "{}", stderr(&output));
    assert_eq!(left, ["complete"]);
}

#[test]
fn unfinished_files_are_removed_where_the_process_gives_itself_up() {
    let ended = files_left("unfinished_files_are_removed_where_the_process_gives_itself_up", |directory| {
        remove_unfinished_on_signals().unwrap();
        let _files = three_files(directory);
        std::process::abort();
    });
    let Some((output, left)) = ended else { return };
    assert_eq!(output.status.signal(), Some(6), "{}", stderr(&output));
    assert_eq!(left, ["complete"]);
}
