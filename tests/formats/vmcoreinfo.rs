//! Dumps without a VMCOREINFO note: the text is in memory, or in a file.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vmcore_dump::{Dump, write_elf_core};
use vmcore_memory::{Architecture, Pfn, PhysAddr, read_page};

use crate::{assert_same_answers, livelock, run};

/// Writes the livelock's dump without its VMCOREINFO note, and with `text` in a page above all others.
fn without_note(directory: &Path, text: Option<&str>) -> PathBuf {
    let dump = Dump::open(&livelock()).unwrap();
    let notes: Vec<_> = dump.raw_notes().iter().filter(|note| note.name != b"VMCOREINFO").cloned().collect();
    let mut pages: Vec<(PhysAddr, Vec<u8>)> = Vec::new();
    for segment in dump.segments() {
        let first = segment.physical.pfn().get();
        let frames = (first..first + segment.file_size / 4096).map(Pfn::new);
        pages.extend(frames.map(|frame| (frame.phys_addr().unwrap(), read_page(&dump, frame).unwrap())));
    }
    let last = pages.iter().map(|&(start, _)| start).max().unwrap();
    if let Some(text) = text {
        let mut page = text.as_bytes().to_vec();
        page.resize(4096, 0);
        pages.push((PhysAddr::new(last.get() + 4096), page));
    }
    let path = directory.join("vmcore");
    let mut file = std::fs::File::create(&path).unwrap();
    write_elf_core(
        &mut file,
        Architecture::X86_64,
        &notes,
        pages.iter().map(|(start, bytes)| (*start, bytes.as_slice())),
    )
    .unwrap();
    path
}

/// The note of the original.
fn text() -> String {
    Dump::open(&livelock()).unwrap().vmcoreinfo().unwrap().text().to_owned()
}

#[test]
fn it_is_found_in_memory() {
    let directory = TempDir::new().unwrap();
    let vmcore = without_note(directory.path(), Some(&text()));
    assert_same_answers(&vmcore, &[]);
    let run = run("info", &vmcore, &[]);
    assert!(run.stderr.contains("warning: the dump has no VMCOREINFO note: the one at physical 0x"), "{}", run.stderr);
}

#[test]
fn it_is_taken_from_a_file() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("vmcoreinfo");
    std::fs::write(&file, text()).unwrap();
    let option = [OsStr::new("--vmcoreinfo"), file.as_os_str()];
    assert_same_answers(&without_note(directory.path(), None), &option);
    // The file counts, not the note: with another build-id the vmlinux no longer matches.
    std::fs::write(&file, text().replace("BUILD-ID=", "BUILD-ID=00")).unwrap();
    let run = run("analyze", &livelock(), &option);
    assert!(run.status == 2 && run.stderr.contains("does not match"), "{}", run.stderr);
}

#[test]
fn without_any_the_kernel_is_found_by_its_banner() {
    let directory = TempDir::new().unwrap();
    let vmcore = without_note(directory.path(), None);
    for (command, options) in [("analyze", &[][..]), ("bt", &[OsStr::new("--all")])] {
        let mut original = run(command, &livelock(), options).answer();
        let found = run(command, &vmcore, options);
        // Of the reduced dump's image, the page with the build-id was not kept.
        if let Some(kernel) = original.get_mut("kernel") {
            kernel["build_id"] = serde_json::Value::Null;
        }
        assert!(found.answer() == original, "{command} differs: {}", found.stderr);
    }
    let run = run("info", &vmcore, &[]);
    assert!(run.stderr.contains("no VMCOREINFO, neither as a note nor in memory"), "{}", run.stderr);
    assert!(run.stderr.contains("note: the kernel was found by its banner in memory"), "{}", run.stderr);
}

/// What a hypervisor keeps of a guest that was started again: the same build at another place.
#[test]
fn that_of_an_earlier_boot_is_found_out() {
    let directory = TempDir::new().unwrap();
    let info = text();
    let base = info.lines().find(|line| line.starts_with("NUMBER(phys_base)=")).unwrap();
    let moved = base.split_once('=').unwrap().1.parse::<i64>().unwrap() + (64 << 20);
    let stale = info.replace(base, &format!("NUMBER(phys_base)={moved}"));
    let file = directory.path().join("vmcoreinfo");
    std::fs::write(&file, stale).unwrap();
    let run = run("info", &livelock(), &[OsStr::new("--vmcoreinfo"), file.as_os_str()]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.json()["gaps"].to_string().contains("not that of the kernel in memory"), "{}", run.stderr);
    assert_eq!(run.json()["tasks"], self::run("info", &livelock(), &[]).json()["tasks"]);
}

#[test]
fn a_kernel_that_is_not_there_is_not_found() {
    let directory = TempDir::new().unwrap();
    let vmcore = without_note(directory.path(), None);
    let mut bytes = std::fs::read(&vmcore).unwrap();
    for at in 0..bytes.len() - 14 {
        if &bytes[at..at + 14] == b"Linux version " {
            bytes[at] = b'l';
        }
    }
    std::fs::write(&vmcore, bytes).unwrap();
    let run = run("analyze", &vmcore, &[]);
    assert_eq!(run.status, 2, "{}", run.stderr);
    assert!(run.stderr.contains("the vmlinux's kernel is not in its memory: 0 places"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: give the vmlinux of exactly the kernel that crashed"), "{}", run.stderr);
}

#[test]
fn a_file_that_is_none() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("vmcoreinfo");
    std::fs::write(&file, "0x0000000000d20f000 1024\n").unwrap();
    let run = run("analyze", &livelock(), &[OsStr::new("--vmcoreinfo"), file.as_os_str()]);
    assert_eq!(run.status, 2);
    assert!(run.stderr.contains("is not the text of a VMCOREINFO note"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: it has lines such as OSRELEASE="), "{}", run.stderr);
}
