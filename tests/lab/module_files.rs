//! Source lines of modules: from the files that the guest had loaded, which the lab keeps beside the dump.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lab_dump::LabDump;
use crate::program::{int, list, text};

/// Where the lab has the source of the module that locks a CPU up.
const SOURCE: &str = "scripts/lab/modules/cpu_hog/cpu_hog.c";

/// The directory with the modules, if the dump came with one.
pub(crate) fn directory(dump: &LabDump) -> Option<PathBuf> {
    Some(dump.vmcore.with_file_name("modules")).filter(|directory| directory.is_dir())
}

/// A CPU that a module locked up: each frame of the module has the line in its source that it must have.
pub(crate) fn give_lines(dump: &LabDump) {
    let directory = directory(dump).expect("the dump came with its modules");
    let path = directory.to_str().expect("a path in UTF-8");
    let stacks = dump.json("bt", &["--debug-dir", path]);
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(SOURCE)).expect("its source");
    let line = |frame: &Value| {
        assert!(text(frame, "file").ends_with("/cpu_hog.c"), "{frame}");
        let number = usize::try_from(int(frame, "line")).expect("a line");
        source.lines().nth(number - 1).expect("a line of the source").trim()
    };
    let frames: Vec<_> = of_the_module(&stacks).collect();
    let named = |name: &str| frames.iter().find(|frame| text(frame, "symbol") == name);
    assert_eq!(line(named("hog").expect("the caller")), "spin_for_ever();");
    let loops = ["while (!READ_ONCE(release_cpu))", "cpu_relax();"];
    let spins = line(named("spin_for_ever").expect("what spins"));
    assert!(loops.contains(&spins), "{spins}");
    without_files(dump, &frames);
}

/// The same frames, without lines.
fn without_files(dump: &LabDump, with: &[&Value]) {
    let stacks = dump.json("bt", &[]);
    let without: Vec<_> = of_the_module(&stacks).collect();
    assert_eq!(without.len(), with.len());
    for (without, with) in without.iter().zip(with) {
        assert!(without["file"].is_null() && without["line"].is_null(), "{without}");
        for member in ["pc", "sp", "symbol", "offset", "trust"] {
            assert_eq!(without[member], with[member], "{member}");
        }
    }
}

fn of_the_module(stacks: &Value) -> impl Iterator<Item = &Value> {
    let frames = list(stacks, "stacks").iter().flat_map(|stack| list(stack, "frames"));
    frames.filter(|frame| frame["module"] == "cpu_hog")
}
