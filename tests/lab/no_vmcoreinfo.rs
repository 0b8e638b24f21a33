//! Without the note VMCOREINFO, the answers are the same: by the text in memory, and where that is gone too, with the
//! vmlinux and with nothing but the dump.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::lab_dump::LabDump;
use crate::program::{Run, run, text};

/// What the text begins with, and how much of it there can be.
const TEXT: &[u8] = b"OSRELEASE=";
const PAGE: usize = 4096;
const BLOCK: usize = 16 << 20;
/// Notes, and where they are looked for.
const NAME: &[u8] = b"VMCOREINFO\0";
const HEADERS: u64 = 1 << 16;

pub(crate) fn same_answers(dump: &LabDump) {
    let Some((_directory, copy)) = without_text(dump) else { return };
    for vmlinux in [Some(dump.vmlinux.as_path()), None] {
        same_analysis(dump, &copy, vmlinux, "no VMCOREINFO, neither as a note nor in memory");
    }
    debug_file_is_found(dump, &copy);
}

/// The same of arm64, whose kernels are found by this text alone.
pub(crate) fn of_arm64(dump: &LabDump) {
    let Some((_directory, copy)) = without_text(dump) else { return };
    let lost = analyze(&copy, Some(&dump.vmlinux)).expect_status(2);
    assert!(lost.stderr.contains("has no VMCOREINFO") && lost.stderr.contains("hint: "), "{}", lost.stderr);
}

/// A copy without the text, in the directory that it is in: without the note alone it gave the same answer as the dump. `None` of
/// the other formats, in which pages are compressed: the text cannot be destroyed without writing the dump again.
fn without_text(dump: &LabDump) -> Option<(TempDir, PathBuf)> {
    if text(&dump.json("info", &[])["dump"], "format") != "elf" {
        return None;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let copy = directory.path().join("vmcore");
    fs::copy(&dump.vmcore, &copy).expect("room for a dump");
    let file = File::options().read(true).write(true).open(&copy).expect("the copy");
    destroy_note(&file);
    same_analysis(dump, &copy, Some(&dump.vmlinux), "warning: the dump has no VMCOREINFO note: the one at physical 0x");
    assert!(destroy_texts(&file) > 0, "the text is in memory at least once");
    Some((directory, copy))
}

/// The copy gives the same answer as the dump, and says `how`.
fn same_analysis(dump: &LabDump, copy: &Path, vmlinux: Option<&Path>, how: &str) {
    let original = analyze(&dump.vmcore, vmlinux);
    let found = analyze(copy, vmlinux).expect_status(original.status);
    assert!(found.stderr.contains(how), "{}", found.stderr);
    let (original, found) = (original.json(), found.json());
    let members = original.as_object().expect("an object").keys().filter(|member| *member != "dump");
    for member in members {
        assert!(found[member] == original[member], "{member} differs, vmlinux: {vmlinux:?}");
    }
}

/// What the kernel calls itself in its own tables leads to its debug file.
fn debug_file_is_found(dump: &LabDump, vmcore: &Path) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let boot = directory.path().join("boot");
    fs::create_dir(&boot).expect("a directory");
    let vmlinux = boot.join(format!("vmlinux-{}", dump.truth.release));
    symlink(&dump.vmlinux, &vmlinux).expect("a link");
    let arguments = ["info", "--format", "json", "--debug-dir"].map(Path::new);
    let info = run(arguments.into_iter().chain([directory.path(), vmcore])).expect_status(0).json();
    assert_eq!(Path::new(text(&info["debuginfo"], "path")), vmlinux);
}

fn analyze(vmcore: &Path, vmlinux: Option<&Path>) -> Run {
    let paths = [Some(vmcore), vmlinux];
    let arguments = ["analyze", "--format", "json"].into_iter().map(Path::new).chain(paths.into_iter().flatten());
    run(arguments)
}

/// Gives the note a name that means nothing; dumps that were made of a machine without have none.
fn destroy_note(file: &File) {
    let mut headers = Vec::new();
    file.take(HEADERS).read_to_end(&mut headers).expect("the headers");
    for at in places(&headers, NAME) {
        file.write_all_at(b"XX", at as u64).expect("the copy can be written");
    }
}

/// Overwrites each page that begins with the text, and each copy of it elsewhere; says how many there were.
fn destroy_texts(file: &File) -> usize {
    let (mut block, mut at, mut found) = (vec![0; BLOCK + TEXT.len()], 0, 0);
    loop {
        let read = file.read_at(&mut block, at).expect("the copy can be read");
        for place in places(&block[..read], TEXT) {
            file.write_all_at(&[0xa5; PAGE - 64], at + place as u64).expect("the copy can be written");
            found += 1;
        }
        if read <= TEXT.len() {
            return found;
        }
        at += (read - TEXT.len()) as u64;
    }
}

fn places(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(bytes, needle).collect()
}
