//! Memory of a machine with a terabyte, nearly all of it holes of the file, without notes: what has to be searched for is
//! found in what is there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use vmcore_memory::PAGE_SIZE;

use crate::machine::Machine;
use crate::{livelock, run, testdata};

const TERABYTE: u64 = 1 << 40;
/// Generous: two busy cores and a program that is not optimized. Looking at every page takes several minutes.
const MOST_TIME: Duration = Duration::from_secs(60);
/// A page table entry for each page of the file alone would be 2 GiB.
const MOST_KIB: u64 = 512 << 10;

/// An ELF core without notes: one segment with all of the memory.
fn write_sparse(machine: &Machine, path: &Path) {
    let file = File::create(path).unwrap();
    file.set_len(PAGE_SIZE + TERABYTE).unwrap();
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(16, 0);
    head.extend([4, 0, 62, 0, 1, 0, 0, 0]);
    head.extend([0, 64, 0].map(u64::to_le_bytes).concat());
    head.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    head.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    head.extend([PAGE_SIZE, 0, 0, TERABYTE, TERABYTE, 0].map(u64::to_le_bytes).concat());
    file.write_all_at(&head, 0).unwrap();
    for (frame, page) in &machine.pages {
        file.write_all_at(page, PAGE_SIZE + frame * PAGE_SIZE).unwrap();
    }
}

/// The most memory that a process has had, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[test]
fn a_sparse_terabyte_without_notes_takes_neither_time_nor_memory() {
    let directory = TempDir::new().unwrap();
    let vmcore = directory.path().join("vmcore");
    write_sparse(&Machine::livelock(), &vmcore);
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"))
        .args(["analyze", "--format", "json", "--output"])
        .arg(directory.path().join("answer"))
        .arg(&vmcore)
        .arg(testdata("vmlinux.profile"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut most = 0;
    let status = loop {
        most = most.max(peak(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < MOST_TIME, "it takes too long");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(status.code(), Some(1));
    assert!(most > 0 && most < MOST_KIB, "{most} KiB");
    let answer: Value = serde_json::from_slice(&std::fs::read(directory.path().join("answer")).unwrap()).unwrap();
    assert_eq!(answer["verdict"], run("analyze", &livelock(), &[]).json()["verdict"]);
}
