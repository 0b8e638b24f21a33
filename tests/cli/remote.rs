//! Dumps on servers: the same answer as from a file, and never a wrong one because of the way.

#[path = "../../crates/remote/src/test_support/server.rs"]
mod server;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use tempfile::TempDir;

use self::server::{Fault, Server};
use super::Run;

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/6.1-cloud-amd64").join(name)
}

/// A server with a dump, and a home directory to run the program in.
struct Case {
    server: Server,
    home: TempDir,
}

impl Case {
    fn new() -> Self {
        let server = Server::start();
        server.put("crashes/web 1/vmcore", std::fs::read(testdata("thp-livelock.vmcore")).unwrap());
        Self { server, home: TempDir::new().unwrap() }
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut command = Command::cargo_bin("vmcore-thp").unwrap();
        for name in ["DEBUGINFOD_URLS", "NO_COLOR", "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"] {
            command.env_remove(name);
        }
        let output = command
            .env("HOME", self.home.path())
            .env("XDG_CACHE_HOME", self.home.path())
            .env("AWS_ENDPOINT_URL", self.server.url())
            .env("AWS_ACCESS_KEY_ID", "AKIDSECRET")
            .env("AWS_SECRET_ACCESS_KEY", "KEYSECRET")
            .current_dir(self.home.path())
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let run =
            Run { status: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) };
        for (text, what) in [(&run.stdout, "standard output"), (&run.stderr, "standard error")] {
            assert!(!text.contains("SECRET") && !text.contains("panicked at"), "{what}: {text}");
        }
        run
    }

    fn presigned(&self) -> String {
        format!("{}/crashes/web%201/vmcore?X-Amz-Credential=AKIDSECRET&X-Amz-Signature=SECRET", self.server.url())
    }

    fn analyze(&self, address: &str, more: &[&str]) -> Run {
        let profile = testdata("vmlinux.profile");
        let fixed = ["-vv", "analyze", "--format", "json", address, profile.to_str().unwrap()];
        self.run(fixed.iter().chain(more))
    }

    /// Quietly, so that all that is said is why it failed; no block of a run before is used.
    fn analyze_keeping_nothing(&self) -> Run {
        let profile = testdata("vmlinux.profile");
        let profile = profile.to_str().unwrap();
        self.run(["--quiet", "analyze", "--block-cache", "0", &self.presigned(), profile])
    }
}

/// The document without what the path is in it.
fn verdict(run: &Run) -> serde_json::Value {
    let mut document: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| {
        panic!("{error}: {} {}", run.stdout, run.stderr);
    });
    let path = document.pointer_mut("/dump/path").expect("the document has the path");
    *path = serde_json::Value::Null;
    document
}

#[test]
fn the_same_document_as_of_a_file() {
    let case = Case::new();
    let local = case.analyze(testdata("thp-livelock.vmcore").to_str().unwrap(), &[]);
    assert_eq!((local.status, case.server.requests()), (1, Vec::new()), "of a file nobody is asked");
    for address in ["s3://crashes/web 1/vmcore", &case.presigned()] {
        let remote = case.analyze(address, &[]);
        assert_eq!(remote.status, 1, "{}", remote.stderr);
        assert_eq!(verdict(&remote), verdict(&local));
        assert!(remote.stdout.contains("/vmcore\""), "the address without its query is shown");
        assert!(remote.stderr.contains(" bytes in "), "{}", remote.stderr);
    }
    let first = case.server.requests();
    // What is needed is on disk, but for the first block.
    let again = case.analyze("s3://crashes/web 1/vmcore", &[]);
    let asked = case.server.requests();
    assert!(again.status == 1 && asked.len() <= 2 && first.len() > 4, "{asked:?} after {first:?}");
}

#[test]
fn packed_dumps_and_addresses_in_place_of_a_command() {
    let case = Case::new();
    let gzip = Command::new("gzip").arg("-1c").arg(testdata("thp-livelock.vmcore")).output().unwrap();
    case.server.put("crashes/vmcore.gz", gzip.stdout);
    let packed = case.analyze("s3://crashes/vmcore.gz", &[]);
    assert_eq!(packed.status, 1, "{}", packed.stderr);
    let address = case.presigned();
    let run = case.run(["--quiet", &address, testdata("vmlinux.profile").to_str().unwrap()]);
    assert_eq!(run.status, 1, "{}", run.stderr);
}

