//! A spin lock, or a reader-writer lock that spins, that is not given back, and the CPUs that spin for it.
//!
//! That a CPU is caught spinning is ordinary. It is a finding only where one of these CPUs is [stuck](crate::stuck), or where each of
//! them waits for a lock that the next one has, in a circle, or where [no CPU is left](nobody_left) that could have the lock: those show without
//! any time, and where all CPUs have their interrupts off no clock runs.
//!
//! Control: contention that no watchdog complained of.

use std::collections::BTreeMap;

use vmcore_kernel::SpinNode;
use vmcore_memory::VirtAddr;

use super::{Context, Found, nobody_left, spin_circle};
use crate::describe::{on_cpu, spun};
use crate::evidence::member;
use crate::graph::{Edge, EdgeKind, Node};
use crate::reports::reported_stuck;
use crate::stuck::{stuck, user_evidence};
use crate::text::seconds;
use crate::{
    Confidence, Evidence, Facts, Finding, Holder, HolderFound, Issue, Place, Reader, Spin, SpunFor, Value, describe,
};

/// A lock, and who spins for it.
struct Contended<'f> {
    lock: VirtAddr,
    word: SpunFor,
    spins: Vec<&'f Spin>,
}

/// One finding for each lock.
pub(super) fn detect(context: &Context<'_>) -> Found {
    let Context { facts, reader, .. } = *context;
    let mut found = Found::default();
    for contended in contended(facts) {
        let circle = contended.spins.iter().find_map(|spin| spin_circle::of(&facts.state.spins, spin.cpu));
        let by_circle = circle.as_ref().map(|circle| spin_circle::confidence(facts, circle));
        let is_lost = nobody_left::is_lost(facts, &contended.spins);
        let by_loss = is_lost.then_some(Confidence::Confirmed);
        let Some(surely) = any_stuck(facts, &contended.spins).max(by_circle).max(by_loss) else { continue };
        found.findings.push(finding(facts, reader, &contended, Grounds { surely, circle, is_lost }));
        found.edges.extend(contended.spins.iter().flat_map(|spin| edges(facts, reader, spin)));
    }
    found
}

/// The CPUs that surely spin for a lock for too long.
pub(super) fn stuck_cpus(facts: &Facts<'_>) -> Vec<u32> {
    let is_stuck = |contended: &Contended<'_>| {
        any_stuck(facts, &contended.spins) == Some(Confidence::Confirmed)
            || nobody_left::is_lost(facts, &contended.spins)
    };
    contended(facts).into_iter().filter(is_stuck).flat_map(|contended| contended.spins).map(|spin| spin.cpu).collect()
}

/// How sure it is that one of those who spin for a lock, or who has it, is stuck.
fn any_stuck(facts: &Facts<'_>, spins: &[&Spin]) -> Option<Confidence> {
    let mut holders = spins.iter().flat_map(|spin| &spin.holders);
    if holders.any(|holder| reported_stuck(facts, holder.cpu)) {
        return Some(Confidence::Confirmed);
    }
    spins.iter().filter_map(|spin| stuck(facts, spin.cpu)).max()
}

/// The locks that CPUs spin for, by address.
fn contended<'f>(facts: &'f Facts<'_>) -> Vec<Contended<'f>> {
    let mut locks: BTreeMap<_, Contended<'_>> = BTreeMap::new();
    for spin in &facts.state.spins {
        let Spin { lock, word, .. } = *spin;
        locks.entry(lock).or_insert_with(|| Contended { lock, word, spins: Vec::new() }).spins.push(spin);
    }
    locks.into_values().collect()
}

/// The CPU that has the lock, where only one can be meant.
fn holder<'f>(spins: &[&'f Spin]) -> Option<&'f Holder> {
    match spins.first()?.holders.as_slice() {
        [holder] => Some(holder),
        _ => None,
    }
}

/// Why it is a finding that CPUs spin for a lock.
struct Grounds {
    /// How sure it is that they do not get on.
    surely: Confidence,
    /// The CPUs of a circle.
    circle: Option<Vec<u32>>,
    /// Whether no CPU is left that could have the lock.
    is_lost: bool,
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader, contended: &Contended<'_>, grounds: Grounds) -> Finding {
    let Grounds { surely, circle, is_lost } = grounds;
    let Contended { lock, word, spins } = contended;
    let spinners = describe::few(spins.iter().map(|spin| on_cpu(facts, spin.cpu)), ", ");
    let longest = spins.iter().filter_map(|spin| facts.running_ns(facts.snapshot.cpu(spin.cpu)?)).max();
    let time = longest.map(|ns| format!(", for up to {}", seconds(ns))).unwrap_or_default();
    let mut evidence: Vec<_> =
        spins.iter().take(describe::MAX_NAMED).flat_map(|spin| spin_evidence(facts, reader, spin)).collect();
    let recorded = holder(spins).is_some_and(|holder| holder.found == HolderFound::Recorded);
    let holder_text = match holder(spins) {
        // What one of the others has at hand is left over.
        _ if is_lost && !recorded => {
            "no CPU is left that could have it, for each spins for it, idles or runs user code: who took it spins \
                                      for it again, or has ended without giving it back"
                .to_owned()
        }
        Some(holder) => {
            evidence.push(holder_evidence(facts, reader, holder, (*lock, *word)));
            let surely = match holder.found {
                HolderFound::Recorded => "has it",
                _ if spun::is_shared(*word) => "seems to be one of its readers",
                _ => "seems to have it",
            };
            format!("{} {surely}{}", on_cpu(facts, holder.cpu), describe::stuck_in(facts, holder.cpu))
        }
        None => format!("who has it is not known: {}", spun::not_recorded(*word)),
    };
    let spin = if spins.len() == 1 { "spins" } else { "spin" };
    let name = spun::name(*word);
    let circle = circle.map(|circle| spin_circle::words(facts, &circle)).unwrap_or_default();
    let summary = format!("{name} {lock} is not released: {spinners} {spin} for it{time}; {holder_text}{circle}");
    let advice = (is_lost && !recorded).then_some(LOST);
    let confidence = if recorded || is_lost { Confidence::Confirmed } else { Confidence::Probable }.min(surely);
    if confidence == Confidence::Possible {
        let cpus = spins.iter().take(describe::MAX_NAMED).filter_map(|spin| facts.snapshot.cpu(spin.cpu));
        evidence.extend(cpus.filter_map(|cpu| user_evidence(facts, reader, cpu)));
    }
    let cpus = holder(spins).map(|holder| holder.cpu).into_iter().chain(spins.iter().map(|spin| spin.cpu));
    let tasks = cpus.filter_map(|cpu| Some(facts.snapshot.current(facts.snapshot.cpu(cpu)?)?.address));
    Finding::new(Issue::SpinlockHeld, confidence, summary, evidence).about(tasks).helped_by(advice)
}

