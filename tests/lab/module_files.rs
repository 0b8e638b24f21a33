//! Source lines of modules: from the files that the guest had loaded, which the lab keeps beside the dump.

use std::path::{Path, PathBuf};
use std::process::Command;

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
    in_all_forms(dump, &directory.join("cpu_hog.ko"), &frames);
}

/// The same lines from the file as distributions install it: compressed, or its debug information in a file of its own.
fn in_all_forms(dump: &LabDump, module: &Path, expected: &[&Value]) {
    // That of the host knows no files of another machine.
    let objcopy = if dump.is_of_arm64() { "aarch64-linux-gnu-objcopy" } else { "objcopy" };
    let forms: [(&str, &[&str]); 4] = [
        ("cpu_hog.ko.xz", &["xz", "-c", "IN"]),
        ("cpu_hog.ko.gz", &["gzip", "-c", "IN"]),
        ("cpu_hog.ko.zst", &["zstd", "-qc", "IN"]),
        ("cpu_hog.ko.debug", &[objcopy, "--only-keep-debug", "IN", "OUT"]),
    ];
    for (name, command) in forms {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let extra = directory.path().join("lib/modules").join(&dump.truth.release).join("extra");
        std::fs::create_dir_all(&extra).expect("a directory");
        let out = extra.join(name);
        let words = command.iter().map(|&word| match word {
            "IN" => module.as_os_str(),
            "OUT" => out.as_os_str(),
            word => word.as_ref(),
        });
        let words: Vec<_> = words.collect();
        let stdout = std::fs::File::create(&out).expect("a file");
        let status =
            Command::new(words[0]).args(&words[1..]).stdout(stdout).status().expect("the program is installed");
        assert!(status.success(), "{command:?}");
        let stacks = dump.json("bt", &["--debug-dir", directory.path().to_str().expect("a path in UTF-8")]);
        let found: Vec<_> = of_the_module(&stacks).collect();
        assert_eq!(found, expected, "{name}");
    }
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
