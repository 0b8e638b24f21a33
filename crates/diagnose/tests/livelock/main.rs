//! The livelock verdict, link by link: with every link it is confirmed; without one it is not.

mod lookup;
mod refutations;
mod sleeper;
mod splitter;
#[path = "../support/mod.rs"]
mod support;

use support::*;
use vmcore_diagnose::graph::ShapeKind;
use vmcore_diagnose::{CheckResult, Confidence, Diagnosis, Issue, KernelPreemption, LogLine, Value};
use vmcore_kernel::{Policy, PreemptCount, TaskState};
use vmcore_memory::{PageLevel, VirtAddr};

fn confidence(diagnosis: &Diagnosis) -> (Option<Issue>, Confidence) {
    (diagnosis.verdict.issue, diagnosis.verdict.confidence)
}

const LIVELOCK: Option<Issue> = Some(Issue::ThpLivelock);

#[test]
fn every_link_in_place_is_confirmed() {
    let diagnosis = World::livelock().judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    let spinners: Vec<_> = diagnosis.spinners.iter().map(|s| (s.cpu, s.pid, s.address.unwrap().get())).collect();
    assert_eq!(spinners, [(0, SPINNER[0], FAULT[0]), (1, SPINNER[1], FAULT[1])]);
    let splitters: Vec<_> = diagnosis.splitters.iter().map(|s| (s.pid, s.cpu, s.waiting_ns)).collect();
    assert_eq!(splitters, [(SPLITTER, 1, Some(4_000_000_000))]);
    assert_eq!(diagnosis.spinners[0].fault_function.as_deref(), Some("copy_user_enhanced_fast_string"));
    assert_eq!(diagnosis.spinners[0].syscall_function.as_deref(), Some("__do_sys_newfstat"));
    assert!(diagnosis.refutations.iter().all(|refutation| refutation.result == CheckResult::Refuted));
    assert_eq!(diagnosis.unknown, Vec::<String>::new());
}

/// The nodes that the gravest shape passes, by name, and what it is.
fn shape(diagnosis: &Diagnosis) -> Option<(ShapeKind, Vec<String>)> {
    let graph = &diagnosis.graph;
    let shape = graph.shapes().into_iter().next()?;
    let edges = shape.edges.iter().filter_map(|&edge| graph.edges().get(edge));
    Some((shape.kind, edges.map(|edge| edge.from.to_string()).collect()))
}

fn unknown_nodes(diagnosis: &Diagnosis) -> Vec<String> {
    diagnosis.graph.nodes().iter().filter(|node| node.is_unknown()).map(ToString::to_string).collect()
}

#[test]
fn the_edges_close_a_circle() {
    let diagnosis = World::livelock().judge();
    let (kind, nodes) = shape(&diagnosis).unwrap();
    assert_eq!(kind, ShapeKind::Livelock);
    let address = format!("user address {:#x} of mm {MM}", FAULT[1] & !0xfff);
    let head = format!("page {}", page_address(0x4200));
    let expected = ["task 102 \"comm102\"", &address, &head, "task 100 \"comm100\"", "run queue of CPU 1"];
    assert_eq!(nodes, expected);
    assert!(diagnosis.graph.edges().iter().all(|edge| !edge.evidence.is_empty()));
    assert_eq!(unknown_nodes(&diagnosis), Vec::<String>::new());
}

#[test]
fn what_cannot_be_read_is_an_unknown_node_and_closes_no_circle() {
    type Damage = fn(&mut World);
    let broken: [(&str, Damage); 6] = [
        ("user address that pid", |world| world.memory.no_code = true),
        ("what pid", |world| world.memory.entries.clear()),
        ("page behind", |world| world.memory.pages.clear()),
        ("holder of page", |world| world.splitter_word(0)),
        ("how long pid 100", |world| world.task(SPLITTER).last_queued_ns = None),
        ("why CPU 1", |world| world.preemption = KernelPreemption::Unknown),
    ];
    for (name, damage) in broken {
        let mut world = World::livelock();
        damage(&mut world);
        let diagnosis = world.judge();
        let unknown = unknown_nodes(&diagnosis);
        assert!(unknown.iter().any(|node| node.contains(name)), "{name}: {unknown:?}");
        assert_ne!(shape(&diagnosis).map(|(kind, _)| kind), Some(ShapeKind::Livelock), "{name}");
    }
}

