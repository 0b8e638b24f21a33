//! What the machine that judges lacks says nothing of a dump.

use std::process::{Command, Stdio};

use super::{Pile, bundled};

#[test]
fn what_this_machine_lacked_is_tried_again() {
    let pile = Pile::new();
    let plain = pile.add("plain", &bundled("thp-livelock.vmcore"));
    let packed = Command::new("gzip").args(["-1", "-c"]).arg(&plain).output().unwrap().stdout;
    std::fs::remove_file(plain).unwrap();
    pile.add("a/vmcore.gz", &packed);
    // The store is smaller than that, the unpacked dump is not.
    let arguments = pile.arguments(&["--format", "json"]);
    let mut limited = Command::new("bash");
    limited.args(["-c", "ulimit -f 1000; exec \"$@\"", "bash"]).arg(assert_cmd::cargo::cargo_bin("vmcore-thp"));
    let ended = limited.args(arguments).stderr(Stdio::null()).output().unwrap();
    let row: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((ended.status.code(), row["error"]["kind"].as_str()), (Some(2), Some("resources")), "{row}");
    let (status, rows) = pile.judge(&[]);
    assert_eq!((status, rows["a/vmcore.gz"]["confidence"].as_str()), (1, Some("confirmed")), "{rows:?}");
}
