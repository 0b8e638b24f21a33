//! Who waits for which file, disk or server: `files`, `mount`, `dev` and `swap` against what the guest did.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::lab_dump::{LabDump, Program};
use crate::program::{int, list, text};

/// What `truth.json` has for scenarios with storage that does not answer.
#[derive(Default, Deserialize)]
pub(crate) struct StorageTruth {
    /// Where a FUSE file system is mounted, and its daemon.
    mount: Option<String>,
    daemon: Option<Program>,
    #[serde(default)]
    hung: Vec<Hung>,
    /// The disk that hardly answers.
    disk: Option<String>,
    swap: Option<SwapTruth>,
}

/// A task, and the file that it cannot get at.
#[derive(Deserialize)]
struct Hung {
    pid: i64,
    path: String,
}

#[derive(Deserialize)]
struct SwapTruth {
    path: String,
    used_kib: i64,
}

pub(crate) fn is_told(dump: &LabDump) {
    let truth = &dump.truth.storage;
    let files = dump.json("files", &[]);
    for hung in &truth.hung {
        needs(&files, hung.pid, &hung.path);
    }
    if let Some(mount) = &truth.mount {
        fuse(dump, mount);
    }
    if let Some(disk) = &truth.disk {
        requests(dump, disk, &files);
    }
    if let Some(swap) = &truth.swap {
        let output = dump.json("swap", &[]);
        let area = list(&output, "areas").iter().find(|area| area["path"] == *swap.path).expect("the swap area");
        assert_eq!(int(area, "used_bytes"), swap.used_kib * 1024, "{area}");
    }
}

#[track_caller]
fn needs(files: &Value, pid: i64, path: &str) {
    let task = list(files, "tasks").iter().find(|task| int(&task["task"], "pid") == pid);
    let task = task.unwrap_or_else(|| panic!("pid {pid} waits for no file"));
    assert!(list(task, "needs").iter().any(|need| text(need, "path") == path), "{path} in {}", task["needs"]);
}

fn fuse(dump: &LabDump, path: &str) {
    let truth = &dump.truth.storage;
    let output = dump.json("mount", &[]);
    let mount = list(&output, "mounts").iter().find(|mount| text(mount, "path") == path).expect("the mount");
    let pids = |list: &[Value], of: &dyn Fn(&Value) -> i64| list.iter().map(of).collect::<BTreeSet<_>>();
    let needed_by = pids(list(mount, "needed_by"), &|needy| int(&needy["task"], "pid"));
    assert_eq!(needed_by, truth.hung.iter().map(|hung| hung.pid).collect());
    let daemon = truth.daemon.as_ref().expect("a daemon");
    let fuse = &mount["fuse"];
    assert_eq!(fuse["connected"], true);
    assert_eq!(pids(list(fuse, "daemons"), &|who| int(who, "pid")), BTreeSet::from([daemon.pid]));
    // The daemon has read the two that it does not answer; who is third waits for one of these tasks.
    let requests = list(fuse, "requests");
    assert!(requests.iter().all(|request| text(request, "state") == "read"), "{fuse}");
    let waiters = pids(requests, &|request| int(&request["waiter"], "pid"));
    assert_eq!(waiters, truth.hung.iter().take(2).map(|hung| hung.pid).collect());
    let operations: BTreeSet<_> = requests.iter().map(|request| text(request, "operation")).collect();
    assert_eq!(operations, BTreeSet::from(["LOOKUP", "READ"]));
}

/// Some of those who read have requests in flight, all that are still there need the disk.
fn requests(dump: &LabDump, disk: &str, files: &Value) {
    let output = dump.json("dev", &[]);
    let name = disk.trim_start_matches("/dev/");
    let found = list(&output, "disks").iter().find(|disk| text(disk, "name") == name).expect("the disk");
    let in_flight = list(found, "in_flight");
    assert!(!in_flight.is_empty(), "{found}");
    let asleep = list(files, "tasks").iter().filter(|task| text(&task["task"], "comm") == "dd");
    let pids: Vec<_> = asleep.map(|task| int(&task["task"], "pid")).collect();
    assert!(!pids.is_empty(), "nobody waits for {disk}");
    for pid in pids {
        needs(files, pid, disk);
    }
}
