//! A real vmlinux, read by this crate and by others: the answers must be the same.
//!
//! ```text
//! VMCORE_LAB_VMLINUX=path cargo test --release -p vmcore-debuginfo --features lab-tests --test lab
//! ```
#![cfg(feature = "lab-tests")]
#![allow(clippy::expect_used, clippy::unwrap_used)] // Helpers of tests, which clippy does not see as such.

use std::{borrow::Cow, env, path::PathBuf};

use addr2line::gimli;
use vmcore_debuginfo::{SourceFrame, Vmlinux};
use vmcore_memory::VirtAddr;

fn lab() -> Vmlinux {
    let path = env::var_os("VMCORE_LAB_VMLINUX").expect("VMCORE_LAB_VMLINUX names the vmlinux to test with");
    Vmlinux::open(&PathBuf::from(path)).unwrap()
}

/// Every 611th byte of the code, which is never the distance between two things that repeat.
fn code_addresses(vmlinux: &Vmlinux) -> Vec<VirtAddr> {
    let sections = [".text", ".init.text", ".exit.text"].map(|name| vmlinux.section(name).unwrap());
    let addresses = sections.iter().flat_map(|section| {
        (0..section.data.len() as u64).step_by(611).map(|offset| section.address.checked_add(offset).unwrap())
    });
    addresses.collect()
}

#[test]
fn source_frames_are_those_of_addr2line() {
    let vmlinux = lab();
    let load = |id: gimli::SectionId| -> Result<_, gimli::Error> {
        let data = vmlinux.section(id.name()).map_or(Cow::Borrowed(&[][..]), |section| section.data);
        Ok(data)
    };
    let sections = gimli::DwarfSections::load(load).unwrap();
    let dwarf = sections.borrow(|data| gimli::EndianSlice::new(data, gimli::LittleEndian));
    let theirs = addr2line::Context::from_dwarf(dwarf).unwrap();
    let addresses = code_addresses(&vmlinux);
    let all = vmlinux.source_frames(&addresses);
    let mut one_by_one = vmlinux.source().unwrap();
    let mut with_inlined = 0;
    let mut different = Vec::new();
    for (&address, ours) in addresses.iter().zip(&all) {
        let mut expected = Vec::new();
        let mut frames = theirs.find_frames(address.get()).skip_all_loads().unwrap();
        while let Some(frame) = frames.next().unwrap() {
            expected.push(SourceFrame {
                function: frame.function.map(|function| function.raw_name().unwrap().into_owned()),
                file: frame.location.as_ref().and_then(|location| location.file).map(normal),
                line: frame.location.as_ref().and_then(|location| location.line).filter(|&line| line != 0),
            });
        }
        with_inlined += usize::from(expected.len() > 1);
        if !(ours.len() == expected.len() && ours.iter().zip(&expected).all(|(ours, theirs)| same(ours, theirs))) {
            different.push(format!("{address}: ours {ours:#?}\ntheirs {expected:#?}"));
        }
        assert_eq!(one_by_one.frames(address), *ours, "{address}");
    }
    let total = addresses.len();
    println!("{total} addresses, {with_inlined} with inlined calls, {} different", different.len());
    assert!(total > 10_000 && with_inlined > 1000);
    assert!(different.is_empty(), "{} of {total} differ; the first: {}", different.len(), different[0]);
}

/// A path without `.` and `x/..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn same(ours: &SourceFrame, theirs: &SourceFrame) -> bool {
    let file = match (&ours.file, &theirs.file) {
        (Some(ours), Some(theirs)) => theirs.ends_with(ours.as_str()),
        (None, None) => true,
        _ => false,
    };
    file && ours.function == theirs.function && ours.line == theirs.line
}
