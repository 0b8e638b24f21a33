//! The rules of ARCHITECTURE.md that a program can check.

// All of this is test code, which clippy does not see in helpers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/files.rs"]
mod files;
#[path = "architecture/machines.rs"]
mod machines;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// What each crate uses of the others: only what stands left of it in the way of the data.
const LAYERS: &[(&str, &[&str])] = &[
    ("vmcore-os", &[]),
    ("vmcore-memory", &[]),
    ("vmcore-zstd", &[]),
    ("vmcore-dump", &["vmcore-memory", "vmcore-os", "vmcore-zstd"]),
    ("vmcore-debuginfo", &["vmcore-memory", "vmcore-os", "vmcore-zstd"]),
    ("vmcore-remote", &["vmcore-os"]),
    ("vmcore-debuginfod", &["vmcore-os", "vmcore-remote"]),
    ("vmcore-unwind", &["vmcore-memory"]),
    ("vmcore-kernel", &["vmcore-memory", "vmcore-dump", "vmcore-debuginfo", "vmcore-unwind", "vmcore-console"]),
    ("vmcore-inspect", &["vmcore-memory", "vmcore-debuginfo", "vmcore-kernel"]),
    ("vmcore-console", &["vmcore-memory"]),
    ("vmcore-diagnose", &["vmcore-memory", "vmcore-kernel", "vmcore-inspect", "vmcore-console"]),
    ("vmcore-report", &["vmcore-memory", "vmcore-kernel", "vmcore-inspect", "vmcore-console", "vmcore-diagnose"]),
    // Sorts files by their first bytes, and reads what the program wrote of them.
    ("vmcore-triage", &["vmcore-os", "vmcore-dump", "vmcore-remote", "vmcore-console", "vmcore-report"]),
    // Makes what the others read, and is used to test them.
    ("vmcore-synth", &["vmcore-memory", "vmcore-dump"]),
    ("vmcore-reduce", &["vmcore-memory", "vmcore-kernel", "vmcore-console", "vmcore-diagnose", "vmcore-synth"]),
    (
        "vmcore-thp",
        &[
            "vmcore-os",
            "vmcore-memory",
            "vmcore-dump",
            "vmcore-debuginfo",
            "vmcore-debuginfod",
            "vmcore-remote",
            "vmcore-kernel",
            "vmcore-inspect",
            "vmcore-console",
            "vmcore-diagnose",
            "vmcore-report",
            "vmcore-reduce",
            "vmcore-synth",
            "vmcore-triage",
        ],
    ),
    ("vmcore-thp-python", &["vmcore-thp"]),
];

/// What its tests use besides: the readers of what it makes, and dumps to look at.
const TESTS_USE: &[(&str, &[&str])] = &[("vmcore-inspect", &["vmcore-dump"]), ("vmcore-synth", &["vmcore-debuginfo"])];

/// Crates that parse files, call the system or speak to servers, and who alone may use them: nobody else can see their
/// types.
const PARSERS: &[(&str, &[&str])] = &[
    ("addr2line", &["vmcore-debuginfo"]),
    ("bzip2", &["vmcore-dump"]),
    ("flate2", &["vmcore-dump", "vmcore-debuginfo"]),
    ("gimli", &["vmcore-debuginfo", "vmcore-synth"]),
    ("goblin", &["vmcore-dump"]),
    ("iced-x86", &["vmcore-diagnose", "vmcore-inspect"]),
    ("libc", &["vmcore-os"]),
    ("lz4_flex", &["vmcore-dump"]),
    ("lzma-rust2", &["vmcore-dump", "vmcore-debuginfo"]),
    ("lzokay", &["vmcore-dump"]),
    ("maud", &["vmcore-report", "vmcore-triage"]),
    ("memmap2", &["vmcore-os"]),
    ("mimalloc", &["vmcore-os"]),
    ("object", &["vmcore-dump", "vmcore-debuginfo", "vmcore-synth"]),
    ("parquet", &["vmcore-triage"]),
    ("pyo3", &["vmcore-thp-python"]),
    ("quick-xml", &["vmcore-remote"]),
    ("reqsign-aws-v4", &["vmcore-remote"]),
    ("reqsign-core", &["vmcore-remote"]),
    ("rmcp", &["vmcore-thp"]),
    ("rusqlite", &["vmcore-triage"]),
    ("rustls", &["vmcore-remote"]),
    ("rustls-native-certs", &["vmcore-remote"]),
    ("ruzstd", &["vmcore-zstd"]),
    ("tar", &["vmcore-dump"]),
    ("tokio", &["vmcore-thp"]),
    ("ureq", &["vmcore-debuginfod", "vmcore-remote"]),
    ("yaxpeax-arch", &["vmcore-diagnose", "vmcore-inspect"]),
    ("yaxpeax-arm", &["vmcore-diagnose", "vmcore-inspect"]),
];