/// `Case::run` sees to it that no key is shown.
#[test]
fn a_command_line_that_is_none_keeps_keys_to_itself() {
    let case = Case::new();
    let address = case.presigned();
    let place = format!("{}/crashes/web%201/vmcore?…", case.server.url());
    let lines: [&[&str]; 4] = [
        &["nosuch", &address],
        &["info", "v", "w", &address],
        &["info", "--part", "p", "--cpu", &address],
        &["--color", &address],
    ];
    for line in lines {
        let run = case.run(line);
        assert!(
            run.status == 2 && run.stderr.starts_with("error: ") && run.stderr.contains("--help"),
            "{}",
            run.stderr
        );
    }
    for words in [["-v", "synth"], ["-v", "explain"], ["-v", "man"], ["-v", "log"], ["-v", "info"]] {
        let address = address.replace("://", "://user:SECRET@");
        assert_eq!(case.run(words.iter().chain([&address.as_str()])).status, 2);
    }
    for line in [&["info", "v", "w", &address][..], &["--color", &address], &["nosuch", &address]] {
        let run = case.run(line);
        assert!(!run.stderr.contains("://") || run.stderr.contains(&place), "{}", run.stderr);
    }
}

#[test]
fn an_address_is_not_taken_for_a_file_to_write() {
    let case = Case::new();
    let place = case.presigned().replace("://", "://user:SECRET@");
    let dump = testdata("thp-livelock.vmcore");
    let dump = dump.to_str().unwrap();
    let lines: [&[&str]; 6] = [
        &["triage", "--store", &place, dump],
        &["triage", "--metrics", &place, dump],
        &["triage", "report", "--store", &place],
        &["triage", "report", "--format", "html", "--pages", &place],
        &["triage", "merge", "rows", "--store", &place],
        &["analyze", "--cache", &place, dump],
    ];
    for line in lines {
        let run = case.run(line);
        assert!(run.status == 2 && run.stderr.contains("a file or directory on this machine"), "{}", run.stderr);
    }
    assert_eq!(std::fs::read_dir(case.home.path()).unwrap().count(), 0);
}

#[test]
fn a_way_that_fails_is_no_verdict() {
    let case = Case::new();
    // Wherever it happens: with the first request, with a later one.
    for before in [0, 1, 2] {
        let mut faults = vec![Fault::None; before];
        faults.extend([Fault::Status(403)]);
        case.server.faults(&faults);
        let run = case.analyze_keeping_nothing();
        assert!(run.fails_with(&["/crashes/web%201/vmcore", "refused (status 403"]).is_some());
        assert_eq!(case.server.requests().len(), before + 1);
    }
    case.server.faults(&[Fault::None, Fault::None, Fault::Replace]);
    let run = case.analyze_keeping_nothing();
    assert!(run.fails_with(&["was replaced while it was read"]).is_some());
}

#[test]
fn what_passes_is_waited_for() {
    let case = Case::new();
    let faults =
        [Fault::None, Fault::Drop, Fault::Truncate(1000), Fault::Status(503), Fault::Delay(Duration::from_millis(200))];
    case.server.faults(&faults);
    let began = Instant::now();
    assert_eq!(case.analyze(&case.presigned(), &[]).status, 1);
    assert!(began.elapsed() > Duration::from_millis(200));
}

#[test]
fn what_is_no_dump_or_not_there_says_so() {
    let case = Case::new();
    case.server.put("crashes/log", b"[    1.0] Linux version 6.1\n".to_vec());
    case.server.put("crashes/empty", Vec::new());
    case.run(["info", "s3://crashes/log"]).fails_with(&["s3://crashes/log is not a dump", "text"]);
    case.run(["info", "s3://crashes/empty"]).fails_with(&["s3://crashes/empty is empty"]);
    case.run(["info", "s3://crashes/none"]).fails_with(&["s3://crashes/none is not there"]);
    case.run(["info", "http://192.0.2.1/vmcore?SECRET"]).fails_with(&["http://192.0.2.1/vmcore", "must be https"]);
}

