//! What a list of kernel state says when a page that it was read from is not in the dump: what is missing then is named
//! among its gaps, and nothing that is still there has become another value.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Dump;
use vmcore_inspect::state;
use vmcore_kernel::{Detail, Kernel, KernelChoice, Snapshot, Stack};
use vmcore_memory::PAGE_SIZE;

use crate::holed::{Hole, Holed};

/// What tells an element of a list from the others: the first of these that it has.
const IDENTITIES: [&str; 25] = [
    "process",
    "zone",
    "area",
    "cache",
    "mm",
    "timer",
    "desc",
    "entry",
    "request",
    "disk",
    "device",
    "mount",
    "lock",
    "node",
    "waiter",
    "worker",
    "work",
    "pool",
    "workqueue",
    "task",
    "cpu",
    "descriptor",
    "path",
    "module",
    "name",
];

type Read = fn(&'static Kernel<'static>, &Snapshot, &[Stack]) -> Value;

fn value(list: impl Serialize) -> Value {
    serde_json::to_value(list).unwrap()
}

/// All lists, by their commands.
const LISTS: [(&str, Read); 13] = [
    ("timer", |kernel, _, _| value(state::timers(kernel))),
    ("irq", |kernel, snapshot, _| value(state::interrupts(kernel, snapshot))),
    ("waitq", |kernel, snapshot, stacks| value(state::waiters(kernel, snapshot, stacks))),
    ("workqueue", |kernel, snapshot, _| value(state::workqueues(kernel, snapshot))),
    ("locks", |kernel, snapshot, stacks| {
        value(state::locks(kernel, snapshot, stacks, vmcore_diagnose::spun_locks(kernel, snapshot)))
    }),
    ("rcu", |kernel, snapshot, _| value(state::rcu(kernel, snapshot))),
    ("dev", |kernel, _, _| value(state::disks(kernel))),
    ("files", |kernel, snapshot, stacks| value(state::files(kernel, snapshot, stacks, None))),
    ("files of all", |kernel, snapshot, stacks| value(state::files(kernel, snapshot, stacks, Some(&|_| true)))),
    ("mount", |kernel, snapshot, stacks| value(state::mounts(kernel, snapshot, stacks))),
    ("net", |kernel, _, _| value(state::network(kernel))),
    ("kmem", |kernel, snapshot, _| value(state::memory(kernel, snapshot))),
    ("swap", |kernel, _, _| value(state::swap(kernel))),
];