#[test]
fn a_bystander_of_higher_priority_makes_it_starvation_without_a_circle() {
    let mut world = World::livelock();
    world.memory.entries.insert(FAULT[1] & !0xfff, (PageLevel::Pte, 0x420_3067));
    world.task(SPINNER[1]).policy = Policy(1);
    world.task(SPINNER[1]).prio = 50;
    let (kind, nodes) = shape(&world.judge()).unwrap();
    assert_eq!(kind, ShapeKind::Starvation);
    assert_eq!(nodes.first().map(String::as_str), Some("task 101 \"comm101\""));
}

#[test]
fn a_huge_migration_entry_and_one_in_mid_split_count_too() {
    for raw in [migration_entry(0x4200), (!0x0420_0000 & 0x000f_ffff_ffff_f000) | 0xe6] {
        let mut world = World::livelock();
        for address in FAULT {
            world.memory.entries.insert(address & !0xfff, (PageLevel::Pmd, raw));
        }
        assert_eq!(confidence(&world.judge()), (LIVELOCK, Confidence::Confirmed), "{raw:#x}");
    }
}

#[test]
fn a_cpu_that_was_just_given_its_task_does_not_spin() {
    let mut world = World::livelock();
    for pid in SPINNER {
        world.task(pid).last_arrival_ns = Some(CLOCK - 20_000_000);
    }
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (None, Confidence::None));
    assert!(diagnosis.spinners.is_empty());
}

#[test]
fn one_busy_and_one_spinning_cpu_are_told_apart() {
    let mut world = World::livelock();
    world.task(SPINNER[0]).last_arrival_ns = Some(CLOCK - 20_000_000);
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    assert_eq!(diagnosis.spinners.iter().map(|s| s.cpu).collect::<Vec<_>>(), [1]);
}

#[test]
fn without_the_time_it_is_only_probable() {
    let mut world = World::livelock();
    for pid in SPINNER {
        world.task(pid).last_arrival_ns = None;
    }
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Probable));
    assert!(diagnosis.unknown.iter().any(|unknown| unknown.contains("how long")));
}

#[test]
fn a_present_entry_is_no_livelock() {
    let mut world = World::livelock();
    for address in FAULT {
        world.memory.entries.insert(address & !0xfff, (PageLevel::Pte, 0x420_3067));
    }
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (None, Confidence::None));
}

#[test]
fn an_entry_of_unknown_meaning_is_unknown_not_another_entry() {
    let mut world = World::livelock();
    world.memory.no_swap_types = true;
    let diagnosis = world.judge();
    // Nothing is refuted by what is not known.
    assert_eq!(diagnosis.verdict.issue, LIVELOCK);
    assert!(diagnosis.verdict.confidence < Confidence::Confirmed);
    let said = |words: &str| diagnosis.unknown.iter().any(|unknown| unknown.contains(words));
    assert!(said("what its pte entry stands for is not known"), "{:?}", diagnosis.unknown);
}

#[test]
fn missing_page_tables_are_unknown_not_healthy() {
    let mut world = World::livelock();
    world.memory.entries.clear();
    let diagnosis = world.judge();
    assert!(diagnosis.verdict.confidence < Confidence::Confirmed);
    assert!(diagnosis.verdict.confidence > Confidence::None);
    assert!(diagnosis.unknown.iter().any(|unknown| unknown.contains("pgd")), "{:?}", diagnosis.unknown);
}

#[test]
fn a_missing_struct_page_is_not_confirmed() {
    let mut world = World::livelock();
    world.memory.pages.clear();
    let diagnosis = world.judge();
    assert_eq!(diagnosis.verdict.confidence, Confidence::Probable);
    assert!(diagnosis.unknown.iter().any(|unknown| unknown.contains("struct page")));
}

#[test]
fn an_unlocked_page_is_not_confirmed() {
    let mut world = World::livelock();
    world.head().flags = 0;
    world.head().flag_names = vec!["PG_head"];
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Possible));
    assert!(diagnosis.refutations.iter().any(|refutation| refutation.result == CheckResult::Holds));
}

#[test]
fn unreadable_code_leaves_the_address_unknown() {
    let mut world = World::livelock();
    world.memory.no_code = true;
    let diagnosis = world.judge();
    assert!(diagnosis.verdict.confidence < Confidence::Probable, "{:?}", diagnosis.verdict);
    assert!(diagnosis.verdict.confidence > Confidence::None);
    assert!(diagnosis.spinners.iter().all(|spinner| spinner.address.is_none()));
}

