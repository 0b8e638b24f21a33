//! From a dump to the scenario of a few lines that its verdict comes down to: the tasks and CPUs that it rests on, their
//! stacks, page-table entries, pages, locks, works, calls, the lines of the log that report something.
//!
//! A synthetic dump of that scenario gets the same verdict, which whoever asks for it can check: a customer's crash becomes a
//! test without the customer's data.
//!
//! ```text
//! cast      which tasks take part
//! stacks    what a task is in the middle of, from its stack
//! tasks     the rest of a task
//! pages     huge pages, and the page tables that lead to them
//! locks     locks and their waiters;  works: works and who flushes them;  calls: calls between CPUs
//! log       the lines that report something
//! anonymize the same without names
//! ```

#![forbid(unsafe_code)]

mod anonymize;
mod calls;
mod cast;
mod locks;
mod log;
mod machine;
mod moved_addresses;
mod nameless;
mod objects;
mod pages;
mod stacks;
mod tasks;
mod words;
mod works;

use std::collections::{BTreeMap, BTreeSet};

use vmcore_diagnose::{Diagnosis, Facts, Reader};
use vmcore_synth::scenario::{Confidence, Expected, Module, Scenario};

pub use anonymize::anonymize;
pub use cast::Scope;

use cast::Cast;
use objects::Objects;

/// What a reduction is made from.
struct Source<'s, 'f> {
    facts: &'s Facts<'f>,
    diagnosis: &'s Diagnosis,
    reader: &'s dyn Reader,
}

/// A scenario, and what of the machine it does not say.
#[derive(Clone, Debug)]
pub struct Reduced {
    /// The scenario, with the verdict that is to be expected.
    pub scenario: Scenario,
    /// What the verdict may rest on and no scenario can say, in words.
    pub unsaid: Vec<String>,
}

/// Reduces a machine to what its verdict rests on.
#[must_use]
pub fn reduce(facts: &Facts<'_>, diagnosis: &Diagnosis, reader: &dyn Reader, scope: Scope) -> Reduced {
    let source = Source { facts, diagnosis, reader };
    let cast = Cast::of(&source, scope);
    let mut scenario = machine::frame(&source, &cast);
    let mut objects = Objects::default();
    let mut unsaid = Vec::new();
    let names = pages::add(&source, &cast, &mut scenario);
    locks::add(&source, &cast, &mut objects, &mut unsaid);
    works::add(&source, &cast, &mut objects, &mut unsaid);
    calls::add(&source, &cast, &mut objects);
    pages::add_waits(&source, &cast, &names, &mut objects);
    let spins = objects::spin_locks(&source, &mut objects);
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for index in cast.tasks() {
        tasks::add(&source, *index, (&names, &spins), &mut scenario, &mut modules);
    }
    scenario.module = modules
        .into_iter()
        .map(|(name, functions)| Module { name, functions: functions.into_iter().collect() })
        .collect();
    (scenario.object, scenario.circle) = (objects.objects, objects.circles);
    scenario.change.extend(objects.changes);
    machine::limit_kernels(&mut scenario, reader.architecture());
    scenario.expect = expected(diagnosis);
    Reduced { scenario, unsaid }
}

/// The verdict in a scenario's words.
#[must_use]
pub fn expected(diagnosis: &Diagnosis) -> Expected {
    use vmcore_diagnose::Confidence as Grade;
    Expected {
        issue: diagnosis.verdict.issue.map(|issue| issue.id().to_owned()),
        confidence: match diagnosis.verdict.confidence {
            Grade::None => Confidence::None,
            Grade::Insufficient => Confidence::Insufficient,
            Grade::Possible => Confidence::Possible,
            Grade::Probable => Confidence::Probable,
            Grade::Confirmed => Confidence::Confirmed,
        },
        spinners: diagnosis.spinners.iter().map(|spinner| spinner.pid).collect(),
        splitters: diagnosis.splitters.iter().map(|splitter| splitter.pid).collect(),
    }
}

/// Nanoseconds as seconds, to the microsecond.
fn seconds(ns: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of a thousand years are exact")]
    let seconds = (ns / 1000) as f64 / 1e6;
    seconds
}
