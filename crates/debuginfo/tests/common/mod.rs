//! What the integration tests share.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used)] // Tests, which clippy does not see as such.

use std::borrow::Cow;

use addr2line::gimli;
use vmcore_debuginfo::{SourceFrame, Vmlinux};
use vmcore_memory::VirtAddr;

/// What was compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    /// With any frame at all.
    pub(crate) known: usize,
    pub(crate) with_inlined: usize,
}

/// Checks that the source frames of `addresses`, all at once and one by one, are those that addr2line gives.
pub(crate) fn compare_with_addr2line(vmlinux: &Vmlinux, addresses: &[VirtAddr]) -> Compared {
    let load = |id: gimli::SectionId| -> Result<_, gimli::Error> {
        let data = vmlinux.section(id.name()).map_or(Cow::Borrowed(&[][..]), |section| section.data);
        Ok(data)
    };
    let sections = gimli::DwarfSections::load(load).unwrap();
    let dwarf = sections.borrow(|data| gimli::EndianSlice::new(data, gimli::LittleEndian));
    let theirs = addr2line::Context::from_dwarf(dwarf).unwrap();
    let all = vmlinux.source_frames(addresses);
    let mut one_by_one = vmlinux.source().unwrap();
    let mut compared = Compared { known: 0, with_inlined: 0 };
    let mut different = Vec::new();
    for (&address, ours) in addresses.iter().zip(&all) {
        let mut expected = Vec::new();
        let mut frames = theirs.find_frames(address.get()).skip_all_loads().unwrap();
        while let Some(frame) = frames.next().unwrap() {
            expected.push(SourceFrame {
                // The mangled names of other languages than C are left to the symbol table.
                function: frame.function.map(|function| function.raw_name().unwrap().into_owned()),
                file: frame.location.as_ref().and_then(|location| location.file).map(normal),
                line: frame.location.as_ref().and_then(|location| location.line).filter(|&line| line != 0),
            });
        }
        compared.known += usize::from(!expected.is_empty());
        compared.with_inlined += usize::from(expected.len() > 1);
        if !(ours.len() == expected.len() && ours.iter().zip(&expected).all(|(ours, theirs)| same(ours, theirs))) {
            different.push(format!("{address}: ours {ours:#?}\ntheirs {expected:#?}"));
        }
        assert_eq!(one_by_one.frames(address), *ours, "{address}");
    }
    let count = different.len();
    assert!(count == 0, "{count} of {} differ; the first: {}", addresses.len(), different[0]);
    compared
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
    let mangled = theirs.function.as_ref().is_some_and(|name| name.starts_with("_ZN") || name.starts_with("_R"));
    let function = if mangled { ours.function.is_some() } else { ours.function == theirs.function };
    file && function && ours.line == theirs.line
}