/// The crates that open files.
const FILE_CRATES: [&str; 2] = ["dump", "debuginfo"];

#[test]
fn crates_use_only_what_stands_left_of_them() {
    let layers = BTreeMap::from_iter(LAYERS.iter().copied());
    let tests_use = BTreeMap::from_iter(TESTS_USE.iter().copied());
    for package in workspace_packages() {
        let name = package["name"].as_str().unwrap();
        let layer = layers.get(name).unwrap_or_else(|| panic!("{name} has no place in the architecture"));
        let used = |is_for_tests| -> BTreeSet<&str> {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let meant = dependencies.filter(|dependency| (dependency["kind"] == "dev") == is_for_tests);
            let names = meant.map(|dependency| dependency["name"].as_str().unwrap());
            names.filter(|dependency| dependency.starts_with("vmcore-")).collect()
        };
        assert_eq!(used(false), layer.iter().copied().collect(), "what {name} uses, and what it may use");
        let besides: BTreeSet<_> = used(true).difference(&used(false)).copied().collect();
        let may = tests_use.get(name).into_iter().flat_map(|names| names.iter().copied()).collect();
        assert_eq!(besides, may, "what the tests of {name} use besides, and what they may use");
    }
}

#[test]
fn parsers_stay_inside_their_crate() {
    let allowed = BTreeMap::from_iter(PARSERS.iter().copied());
    for package in workspace_packages() {
        let name = package["name"].as_str().unwrap();
        for dependency in dependencies(&package) {
            let users = allowed.get(dependency).copied().unwrap_or_default();
            assert!(users.is_empty() || users.contains(&name), "{name} must not use {dependency}");
        }
    }
}

#[test]
fn unsafe_code_is_only_in_the_crate_for_it() {
    let unsafe_crate = root().join("crates/os");
    for path in sources() {
        // In the policy of HTML pages it is a word for browsers.
        let is_unsafe = |line: &str| words(&line.replace("'unsafe-inline'", "")).any(|word| word == "unsafe");
        let has_unsafe = code_lines(&path).iter().any(|line| is_unsafe(line));
        assert!(!has_unsafe || path.starts_with(&unsafe_crate), "unsafe in {}", path.display());
    }
    for (path, text) in crate_roots() {
        let forbids = text.contains("#![forbid(unsafe_code)]");
        assert_ne!(forbids, path.starts_with(&unsafe_crate), "forbid(unsafe_code) in {}", path.display());
    }
}

/// A library that ends the process, or takes a signal, does so to all of its users.
#[test]
fn only_the_binary_asks_for_an_end_of_the_process() {
    let forbidden = [
        "vmcore_os::end",
        "explain_lost_mappings",
        "BoundedHeap",
        "remove_unfinished_on_signals",
        "note_interrupts",
        "_exit(",
    ];
    in_crates(|path, line| {
        let found = forbidden.iter().find(|name| occurs(line, name));
        assert!(found.is_none() || path.starts_with(root().join("crates/os")), "{}: {line}", path.display());
    });
}

#[test]
fn every_crate_has_the_workspaces_lints() {
    for package in workspace_packages() {
        let manifest = fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "no workspace lints in {}", package["name"]);
    }
    // Nothing that came from a dump may panic; tests may (clippy.toml).
    let guards = ["unwrap_used", "expect_used", "panic", "indexing_slicing", "string_slice", "unreachable"];
    for path in sources().into_iter().filter(|path| !is_test(path)) {
        for line in code_lines(&path).iter().filter(|line| line.contains("allow(") || line.contains("expect(clippy")) {
            assert!(!guards.iter().any(|lint| line.contains(&format!("clippy::{lint}"))), "{}: {line}", path.display());
        }
    }
}

#[test]
fn only_the_binary_prints_and_exits() {
    let forbidden =
        ["println!", "eprintln!", "print!", "eprint!", "dbg!", "io::stdout", "io::stderr", "process::exit", "abort("];
    in_crates(|path, line| {
        let found = forbidden.iter().find(|name| occurs(line, name));
        assert_eq!(found, None, "{}: {line}", path.display());
    });
}

#[test]
fn only_dump_and_debuginfo_open_files() {
    let forbidden = ["fs::", "File::open", "OpenOptions"];
    in_crates(|path, line| {
        // Downloads are no files for analysis, and `triage` only sorts files.
        let mut may = FILE_CRATES.iter().chain(&["debuginfod", "remote", "triage"]);
        let may = may.any(|name| path.starts_with(root().join("crates").join(name)));
        // `os` maps files that somebody else has opened, and makes those that are written.
        let may = may || path.starts_with(root().join("crates/os"));
        let found = forbidden.iter().find(|name| occurs(line, name));
        assert!(may || found.is_none(), "{}: {line}", path.display());
    });
}

