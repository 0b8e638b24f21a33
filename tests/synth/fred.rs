//! A CPU with FRED has one entry for all that comes over kernel code: what is said of a machine must be what is said without.

use std::fs::File;
use std::io::BufWriter;
use std::process::Command;

use serde_json::{Value, json};
use vmcore_synth::{DumpForm, Generation, build, scenario};

/// Each depends on telling faults, interrupts, NMIs and system calls apart.
const SCENARIOS: [&str; 12] = [
    "thp-livelock",
    "real-time",
    "real-time-user-code",
    "under-nmi",
    "user-fault-hog",
    "file-fault",
    "swapped-out",
    "busy-user",
    "dead-tick",
    "stuck-on-idle",
    "nmi-hang",
    "kernel-oops",
];

#[test]
fn what_is_said_of_a_machine_does_not_depend_on_fred() {
    for scenario in SCENARIOS {
        for kernel in ["6.1", "6.12"] {
            let plain = verdict(scenario, &Generation::named(kernel).unwrap());
            let with_fred = verdict(scenario, &Generation::named(kernel).unwrap().with_fred());
            assert_eq!(with_fred, plain, "{scenario} on {kernel}");
        }
    }
}

/// Issues with how sure and how serious they are, and how many spinners there are.
fn verdict(name: &str, generation: &Generation) -> Value {
    let machine = build(&scenario::named(name).unwrap(), generation, 1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [dump, vmlinux] = ["vmcore", "vmlinux"].map(|name| directory.path().join(name));
    DumpForm::Elf.write(&machine, 0, &mut BufWriter::new(File::create(&dump).unwrap())).unwrap();
    std::fs::write(&vmlinux, &machine.vmlinux).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"));
    let output = command.args(["analyze", "--format", "json"]).arg(&dump).arg(&vmlinux).output().unwrap();
    let analysis: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings: Vec<_> = analysis["findings"].as_array().into_iter().flatten().map(brief).collect();
    json!([brief(&analysis["verdict"]), findings, analysis["spinners"].as_array().map(Vec::len)])
}

fn brief(finding: &Value) -> Value {
    json!([finding["issue"], finding["confidence"], finding["severity"]])
}
