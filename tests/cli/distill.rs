//! What a small dump still tells, and what it does not.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vmcore_dump::Dump;
use vmcore_memory::{ReadError, ReadPhysical};

use crate::{Run, Scratch, run};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/6.1-cloud-amd64").join(name)
}

fn on(command: &str, vmcore: &Path, options: &[&str]) -> Run {
    let files = [vmcore.to_owned(), testdata("vmlinux.profile")].map(PathBuf::into_os_string);
    let options = options.iter().map(std::ffi::OsString::from);
    run([command.into()].into_iter().chain(files).chain(options))
}

/// Distills the bundled livelock: the small dump, and what is said of it.
fn distilled(scratch: &Scratch, options: &[&str]) -> (PathBuf, Value) {
    let out = scratch.path("small");
    let options = [&["--format", "json", "-o", out.to_str().unwrap()], options].concat();
    let made = on("distill", &testdata("thp-livelock.vmcore"), &options);
    assert_eq!(made.status, 0, "{}", made.stderr);
    (out, serde_json::from_str(&made.stdout).unwrap())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_was_not_read_is_neither_there_nor_taken_for_zeroes() {
    let scratch = Scratch::new();
    let (small, manifest) = distilled(&scratch, &[]);
    let (dump, original) = (Dump::open(&small).unwrap(), Dump::open(&testdata("thp-livelock.vmcore")).unwrap());
    let (mut kept, mut blank) = (0u64, 0u64);
    for segment in dump.segments() {
        for offset in (0..segment.memory_size).step_by(8) {
            let address = segment.physical.checked_add(offset).unwrap();
            match dump.read_physical_u64(address) {
                Ok(value) => {
                    assert_eq!(value, original.read_physical_u64(address).unwrap(), "{address}");
                    kept += 8;
                }
                Err(ReadError::NotKept { .. }) => {
                    let page = dump.stored_page(address.pfn()).unwrap();
                    let at = usize::try_from(address.page_offset()).unwrap();
                    assert_eq!(page[at..at + 8], [0; 8], "{address}");
                    blank += 8;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    let said: u64 = manifest["kept"].as_array().unwrap().iter().map(|kept| kept["bytes"].as_u64().unwrap()).sum();
    assert_eq!(kept, said, "the manifest counts every byte");
    assert!(blank > 4 * kept, "{kept} bytes kept, {blank} not");
    for command in ["analyze", "ps", "runq", "dmesg"] {
        let (before, after) = (on(command, &testdata("thp-livelock.vmcore"), &[]), on(command, &small, &[]));
        let [before, after] = [before, after].map(|run| (run.status, without_general_registers(&run.stdout)));
        assert_eq!(before, after, "{command}");
    }
    // User code's data is left out, and said not to be known.
    let bt = |dump: &Path| -> Value {
        serde_json::from_str(&on("bt", dump, &["--all", "--format", "json"]).stdout).unwrap()
    };
    let (before, after) = (bt(&testdata("thp-livelock.vmcore")), bt(&small));
    let (mut user, mut kernel) = (0, 0);
    for (before, after) in exceptions(&before).zip(exceptions(&after)) {
        if before["kernel_mode"] == true {
            assert_eq!(before, after);
            kernel += 1;
        } else {
            let (before, after) = (&before["registers"], &after["registers"]);
            assert!(before["r12"].is_string() && after["r12"].is_null() && after["rdi"].is_null(), "{after}");
            let kept = |registers: &Value| ["rip", "rsp", "eflags", "orig_rax"].map(|name| registers[name].clone());
            assert_eq!(kept(before), kept(after));
            user += 1;
        }
    }
    assert!(user > 10 && kernel > 2, "{user} {kernel}");
}

fn without_general_registers(text: &str) -> String {
    let general = |line: &&str| {
        ["RAX: ", "RDX: ", "RBP: ", "R10: ", "R13: ", "ORIG_RAX: ", "CS: "]
            .iter()
            .any(|name| line.trim_start().starts_with(name))
    };
    text.lines().filter(|line| !general(line)).collect::<Vec<_>>().join("\n")
}

fn exceptions(bt: &Value) -> impl Iterator<Item = &Value> {
    bt["stacks"].as_array().unwrap().iter().flat_map(|stack| stack["exceptions"].as_array().unwrap())
}

#[test]
fn names_and_the_log_can_be_blotted_out() {
    let scratch = Scratch::new();
    let (small, manifest) = distilled(&scratch, &["--redact", "names,log,host"]);
    assert_eq!(manifest["redacted"].as_array().unwrap().len(), 3);
    let bytes = std::fs::read(&small).unwrap();
    // A task, the kernel's command line, a line of the log, the name of the host.
    for secret in [&b"fstat/"[..], b"softlockup_panic=", b"watchdog: BUG", b"(none)"] {
        assert!(!contains(&bytes, secret), "{:?}", String::from_utf8_lossy(secret));
    }
    let judged = on("analyze", &small, &["--format", "json"]);
    let judged: Value = serde_json::from_str(&judged.stdout).unwrap();
    assert_eq!(judged["verdict"]["issue"], "thp-split-page-fault-livelock");
    assert_eq!(judged["verdict"]["confidence"], "confirmed");
    assert_eq!(judged["spinners"][0]["comm"], "hidden");
    assert!(judged["unknown"].to_string().contains("log"), "that the log is not there is said");
}

#[test]
fn whole_pages_only_where_they_are_asked_for() {
    let scratch = Scratch::new();
    let (small, manifest) = distilled(&scratch, &["--whole-pages"]);
    assert_eq!((&manifest["whole_pages"], manifest["never_kept"].as_array().unwrap().len()), (&Value::Bool(true), 0));
    let dump = Dump::open(&small).unwrap();
    let first = dump.segments()[0].physical;
    dump.read_physical(first, &mut [0; 4096]).unwrap();
}

/// What the writer of a dump added may hold anything: a command line, a structure as it was, keys.
#[test]
fn notes_that_nothing_reads_are_left_out() {
    let scratch = Scratch::new();
    let original = testdata("thp-livelock.vmcore");
    let secrets: [(&str, u32, &[u8]); 6] = [
        ("CORE", 3, b"secretdaemon --password=hunter2"),
        ("CORE", 4, &[0xaa; 700]),
        ("CORE", 6, b"secret-auxv"),
        ("CORE", 0x4649_4c45, b"/home/secret/file"),
        ("LINUX", 0x202, b"secret-vector"),
        ("VENDOR\x1b[31m", 99, b"vendor-secret-key"),
    ];
    let with_secrets = scratch.file("vmcore", &with_notes(&std::fs::read(&original).unwrap(), &secrets));
    let known = Dump::open(&original).unwrap().raw_notes().to_vec();
    assert_eq!(Dump::open(&with_secrets).unwrap().raw_notes().len(), known.len() + secrets.len());
    for options in [&[][..], &["--redact", "names,log,host"], &["--whole-pages"]] {
        let out = scratch.path("small");
        let made = on("distill", &with_secrets, &[&["--force", "-o", out.to_str().unwrap()], options].concat());
        assert_eq!(made.status, 0, "{}", made.stderr);
        let bytes = std::fs::read(&out).unwrap();
        for (_, _, secret) in &secrets {
            assert!(!contains(&bytes, secret), "{options:?}: {:?}", String::from_utf8_lossy(secret));
        }
        assert!(made.stdout.contains("31 bytes  owner CORE, type 0x3\n"), "{}", made.stdout);
        assert!(made.stdout.contains("17 bytes  owner VENDOR\\x1b[31m, type 0x63\n"), "{}", made.stdout);
        let kept = Dump::open(&out).unwrap();
        let kept: Vec<_> = kept.raw_notes().iter().filter(|note| note.name != b"VMCORE-THP").collect();
        assert_eq!(kept.len(), known.len(), "what is read stays");
        assert_eq!(on("analyze", &out, &[]).status, 1);
    }
    // For programs, too.
    let out = scratch.path("json");
    let made = on("distill", &with_secrets, &["--format", "json", "-o", out.to_str().unwrap()]);
    let manifest: Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!(manifest["notes_left_out"].as_array().unwrap().len(), secrets.len());
    assert_eq!(manifest["notes_left_out"][0], serde_json::json!({"owner": "CORE", "kind": 3, "count": 1, "bytes": 31}));
}

/// An ELF dump with more notes behind its own, at the end of the file.
#[allow(clippy::indexing_slicing)] // A helper of tests, which clippy does not see as such.
fn with_notes(dump: &[u8], more: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut out = dump.to_vec();
    let word = |at: usize| usize::try_from(u64::from_le_bytes(dump[at..at + 8].try_into().unwrap())).unwrap();
    let headers = word(32);
    let is_note = |at: &usize| dump[*at..*at + 4] == [4, 0, 0, 0];
    let note = (headers..).step_by(56).find(is_note).unwrap();
    let (from, len) = (word(note + 8), word(note + 32));
    let start = out.len() as u64;
    out.extend_from_slice(&dump[from..from + len]);
    for (name, kind, desc) in more {
        let sizes = [name.len() as u32 + 1, desc.len() as u32, *kind];
        out.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
        for part in [&[name.as_bytes(), b"\0"].concat()[..], desc] {
            out.extend_from_slice(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
    }
    let len = out.len() as u64 - start;
    for (at, value) in [(8, start), (32, len), (40, len)] {
        out[note + at..note + at + 8].copy_from_slice(&value.to_le_bytes());
    }
    out
}
