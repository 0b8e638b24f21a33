//! Kernels that were built without modules, without names of modules' code, or for one CPU: what is not there is not missed. And a
//! kernel whose grace periods cannot be found: that is no sign that all is well.
//!
//! Synthetic kernels have all of it, so their vmlinux gets other names in its place, which nobody asks for.

use std::fs::File;
use std::io::BufWriter;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use vmcore_synth::scenario::{self, Scenario};
use vmcore_synth::{DumpForm, Generation, build};

/// A dump and its vmlinux, in which each of `renamed` has another last letter.
struct Machine {
    directory: TempDir,
}

impl Machine {
    fn new(scenario: &Scenario, renamed: &[&str]) -> Self {
        let machine = build(scenario, &Generation::named("6.1").unwrap(), 1).unwrap();
        let directory = TempDir::new().unwrap();
        let dump = File::create(directory.path().join("vmcore")).unwrap();
        DumpForm::Elf.write(&machine, 0, &mut BufWriter::new(dump)).unwrap();
        let mut vmlinux = machine.vmlinux;
        renamed.iter().for_each(|name| rename(&mut vmlinux, name));
        std::fs::write(directory.path().join("vmlinux"), vmlinux).unwrap();
        Self { directory }
    }

    /// The status, and what the command says in JSON.
    fn run(&self, command: &str) -> (i32, Value) {
        let [dump, vmlinux] = ["vmcore", "vmlinux"].map(|name| self.directory.path().join(name));
        let mut program = Command::new(env!("CARGO_BIN_EXE_vmcore-thp"));
        let output = program.args([command, "--format", "json"]).arg(&dump).arg(&vmlinux).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let answer = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"));
        (output.status.code().unwrap(), answer)
    }
}

/// In the tables of strings, where names stand between NULs.
fn rename(vmlinux: &mut [u8], name: &str) {
    let name = [b"\0", name.as_bytes(), b"\0"].concat();
    let places: Vec<_> = vmlinux.windows(name.len()).enumerate().filter(|(_, bytes)| *bytes == name).collect();
    let places: Vec<_> = places.into_iter().map(|(at, _)| at + name.len() - 2).collect();
    assert!(!places.is_empty(), "{name:?}");
    places.into_iter().for_each(|at| vmlinux[at] = b'~');
}

fn brief(analysis: &Value) -> Value {
    let verdict = &analysis["verdict"];
    serde_json::json!([verdict["issue"], verdict["confidence"], verdict["severity"]])
}

fn unknown_of_modules(analysis: &Value) -> Vec<String> {
    let unknown = analysis["unknown"].as_array().unwrap().iter().map(ToString::to_string);
    unknown.filter(|unknown| unknown.contains("modules")).collect()
}

#[test]
fn without_modules() {
    let scenario = scenario::named("idle").unwrap();
    let (status, plain) = Machine::new(&scenario, &[]).run("analyze");
    let machine = Machine::new(&scenario, &["module", "modules"]);
    let (without, analysis) = machine.run("analyze");
    assert_eq!((without, brief(&analysis)), (status, brief(&plain)));
    assert_eq!(unknown_of_modules(&analysis), [""; 0]);
    let (status, modules) = machine.run("mod");
    assert_eq!((status, modules["modules"].as_array().map(Vec::len)), (0, Some(0)), "{modules}");
}

#[test]
fn with_modules_of_an_unknown_layout() {
    let machine = Machine::new(&scenario::named("in-a-module").unwrap(), &["module"]);
    let (_, analysis) = machine.run("analyze");
    assert_eq!(unknown_of_modules(&analysis).len(), 1, "{analysis}");
    let (status, modules) = machine.run("mod");
    assert_eq!(status, 3, "{modules}");
}

#[test]
fn without_names_of_modules_code() {
    let scenario = scenario::named("in-a-module").unwrap();
    let (_, plain) = Machine::new(&scenario, &[]).run("mod");
    let machine = Machine::new(&scenario, &["kallsyms"]);
    let (_, modules) = machine.run("mod");
    let names = |answer: &Value| -> Vec<Value> {
        answer["modules"].as_array().unwrap().iter().map(|module| module["name"].clone()).collect()
    };
    assert_eq!(names(&modules), names(&plain));
    assert_eq!(names(&modules).len(), 2);
    let (_, analysis) = machine.run("analyze");
    let unknown = unknown_of_modules(&analysis);
    assert!(matches!(unknown.as_slice(), [unknown] if unknown.contains("CONFIG_KALLSYMS")), "{unknown:?}");
}

/// Tasks do not say where they are, nor whether they have the CPU.
#[test]
fn for_one_cpu() {
    let scenario = Scenario { cpus: 1, ..scenario::named("idle").unwrap() };
    let (status, plain) = Machine::new(&scenario, &[]).run("analyze");
    let machine = Machine::new(&scenario, &["cpu", "on_cpu"]);
    let (for_one, analysis) = machine.run("analyze");
    assert_eq!((for_one, brief(&analysis)), (status, brief(&plain)));
    assert_eq!((&analysis["unknown"], &analysis["cpus"]), (&plain["unknown"], &plain["cpus"]));
    let running = |answer: &Value| -> Vec<(Value, Value)> {
        let tasks = answer["tasks"].as_array().unwrap().iter();
        tasks.map(|task| (task["pid"].clone(), task["on_cpu"].clone())).collect()
    };
    let plain = Machine::new(&scenario, &[]).run("ps").1;
    let tasks = machine.run("ps").1;
    assert_eq!(running(&tasks), running(&plain));
    assert!(running(&tasks).iter().any(|(_, on_cpu)| *on_cpu == true), "{tasks}");
}

/// Nothing tells whether a grace period goes on and on.
#[test]
fn without_a_name_of_rcus_state() {
    let scenario = scenario::named("idle").unwrap();
    let (status, plain) = Machine::new(&scenario, &[]).run("analyze");
    assert_eq!((status, &plain["verdict"]["confidence"]), (0, &Value::from("none")));
    let machine = Machine::new(&scenario, &["rcu_state"]);
    let (status, analysis) = machine.run("analyze");
    assert_eq!(status, 3, "{}", analysis["verdict"]);
    let unknown = analysis["unknown"].as_array().unwrap();
    assert!(unknown.iter().any(|unknown| unknown.to_string().contains("grace period")), "{unknown:?}");
    assert_eq!(machine.run("rcu").0, 3);
}
