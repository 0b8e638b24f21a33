//! The command `synth`: what it writes, what it refuses, and that a scenario of one's own works.

// All of this is test code, which clippy does not see in helpers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod anonymous_logs;
mod fred;
mod other_builds;
mod spun_locks;
mod untrusted;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmcore-thp")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_list_has_every_scenario_kernel_and_form() {
    let as_json: Value = serde_json::from_slice(&run(&["synth", "list", "--format", "json"]).stdout).unwrap();
    assert_eq!(as_json["scenarios"][0]["name"], "thp-livelock");
    assert!(as_json["kernels"].as_array().unwrap().iter().any(|kernel| kernel == "6.12"), "{as_json}");
    let output = run(&["synth", "list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    for name in vmcore_synth::scenario::names().chain(["4.19", "6.12", "kdump-split"]) {
        assert!(text.contains(name), "{name} is not in the list");
    }
}

#[test]
fn files_are_written_once_and_replaced_only_by_force() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("dump");
    let to = directory.to_str().unwrap();
    let arguments = ["synth", "thp-livelock", "--kernel", "4.19", "--form", "kdump-split", "--output", to];
    let output = run(&arguments);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(names(&directory), ["expected.json", "vmcore", "vmcore.part2", "vmlinux"]);
    let first = fs::read(directory.join("vmcore")).unwrap();
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--force"));
    assert_eq!(run(&[&arguments[..], &["--force", "--seed", "2"]].concat()).status.code(), Some(0));
    assert!(fs::read(directory.join("vmcore")).unwrap() != first, "another seed, other bytes");
}

