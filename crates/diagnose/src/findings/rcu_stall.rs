//! An RCU grace period that does not end, and the CPU or task that holds it up.
//!
//! The log says that there is a stall; the kernel's own state says which CPUs the grace period still waits for, and their
//! stacks what they do instead of passing a quiescent state; and which tasks lost their CPU within a read-side section. Where
//! it waits for neither, its own thread has to end it, which needs a CPU like any other, and has to be woken.
//!
//! Control: a grace period that is going on is ordinary. Without a warning in the log only one that is older than the
//! kernel's own patience (21 s by default) counts.

use vmcore_console::{Occurrence, PanicReason};
use vmcore_kernel::{GraceEnder, GraceHoldout, GracePeriod, GraceReader, Stack, StackFrame, Task};
use vmcore_memory::VirtAddr;

use super::{Context, Found};
use crate::clock::off_cpu_ns;
use crate::describe::{self, on_cpu, stuck_in};
use crate::evidence::{member, read_from};
use crate::graph::{Edge, EdgeKind, Node};
use crate::idle::waits_for_interrupt;
use crate::kernel_code::in_user_code;
use crate::names::base_name;
use crate::reports::{self, stall};
use crate::return_address::return_address;
use crate::stoppers::{self, waits_text};
use crate::text::seconds;
use crate::{Confidence, Evidence, Facts, Finding, Issue, Reader, Severity, Value, wait_edges};

/// A thread that waits for a CPU for as long gets none.
const STARVED_NS: u64 = 10_000_000_000;
/// Functions that sleep until a grace period has ended.
const WAITING: [&str; 4] = ["__wait_rcu_gp", "synchronize_rcu", "synchronize_rcu_normal", "synchronize_sched"];

/// The stall, if there is one.
pub(super) fn detect(context: &Context<'_>) -> Found {
    Found {
        findings: finding(context.facts, context.reader).into_iter().collect(),
        edges: edges(context.facts, context.reader),
    }
}

fn finding(facts: &Facts<'_>, reader: &dyn Reader) -> Option<Finding> {
    let said = stall(facts).filter(|said| !said.event.is_short_stall());
    // Expedited grace periods and those of RCU-tasks have a sequence and nodes of their own.
    let is_other = said.is_some_and(|said| said.event.is_of_other_grace_period());
    let period = facts.state.grace_period.as_ref().filter(|_| !is_other);
    let age = period.filter(|period| period.running).and_then(|period| period.age_ns);
    let is_old = age.is_some_and(|age| age >= patience_ns(facts));
    let holdouts: Vec<u32> = period.map(|period| period.cpus.iter().map(|held| held.cpu).collect()).unwrap_or_default();
    let readers: Vec<_> = period.iter().flat_map(|period| &period.readers).collect();
    let named = said.map(|said| said.event.cpus.clone()).unwrap_or_default();
    // A warning about a grace period that has ended since is no stall any more.
    let same_cpus = named.is_empty() || named.iter().any(|cpu| holdouts.contains(cpu));
    // One that was reported before this one began was another.
    let of_this = is_old || age.zip(said).is_none_or(|(age, said)| reports::is_since(facts, said, age));
    let is_long_ago = said.is_some_and(|said| !reports::is_since(facts, said, reports::RECENT_NS));
    let is_reported = said.is_some() && !is_long_ago;
    let is_unknown = said.is_some_and(|said| is_other && may_have_ended(facts, said));
    let ender = period.and_then(|period| starved(facts, period)).filter(|_| is_old || is_reported);
    let has_ended = period.is_some_and(|period| !period.running || !of_this);
    let lasts = of_this && (!readers.is_empty() || !holdouts.is_empty() && same_cpus || ender.is_some());
    if said.is_none() && !is_old {
        return None;
    }
    let nobody = holdouts.is_empty() && readers.is_empty() && ender.is_none();
    let asleep = period.filter(|_| nobody && is_old).and_then(|period| not_woken(facts, period));
    if said.is_none() && nobody && asleep.is_none() && period.is_some_and(|period| is_about_to_end(facts, period)) {
        return None;
    }
    let (confidence, severity) = match (said.is_some(), lasts) {
        (true, true) => (Confidence::Confirmed, Severity::Critical),
        (false, true) => (Confidence::Probable, Severity::Critical),
        (false, false) if asleep.is_none() => (Confidence::Possible, Severity::Critical),
        (_, false) if facts.death() != Some(PanicReason::RcuStall) && (has_ended || is_long_ago || is_unknown) => {
            (Confidence::Probable, Severity::Warning)
        }
        (_, false) => (Confidence::Probable, Severity::Critical),
    };
    let is_known = !holdouts.is_empty() || !readers.is_empty() || ender.is_some();
    let cpus = if is_known { &holdouts } else { &named };
    // Of a grace period that is over nothing is left to see.
    let (idle, mut busy): (Vec<u32>, Vec<u32>) =
        cpus.iter().partition(|cpu| is_known && of_this && idles(facts, **cpu));
    // Who only waits for another one comes last.
    busy.sort_by_key(|&cpu| stoppers::waits_for(facts, cpu));
    let cpus = busy.iter().map(|&cpu| {
        let awaited = stoppers::waits_for(facts, cpu).map(|other| format!(", which {}", waits_text(other)));
        // Such code is a quiescent state, which the CPU's tick reports, or the kthread sees of one that has none.
        let user = facts.snapshot.cpu(cpu).is_some_and(|cpu| in_user_code(facts, cpu));
        let user =
            if user { " in user code, which its tick or the grace-period kthread has yet to report" } else { "" };
        format!("{}{}{user}{}", on_cpu(facts, cpu), stuck_in(facts, cpu), awaited.unwrap_or_default())
    });
    let readers = readers.iter().take(describe::MAX_NAMED);
    let own = own_thread(facts, period, &idle, ender.or(asleep));
    let who: Vec<_> = cpus.chain(readers.map(|reader| reader_text(facts, reader))).chain(own).collect();
    let advice = who.is_empty().then_some(NOBODY);
    let who = if who.is_empty() { "nobody that could be told".to_owned() } else { who.join(", ") };
    let age = age.map(|age| format!(" for {}", seconds(age))).unwrap_or_default();
    let over = match severity {
        Severity::Warning if is_unknown && !is_long_ago => "; whether it has ended since is not known",
        Severity::Warning if has_ended => "; it had ended when the machine stopped",
        Severity::Warning => "; that was long before the machine stopped",
        _ => "",
    };
    let summary = if has_ended || severity == Severity::Warning && is_unknown {
        format!("an RCU grace period had not ended as the kernel complained: it waited for {who}{over}")
    } else {
        format!("an RCU grace period has not ended{age}: it waits for {who}{over}")
    };
    let running = period.filter(|period| period.running);
    let mut evidence = running.map(|period| state(facts, reader, period)).unwrap_or_default();
    evidence.extend(said.and_then(|said| reports::evidence(facts, said)));
    let tasks = cpus_of(facts, period).chain(period.iter().flat_map(|period| &period.readers).map(|held| held.task));
    let tasks = tasks.chain(ender.or(asleep).map(|task| task.address));
    let finding = Finding::new(Issue::RcuStall, confidence, summary, evidence).with_severity(severity);
    Some(
        finding
            .from_log(said.is_some())
            .long_ago(severity == Severity::Warning && is_long_ago)
            .about(tasks)
            .helped_by(advice),
    )
}

