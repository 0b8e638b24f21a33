//! Lists of kernel state of a whole dump, and its verdict, with each of some pages that they are read from left out.

#[path = "../support/omission.rs"]
mod every_page;

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Dump;

use crate::healthy;
use crate::lab_dump::{LabDump, Scenario};

/// Pages of each list.
const PAGES: usize = 24;
/// Pages that a verdict is made from, each missing and zeroed.
const PAGES_OF_VERDICT: usize = 60;

pub(crate) fn is_named(dump: &LabDump) {
    let vmlinux = Box::leak(Box::new(Vmlinux::open(&dump.vmlinux).expect("the vmlinux opens")));
    let dump = Box::leak(Box::new(Dump::open(&dump.vmcore).expect("the dump opens")));
    let (pages, wrong) = every_page::tried(dump, vmlinux, PAGES);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A machine with one CPU has two hundred of them.
    assert!(pages > 100, "{pages} pages");
}

/// A machine that hangs is not healthy for want of a page.
pub(crate) fn makes_no_hang_healthy(dump: &LabDump) {
    if matches!(dump.truth.scenario, Scenario::Sysrq | Scenario::ThpBusy) {
        return;
    }
    let vmlinux = Vmlinux::open(&dump.vmlinux).expect("the vmlinux opens");
    let dump = Dump::open(&dump.vmcore).expect("the dump opens");
    let (pages, wrong) = healthy::tried(&dump, &vmlinux, PAGES_OF_VERDICT);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(pages > PAGES_OF_VERDICT, "{pages} pages");
}
