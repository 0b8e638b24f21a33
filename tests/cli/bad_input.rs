//! Files that cannot be analyzed: one line that says why, one that says what to do, status 2.

use std::process::Command;

use crate::files::{BUILD_ID, RELEASE, dump, vmlinux};
use crate::{Scratch, run};

/// Every command that opens a dump says the same.
const COMMANDS: [&str; 6] = ["analyze", "bt", "ps", "runq", "dmesg", "info"];

#[test]
fn a_missing_file() {
    for command in COMMANDS {
        let hint = run([command, "/does/not/exist"]);
        let hint = hint.fails_with(&["cannot open /does/not/exist", "No such file"]);
        assert!(hint.is_some_and(|hint| hint.contains("check the path")), "{hint:?}");
    }
}

#[test]
fn a_text_file() {
    let scratch = Scratch::new();
    let path = scratch.file("log.txt", b"[    0.000000] Linux version 6.1.0\nand more lines of text\n");
    for command in COMMANDS {
        let run = run([command.as_ref(), path.as_os_str()]);
        let hint = run.fails_with(&["log.txt is not a dump that can be read"]);
        assert!(hint.is_some());
    }
}

#[test]
fn an_empty_file() {
    let scratch = Scratch::new();
    let path = scratch.file("empty", b"");
    let run = run(["analyze".as_ref(), path.as_os_str()]);
    assert!(run.fails_with(&["empty is empty"]).is_some());
}

#[test]
fn a_directory() {
    let scratch = Scratch::new();
    let run = run(["analyze".as_ref(), scratch.0.path().as_os_str()]);
    assert!(run.fails_with(&["is a directory, not a dump file"]).is_some());
}

#[test]
fn a_dump_that_ends_in_its_header() {
    let scratch = Scratch::new();
    let path = scratch.file("vmcore", dump(BUILD_ID).get(..40).unwrap());
    let run = run(["analyze".as_ref(), path.as_os_str()]);
    assert!(run.fails_with(&["ends inside its header"]).is_some());
}

