//! Works that tasks flush, and the workers that do them.

use std::collections::BTreeMap;

use vmcore_kernel::AwaitedWork;
use vmcore_memory::VirtAddr;
use vmcore_synth::scenario::Change;

use crate::Source;
use crate::cast::Cast;
use crate::objects::{Objects, frame_of, function, object, task};

pub(crate) fn add(source: &Source<'_, '_>, cast: &Cast, objects: &mut Objects, unsaid: &mut Vec<String>) {
    let mut works: BTreeMap<VirtAddr, (&AwaitedWork, Vec<String>)> = BTreeMap::new();
    for wait in &source.facts.state.work_waits {
        let Some(pid) = cast.pid(source, wait.task) else { continue };
        let Some(work) = wait.work.address() else {
            unsaid.push(format!("the work that pid {pid} waits for"));
            continue;
        };
        let Some(on) = frame_of(source, wait.task, pid, Some(wait.function.as_str())) else { continue };
        let barrier = format!("barrier-{pid}");
        let set = [("work.func", function("wq_barrier_func")), ("task", task(pid, 0))];
        objects.add(&barrier, "wq_barrier", Some(on), set);
        works.entry(work).or_insert_with(|| (&wait.work, Vec::new())).1.push(format!("{barrier}.work.entry"));
    }
    for (number, (work, barriers)) in (1..).zip(works.into_values()) {
        add_work(source, cast, number, (work, barriers), objects);
    }
}

fn add_work(
    source: &Source<'_, '_>,
    cast: &Cast,
    number: usize,
    (work, barriers): (&AwaitedWork, Vec<String>),
    objects: &mut Objects,
) {
    let name = format!("work-{number}");
    let does = work.function().unwrap_or("work_function").to_owned();
    objects.add(&name, "work_struct", None, [("func", function(&does))]);
    let worker = work.worker().and_then(|worker| cast.pid(source, worker));
    let Some(pid) = worker else {
        let list = format!("worklist-{number}");
        objects.add(&list, "list_head", None, []);
        objects.link([format!("{list}.next"), format!("{name}.entry")].into_iter().chain(barriers));
        return;
    };
    let (worker, kthread) = (format!("worker-{pid}"), format!("kthread-{pid}"));
    let set = [("current_work", object(&name)), ("current_func", function(&does)), ("task", task(pid, 0))];
    objects.add(&worker, "worker", None, set);
    objects.add(&kthread, "kthread", None, [("data", object(&worker))]);
    objects.link([format!("{worker}.scheduled")].into_iter().chain(barriers));
    objects.changes.push(Change {
        task: Some(pid),
        cpu: None,
        variable: None,
        member: vec!["worker_private".to_owned(), "set_child_tid".to_owned()],
        value: object(&kthread),
    });
}
