//! This test program itself, read as if it were a vmlinux: debug information that LLVM made, without `.debug_aranges`,
//! with functions in name spaces and deeper inlining than a kernel has.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::expect_used, clippy::unwrap_used)] // Helpers of tests, which clippy does not see as such.

mod common;

use std::path::Path;
use std::process::Command;

use vmcore_debuginfo::Vmlinux;
use vmcore_memory::VirtAddr;

#[test]
fn source_frames_are_those_of_addr2line() {
    let program = Vmlinux::open(&std::env::current_exe().unwrap()).unwrap();
    let text = program.section(".text").unwrap();
    let step = (text.data.len() as u64 / 800).max(1);
    let addresses: Vec<VirtAddr> = (0..800).map(|at| text.address.wrapping_add(at * step)).collect();
    let compared = common::compare_with_addr2line(&program, &addresses);
    assert!(compared.known > 400 && compared.with_inlined > 5, "{compared:?}");
}

#[test]
fn symbols_are_found_where_they_are() {
    let program = Vmlinux::open(&std::env::current_exe().unwrap()).unwrap();
    let symbols = program.symbols();
    let main = symbols.address("main").unwrap();
    let found = symbols.lookup(main).unwrap();
    assert_eq!((found.name, found.address), ("main", main));
    assert_eq!(symbols.lookup(main.wrapping_add(found.size - 1)).unwrap().name, "main");
}

/// What `objcopy OPTIONS` makes of this program; `None` where it does not know the option.
fn objcopy(options: &[&str]) -> Option<(tempfile::TempDir, Vmlinux)> {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("program");
    let program = std::env::current_exe().unwrap();
    let output = Command::new("objcopy").args(options).args([&program, &copy]).output().expect("objcopy is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    if complaint.contains("is not supported") || complaint.contains("unrecognized") {
        return None;
    }
    assert!(output.status.success(), "{complaint}");
    let vmlinux = Vmlinux::open(&copy).unwrap();
    Some((directory, vmlinux))
}

fn addresses(program: &Vmlinux) -> Vec<VirtAddr> {
    let text = program.section(".text").unwrap();
    (0..200).map(|at| text.address.wrapping_add(at * text.data.len() as u64 / 200)).collect()
}

/// `zlib-gnu` makes `.zdebug_*` sections, the other two have headers of their own.
#[test]
fn compressed_debug_sections_read_like_others() {
    let program = Vmlinux::open(&std::env::current_exe().unwrap()).unwrap();
    let addresses = addresses(&program);
    let plain = program.source_frames(&addresses);
    assert!(plain.iter().filter(|frames| frames.len() > 1).count() > 5);
    let mut read = 0;
    for kind in ["zlib", "zlib-gnu", "zstd"] {
        // Not every objcopy has zstd.
        let Some((directory, copy)) = objcopy(&[&format!("--compress-debug-sections={kind}")]) else { continue };
        let len = |path: &Path| std::fs::metadata(path).unwrap().len();
        let (before, after) = (len(&std::env::current_exe().unwrap()), len(&directory.path().join("program")));
        assert!(after < before, "{kind}: {after} bytes of {before}");
        assert!(copy.source_frames(&addresses) == plain, "{kind} differs");
        read += 1;
    }
    assert!(read >= 2, "only {read} kinds");
}