/// What to look at where a grace period waits for nobody.
const NOBODY: (&str, &str) = (
    "look at the stack of the thread that ends grace periods: `bt --comm rcu_`",
    "no CPU and no task holds the grace period up, so the thread itself does not run or was not woken",
);

/// Whether nothing is left to see of what a grace period waited for of which the kernel keeps no state that is known here: each CPU that was
/// named has passed a quiescent state since, or none was named and the kernel has not complained again.
fn may_have_ended(facts: &Facts<'_>, said: &Occurrence) -> bool {
    let passed = |cpu: &u32| {
        let running = facts.snapshot.cpu(*cpu).and_then(|cpu| facts.running_ns(cpu));
        idles(facts, *cpu) || running.is_some_and(|running| !reports::is_since(facts, said, running))
    };
    let silence = facts.state.limits.rcu_stall_ns();
    match said.event.cpus.as_slice() {
        [] => !reports::is_since(facts, said, silence.saturating_mul(2)),
        named => !reports::is_since(facts, said, silence) && named.iter().all(passed),
    }
}

/// Whether the CPU with this number waits for nothing but an interrupt.
fn idles(facts: &Facts<'_>, cpu: u32) -> bool {
    facts.snapshot.cpu(cpu).is_some_and(|cpu| waits_for_interrupt(facts, cpu))
}

/// What its own thread does, where that has to end the grace period, or to look at CPUs that idle.
fn own_thread(facts: &Facts<'_>, period: Option<&GracePeriod>, idle: &[u32], ender: Option<&Task>) -> Option<String> {
    let thread = period.and_then(|period| facts.snapshot.task(period.ender?.task));
    let cpus = describe::few(idle.iter().map(|cpu| format!("CPU {cpu}")), ", ");
    match (thread.filter(|_| !idle.is_empty()), ender) {
        (Some(thread), _) => Some(format!(
            "{}, the grace-period kthread, to notice that {cpus} only idled; it {}",
            describe::pid(thread),
            describe::doing(facts, thread)
        )),
        (None, Some(thread)) => Some(format!(
            "{}, the thread that ends it, which {}",
            describe::pid(thread),
            describe::doing(facts, thread)
        )),
        (None, None) => (!idle.is_empty()).then(|| format!("{cpus}, where nothing runs")),
    }
}

