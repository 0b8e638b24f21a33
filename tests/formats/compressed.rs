//! A dump that was compressed as a whole.

use std::process::Command;

use tempfile::TempDir;

use crate::{assert_same_answers, livelock, run, testdata};

/// With the real programs. Those that are not installed are tested by the unit tests' own compressors.
#[test]
fn the_real_compressors() {
    let directory = TempDir::new().unwrap();
    for (program, level) in [("gzip", "-1"), ("xz", "-0"), ("zstd", "-1")] {
        let Ok(output) = Command::new(program).args([level, "-c"]).arg(livelock()).output() else { continue };
        // Never by its name.
        let vmcore = directory.path().join("vmcore.elf");
        std::fs::write(&vmcore, output.stdout).unwrap();
        assert_same_answers(&vmcore, &[]);
        let run = run("info", &vmcore, &[]);
        let note = format!("is compressed with {program}: it is unpacked to a temporary file in ");
        assert!(run.stderr.starts_with("note: ") && run.stderr.contains(&note), "{}", run.stderr);
    }
}

/// All that was unpacked is right here, which nobody can know.
#[test]
fn a_wrong_checksum_of_the_whole_file_confirms_nothing() {
    let directory = TempDir::new().unwrap();
    let vmcore = directory.path().join("vmcore");
    let Ok(output) = Command::new("gzip").args(["-1", "-c"]).arg(livelock()).output() else { return };
    let mut packed = output.stdout;
    let sum = packed.len() - 8;
    packed[sum] ^= 1;
    std::fs::write(&vmcore, packed).unwrap();
    let original = run("analyze", &livelock(), &[]).json();
    let found = run("analyze", &vmcore, &[]);
    assert_eq!(found.status, 1, "{}", found.stderr);
    let json = found.json();
    assert_eq!(json["verdict"]["issue"], original["verdict"]["issue"]);
    assert_eq!(
        (&original["verdict"]["confidence"], &json["verdict"]["confidence"]),
        (&"confirmed".into(), &"probable".into())
    );
    for said in [&json["unknown"], &json["verdict"]["summary"]] {
        assert!(said.to_string().contains("any byte of the dump may be wrong"), "{said}");
    }
    let healthy = testdata("sysrq.vmcore");
    let Ok(output) = Command::new("gzip").args(["-1", "-c"]).arg(&healthy).output() else { return };
    let mut packed = output.stdout;
    let sum = packed.len() - 8;
    packed[sum] ^= 1;
    std::fs::write(&vmcore, packed).unwrap();
    assert_eq!((run("analyze", &healthy, &[]).status, run("analyze", &vmcore, &[]).status), (0, 3));
}