/// What to look for where no CPU is left that could have a lock.
const LOST: (&str, &str) = (
    "find out who took the lock and did not give it back: an oops in the log above, a way out of its code that forgets to, or code that \
     takes it twice",
    "no CPU is left that could have it, so nobody's stack shows who took it",
);

/// What a CPU reads while it spins, and its place in the queue.
fn spin_evidence(facts: &Facts<'_>, reader: &dyn Reader, spin: &Spin) -> Vec<Evidence> {
    let Spin { cpu, lock, word, polled, node, behind, .. } = spin;
    let who = on_cpu(facts, *cpu);
    let mut evidence = Vec::new();
    let own = |node: &&SpinNode| node.address <= *polled && *polled < node.address.wrapping_add(16);
    if let Some(node) = node.as_ref().filter(own) {
        let front = behind.map(|cpu| format!(" behind CPU {cpu}")).unwrap_or_default();
        let meaning = format!("the node with which {who} waits in the lock's queue{front}");
        evidence.push(member(reader, node.address, ("mcs_spinlock", "next"), Value::Hex(node.next.get()), meaning));
    }
    let meaning = format!("the lock's word, for which {who} spins{}: {}", spun::purpose(*word), spun::says(*word));
    evidence.push(member(reader, *lock, spun::member(*word), Value::Hex(word.value().into()), meaning));
    evidence
}

/// How it is known who has the lock.
fn holder_evidence(
    facts: &Facts<'_>,
    reader: &dyn Reader,
    holder: &Holder,
    (lock, word): (VirtAddr, SpunFor),
) -> Evidence {
    let who = on_cpu(facts, holder.cpu);
    let value = Value::Hex(lock.get());
    match holder.found {
        HolderFound::Recorded => {
            let task = facts.snapshot.cpu(holder.cpu).and_then(|cpu| facts.snapshot.current(cpu));
            let value = Value::Hex(task.map(|task| task.address.get()).unwrap_or_default());
            member(reader, lock, spun::owner_member(word), value, format!("held by {who}"))
        }
        HolderFound::Register(name) => Evidence::new(
            format!("register {name}"),
            format!(
                "{who}, the only CPU that does not spin for it, has the lock's address at hand, as if to unlock it"
            ),
        )
        .value(value),
        HolderFound::OnStack(at) => Evidence::new(
            "stack word",
            format!("{who}, the only CPU that does not spin for it, has the lock's address on its stack"),
        )
        .at(Place::Kernel(at))
        .value(value),
    }
}

/// The spinner to the lock and to who is in front of it, and the lock to who has it.
fn edges(facts: &Facts<'_>, reader: &dyn Reader, spin: &Spin) -> Vec<Edge> {
    let on = |cpu: u32| facts.snapshot.cpu(cpu).and_then(|cpu| facts.snapshot.current(cpu)).map(Node::task);
    let Some(spinner) = on(spin.cpu) else { return Vec::new() };
    let lock = Node::Lock { kind: spun::kind(spin.word), address: spin.lock };
    let shown = spin_evidence(facts, reader, spin);
    let mut edges =
        vec![Edge::new(spinner.clone(), EdgeKind::SpinsOn, lock.clone(), "spins for it").shown_by(shown.clone())];
    if let Some(front) = spin.behind.and_then(on) {
        let why = "is behind it in the lock's queue";
        edges.push(Edge::new(spinner, EdgeKind::QueuedBehind, front, why).shown_by(shown.clone()));
    }
    let holder = match spin.holders.as_slice() {
        [holder] => on(holder.cpu).map(|node| (holder, node)),
        _ => None,
    };
    let owned = if spun::is_read(spin.word) { EdgeKind::ReadBy } else { EdgeKind::OwnedBy };
    edges.push(match holder {
        Some((holder, node)) => {
            let surely = holder.found == HolderFound::Recorded;
            let why = if surely { "has it" } else { "seems to have it: only it has the lock's address at hand" };
            let shown: [Evidence; 1] = [holder_evidence(facts, reader, holder, (spin.lock, spin.word))];
            Edge::new(lock, owned, node, why).shown_by(shown)
        }
        None => {
            let unknown = Node::unknown(format!("owner of {lock}"), spun::not_recorded(spin.word));
            Edge::new(lock, owned, unknown, "somebody has it").shown_by(shown)
        }
    });
    edges
}