#[test]
fn a_kernel_that_preempts_does_not_starve_the_splitter_this_way() {
    let mut world = World::livelock();
    world.preemption = KernelPreemption::Yes;
    assert_eq!(confidence(&world.judge()), (LIVELOCK, Confidence::Possible));
}

#[test]
fn an_unknown_preemption_model_leaves_it_probable() {
    let mut world = World::livelock();
    world.preemption = KernelPreemption::Unknown;
    assert_eq!(confidence(&world.judge()), (LIVELOCK, Confidence::Probable));
}

#[test]
fn a_waiter_that_sleeps_is_no_spinner() {
    let mut world = World::livelock();
    // The thread that touches the head page sleeps in D state; CPU 0 is idle instead.
    let sleeper = world.task(SPINNER[0]);
    sleeper.state = TaskState { state: 2, exit_state: 0 };
    sleeper.on_cpu = false;
    sleeper.on_rq = 0;
    let idle = task(0, 0);
    world.cpus[0].run_queue.as_mut().unwrap().current = idle.address;
    world.tasks.push(idle);
    world.running[0] = (0, stack(3, 0, &["default_idle", "do_idle", "cpu_startup_entry"]));
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    assert_eq!(diagnosis.spinners.iter().map(|spinner| spinner.pid).collect::<Vec<_>>(), [SPINNER[1]]);
}

#[test]
fn a_cpu_without_registers_is_unknown() {
    let mut world = World::livelock();
    for cpu in &mut world.cpus {
        cpu.registers = None;
    }
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (None, Confidence::Insufficient));
    assert_eq!(diagnosis.unknown.len(), 2);
}

/// An interrupt that does not end runs on the idle task.
#[test]
fn an_idle_task_without_registers_is_no_idle_cpu() {
    let idle = |seen: bool| {
        let mut world = World::livelock();
        let idle = task(0, 0);
        for cpu in &mut world.cpus {
            cpu.registers = cpu.registers.filter(|_| seen);
            let queue = cpu.run_queue.as_mut().unwrap();
            (queue.current, queue.idle) = (idle.address, idle.address);
            queue.queued.clear();
        }
        world.running = (0..2).map(|cpu| (cpu, stack(0, 0, &["default_idle", "do_idle"]))).collect();
        world.tasks = vec![idle];
        world.judge().verdict
    };
    assert_eq!(idle(true).confidence, Confidence::None);
    let unseen = idle(false);
    assert_eq!((unseen.issue, unseen.confidence), (None, Confidence::Insufficient), "{}", unseen.summary);
}

#[test]
fn a_cpu_without_a_run_queue_is_unknown() {
    let mut world = World::livelock();
    world.cpus[0].run_queue = None;
    world.cpus[1].run_queue = None;
    assert_eq!(confidence(&world.judge()), (None, Confidence::Insufficient));
}

#[test]
fn a_spinner_caught_between_two_faults_is_counted() {
    let mut world = World::livelock();
    // The timer hit the copy itself, not the fault handler.
    let (_, stack) = &mut world.running[0];
    let at = stack.frames.iter().position(|frame| frame.function() == Some("asm_exc_page_fault")).unwrap();
    let mut location = (*stack.frames[at].location).clone();
    location.symbol.as_mut().unwrap().name = "asm_sysvec_apic_timer_interrupt".to_owned();
    stack.frames[at].location = std::sync::Arc::new(location);
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (LIVELOCK, Confidence::Confirmed));
    assert_eq!(diagnosis.spinners.len(), 2);
}

#[test]
fn another_lockup_has_its_own_name() {
    let mut world = World::livelock();
    for (_, stack) in &mut world.running {
        stack.interrupts.clear();
    }
    world.log.push(LogLine {
        timestamp_ns: CLOCK,
        caller: None,
        text: format!("watchdog: BUG: soft lockup - CPU#1 stuck for 9s! [comm102:{}]", SPINNER[1]),
    });
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (Some(Issue::SoftLockup), Confidence::Confirmed));
    assert_eq!(diagnosis.findings.len(), 1);
    assert!(diagnosis.spinners.is_empty() && diagnosis.known_issue.is_none());
    assert!(diagnosis.remedy.iter().all(|remedy| remedy.command.is_none()), "{:?}", diagnosis.remedy);
}

