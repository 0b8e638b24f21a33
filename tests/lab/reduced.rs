//! `synth --from`: what a dump comes down to, made and analyzed, with names and without.

use crate::lab_dump::LabDump;

#[path = "../support/reduced.rs"]
mod support;

pub(crate) fn gets_the_same_verdict(dump: &LabDump) {
    let path = |path: &std::path::Path| path.to_str().expect("a path in UTF-8").to_owned();
    let mut files = vec![path(&dump.vmcore)];
    if dump.vmlinux.exists() {
        files.push(path(&dump.vmlinux));
    }
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    support::check(&files, &support::secrets(&files));
}
