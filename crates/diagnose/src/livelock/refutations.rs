//! What would make the verdict false, and what was found.
//!
//! Each check is a claim that speaks against the verdict. One that holds takes its spinner or splitter out of the
//! verdict; what cannot be checked is said. No verdict is confirmed while a claim against it holds.

use super::spinner::Candidate;
use super::splitter::{SplitCandidate, Starved, Tied};
use super::waited_page::Entry;
use crate::text::seconds;
use crate::{CheckResult, Confidence, Facts, KernelPreemption, Preemption, Refutation};

/// All checks of a verdict of this confidence. Who is out of a verdict that stands without them has one line that says
/// why.
pub(super) fn verdict_refutations(
    facts: &Facts<'_>,
    spinning: &[Candidate],
    tied: &[Tied<'_>],
    confidence: Confidence,
    threshold_ns: u64,
) -> Vec<Refutation> {
    let stands = confidence >= Confidence::Probable;
    let mut refutations = Vec::new();
    for candidate in spinning {
        let name = format!("CPU {} (pid {}) is part of it", candidate.spinner.cpu, candidate.spinner.pid);
        refutations.extend(or_left_out(of_spinner(candidate), stands, name));
    }
    for splitter in tied.iter().map(|tied| tied.splitter) {
        let name = format!("pid {} is part of it", splitter.task.pid);
        refutations.extend(or_left_out(of_splitter(facts, splitter, threshold_ns), stands, name));
    }
    refutations.push(of_preemption(facts, tied));
    refutations
}

/// The checks, or, where one holds against a verdict that stands, that this one is not part of it.
fn or_left_out(checks: Vec<Refutation>, stands: bool, claim: String) -> Vec<Refutation> {
    let failed = checks.iter().find(|check| check.result == CheckResult::Holds);
    match failed {
        Some(failed) if stands => {
            let checked = format!("no: {}: {}", failed.claim, failed.checked);
            vec![Refutation { claim, checked, result: CheckResult::Refuted }]
        }
        _ => checks,
    }
}

/// Whether all of these claims are false.
pub(super) fn all_refuted(checks: &[Refutation]) -> bool {
    checks.iter().all(|check| check.result == CheckResult::Refuted)
}

/// Whether any of these claims holds.
pub(super) fn any_holds(checks: &[Refutation]) -> bool {
    checks.iter().any(|check| check.result == CheckResult::Holds)
}

/// What would make a spinner none.
pub(super) fn of_spinner(candidate: &Candidate) -> Vec<Refutation> {
    vec![
        switched(candidate),
        user_mode(candidate),
        idle_fault(candidate),
        present(candidate),
        foreign(candidate),
        unlocked(candidate),
    ]
}

/// What speaks first against a spinner, or could not be checked, behind a colon.
pub(super) fn first_doubt(candidate: &Candidate) -> String {
    let checks = of_spinner(candidate);
    let of = |result| checks.iter().find(|check| check.result == result);
    let doubt = of(CheckResult::Holds).or_else(|| of(CheckResult::Unknown));
    doubt.map(|doubt| format!(": {}", doubt.checked)).unwrap_or_default()
}

/// That the fault which it was caught in is just one.
fn idle_fault(candidate: &Candidate) -> Refutation {
    let spinner = &candidate.spinner;
    let (checked, result) = match &candidate.counted {
        Some(counted) => (counted.clone(), CheckResult::Refuted),
        None => (candidate.faulting.checked.clone(), candidate.faulting.result),
    };
    Refutation {
        claim: format!("the task on CPU {} (pid {}) does not fault again and again", spinner.cpu, spinner.pid),
        checked,
        result,
    }
}

fn switched(candidate: &Candidate) -> Refutation {
    let spinner = &candidate.spinner;
    Refutation {
        claim: format!("the task on CPU {} (pid {}) was scheduled out meanwhile", spinner.cpu, spinner.pid),
        checked: match (spinner.running_ns, spinner.kept_ns) {
            _ if !candidate.contradictions.is_empty() => candidate.contradictions.join("; "),
            _ if candidate.lends.is_some() => format!(
                "{}; {}",
                candidate.lends.as_deref().unwrap_or_default(),
                candidate.counted.as_deref().unwrap_or("for how long it had it before is not known")
            ),
            (Some(running), _) if candidate.counted.is_some() => format!(
                "{} before, for what fair tasks are granted under real-time load: {}",
                seconds(running),
                candidate.counted.as_deref().unwrap_or_default()
            ),
            (Some(running), Some(kept)) if kept > running => format!(
                "{} before, but only for tasks that outrank it: it has kept its CPU from all others for {}",
                seconds(running),
                seconds(kept)
            ),
            (Some(ns), _) => format!("on its CPU for {} by sched_info.last_arrival", seconds(ns)),
            (None, _) => "the kernel does not keep when it was scheduled in".to_owned(),
        },
        result: match candidate.long_enough {
            Some(_)
                if (spinner.running_ns.is_some() || candidate.lends.is_some())
                    && candidate.contradictions.is_empty() =>
            {
                CheckResult::Refuted
            }
            _ => CheckResult::Unknown,
        },
    }
}

/// Every way back to user mode gives the CPU to who waits for it, if the scheduler asks. So a task that is asked, and
/// has not been switched out, has not been there. A real-time task is not asked for its CPU; what it had in user code is
/// counted.
fn user_mode(candidate: &Candidate) -> Refutation {
    let spinner = &candidate.spinner;
    let not_asked = match candidate.need_resched {
        Some(_) => "the scheduler does not ask for the CPU",
        None if candidate.lends.is_some() => "it is off its CPU for a moment",
        None => "the CPU's preempt_count cannot be read",
    };
    let (checked, result) = match (candidate.reaches_entry, candidate.need_resched, candidate.kept_waiting) {
        (true, ..) if candidate.in_user_code => (
            "it was, and faulted there again: as a real-time task it gives way to nobody below its rank".to_owned(),
            CheckResult::Refuted,
        ),
        (_, Some(false), Some((pid, waited))) => (
            format!(
                "the scheduler does not ask for the CPU (PREEMPT_NEED_RESCHED), though pid {pid} is said to have waited in \
                 its queue for {}, which contradict each other",
                seconds(waited)
            ),
            CheckResult::Holds,
        ),
        (true, Some(true), _) => (
            "the stack leads from the fault to one entry into the kernel, and the scheduler's request for the CPU, which \
             every way back to user mode obeys, is still pending"
                .to_owned(),
            CheckResult::Refuted,
        ),
        (true, ..) if candidate.faulting.stays_in_kernel == Some(true) => (
            format!("{not_asked}, but next to none of its time on the CPU went by in user code (utime)"),
            CheckResult::Refuted,
        ),
        (true, ..) => (format!("the fault is in a system call, but {not_asked}"), CheckResult::Unknown),
        (false, ..) => ("its stack does not lead to where it entered the kernel".to_owned(), CheckResult::Unknown),
    };
    Refutation {
        claim: match candidate.in_user_code {
            true => format!(
                "the task on CPU {} (pid {}) gave its CPU away in user mode meanwhile",
                spinner.cpu, spinner.pid
            ),
            false => format!("the task on CPU {} (pid {}) was back in user mode meanwhile", spinner.cpu, spinner.pid),
        },
        checked,
        result,
    }
}

fn present(candidate: &Candidate) -> Refutation {
    let cpu = candidate.spinner.cpu;
    let (checked, result) = match candidate.waited.as_ref().map(|waited| (&waited.entry, waited.raw)) {
        Some((Entry::Waits, Some(raw))) => {
            (format!("the entry is {raw:#x}: not present, a migration entry or in mid-split"), CheckResult::Refuted)
        }
        Some((Entry::Unknown(why), _)) => (why.clone(), CheckResult::Unknown),
        Some((Entry::Other(what), _)) => (what.clone(), CheckResult::Holds),
        Some((Entry::Waits, None)) | None => ("the faulting address is not known".to_owned(), CheckResult::Unknown),
    };
    Refutation { claim: format!("the page that CPU {cpu} faults on is mapped after all"), checked, result }
}

/// The entry was found in the tables of the task's own memory: nobody else's lead there.
fn foreign(candidate: &Candidate) -> Refutation {
    let cpu = candidate.spinner.cpu;
    let (checked, result) = match (candidate.mm, candidate.waits_on_entry()) {
        (None, _) => ("its task has no mm of its own".to_owned(), CheckResult::Unknown),
        (Some(mm), true) => {
            (format!("the page tables of its own mm {mm} have the entry at that address"), CheckResult::Refuted)
        }
        (Some(mm), false) => {
            (format!("the page tables of its mm {mm} could not be walked to the end"), CheckResult::Unknown)
        }
    };
    Refutation { claim: format!("the address that CPU {cpu} faults on is not its task's memory"), checked, result }
}

fn unlocked(candidate: &Candidate) -> Refutation {
    let waited = candidate.waited.as_ref();
    let unreadable = waited.and_then(|waited| waited.unreadable.clone());
    Refutation {
        claim: format!("the page that CPU {} waits for is unlocked", candidate.spinner.cpu),
        checked: match waited.and_then(|waited| waited.head.as_ref()) {
            Some(head) => format!("struct page {}: flags {:#x}", head.address, head.flags),
            None => unreadable.unwrap_or_else(|| "its struct page could not be read".to_owned()),
        },
        result: match candidate.page_locked() {
            Some(true) => CheckResult::Refuted,
            Some(false) => CheckResult::Holds,
            None => CheckResult::Unknown,
        },
    }
}

/// What would make a splitter one that is not starved.
pub(super) fn of_splitter(facts: &Facts<'_>, splitter: &SplitCandidate<'_>, threshold_ns: u64) -> Vec<Refutation> {
    let who = splitter.who();
    let place = &splitter.place;
    let nowhere =
        Refutation { claim: format!("{who} is in no run queue"), checked: place.checked.clone(), result: place.result };
    let mut checks = vec![nowhere];
    let counted = splitter.counted(facts, threshold_ns).filter(|_| splitter.waits_shortly(threshold_ns));
    let moment = splitter.moment.as_ref().filter(|_| splitter.waits_shortly(threshold_ns));
    if counted.is_some() || moment.is_some() {
        let for_what = match moment {
            Some(moment) => format!("on CPU {}, {}", moment.cpu, moment.words()),
            None => "for moments only, as fair tasks are granted under real-time load".to_owned(),
        };
        let counters = match &counted {
            Some(counted) => counted.words(),
            None => "how much it was given before its counters do not tell".to_owned(),
        };
        checks.push(Refutation {
            claim: format!("{who} was given a CPU within the threshold"),
            checked: format!("{for_what}: {counters}"),
            result: if counted.is_some() { CheckResult::Refuted } else { CheckResult::Unknown },
        });
        return checks;
    }
    checks.push(Refutation {
        claim: format!("{who} was given a CPU within the threshold"),
        checked: match splitter.waiting_ns {
            _ if !splitter.contradictions.is_empty() => splitter.contradictions.join("; "),
            Some(ns) => {
                format!(
                    "queued for {} by sched_info.last_queued; the threshold is {}",
                    seconds(ns),
                    seconds(threshold_ns)
                )
            }
            None => "the kernel does not keep when it began to wait".to_owned(),
        },
        result: below(splitter.waiting_ns, threshold_ns),
    });
    let ran_ago = splitter.ran_ago_ns(facts);
    checks.extend(ran_ago.map(|ns| Refutation {
        claim: format!("{who} was charged for run time within the threshold"),
        checked: format!("last {} before, by se.exec_start", seconds(ns)),
        result: below(ran_ago, threshold_ns),
    }));
    checks
}

fn below(ns: Option<u64>, threshold_ns: u64) -> CheckResult {
    match ns {
        Some(ns) if ns >= threshold_ns => CheckResult::Refuted,
        Some(_) => CheckResult::Holds,
        None => CheckResult::Unknown,
    }
}

fn of_preemption(facts: &Facts<'_>, tied: &[Tied<'_>]) -> Refutation {
    let Preemption { of_kernel_code, evidence } = &facts.preemption;
    let outranked = tied.iter().any(|tied| matches!(tied.starved, Starved::Outranked(_) | Starved::Granted { .. }));
    let throttled = tied.iter().any(|tied| matches!(tied.starved, Starved::Throttled(_)));
    let (checked, result) = match of_kernel_code {
        KernelPreemption::No => (evidence.meaning.clone(), CheckResult::Refuted),
        // A real-time spinner keeps its CPU from a fair task even where kernel code is preempted.
        KernelPreemption::Yes if outranked => {
            (format!("{}, but who has the CPU keeps it by its rank", evidence.meaning), CheckResult::Refuted)
        }
        KernelPreemption::Yes if throttled => {
            (format!("{}, but the splitter's group may not run at all", evidence.meaning), CheckResult::Refuted)
        }
        KernelPreemption::Yes => (evidence.meaning.clone(), CheckResult::Holds),
        KernelPreemption::Unknown => (evidence.meaning.clone(), CheckResult::Unknown),
    };
    Refutation { claim: "the kernel would take the CPU from a spinner in kernel code".to_owned(), checked, result }
}
