//! `locks` names the locks that CPUs spin for, as `analyze` does, and says where it cannot.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run;

fn locks(scenario: &str) -> (Value, String) {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("dump");
    let made = run(&["synth", scenario, "--kernel", "6.1", "--output", directory.to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(0));
    let [dump, vmlinux] = ["vmcore", "vmlinux"].map(|name| directory.join(name).to_str().unwrap().to_owned());
    let json = run(&["locks", "--format", "json", &dump, &vmlinux]);
    let text = run(&["locks", &dump, &vmlinux]);
    assert_eq!((json.status.code(), text.status.code()), (Some(0), Some(0)));
    (serde_json::from_slice(&json.stdout).unwrap(), String::from_utf8(text.stdout).unwrap())
}

fn pid(task: &Value) -> &Value {
    &task["task"]["pid"]
}

#[test]
fn a_spin_lock_with_who_seems_to_have_it() {
    let (json, text) = locks("spinlock-held");
    let [lock] = json["spin_locks"].as_array().unwrap().as_slice() else { panic!("{json}") };
    assert_eq!((&lock["kind"], &lock["word"]), (&json!("spinlock"), &json!("0x1")));
    let ([holder], [spinner]) =
        (lock["holders"].as_array().unwrap().as_slice(), lock["spinners"].as_array().unwrap().as_slice())
    else {
        panic!("{lock}")
    };
    assert_eq!((pid(holder), &holder["recorded"]), (&json!(391), &json!(false)));
    assert_eq!((pid(spinner), &spinner["to_write"]), (&json!(390), &Value::Null));
    for line in ["held by    perhaps CPU 1, pid 391", "spun for by CPU 0: pid 390"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn a_reader_writer_lock_and_a_circle() {
    let (json, text) = locks("rwlock-held");
    let lock = &json["spin_locks"][0];
    assert_eq!((&lock["kind"], &lock["spinners"][0]["to_write"]), (&json!("rwlock"), &json!(true)));
    assert!(text.contains("1 reader has it; a writer waits") && text.contains("CPU 0 to write: pid 390"), "{text}");
    let (json, _) = locks("spinlock-circle");
    let each: Vec<_> = json["spin_locks"].as_array().unwrap().iter().collect();
    let cpus: Vec<_> = each.iter().map(|lock| (&lock["spinners"][0]["cpu"], &lock["holders"][0]["cpu"])).collect();
    assert_eq!(cpus, [(&json!(0), &json!(1)), (&json!(1), &json!(0))]);
}
