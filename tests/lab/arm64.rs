//! Dumps of arm64 machines: what of them is otherwise than on x86-64.

use serde_json::Value;

use crate::lab_dump::{LabDump, Scenario};
use crate::no_vmcoreinfo;
use crate::program::{hex, int, list, text};

/// Entry code is decoded, and named where it points to.
pub(crate) fn code_is_shown(dump: &LabDump) {
    let code = dump.json("dis", &["el1_abort"]);
    let lines = list(&code, "instructions");
    let shown: Vec<&str> = lines.iter().map(|line| text(line, "text")).collect();
    assert_eq!(shown[0], "paciasp");
    assert!(shown.iter().any(|line| line.contains("far_el1")), "{shown:#?}");
    assert!(shown.iter().any(|line| line.starts_with("bl ") && line.ends_with("<do_mem_abort>")), "{shown:#?}");
}

/// Each spinner's fault is on its stack, and its page is being split.
pub(crate) fn spinners_fault(dump: &LabDump) {
    if dump.truth.scenario != Scenario::ThpLivelock {
        return;
    }
    for spinner in &dump.truth.spinners {
        let pid = spinner.thread.pid.to_string();
        let stacks = dump.json("bt", &["--pid", &pid]);
        let stack = &list(&stacks, "stacks")[0];
        assert_eq!(int(stack, "cpu"), spinner.thread.cpu);
        let frames: Vec<&str> = list(stack, "frames").iter().filter_map(|frame| frame["symbol"].as_str()).collect();
        // The copy is a leaf function: its caller is in the link register alone.
        for pair in [["__arch_copy_to_user", "cp_new_stat"], ["invoke_syscall", "el0_svc_common.constprop.0"]] {
            assert!(frames.windows(2).any(|two| two == pair), "pid {pid}: {pair:?} not in {frames:?}");
        }
        let walk = dump.json("vtop", &["--pid", &pid, &format!("{:#x}", spinner.address)]);
        assert_eq!(walk["physical"], Value::Null);
        let last = list(&walk, "levels").last().expect("a level");
        assert!(text(last, "meaning").starts_with("migration entry (write"), "{last}");
    }
    let splitter = dump.truth.splitter.as_ref().expect("a splitter");
    let stacks = dump.json("bt", &["--pid", &splitter.pid.to_string()]);
    let frames = list(&list(&stacks, "stacks")[0], "frames");
    assert!(
        // `__folio_split` since 6.16.
        frames.iter().any(|frame| frame["symbol"].as_str().is_some_and(|name| name.contains("split")))
    );
}

/// By the text in memory; where that is gone, too, nothing is made up.
pub(crate) fn without_vmcoreinfo(dump: &LabDump) {
    // Where the note is what tells how far memory was moved, it has to be there.
    if !dump.run("info", &[]).stderr.contains("QEMU wrote them longer or shorter") {
        no_vmcoreinfo::of_arm64(dump);
    }
}

/// The kernel's own half: what code and the direct map are translated to.
pub(crate) fn kernel_addresses(dump: &LabDump) {
    let stacks = dump.json("bt", &["--cpu", "0"]);
    let pc = text(&list(&list(&stacks, "stacks")[0], "frames")[0], "pc").to_owned();
    let tasks = dump.json("ps", &[]);
    let init = list(&tasks, "tasks").iter().find(|task| int(task, "pid") == 1).expect("a task with pid 1");
    for address in [pc.as_str(), text(init, "task")] {
        let walk = dump.json("vtop", &[address]);
        assert!(hex(&walk, "physical") != 0, "{address}");
        assert!(text(list(&walk, "levels").last().expect("a level"), "meaning").contains("page at physical"));
    }
}
