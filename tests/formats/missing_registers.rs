//! CPUs that the dump has no registers of: what they were doing is not known, and that is said.

use serde_json::{Value, json};
use tempfile::TempDir;
use vmcore_dump::RawNote;

use crate::machine::Machine;
use crate::{Run, assert_same_answers, livelock, run, testdata};

/// A machine whose notes were changed.
struct Changed {
    directory: TempDir,
}

impl Changed {
    fn new(dump: &str, change: impl FnOnce(&mut Vec<RawNote>)) -> Self {
        let directory = TempDir::new().unwrap();
        let mut machine = Machine::of(&testdata(dump));
        change(&mut machine.notes);
        machine.write_elf(&directory.path().join("vmcore"));
        Self { directory }
    }

    fn run(&self, command: &str) -> Run {
        run(command, &self.directory.path().join("vmcore"), &[])
    }

    /// The verdict, and all that is unknown.
    fn analyze(&self) -> (i32, Value, String) {
        let found = self.run("analyze");
        let json = found.json();
        (found.status, json["verdict"].clone(), json["unknown"].to_string())
    }
}

fn has_registers(note: &RawNote) -> bool {
    matches!((note.name.as_slice(), note.kind), (b"CORE", 1) | (b"QEMU", _))
}

/// A way to lose the registers of all CPUs, and what it does.
type Loss = (&'static str, fn(&mut Vec<RawNote>));

fn losses() -> [Loss; 3] {
    [
        ("removed", |notes| notes.retain(|note| !has_registers(note))),
        ("zeroed", |notes| notes.iter_mut().filter(|note| has_registers(note)).for_each(|note| note.desc.fill(0))),
        ("no notes at all", Vec::clear),
    ]
}

#[test]
fn no_machine_is_healthy_whose_cpus_nobody_saw() {
    for (how, lose) in losses() {
        let changed = Changed::new("soft-lockup.vmcore", lose);
        let (status, verdict, unknown) = changed.analyze();
        assert_eq!((status, &verdict["issue"], &verdict["confidence"]), (1, &json!("soft-lockup"), &json!("probable")));
        assert!(verdict["summary"].to_string().contains("what it was doing is not known"), "{how}: {verdict}");
        assert!(unknown.contains("registers of CPUs 0-3: the dump has none"), "{how}: {unknown}");
        assert!(unknown.contains("CPU 0: the dump has no registers for it; by its run queue it was idle"), "{unknown}");

        // Here the scheduler's times tell that no task kept its CPU, and nothing tells what it was doing: that is not well.
        let (status, verdict, unknown) = Changed::new("thp-busy.vmcore", lose).analyze();
        assert_eq!((status, &verdict["confidence"]), (3, &json!("insufficient")), "{how}: {verdict}");
        assert!(verdict["summary"].to_string().contains("by the scheduler's times alone"), "{how}: {verdict}");
        assert!(unknown.contains("registers of CPUs 0-3: the dump has none"), "{how}: {unknown}");
    }
}

#[test]
fn a_crash_that_was_asked_for_does_not_clear_an_idle_cpu_without_registers() {
    let whole = Changed::new("soft-lockup.vmcore", |_| {});
    assert!(!whole.analyze().2.contains("registers"));
    let one = Changed::new("soft-lockup.vmcore", |notes| {
        let first = notes.iter().position(has_registers).unwrap();
        let mut index = 0;
        notes.retain(|note| {
            index += 1;
            index - 1 == first || !has_registers(note)
        });
    });
    let (_, _, unknown) = one.analyze();
    assert!(unknown.contains("registers of CPUs 1-3: the dump has none"), "{unknown}");
}

#[test]
fn info_and_stacks_say_which_registers_are_missing() {
    for (how, lose) in losses() {
        let changed = Changed::new("soft-lockup.vmcore", lose);
        let info = changed.run("info");
        let json = info.json();
        assert_eq!(json["dump"]["cpus_with_registers"], json!([]), "{how}");
        assert!(json["gaps"].to_string().contains("registers of CPUs 0-3"), "{how}: {}", json["gaps"]);
        assert!(info.stderr.contains("registers of CPUs 0-3: the dump has none"), "{how}: {}", info.stderr);
        let stacks = changed.run("bt").json();
        let stacks = stacks["stacks"].as_array().unwrap();
        assert_eq!(stacks.len(), 4, "{how}");
        for stack in stacks {
            let error = stack["error"].as_str().unwrap();
            assert!(error.contains("the dump has no registers for it"), "{how}: {error}");
            let frames = stack["frames"].as_array().unwrap();
            assert!(frames.iter().all(|frame| frame["trust"] == "scan"), "{how}: {frames:?}");
        }
    }
}

/// The dying kernel's CPUs saved their registers in its own memory, too.
#[test]
fn what_the_kernel_saved_itself_serves() {
    for (_, lose) in losses().into_iter().take(2) {
        let changed = Changed::new("thp-livelock.vmcore", lose);
        assert_same_answers(&changed.directory.path().join("vmcore"), &[]);
    }
    let original = run("analyze", &livelock(), &[]).answer();
    let changed = Changed::new("thp-livelock.vmcore", Vec::clear).run("analyze").answer();
    assert_eq!(changed["verdict"], original["verdict"]);
    assert!(changed["stacks"] == original["stacks"]);
}
