//! No list of kernel state takes what is not in the dump for what is not there: every page that one is read from is left out.

// Helpers of tests, which clippy does not see as such.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "support/healthy.rs"]
mod healthy;
#[path = "support/holed.rs"]
mod holed;
#[path = "support/omission.rs"]
mod omission;
#[path = "omission/verdict.rs"]
mod verdict;

use std::path::Path;

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Dump;

#[test]
fn what_is_left_out_of_the_bundled_dumps_is_named() {
    for (kernel, scenarios) in
        [("6.1-cloud-amd64", &["thp-livelock", "sysrq"][..]), ("6.12-cloud-arm64", &["thp-livelock", "sysrq"])]
    {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(kernel);
        for scenario in scenarios {
            let dump = Box::leak(Box::new(Dump::open(&data.join(format!("{scenario}.vmcore"))).unwrap()));
            let vmlinux = Box::leak(Box::new(Vmlinux::open(&data.join("vmlinux.profile")).unwrap()));
            let (pages, wrong) = omission::tried(dump, vmlinux, 40);
            assert!(wrong.is_empty(), "{kernel} {scenario}: {wrong:#?}");
            assert!(pages > 50, "{kernel} {scenario}: {pages} pages");
        }
    }
}