/// The thread that has to end a grace period and gets no CPU: not one that was only just woken for it.
fn starved<'f>(facts: &'f Facts<'_>, period: &GracePeriod) -> Option<&'f Task> {
    let waits = |task: &&Task| facts.waiting_ns(task).is_some_and(|waits| waits >= STARVED_NS);
    facts.snapshot.task(period.ender?.task).filter(|task| task.waits_for_cpu()).filter(waits)
}

/// The thread that has to end a grace period which waits for nobody, as the root says, and which sleeps all the same.
fn not_woken<'f>(facts: &'f Facts<'_>, period: &GracePeriod) -> Option<&'f Task> {
    let ender = period.ender.as_ref().filter(|ender| ender.free_root.is_some())?;
    let sleeps = |task: &&Task| off_cpu_ns(facts, task).is_some_and(|off| off >= STARVED_NS);
    facts.snapshot.task(ender.task).filter(|_| !is_about_to_end(facts, period)).filter(sleeps)
}

/// Whether the thread that has to end a grace period runs, or has been woken for it.
fn is_about_to_end(facts: &Facts<'_>, period: &GracePeriod) -> bool {
    let thread = period.ender.as_ref().and_then(|ender| facts.snapshot.task(ender.task));
    thread.is_some_and(|thread| {
        thread.waits_for_cpu() || thread.state.is_waking() || facts.snapshot.cpu_running(thread).is_some()
    })
}

/// What runs on the CPUs that a grace period waits for.
fn cpus_of<'f>(facts: &'f Facts<'_>, period: Option<&'f GracePeriod>) -> impl Iterator<Item = VirtAddr> {
    let cpus = period.into_iter().flat_map(|period| &period.cpus);
    cpus.filter_map(|held| Some(facts.snapshot.current(facts.snapshot.cpu(held.cpu)?)?.address))
}

/// How long a grace period may take, and then some: the warning comes first.
fn patience_ns(facts: &Facts<'_>) -> u64 {
    facts.state.limits.rcu_stall_ns().saturating_add(9_000_000_000)
}

/// `pid 12 "name", which lost its CPU within a read-side section and …`.
fn reader_text(facts: &Facts<'_>, reader: &GraceReader) -> String {
    let who = describe::pid_at(facts, reader.task);
    let does = facts.snapshot.task(reader.task).map(|task| format!(" and {}", describe::doing(facts, task)));
    format!("{who}, which lost its CPU within a read-side section{}", does.unwrap_or_default())
}

/// Who waits for the grace period, and what holds it up.
fn edges(facts: &Facts<'_>, reader: &dyn Reader) -> Vec<Edge> {
    let Some(period) = facts.state.grace_period.as_ref().filter(|period| period.running) else { return Vec::new() };
    let said = stall(facts).filter(|said| !said.event.is_of_other_grace_period());
    if said.is_none() && period.age_ns.is_none_or(|age| age < patience_ns(facts)) {
        return Vec::new();
    }
    let node = Node::GracePeriod { flavor: period.name.clone().unwrap_or_else(|| "rcu".to_owned()) };
    let mut edges = Vec::new();
    let ender = period.ender.as_ref().map(|ender| (ender, wait_edges::task(facts, ender.task)));
    for held in &period.cpus {
        // It is its own thread that sees that.
        if let Some((ender, thread)) = ender.as_ref().filter(|_| idles(facts, held.cpu)) {
            let why = format!("has yet to notice that CPU {} idles", held.cpu);
            let shown = [holdout(reader, held), ends(facts, ender)];
            edges.push(Edge::new(node.clone(), EdgeKind::HeldUpBy, thread.clone(), why).shown_by(shown));
            continue;
        }
        let why = "has passed no quiescent state";
        let cpu = Node::Cpu { cpu: held.cpu };
        edges.push(Edge::new(node.clone(), EdgeKind::HeldUpBy, cpu, why).shown_by([holdout(reader, held)]));
        edges.extend(wait_edges::runs(facts, reader, held.cpu));
    }
    for reader in &period.readers {
        let why = "lost its CPU within a read-side section and has not left it";
        let task = wait_edges::task(facts, reader.task);
        edges.push(Edge::new(node.clone(), EdgeKind::HeldUpBy, task, why).shown_by([reader_evidence(facts, reader)]));
    }
    if let Some((ender, thread)) = ender.filter(|(ender, _)| ender.free_root.is_some()) {
        let why = "all CPUs and tasks have passed a quiescent state: this thread ends it";
        let shown = ender_evidence(facts, reader, ender);
        edges.push(Edge::new(node.clone(), EdgeKind::HeldUpBy, thread, why).shown_by(shown));
    }
    if edges.is_empty() {
        let unknown = Node::unknown(format!("who holds up the {node}"), "no CPU and no task of its nodes is named");
        let edge = Edge::new(node.clone(), EdgeKind::HeldUpBy, unknown, "has not ended");
        edges.push(edge.shown_by([sequence(reader, period)]));
    }
    for stack in &facts.blocked {
        let waits = |frame: &&StackFrame| frame.function().is_some_and(|name| WAITING.contains(&base_name(name)));
        let (Some(task), Some(index)) = (facts.task(stack), stack.frames.iter().position(|frame| waits(&frame))) else {
            continue;
        };
        if waits_for_other_grace_period(stack) {
            continue;
        }
        let function = stack.frames.get(index).and_then(StackFrame::function).unwrap_or_default();
        let meaning = format!("{function} is on the stack of pid {}", task.pid);
        let shown = return_address(reader, &stack.frames, index, meaning);
        let edge =
            Edge::new(Node::task(task), EdgeKind::WaitsForGracePeriod, node.clone(), "sleeps until it has ended");
        edges.push(edge.shown_by(shown));
    }
    edges
}

