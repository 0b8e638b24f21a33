//! No machine that hangs is called healthy for want of a page: neither where the page is not in the dump, nor where it is there and
//! holds nothing but zeroes.

use std::fs::File;
use std::io::BufWriter;

use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Dump;
use vmcore_synth::scenario::{self, Scenario};
use vmcore_synth::{DumpForm, Generation, build};

use crate::healthy;

/// Machines of which little besides one task or queue shows what is wrong with them.
const SCENARIOS: [&str; 8] = [
    "real-time-hog",
    "idle-though-queued",
    "killable",
    "dead-tick",
    "deadlock",
    "deadlock-interruptible",
    "hard-lockup",
    "lock-held",
];

/// Deadlocks of which only the stacks tell, as they have not lasted: one that no signal ends, and one whose stack has more than a page.
fn young_deadlocks() -> [(&'static str, Scenario); 2] {
    let text = scenario::named("deadlock-interruptible").unwrap().to_text().unwrap();
    let changed = |from: &str, to: &str| {
        let changed = text.replace(from, to);
        assert_ne!(text, changed);
        Scenario::parse(&changed).unwrap()
    };
    let deep = format!("calls = [{}", "\"vfs_write\", \"driver_write\", ".repeat(44));
    [("blocked", changed("\"sleeping\"", "\"blocked\"")), ("deep", changed("calls = [", &deep))]
}

#[test]
fn no_hang_is_healthy_for_want_of_a_page() {
    let mut wrong = Vec::new();
    let named = SCENARIOS.map(|name| (name, scenario::named(name).unwrap()));
    for (scenario, description) in named.into_iter().chain(young_deadlocks()) {
        let machine = build(&description, &Generation::named("6.12").unwrap(), 1).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        DumpForm::Elf.write(&machine, 0, &mut BufWriter::new(File::create(path("vmcore")).unwrap())).unwrap();
        std::fs::write(path("vmlinux"), &machine.vmlinux).unwrap();
        let (dump, vmlinux) = (Dump::open(&path("vmcore")).unwrap(), Vmlinux::open(&path("vmlinux")).unwrap());
        let (pages, found) = healthy::tried(&dump, &vmlinux, usize::MAX);
        assert!(pages > 20, "{scenario}: {pages} pages");
        wrong.extend(found.into_iter().map(|found| format!("{scenario} {found}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