/// The rows of a store as JSON lines, in order, without times, and with one name for where the files are.
fn rows(case: &Case, store: &Path, place: &str) -> Vec<String> {
    let report = case.run(["triage", "report", "--format", "json", "--store", store.to_str().unwrap()]);
    let mut rows: Vec<String> = report
        .stdout
        .lines()
        .map(|line| {
            let mut row: serde_json::Value = serde_json::from_str(line).unwrap();
            for time in ["finished", "elapsed_ns", "seconds", "crashed"] {
                row.as_object_mut().unwrap().remove(time);
            }
            // What cannot be read has no content, and its key is that of its path.
            if row.pointer("/error/kind").is_some_and(|kind| kind == "unreadable") {
                row.as_object_mut().unwrap().remove("key");
            }
            row.to_string().replace(place, "PLACE")
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn a_pile_in_a_store_of_objects_has_the_rows_of_one_in_a_directory() {
    let case = Case::new();
    let home = case.home.path();
    let profile = std::fs::read(testdata("vmlinux.profile")).unwrap();
    let info = case.run(["info", "--format", "json", testdata("sysrq.vmcore").to_str().unwrap()]);
    let info: serde_json::Value = serde_json::from_str(&info.stdout).unwrap();
    let build_id = info.pointer("/kernel/build_id").and_then(serde_json::Value::as_str).unwrap();
    let (first, rest) = build_id.split_at(2);
    let debug = format!(".build-id/{first}/{rest}.debug");
    let sysrq = std::fs::read(testdata("sysrq.vmcore")).unwrap();
    let files = [
        ("web2-2026-11-28-01:02:03/vmcore", sysrq.clone()),
        ("web3-2026-11-28-01:02:04/vmcore", std::fs::read(testdata("thp-livelock.vmcore")).unwrap()),
        (
            "web4-2026-11-28-01:02:05/vmcore-dmesg.txt",
            b"[    1.000000] Linux version 6.1\n[    2.000000] Kernel panic - not syncing: x\n".to_vec(),
        ),
        ("web5-2026-11-28-01:02:06/vmcore", vec![0; 70_000]),
        ("web6-2026-11-28-01:02:07/vmcore", Vec::new()),
        // The same content again.
        ("web7-2026-11-28-01:02:08/vmcore", sysrq),
    ];
    for (name, bytes) in &files {
        let path = home.join("pile").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        case.server.put(&format!("bucket/pile/{name}"), bytes.clone());
    }
    std::fs::create_dir_all(home.join("debug").join(&debug).parent().unwrap()).unwrap();
    std::fs::write(home.join("debug").join(&debug), &profile).unwrap();
    case.server.put(&format!("bucket/debug/{debug}"), profile);

    let at = |name: &str| home.join(name).to_str().unwrap().to_owned();
    let local = case.run(["--quiet", "triage", &at("pile"), "--store", &at("one.db"), "--debug-dir", &at("debug")]);
    assert_eq!(local.status, 1, "{}", local.stderr);
    let planned = case.run(["triage", "plan", "s3://bucket/pile", "--output", &at("plan.jsonl")]);
    assert!(planned.status == 0 && planned.stderr.contains("6 dumps and logs are planned"), "{}", planned.stderr);
    let work = |shard: &str| {
        case.run([
            "triage",
            "work",
            "--plan",
            &at("plan.jsonl"),
            "--store",
            "s3://bucket/rows-of/pile",
            "--shard",
            shard,
        ])
    };
    let merge = || case.run(["triage", "merge", "s3://bucket/rows-of/pile", "--store", &at("many.db")]);
    let forget = || std::fs::remove_dir_all(home.join("vmcore-thp")).unwrap();
    forget();
    assert_eq!(work("1/2").status, 0);
    // The other machine finds the profile that this one has made.
    assert!(case.server.object(&format!("bucket/rows-of/pile/profiles/{debug}")).is_some());
    case.server.remove(&format!("bucket/debug/{debug}"));
    forget();
    assert_eq!(merge().status, 3, "a share is missing");
    // A server that does not answer is no fault of any dump: there is no row, and the share is to be done again.
    case.server.fail_gets(&format!("bucket/pile/{}", files[0].0), true);
    case.server.fail_gets(&format!("bucket/pile/{}", files[1].0), true);
    let lost = work("2/2");
    assert!(lost.status == 3 && lost.stderr.contains("has no row"), "{}", lost.stderr);
    case.server.fail_gets("", false);
    let done = work("2/2");
    assert_eq!(done.status, 0, "{}", done.stderr);
    let merged = merge();
    assert!(merged.status == 0 && merged.stderr.contains("6 of 6 rows"), "{}", merged.stderr);
    let (one, many) =
        (rows(&case, &home.join("one.db"), &at("pile")), rows(&case, &home.join("many.db"), "s3://bucket/pile"));
    assert_eq!(many, one);
    assert_eq!(one.len(), 5);

    // A tree: the store taken into another is the same.
    let tree = case.run(["triage", "merge", &at("many.db"), &at("many.db"), "--store", &at("tree.db")]);
    assert_eq!(tree.status, 0, "{}", tree.stderr);
    assert_eq!(rows(&case, &home.join("tree.db"), "s3://bucket/pile"), one);
    case.run(["triage", "merge", &at("pile"), &at("many.db"), "--store", &at("tree.db")])
        .fails_with(&["is not a store"]);
}
