//! What would make the verdict false, and what was found.

use super::Pair;
use crate::spinner::Candidate;
use crate::splitter::Starved;
use crate::text::seconds;
use crate::{CheckResult, Facts, KernelPreemption, Options, Refutation, Spinner};

/// What would make the verdict false, and what was found.
pub(super) fn verdict_refutations(
    facts: &Facts<'_>,
    spinning: &[Candidate],
    pairs: &[Pair<'_>],
    options: &Options,
) -> Vec<Refutation> {
    let mut refutations = Vec::new();
    for candidate in spinning {
        let Spinner { cpu, pid, running_ns, .. } = &candidate.spinner;
        refutations.push(Refutation {
            claim: format!("the task on CPU {cpu} (pid {pid}) was scheduled out or reached user mode"),
            checked: match running_ns {
                Some(ns) => format!("on its CPU for {}, the fault still on its stack", seconds(*ns)),
                None => "the kernel does not keep when it was scheduled in".to_owned(),
            },
            result: if running_ns.is_some() { CheckResult::Refuted } else { CheckResult::Unknown },
        });
        refutations.push(Refutation {
            claim: format!("the page that CPU {cpu} waits for is unlocked"),
            checked: match candidate.waited.as_ref().and_then(|waited| waited.head.as_ref()) {
                Some(head) => format!("struct page {}: flags {:#x}", head.address, head.flags),
                None => "its struct page could not be read".to_owned(),
            },
            result: match candidate.page_locked() {
                Some(true) => CheckResult::Refuted,
                Some(false) => CheckResult::Holds,
                None => CheckResult::Unknown,
            },
        });
    }
    let mut seen = Vec::new();
    for pair in pairs {
        let splitter = pair.splitter;
        if seen.contains(&splitter.task.address) {
            continue;
        }
        seen.push(splitter.task.address);
        refutations.push(Refutation {
            claim: format!("the splitter (pid {}) was given a CPU within the threshold", splitter.task.pid),
            checked: match splitter.waiting_ns {
                Some(ns) => {
                    format!("waiting for {}; the threshold is {}", seconds(ns), seconds(options.spin_threshold_ns))
                }
                None => "the kernel does not keep when it began to wait".to_owned(),
            },
            result: match splitter.waiting_ns {
                Some(ns) if ns >= options.spin_threshold_ns => CheckResult::Refuted,
                Some(_) => CheckResult::Holds,
                None => CheckResult::Unknown,
            },
        });
    }
    let (preemption, evidence) = &facts.preemption;
    refutations.push(Refutation {
        claim: "the kernel would take the CPU from a spinner in kernel code".to_owned(),
        checked: evidence.meaning.clone(),
        result: match preemption {
            KernelPreemption::No => CheckResult::Refuted,
            // A real-time spinner keeps its CPU from a fair task even where kernel code is preempted.
            KernelPreemption::Yes if pairs.iter().any(|pair| matches!(pair.starved, Starved::Outranked(_))) => {
                CheckResult::Refuted
            }
            KernelPreemption::Yes => CheckResult::Holds,
            KernelPreemption::Unknown => CheckResult::Unknown,
        },
    });
    refutations
}