/// Downloads get a place in a cache; what is in them is for others to say.
#[test]
fn downloads_are_not_parsed() {
    let mut lines = 0;
    in_crates(|path, line| {
        if path.starts_with(root().join("crates/debuginfod")) {
            lines += 1;
            // `os` makes the file that a download is written to; `remote` knows who is trusted.
            let line = &line.replace("vmcore_os", "").replace("vmcore_remote::tls", "");
            let found = ["vmcore_", "object::", "le_u32", "File::open(url"].iter().find(|name| occurs(line, name));
            assert_eq!(found, None, "{}: {line}", path.display());
        }
    });
    assert!(lines > 100, "only {lines} lines were looked at");
}

/// Names of files that say nothing of a kernel: where output is thrown away, and how many threads this process has.
const OF_THIS_PROCESS: [(&str, &str); 3] = [
    ("src/output.rs", "\"/dev/null\""),
    ("crates/os/src/fork.rs", "\"/dev/null\""),
    ("crates/os/src/fork.rs", "\"/proc/self/task\""),
];

/// What describes the running kernel says nothing about one that crashed, and looks as if it did.
#[test]
fn the_running_kernel_is_never_looked_at() {
    let forbidden = ["\"/proc", "\"/sys", "\"/boot", "\"/dev", "uname(", "libc::"];
    // What a dump's writer copied, said by its name.
    let name = "\"/proc/vmcore\"";
    let mut names = 0;
    for path in sources().into_iter().filter(|path| !is_test(path)) {
        for line in code_lines(&path) {
            names += line.matches(name).count();
            let mut line = line.replace(name, "");
            for (_, allowed) in OF_THIS_PROCESS.iter().filter(|(file, _)| path == root().join(file)) {
                line = line.replace(allowed, "");
            }
            // `os` makes system calls, but does not ask for names.
            let may = path.starts_with(root().join("crates/os")) && !line.contains("uname(");
            let found = forbidden.iter().find(|text| line.contains(**text) && !(may && **text == "libc::"));
            assert_eq!(found, None, "{}: {line}", path.display());
        }
    }
    assert_eq!(names, 1, "the one place where the name may be");
}

#[test]
fn report_cannot_read_memory() {
    let readers = ["ReadPhysical", "ReadVirtual", "read_page", "vmcore_dump", "vmcore_debuginfo"];
    in_crates(|path, line| {
        let found = readers.iter().find(|name| occurs(line, name));
        assert!(found.is_none() || !path.starts_with(root().join("crates/report")), "{}: {line}", path.display());
    });
}

#[test]
fn addresses_have_types() {
    let address = |name: &str| {
        let last = name.rsplit('_').next().unwrap();
        ["address", "addr", "pc", "sp", "ip", "pfn", "phys", "virt"].contains(&last)
    };
    in_crates(|path, line| {
        let Some(public) = line.trim_start().strip_prefix("pub ") else { return };
        for (before, _) in public.match_indices(": u64").map(|(at, _)| public.split_at(at)) {
            let name = before.rsplit(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap();
            assert!(!address(name), "a bare u64 address in {}: {line}", path.display());
        }
    });
}

/// Calls `check` with every line of code of the libraries that is not a test.
fn in_crates(mut check: impl FnMut(&Path, &str)) {
    let mut files = 0;
    for path in sources().into_iter().filter(|path| path.starts_with(root().join("crates")) && !is_test(path)) {
        files += 1;
        for line in code_lines(&path) {
            check(&path, &line);
        }
    }
    assert!(files > 50, "only {files} files were found");
}

/// Names of what a package depends on, to build and to be tested.
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    package["dependencies"].as_array().unwrap().iter().map(|dependency| dependency["name"].as_str().unwrap())
}

fn workspace_packages() -> Vec<Value> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().clone();
    let names: BTreeSet<_> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert!(names.contains("vmcore-thp") && names.contains("vmcore-memory"), "{names:?}");
    packages
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files of the binary and of the libraries.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    add_sources(&root().join("src"), &mut files);
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        add_sources(&entry.unwrap().path().join("src"), &mut files);
    }
    files
}

fn add_sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn crate_roots() -> Vec<(PathBuf, String)> {
    let is_root = |path: &PathBuf| path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    sources().into_iter().filter(is_root).map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        name == "tests.rs" || name == "tests" || name.starts_with("test_support")
    })
}

/// The lines of a file without comments, up to its unit tests, which stand last.
fn code_lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = Vec::new();
    let mut all = text.lines().peekable();
    while let Some(line) = all.next() {
        if line == "#[cfg(test)]" && all.peek().is_some_and(|next| next.ends_with('{')) {
            break;
        }
        let code = line.split("//").next().unwrap_or_default();
        lines.push(code.to_owned());
    }
    lines
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| !word.is_empty())
}

/// Whether `name` is in `line`, not as the end of a longer name.
fn occurs(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
    })
}
