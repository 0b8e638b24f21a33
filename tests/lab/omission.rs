//! Lists of kernel state of a whole dump, with each of some pages that they are read from left out.

#[path = "../support/omission.rs"]
mod every_page;

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Dump;

use crate::lab_dump::LabDump;

/// Pages of each list.
const PAGES: usize = 24;

pub(crate) fn is_named(dump: &LabDump) {
    let vmlinux = Box::leak(Box::new(Vmlinux::open(&dump.vmlinux).expect("the vmlinux opens")));
    let dump = Box::leak(Box::new(Dump::open(&dump.vmcore).expect("the dump opens")));
    let (pages, wrong) = every_page::tried(dump, vmlinux, PAGES);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A machine with one CPU has two hundred of them.
    assert!(pages > 100, "{pages} pages");
}
