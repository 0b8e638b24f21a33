//! This test program itself, read as if it were a vmlinux: debug information that LLVM made, without `.debug_aranges`,
//! with functions in name spaces and deeper inlining than a kernel has.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

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