/// Its headers and notes are there, so it opens; what is missing is said, and then that the kernel cannot be read.
#[test]
fn a_dump_without_its_memory() {
    let scratch = Scratch::new();
    let whole = dump(BUILD_ID);
    let vmcore = scratch.file("vmcore", whole.get(..whole.len() - 4096).unwrap());
    let vmlinux = scratch.file("vmlinux", &vmlinux(BUILD_ID));
    let run = run(["analyze".as_ref(), vmcore.as_os_str(), vmlinux.as_os_str()]);
    assert_eq!((run.status, run.stdout.as_str()), (2, ""));
    let lines: Vec<_> = run.stderr.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("warning: the dump is incomplete: ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("error: ")), "{lines:?}");
}

/// They are told apart by what they are. That these two files have next to nothing in them is another matter.
#[test]
fn swapped_arguments() {
    let scratch = Scratch::new();
    let vmcore = scratch.file("vmcore", &dump(BUILD_ID));
    let vmlinux = scratch.file("vmlinux", &vmlinux(BUILD_ID));
    let in_order = run(["analyze".as_ref(), vmcore.as_os_str(), vmlinux.as_os_str()]);
    let swapped = run(["analyze".as_ref(), vmlinux.as_os_str(), vmcore.as_os_str()]);
    let (note, rest) = swapped.stderr.split_once('\n').unwrap();
    assert!(note.starts_with("note: ") && note.ends_with("the arguments were swapped"), "{note}");
    assert_eq!((rest, swapped.status), (in_order.stderr.as_str(), in_order.status));
    let twice = run(["analyze".as_ref(), vmlinux.as_os_str(), vmlinux.as_os_str()]);
    assert!(twice.fails_with(&["vmlinux is an ELF", "not a core dump"]).is_some_and(|hint| hint.contains("swapped")));
}

/// Whoever names a file and no command wants to know what happened.
#[test]
fn a_file_without_a_command_is_analyzed() {
    let scratch = Scratch::new();
    let path = scratch.file("vmcore", b"[    0.000000] Linux version 6.1.0\nand more lines of text\n");
    let run = run([path.as_os_str()]);
    let lines: Vec<_> = run.stderr.lines().collect();
    let [note, error, hint] = lines.as_slice() else { panic!("{lines:?}") };
    let told = format!("note: no command was given: this is `vmcore-thp analyze {}`", path.display());
    assert_eq!(*note, told);
    assert!(error.contains("it is a text file") && hint.contains("`vmcore-thp log "), "{error} {hint}");
    assert_eq!(run.status, 2);
}

/// The dump first, however the two were given, so that the line can be pasted.
#[test]
fn files_without_a_command_are_put_in_order() {
    let scratch = Scratch::new();
    let vmcore = scratch.file("dump", &dump(BUILD_ID));
    let vmlinux = scratch.file("image", &vmlinux(BUILD_ID));
    let wanted =
        format!("note: no command was given: this is `vmcore-thp analyze {} {}`", vmcore.display(), vmlinux.display());
    for words in [[&vmcore, &vmlinux], [&vmlinux, &vmcore]] {
        let run = run(words);
        assert!(run.stderr.starts_with(&format!("{wanted}\n")), "{}", run.stderr);
        assert!(!run.stderr.contains("swapped"), "{}", run.stderr);
    }
}

/// Which is no slip in a command's name.
#[test]
fn a_file_that_does_not_exist_without_a_command() {
    for words in [&["/nonexistent/dump"][..], &["vmcore", "vmlinux"], &["vmcore.flat"]] {
        let run = run(words);
        let error = run.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(error.starts_with(&format!("error: cannot open {}", words[0])), "{}", run.stderr);
        assert!(!run.stderr.contains("subcommand"), "{}", run.stderr);
        assert_eq!(run.status, 2);
    }
    assert!(run(["analyse"]).stderr.contains("'analyze'"), "a slip in a command's name stays one");
}

#[test]
fn a_dump_is_no_log() {
    let scratch = Scratch::new();
    let vmcore = scratch.file("vmcore", &dump(BUILD_ID));
    let run = run(["log".as_ref(), vmcore.as_os_str()]);
    let hint = run.fails_with(&["vmcore is a memory dump or another ELF file, not a log"]);
    assert!(hint.is_some_and(|hint| hint.contains("vmcore-thp analyze") && hint.contains("vmcore-thp dmesg")));
}

#[test]
fn a_dump_in_place_of_the_vmlinux() {
    let scratch = Scratch::new();
    let vmcore = scratch.file("vmcore", &dump(BUILD_ID));
    let run = run(["analyze".as_ref(), vmcore.as_os_str(), vmcore.as_os_str()]);
    let hint = run.fails_with(&["not a vmlinux"]);
    assert!(hint.is_some_and(|hint| hint.contains("swapped")), "{hint:?}");
}

#[test]
fn a_vmlinux_of_another_kernel() {
    let scratch = Scratch::new();
    let vmcore = scratch.file("vmcore", &dump(BUILD_ID));
    let vmlinux = scratch.file("vmlinux", &vmlinux([0xcd; 20]));
    for command in COMMANDS {
        let run = run([command.as_ref(), vmcore.as_os_str(), vmlinux.as_os_str()]);
        let ours = format!("the dump is of {RELEASE} (build-id {})", "ab".repeat(20));
        let file = format!("{}: vmlinux does not match", vmlinux.display());
        let hint = run.fails_with(&[&file, &ours, &"cd".repeat(20)]);
        assert!(hint.is_some());
    }
}

#[test]
fn a_program_in_place_of_the_vmlinux() {
    let scratch = Scratch::new();
    let vmcore = scratch.file("vmcore", &dump(BUILD_ID));
    let run = run(["analyze".as_ref(), vmcore.as_os_str(), "/bin/sh".as_ref()]);
    let hint = run.fails_with(&["/bin/sh is a program, not a Linux kernel"]);
    assert!(hint.is_some_and(|hint| hint.contains("vmlinux of the kernel's debug package")));
}

#[test]
fn no_vmlinux_anywhere() {
    let scratch = Scratch::new();
    let vmcore = scratch.file("vmcore", &dump(BUILD_ID));
    let words = ["bt".as_ref(), vmcore.as_os_str(), "--debug-dir".as_ref(), scratch.0.path().as_os_str()];
    let listed = run(words.into_iter().chain(["-v".as_ref()])).stderr;
    let run = run(words);
    let why = "the dump's own tables cannot stand in for it: VMCOREINFO has no NUMBER(phys_base)";
    let hint = run.fails_with(&["no vmlinux", RELEASE, &"ab".repeat(20), why]).unwrap();
    let directory = scratch.0.path().display();
    assert!(hint.contains(&format!(" in {directory}, {directory}/usr/lib/debug, /usr/lib/debug, ")), "{hint}");
    for path in [format!("{directory}/boot/vmlinux-{RELEASE}"), format!("/usr/lib/debug/lib/modules/{RELEASE}/vmlinux")]
    {
        assert!(!hint.contains(&path) && listed.contains(&path), "{path}: {hint}{listed}");
    }
}

/// Looked up by build-id and then by release; what is of another build is passed over, and said to be.
#[test]
fn a_vmlinux_of_another_build_is_passed_over() {
    let scratch = Scratch::new();
    let vmcore = scratch.file("vmcore", &dump(BUILD_ID));
    let by_build_id = format!(".build-id/ab/{}.debug", "ab".repeat(19));
    let put = |path: &str, build_id| {
        let path = scratch.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vmlinux(build_id)).unwrap();
    };
    put(&by_build_id, [0xcd; 20]);
    let bt = || run(["bt".as_ref(), vmcore.as_os_str(), "--debug-dir".as_ref(), scratch.0.path().as_os_str()]);
    bt().fails_with(&["no vmlinux", &by_build_id, "is of another build", &"cd".repeat(20)]);
    put(&format!("vmlinux-{RELEASE}"), BUILD_ID);
    // It is tried: what is wrong now is that it has next to nothing in it.
    let path = format!("vmlinux-{RELEASE}");
    let run = bt();
    assert_eq!(run.status, 2, "{}", run.stderr);
    for said in ["note: ", &format!("{path} is not used: "), "error: no vmlinux", &format!("{path} falls short")] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
}

