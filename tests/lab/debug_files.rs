//! The same kernel, its debug information kept in other ways: the answers do not change.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::lab_dump::LabDump;
use crate::program::{list, run_on};

/// Options of `objcopy`, and whether what it makes still has source lines.
const FORMS: [(&str, &[&str], bool); 5] = [
    ("zlib", &["--compress-debug-sections=zlib"], true),
    ("zstd", &["--compress-debug-sections=zstd"], true),
    // Types come from DWARF. Renamed, because relocations that were kept need the section.
    ("without BTF", &["--rename-section=.BTF=.not_BTF"], true),
    ("without DWARF", &["--strip-debug"], false),
    // Of code and data it has only the places: unwind tables and types come from the dump.
    ("debug file alone", &["--only-keep-debug"], true),
];

pub(crate) fn of_all_forms(dump: &LabDump) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let expected = Answers::of(dump, &dump.vmlinux);
    assert!(expected.lines() > 100, "only {} frames have a line", expected.lines());
    for (what, options, has_lines) in FORMS {
        let file = directory.path().join("vmlinux");
        objcopy(options, &dump.vmlinux, &file);
        let found = Answers::of(dump, &file);
        if has_lines {
            found.expect_equal(&expected, what);
        } else {
            assert_eq!(found.lines(), 0, "{what}");
            found.without_dwarf().expect_equal(&expected.clone().without_dwarf(), what);
        }
    }
    stripped_with_its_debug_file(dump, directory.path()).expect_equal(&expected, "stripped, with a debug file");
}

/// The vmlinux in two files: a stripped one, and in `.debug` beside it what its link names.
fn stripped_with_its_debug_file(dump: &LabDump, directory: &Path) -> Answers {
    let (image, debug) = (directory.join("vmlinux"), directory.join("vmlinux.debug"));
    objcopy(&["--only-keep-debug"], &dump.vmlinux, &debug);
    let link = format!("--add-gnu-debuglink={}", debug.display());
    objcopy(&["--strip-all", &link], &dump.vmlinux, &image);
    fs::create_dir(directory.join(".debug")).expect("a directory");
    fs::rename(debug, directory.join(".debug/vmlinux.debug")).expect("a file system");
    Answers::of(dump, &image)
}

fn objcopy(options: &[&str], from: &Path, to: &Path) {
    let run = Command::new("objcopy").args(options).args([from, to]).output().expect("objcopy is installed");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

/// What two commands say.
#[derive(Clone)]
struct Answers {
    analysis: Value,
    stacks: Value,
}

impl Answers {
    fn of(dump: &LabDump, vmlinux: &Path) -> Self {
        let json = |command, options: &[&str]| {
            let run = run_on(command, &dump.vmcore, vmlinux, &[options, &["--format", "json"]].concat());
            assert!([0, 1].contains(&run.status), "exit status {}: {}", run.status, run.stderr);
            run.json()
        };
        Self { analysis: json("analyze", &[]), stacks: json("bt", &["--all"]) }
    }

    /// How many frames of all stacks have a source line.
    fn lines(&self) -> usize {
        let frames = list(&self.stacks, "stacks").iter().flat_map(|stack| list(stack, "frames"));
        frames.filter(|frame| frame["line"].is_number()).count()
    }

    fn without_dwarf(mut self) -> Self {
        remove_what_dwarf_tells(&mut self.analysis);
        remove_what_dwarf_tells(&mut self.stacks);
        self
    }

    #[track_caller]
    fn expect_equal(&self, expected: &Self, what: &str) {
        assert_eq!(self.analysis["verdict"], expected.analysis["verdict"], "{what}");
        // Not assert_eq!: megabytes of output help nobody.
        assert!(self.analysis == expected.analysis, "{what}: the analysis differs");
        assert!(self.stacks == expected.stacks, "{what}: stacks differ");
    }
}

/// Takes from all objects what source lines tell. The caller of a function without ORC entries, by call-frame information, is to be
/// found without, too: by a search of the stack, which then counts as guessed.
fn remove_what_dwarf_tells(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for name in ["file", "line", "inlined", "guessed", "ended"] {
                members.remove(name);
            }
            members.retain(|name, value| name != "trust" || *value != "cfi" && *value != "scan");
            members.values_mut().for_each(remove_what_dwarf_tells);
        }
        Value::Array(elements) => elements.iter_mut().for_each(remove_what_dwarf_tells),
        _ => {}
    }
}

/// One dump of each kernel: that is enough, and `objcopy` takes its time. One that kdump made, where there is one: its CPUs stand in
/// code without ORC entries.
pub(crate) fn one_of_each_kernel(dumps: &[Arc<LabDump>]) -> Vec<Arc<LabDump>> {
    let (by_kdump, others): (Vec<_>, Vec<_>) = dumps.iter().partition(|dump| dump.name.contains("kdump"));
    let mut chosen: Vec<Arc<LabDump>> = Vec::new();
    for dump in by_kdump.into_iter().chain(others) {
        if chosen.iter().all(|other| other.truth.release != dump.truth.release) {
            chosen.push(Arc::clone(dump));
        }
    }
    chosen
}
