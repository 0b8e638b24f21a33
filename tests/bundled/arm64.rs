//! The same of arm64: the machine of the dumps under `testdata/6.12-cloud-arm64`.

use super::*;

const KERNEL: &str = "6.12-cloud-arm64";

fn file(name: &str) -> PathBuf {
    file_of(KERNEL, name)
}

fn run(command: &str, options: &[&str], scenario: &str) -> Output {
    run_of(KERNEL, command, options, scenario)
}

fn json(command: &str, options: &[&str], scenario: &str) -> Value {
    json_of(KERNEL, command, options, scenario)
}

#[test]
fn the_livelock_is_confirmed_with_exactly_its_spinners_and_splitter() {
    livelock_is_the_truth(KERNEL);
}

#[test]
fn a_crash_that_somebody_asked_for_is_nothing_else() {
    let found = json("analyze", &[], "sysrq");
    assert_eq!(found["verdict"]["issue"], "crash-requested");
    assert_eq!(run("analyze", &[], "sysrq").status.code(), Some(0));
}

#[test]
fn every_stack_ends_properly() {
    for scenario in ["thp-livelock", "sysrq"] {
        let stacks = json("bt", &["--all"], scenario);
        let stacks = stacks["stacks"].as_array().expect("a list");
        assert!(stacks.len() > 80, "{scenario} has {} stacks", stacks.len());
        for stack in stacks {
            assert_ne!(stack["end"], "truncated", "{scenario}: pid {}", stack["pid"]);
        }
    }
}

#[test]
fn distilling_a_distilled_dump_changes_no_answer() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let small = directory.path().join("small");
    let output = ["-o", small.to_str().expect("a path in UTF-8")];
    assert_eq!(run("distill", &output, "thp-livelock").status.code(), Some(0));
    for command in ["analyze", "ps", "runq", "dmesg"] {
        let shown = |dump: &Path| {
            let mut program = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"));
            program.arg(command).arg(dump).arg(file("vmlinux.profile"));
            let shown = String::from_utf8(program.output().expect("the program starts").stdout).expect("it is UTF-8");
            shown.replace(&*dump.to_string_lossy(), "DUMP")
        };
        let without_size =
            |text: String| text.lines().filter(|line| !line.contains("PAGES:")).collect::<Vec<_>>().join("\n");
        assert_eq!(without_size(shown(&small)), without_size(shown(&file("thp-livelock.vmcore"))), "{command}");
    }
}

#[test]
fn what_people_see() {
    for (command, options) in [("analyze", &[][..]), ("bt", &["--cpu", "2"]), ("info", &[])] {
        let shown = String::from_utf8(run(command, options, "thp-livelock").stdout).expect("output is UTF-8");
        let directory = file("");
        let shown = shown.replace(&*directory.to_string_lossy(), &format!("testdata/{KERNEL}/"));
        insta::assert_snapshot!(format!("arm64_livelock_{command}"), shown);
    }
}

/// A distilled dump does not have the page that the note was copied from, so nothing says where the kernel is.
#[test]
fn without_vmcoreinfo_nothing_is_guessed() {
    let mut dump = std::fs::read(file("thp-livelock.vmcore")).expect("the dump can be read");
    let note = dump.windows(11).position(|name| name == b"VMCOREINFO\0").expect("a note");
    dump[note..note + 10].copy_from_slice(b"NO_MEANING");
    let text = dump.windows(10).position(|start| start == b"OSRELEASE=").expect("its text");
    dump[text..text + 10].fill(b'x');
    let changed = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(changed.path(), dump).expect("it can be written");
    let mut program = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"));
    let run =
        program.arg("analyze").arg(changed.path()).arg(file("vmlinux.profile")).output().expect("the program starts");
    let (said, shown) = (String::from_utf8_lossy(&run.stderr), String::from_utf8_lossy(&run.stdout));
    assert_eq!((run.status.code(), &*shown), (Some(2), ""), "{said}");
    assert!(
        said.contains("error: the dump has no VMCOREINFO, neither as a note nor in memory, and arm64 kernels cannot be found without it"),
        "{said}"
    );
    assert!(said.contains("hint: ") && !said.contains("searched for"), "{said}");
}

#[test]
fn a_dump_comes_down_to_a_scenario_with_the_same_verdict() {
    let files = [file("thp-livelock.vmcore"), file("vmlinux.profile")];
    let files: Vec<_> = files.iter().map(|path| path.to_str().expect("a path in UTF-8")).collect();
    reduced::check(&files, &reduced::secrets(&files));
}
