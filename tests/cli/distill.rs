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