#[test]
fn files_are_for_their_owner_only_and_no_link_is_followed() {
    let parent = TempDir::new().unwrap();
    let precious = parent.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let directory = parent.path().join("dump");
    fs::create_dir(&directory).unwrap();
    symlink(&precious, directory.join("vmcore")).unwrap();
    symlink(parent.path().join("nowhere"), directory.join("vmlinux")).unwrap();
    let arguments = ["synth", "idle", "--output", directory.to_str().unwrap()];
    for force in [&[][..], &["--force"]] {
        let output = run(&[&arguments[..], force].concat());
        assert_eq!(output.status.code(), Some(2), "{force:?}");
        assert!(stderr(&output).contains("is a symbolic link"), "{force:?}: {}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    for link in ["vmcore", "vmlinux"] {
        fs::remove_file(directory.join(link)).unwrap();
    }
    assert_eq!(run(&arguments).status.code(), Some(0));
    assert!(!parent.path().join("nowhere").exists());
    for name in names(&directory) {
        let metadata = directory.join(&name).symlink_metadata().unwrap();
        assert!(metadata.is_file() && metadata.permissions().mode() & 0o777 == 0o600, "{name}: {metadata:?}");
    }
}

/// A case from the field: its stack, its process, what the answer must be.
#[test]
fn a_scenario_of_ones_own_is_analyzed_as_it_says() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("field-case.toml");
    fs::write(&file, include_str!("field-case.toml")).unwrap();
    let dump = directory.path().join("dump");
    let output = run(&["synth", file.to_str().unwrap(), "--kernel", "5.10", "--output", dump.to_str().unwrap()]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    let [vmcore, vmlinux] = ["vmcore", "vmlinux"].map(|name| dump.join(name).into_os_string().into_string().unwrap());
    let output = run(&["analyze", &vmcore, &vmlinux]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("thp-split-page-fault-livelock (confirmed)") && text.contains("pid 4711"), "{text}");
    let output = run(&["bt", "--pid", "4711", &vmcore, &vmlinux]);
    let text = String::from_utf8(output.stdout).unwrap();
    let functions = ["__schedule", "_cond_resched", "split_huge_page_to_list", "try_to_split", "madvise_cold"];
    let places: Vec<_> =
        functions.iter().map(|name| text.find(name).unwrap_or_else(|| panic!("{name}: {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn a_scenario_of_one_machine_is_on_no_kernel_of_another() {
    let directory = TempDir::new().unwrap();
    let dump = directory.path().join("dump");
    let output = run(&["synth", "kernel-oops-arm64", "--kernel", "6.12", "--output", dump.to_str().unwrap()]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("about arm64") && said.contains("hint: ") && said.contains("arm64-6.12"), "{said}");
    assert!(!dump.exists());
}

/// A dump of a kernel that nothing describes: 4.19 has no types in its memory, and there is no vmlinux.
#[test]
fn without_any_debug_information_there_is_the_log() {
    let parent = TempDir::new().unwrap();
    for (kernel, scenario, status) in [
        ("4.19", "thp-livelock", 1),
        ("4.19", "kernel-oops", 1),
        // Nothing in its log: that is no sign of health.
        ("4.19", "idle", 3),
        ("5.10", "soft-lockup", 1),
    ] {
        let dump = parent.path().join(format!("{kernel}-{scenario}"));
        let to = dump.to_str().unwrap();
        assert_eq!(run(&["synth", scenario, "--kernel", kernel, "--output", to]).status.code(), Some(0));
        let [vmcore, vmlinux] = ["vmcore", "vmlinux"].map(|name| format!("{to}/{name}"));
        let nowhere = parent.path().to_str().unwrap();
        let alone = |command: &str| run(&[command, "--no-debuginfod", "--debug-dir", nowhere, &vmcore]);
        let analysis = alone("analyze");
        assert_eq!(analysis.status.code(), Some(status), "{kernel} {scenario}: {}", stderr(&analysis));
        assert!(stderr(&analysis).contains("by VMCOREINFO"), "{}", stderr(&analysis));
        assert_eq!(alone("dmesg").stdout, run(&["dmesg", &vmcore, &vmlinux]).stdout, "{kernel} {scenario}");
        let info = String::from_utf8(alone("info").stdout).unwrap();
        for part in ["NODENAME: synthetic", "VMCOREINFO alone", "TASKS: (unknown)", &format!("RELEASE: {kernel}.")] {
            assert!(info.contains(part), "{part} is not in {info}");
        }
        assert_eq!(alone("bt").status.code(), Some(2));
    }
}

#[test]
fn what_is_wrong_is_said_with_a_hint() {
    let directory = TempDir::new().unwrap();
    let to = directory.path().to_str().unwrap();
    let refused = |arguments: &[&str]| {
        let output = run(&[&["synth"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        stderr(&output)
    };
    assert!(refused(&["idle"]).contains("--output"));
    assert!(refused(&["nothing", "-o", to]).contains("synth list"));
    assert!(refused(&["idle", "-o", to, "--kernel", "2.4"]).contains("4.19, 5.10, 6.1, 6.12"));
    assert!(refused(&["idle", "-o", to, "--form", "zip"]).contains("kdump-zlib"));
    assert!(refused(&["idle", "-o", to, "--cpus", "1000"]).contains("1 to 512"));
    assert!(refused(&["idle", "-o", to, "--memory", "7"]).contains("8 to 65536"));
    assert!(refused(&["missing.toml", "-o", to]).contains("cannot read missing.toml"));
    let broken = directory.path().join("broken.toml");
    fs::write(&broken, "cpus = 1\n[[task]]\npid = 1\n").unwrap();
    let message = refused(&[broken.to_str().unwrap(), "-o", to]);
    assert!(message.contains("line 2: missing field") && message.lines().count() == 1, "{message}");
}

/// Two runs make the same files, and what is said of them does not depend on the number of threads.
#[test]
fn nothing_depends_on_the_run_or_on_threads() {
    let parent = TempDir::new().unwrap();
    for (scenario, kernel, form) in [("crowd", "4.19", "elf"), ("two-livelocks", "6.12", "kdump-zstd")] {
        let make = |name: &str, threads: &str| {
            let directory = parent.path().join(format!("{kernel}-{name}"));
            let to = directory.to_str().unwrap();
            let words = ["synth", scenario, "--kernel", kernel, "--form", form, "--threads", threads, "--output", to];
            assert_eq!(run(&words).status.code(), Some(0));
            directory
        };
        let [first, second] = [make("first", "1"), make("second", "7")];
        for name in names(&first) {
            assert!(
                fs::read(first.join(&name)).unwrap() == fs::read(second.join(&name)).unwrap(),
                "{name} of {kernel}"
            );
        }
        let [vmcore, vmlinux] =
            ["vmcore", "vmlinux"].map(|name| first.join(name).into_os_string().into_string().unwrap());
        for command in [&["analyze"][..], &["bt", "--all"], &["ps"], &["runq"]] {
            let [one, many] = ["1", "7"].map(|threads| {
                run(&[command, &["--format", "json", "--threads", threads, &vmcore, &vmlinux]].concat()).stdout
            });
            assert!(one == many && !one.is_empty(), "{command:?} on {kernel}");
        }
    }
}

/// As many CPUs as a machine can have, and more memory than fits anywhere here.
#[test]
fn large_machines_are_judged_like_small_ones() {
    let parent = TempDir::new().unwrap();
    let cases = [
        ("cpus", "thp-livelock", &["--cpus", "512"][..], "elf"),
        ("kdump-cpus", "thp-livelock", &["--cpus", "512", "--tasks", "500"], "kdump-snappy"),
        ("memory", "far-memory", &["--memory", "16384"], "elf"),
        ("kdump-memory", "far-memory", &["--memory", "256"], "kdump-zlib"),
    ];
    for (name, scenario, options, form) in cases {
        let directory = parent.path().join(name);
        let words = ["synth", scenario, "--form", form, "--output", directory.to_str().unwrap()];
        assert_eq!(run(&[&words[..], options].concat()).status.code(), Some(0), "{name}");
        let [vmcore, vmlinux] =
            ["vmcore", "vmlinux"].map(|file| directory.join(file).into_os_string().into_string().unwrap());
        let output = run(&["analyze", "--max-memory", "256MiB", &vmcore, &vmlinux]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{name}: {text}{}", stderr(&output));
        assert!(text.contains("thp-split-page-fault-livelock (confirmed)"), "{name}: {text}");
    }
}