fn reader_evidence(facts: &Facts<'_>, reader: &GraceReader) -> Evidence {
    let who = describe::pid_at(facts, reader.task);
    let meaning = format!("leads to the rcu_node_entry of {who}, which the grace period waits for");
    read_from(&reader.named_at, reader.entry.get(), meaning)
}

/// That nobody but the thread is left, and which thread that is.
fn ender_evidence(facts: &Facts<'_>, reader: &dyn Reader, ender: &GraceEnder) -> Vec<Evidence> {
    let nobody = "of the root: it waits for no CPU";
    let root = ender.free_root.map(|root| member(reader, root, ("rcu_node", "qsmask"), Value::Hex(0), nobody));
    root.into_iter().chain([ends(facts, ender)]).collect()
}

fn ends(facts: &Facts<'_>, ender: &GraceEnder) -> Evidence {
    let who = format!("{}, which ends grace periods", describe::pid_at(facts, ender.task));
    read_from(&ender.named_at, ender.task.get(), who)
}

/// Whether who waits on this stack does so for a grace period of another kind, which the same functions wait for: of RCU-tasks, before
/// 4.20 of `rcu_bh`, and an expedited one (`rcupdate.rcu_expedited`), which has a sequence and masks of its own.
fn waits_for_other_grace_period(stack: &Stack) -> bool {
    const STARTS: [&str; 4] = ["synchronize_rcu_tasks", "rcu_barrier_tasks", "synchronize_rcu_bh", "rcu_barrier_bh"];
    const EXPEDITED: [&str; 2] = ["synchronize_rcu_expedited", "synchronize_sched_expedited"];
    // Where expedited ones are forbidden (`rcupdate.rcu_normal`), they wait for an ordinary one.
    const ORDINARY: [&str; 2] = ["synchronize_rcu_normal", "__wait_rcu_gp"];
    let functions = || stack.frames.iter().filter_map(StackFrame::function).map(base_name);
    let is_expedited = functions().take_while(|name| !ORDINARY.contains(name)).any(|name| EXPEDITED.contains(&name));
    is_expedited || functions().any(|name| STARTS.iter().any(|start| name.starts_with(start)))
}

fn holdout(reader: &dyn Reader, held: &GraceHoldout) -> Evidence {
    let meaning = format!("the bit of CPU {} is set: it has passed no quiescent state", held.cpu);
    member(reader, held.node, ("rcu_node", "qsmask"), Value::Hex(held.qsmask), meaning)
}

fn sequence(reader: &dyn Reader, period: &GracePeriod) -> Evidence {
    let name = period.name.as_deref().unwrap_or("rcu");
    let going = format!("a grace period of {name} is going on");
    member(reader, period.state, ("rcu_state", "gp_seq"), Value::Hex(period.seq), going)
}

fn state(facts: &Facts<'_>, reader: &dyn Reader, period: &GracePeriod) -> Vec<Evidence> {
    let cpus = period.cpus.iter().map(|held| holdout(reader, held));
    let tasks = period.readers.iter().take(describe::MAX_NAMED).map(|held| reader_evidence(facts, held));
    let ender = period
        .ender
        .iter()
        .filter(|ender| ender.free_root.is_some() || period.cpus.iter().any(|held| idles(facts, held.cpu)));
    let own = ender.flat_map(|ender| ender_evidence(facts, reader, ender));
    std::iter::once(sequence(reader, period)).chain(cpus).chain(tasks).chain(own).collect()
}
