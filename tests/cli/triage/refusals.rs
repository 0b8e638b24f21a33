//! What keeps a run from beginning.

use super::BUNDLED;
use crate::{Scratch, run};

#[test]
fn what_cannot_begin_says_why() {
    let scratch = Scratch::new();
    let store = scratch.path("s.db").display().to_string();
    run(["triage", "/nowhere", "--store", &store]).fails_with(&["/nowhere"]);
    let empty = scratch.path("");
    run(["triage", empty.to_str().unwrap(), "--store", &store]).fails_with(&["no dump"]);
    run(["triage", "--store", &store]).fails_with(&["no dump"]);
    scratch.file("s.db", &[7; 5000]);
    run(["triage", "report", "--store", &store]).fails_with(&["the store", "not a database"]);
    let beside_a_file = scratch.path("s.db/t.db").display().to_string();
    let refused = run(["triage", BUNDLED, "--store", &beside_a_file]);
    let hint = refused.fails_with(&["cannot write", "s.db/t.db"]).unwrap();
    assert!(hint.contains("--store"), "{hint}");
}