type ReadOpened = fn(&Kernel<'_>) -> Value;

/// Lists whose elements are found when the kernel is opened.
const LISTS_OF_OPENING: [(&str, ReadOpened); 2] = [
    ("mod", |kernel| value(state::modules(kernel))),
    ("tainting modules of info", |kernel| {
        let state::TaintingModules { modules, gaps } = state::tainting_modules(kernel);
        serde_json::json!({ "tainting_modules": modules, "gaps": gaps })
    }),
];

/// Leaves out each page that a list is read from, of at most `most` pages of each list. Returns how many were tried, and
/// what is wrong.
pub(crate) fn tried(dump: &'static Dump, vmlinux: &'static Vmlinux, most: usize) -> (usize, Vec<String>) {
    let holed: &'static Holed<'static> = Box::leak(Box::new(Holed::new(dump)));
    let kernel = Kernel::open_through(dump, vmlinux, holed, KernelChoice::default()).unwrap();
    let kernel: &'static Kernel<'static> = Box::leak(Box::new(kernel));
    let snapshot = Snapshot::read(kernel);
    let tasks = snapshot.tasks.iter().enumerate();
    let asleep: Vec<_> = tasks.filter(|(_, task)| !task.on_cpu && task.on_rq == 0).map(|(index, _)| index).collect();
    let stacks = snapshot.stacks(kernel, &asleep, Detail::Symbols);
    let (mut pages, mut wrong) = (0, Vec::new());
    for (name, read) in LISTS {
        let _ = holed.take_read();
        let whole = read(kernel, &snapshot, &stacks);
        let frames = holed.take_read();
        let step = frames.len().div_ceil(most).max(1);
        for frame in frames.into_iter().step_by(step) {
            let without = holed.with(frame, Hole::Missing, || read(kernel, &snapshot, &stacks));
            pages += 1;
            let found = compared(&whole, &without);
            wrong.extend(found.into_iter().map(|found| format!("{name} without page {frame:#x}: {found}")));
        }
    }
    for (name, read) in LISTS_OF_OPENING {
        let (of_modules, found) = tried_from_opening(holed, vmlinux, read);
        pages += of_modules;
        wrong.extend(found.into_iter().map(|found| format!("{name} without {found}")));
    }
    (pages, wrong)
}

/// Leaves out each page with a `struct module`, and opens the kernel without it.
fn tried_from_opening(holed: &Holed<'_>, vmlinux: &Vmlinux, read: ReadOpened) -> (usize, Vec<String>) {
    let open = || Kernel::open_through(holed.dump, vmlinux, holed, KernelChoice::default());
    let kernel = open().unwrap();
    let whole = read(&kernel);
    let head = kernel.symbol("modules");
    let places = kernel.modules().iter().map(|module| module.address).chain(head);
    let frames: BTreeSet<_> =
        places.filter_map(|at| Some(kernel.memory().translate(at).ok()?.get() / PAGE_SIZE)).collect();
    let (mut pages, mut wrong) = (0, Vec::new());
    for frame in frames {
        // Without some pages there is no kernel, and no answer.
        let without = holed.with(frame, Hole::Missing, || open().map(|kernel| read(&kernel)));
        let Ok(without) = without else { continue };
        pages += 1;
        if without["gaps"].as_array().unwrap().is_empty() {
            wrong.push(format!("page {frame:#x}: nothing is missing"));
        }
        wrong.extend(compared(&whole, &without).into_iter().map(|found| format!("page {frame:#x}: {found}")));
    }
    if pages == 0 && !kernel.modules().is_empty() {
        wrong.push("any page: there is no kernel".to_owned());
    }
    (pages, wrong)
}

fn compared(whole: &Value, without: &Value) -> Vec<String> {
    let gaps = |value: &Value| value["gaps"].as_array().unwrap().iter().map(Value::to_string).collect::<BTreeSet<_>>();
    let more = !gaps(without).is_subset(&gaps(whole));
    let mut wrong = Vec::new();
    differences("", whole, without, &mut wrong);
    if whole != without && !more {
        wrong.push(format!(
            "no gap says so ({}): {}",
            without["gaps"],
            first_difference("", whole, without).unwrap_or_default()
        ));
    }
    wrong
}

fn differences(path: &str, whole: &Value, without: &Value, wrong: &mut Vec<String>) {
    match (whole, without) {
        (_, Value::Null) => {}
        (Value::Object(one), Value::Object(other)) => {
            for (key, value) in one.iter().filter(|(key, _)| *key != "gaps") {
                differences(&format!("{path}.{key}"), value, &other[key], wrong);
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            if other.is_empty() && !one.is_empty() {
                wrong.push(format!("{path} is empty"));
            }
            for element in other {
                match one.iter().find(|before| identity(before) == identity(element)) {
                    _ if element.is_null() => {}
                    Some(before) => differences(&format!("{path}[]"), before, element, wrong),
                    None => wrong.push(format!("{path} has {element}")),
                }
            }
        }
        // Times by the latest clock that could be read, and what says itself that it is not known.
        (Value::Number(_), Value::Number(_)) if path.ends_with("_ns") => {}
        (_, Value::String(text)) if text.starts_with("unknown: ") => {}
        _ if whole == without => {}
        _ => wrong.push(format!("{path} is {without} and not {whole}")),
    }
}

/// Where two answers differ first.
fn first_difference(path: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        _ if one == other => None,
        (Value::Object(members), Value::Object(others)) => {
            members.iter().find_map(|(key, value)| first_difference(&format!("{path}.{key}"), value, others.get(key)?))
        }
        (Value::Array(elements), Value::Array(others)) if elements.len() == others.len() => {
            elements.iter().zip(others).find_map(|(one, other)| first_difference(&format!("{path}[]"), one, other))
        }
        _ => Some(format!("{path} is {other} and not {one}")),
    }
}

fn identity(element: &Value) -> String {
    let Value::Object(members) = element else { return element.to_string() };
    IDENTITIES.iter().find_map(|key| members.get(*key)).map_or_else(|| element.to_string(), identity)
}