#[test]
fn a_debug_dir_that_is_none() {
    let scratch = Scratch::new();
    let vmcore = scratch.file("vmcore", &dump(BUILD_ID));
    let missing = scratch.path("missing");
    let run = |directory: &std::path::Path| {
        run(["info".as_ref(), vmcore.as_os_str(), "--debug-dir".as_ref(), directory.as_os_str()])
    };
    assert!(run(&missing).fails_with(&["cannot open --debug-dir", "missing", "No such file"]).is_some());
    assert!(run(&vmcore).fails_with(&["--debug-dir", "is not a directory"]).is_some());
}

/// A path is shown on one line, whatever is in it.
#[test]
fn a_path_cannot_forge_a_line() {
    let run = run(["analyze", "/no\nerror: forged\x1b[31m"]);
    run.fails_with(&["/no\\nerror: forged\\x1b[31m"]);
}

/// A compressed log that was cut: what is whole of it is judged, and nobody is told that the machine is well.
#[test]
fn a_log_that_ends_in_damage_is_judged_as_far_as_it_goes() {
    let scratch = Scratch::new();
    let cut = |name: &str, text: &str| {
        let path = scratch.file("whole.log", text.as_bytes());
        let whole = Command::new("gzip").arg("-1c").arg(path).output().unwrap().stdout;
        let path = scratch.file(name, &whole[..whole.len() - 1000]);
        run(["log".as_ref(), path.as_os_str()])
    };
    let lines: String = (0..4000).map(|number| format!("[    1.{number:06}] line {number} of no meaning\n")).collect();
    let lockup = "[    0.500000] watchdog: BUG: soft lockup - CPU#7 stuck for 11s! [split_v2:28356]\n";
    let found = cut("lockup.log.gz", &format!("{lockup}{lines}"));
    assert_eq!(found.status, 1, "{}", found.stderr);
    assert!(
        found.stdout.contains("CPU 7 was stuck for 11 s") && found.stdout.contains("damaged or cut"),
        "{}",
        found.stdout
    );
    assert!(found.stderr.contains("warning: what is behind the first"), "{}", found.stderr);
    let nothing = cut("nothing.log.gz", &lines);
    assert_eq!(nothing.status, 3, "{}", nothing.stdout);
}
