//! A dump that was compressed as a whole.

use std::process::Command;

use tempfile::TempDir;

use crate::{assert_same_answers, livelock, run};

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