#[test]
fn nothing_is_healthy_behind_a_blind_spot() {
    let mut world = World::livelock();
    for pid in SPINNER {
        world.task(pid).last_arrival_ns = Some(CLOCK - 20_000_000);
    }
    world.blind_spots.push("the kernel log cannot be read".to_owned());
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (None, Confidence::Insufficient));
    assert_eq!(diagnosis.unknown, ["the kernel log cannot be read"]);
}

#[test]
fn a_dump_that_is_cut_off_behind_all_that_is_looked_for_shows_what_a_whole_one_does() {
    let mut world = World::livelock();
    for pid in SPINNER {
        world.task(pid).last_arrival_ns = Some(CLOCK - 20_000_000);
    }
    world.incomplete = Some("cut off after 1 MiB of 2".to_owned());
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (None, Confidence::None));
    assert_eq!(diagnosis.unknown, ["the dump is incomplete: cut off after 1 MiB of 2"]);
}

#[test]
fn a_fault_whose_registers_are_not_known_is_unknown() {
    let mut world = World::livelock();
    for (_, stack) in &mut world.running {
        stack.interrupts[0].complete = false;
    }
    let diagnosis = world.judge();
    assert!(diagnosis.verdict.confidence > Confidence::None, "{:?}", diagnosis.verdict);
    assert!(diagnosis.spinners.is_empty());
    assert_eq!(diagnosis.unknown.len(), 4, "{:?}", diagnosis.unknown);
}

#[test]
fn a_stack_that_breaks_off_below_a_harmless_access_is_unknown() {
    let mut world = World::livelock();
    for address in FAULT {
        world.memory.entries.insert(address & !0xfff, (PageLevel::Pte, 0x420_3067));
    }
    for (_, stack) in &mut world.running {
        stack.error = Some("stack word cannot be read".to_owned());
    }
    assert_eq!(confidence(&world.judge()), (None, Confidence::Insufficient));
}

#[test]
fn a_clock_that_stopped_before_the_others_says_nothing_about_time() {
    let mut world = World::livelock();
    world.task(SPINNER[1]).last_arrival_ns = Some(CLOCK - 20_000_000);
    world.task(SPINNER[0]).last_arrival_ns = Some(CLOCK - 5_020_000_000);
    world.cpus[0].run_queue.as_mut().unwrap().clock_ns = CLOCK - 5_000_000_000;
    set_flags(&mut world.running[0].1.interrupts[0], 0x46);
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (None, Confidence::Insufficient));
    assert!(diagnosis.unknown[0].contains("interrupts were off"), "{:?}", diagnosis.unknown);
}

#[test]
fn a_soft_lockup_that_was_over_is_still_what_the_kernel_reported() {
    let mut world = World::livelock();
    for pid in SPINNER {
        world.task(pid).last_arrival_ns = Some(CLOCK - 20_000_000);
    }
    world.log.push(LogLine {
        timestamp_ns: 1_000_000_000,
        caller: None,
        text: "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [other:77]".to_owned(),
    });
    let diagnosis = world.judge();
    assert_eq!(confidence(&diagnosis), (Some(Issue::SoftLockup), Confidence::Probable));
    assert!(diagnosis.verdict.summary.contains("was over when the machine stopped"), "{}", diagnosis.verdict.summary);
    assert_eq!(diagnosis.findings.len(), 1);
    assert_eq!(diagnosis.findings[0].severity, vmcore_diagnose::Severity::Warning);
}

/// A CPU whose fault waits for a lock does not fault again and again, whatever its page table says.
#[test]
fn a_fault_that_waits_for_a_lock_is_no_spinner() {
    let waiting_in = |function: &str| {
        let mut world = World::livelock();
        for (index, (_, stack)) in world.running.iter_mut().enumerate() {
            *stack = faulting_stack_in(index, SPINNER[index], FAULT[index], function);
        }
        world.judge()
    };
    let lock = waiting_in("native_queued_spin_lock_slowpath");
    assert_ne!(lock.verdict.issue, LIVELOCK);
    assert!(lock.spinners.is_empty());
    assert_eq!(confidence(&waiting_in("__migration_entry_wait")), (LIVELOCK, Confidence::Confirmed));
}
