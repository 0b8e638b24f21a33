//! Calls that a CPU waits for another to run.

use std::collections::BTreeSet;

use vmcore_diagnose::is_calling;
use vmcore_synth::scenario::{Change, Frame, Word};

use crate::Source;
use crate::cast::Cast;
use crate::objects::{Objects, function, object};

/// Adds one call for each CPU that does not answer: it is still in that CPU's queue, and on the caller's stack.
pub(crate) fn add(source: &Source<'_, '_>, cast: &Cast, objects: &mut Objects) {
    /// `CSD_FLAG_LOCK`.
    const LOCKED: u64 = 1;
    let snapshot = source.facts.snapshot;
    let mut deaf = BTreeSet::new();
    let mut callers = BTreeSet::new();
    for call in &source.facts.state.calls {
        let caller = snapshot.cpu(call.from).and_then(|cpu| snapshot.current(cpu));
        let Some((task, pid)) = caller.and_then(|task| Some((task, cast.pid(source, task.address)?))) else { continue };
        let stack = source.facts.stack_of(task.address);
        let calling = |name: &&str| is_calling(name);
        let place = stack.and_then(|stack| stack.frames.iter().filter_map(|frame| frame.function()).find(calling));
        let Some(place) = place.filter(|_| deaf.insert(call.to)) else { continue };
        // One object has room in a frame; the calls to others are somewhere else.
        if !callers.insert(pid) {
            continue;
        }
        let name = format!("call-{}-{}", call.from, call.to);
        let does = call.function.as_deref().unwrap_or("called_function");
        let on = Frame { task: pid, function: place.to_owned() };
        let set = [("node.u_flags|flags", Word::Number(LOCKED)), ("func", function(does))];
        objects.add(&name, "__call_single_data", Some(on), set);
        objects.changes.push(Change {
            task: None,
            cpu: Some(call.to),
            variable: Some("call_single_queue".to_owned()),
            member: Vec::new(),
            value: object(&name),
        });
    }
}
