//! Questions to a real dump, a small part of a machine of Linux 6.1.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests, which clippy does not see as such.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use vmcore_debuginfo::Vmlinux;
use vmcore_dump::Dump;
use vmcore_inspect::{
    Content, Evaluated, Expression, ListOptions, ListStart, Needle, Space, TreeKind, evaluate, find_type, layout, list,
    read_value, read_words, search, select, symbol_addresses, tree,
};
use vmcore_kernel::Kernel;
use vmcore_memory::VirtAddr;

/// The `task_struct` of pid 151, by the truth of the dump.
const TASK: VirtAddr = VirtAddr::new(0xff2b_d5af_ffe5_4180);

static KERNEL: LazyLock<Kernel<'static>> = LazyLock::new(|| {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/6.1-cloud-amd64");
    let dump = Box::leak(Box::new(Dump::open(&data.join("thp-livelock.vmcore")).unwrap()));
    let vmlinux = Box::leak(Box::new(Vmlinux::open(&data.join("vmlinux.profile")).unwrap()));
    Kernel::open(dump, vmlinux).unwrap()
});

/// What an expression comes to, in one line.
fn p(text: &str) -> String {
    let evaluated = Expression::parse(text).and_then(|expression| evaluate(&KERNEL, &expression));
    match evaluated {
        Ok(Evaluated::One(member)) => show(&member.value.content),
        Ok(Evaluated::PerCpu(values)) => {
            let one = |value: &vmcore_inspect::PerCpuValue| match &value.value {
                Ok(value) => show(&value.content),
                Err(error) => error.clone(),
            };
            values.iter().map(one).collect::<Vec<_>>().join(" ")
        }
        Err(error) => format!("error: {error}"),
    }
}

fn show(content: &Content) -> String {
    match content {
        Content::Integer { value, .. } => value.to_string(),
        Content::Enumerator { value, name } => name.clone().unwrap_or(value.to_string()),
        Content::Pointer { target, symbol, .. } => symbol.clone().unwrap_or(target.to_string()),
        Content::Text(text) => format!("{text:?}"),
        Content::Truth(truth) => truth.to_string(),
        Content::Members(members) => format!("{} members", members.len()),
        other => format!("{other:?}"),
    }
}

#[test]
fn members_pointers_casts_and_arithmetic() {
    for (expression, value) in [
        ("init_task.comm", "\"swapper/0\""),
        ("init_task.pid + 2 * 3", "6"),
        ("task(151)->comm", "\"fstat/0\""),
        ("task(151)->mm == task(152)->mm", "1"),
        ("task(151).thread_info.cpu", "0"),
        ("((struct task_struct *)0xff2bd5afffe54180)->pid", "151"),
        ("(*(struct task_struct *)ff2bd5afffe54180).pid", "151"),
        ("*(int *)((char *)task(151) + offsetof(struct task_struct, pid))", "151"),
        ("container_of(&task(151)->tasks, struct task_struct, tasks)->pid", "151"),
        ("runqueues:3.curr->pid", "154"),
        ("runqueues.nr_running", "5 3 5 5"),
        ("per_cpu_ptr(&runqueues:0, 0) - &runqueues:0 != 0", "1"),
        ("sizeof(struct page)", "64"),
        ("sizeof(init_task.comm)", "16"),
        ("init_task.comm[0] == 0x73", "1"),
        ("&init_task", "init_task"),
        ("init_task.tasks.prev == 0", "0"),
        ("schedule", "schedule"),
        ("(u8)0x1ff", "255"),
        ("(int)0xffffffff", "-1"),
        ("(unsigned long)-1 >> 63", "1"),
        ("init_task.nr_cpus_allowed > 0", "1"),
        ("task(151)->sched_class", "fair_sched_class"),
        ("PG_locked", "0"),
        ("&task(151)->se.run_node - 0", "0xff2bd5afffe54210"),
    ] {
        assert_eq!(p(expression), value, "{expression}");
    }
}

#[test]
fn what_makes_no_sense_is_said() {
    for (expression, why) in [
        ("nothing_of_that_name", "there is no symbol or enumerator 'nothing_of_that_name'"),
        ("init_task.nothing", "struct task_struct has no member 'nothing'"),
        ("sizeof(struct nothing)", "this kernel has no type 'struct nothing'"),
        ("init_task.mm->pgd", "cannot follow the pointer 0x0"),
        ("1 / (init_task.pid)", "division by zero"),
        ("runqueues:99.curr", "the machine has no CPU 99"),
        ("task(99999)", "the machine has no task with pid 99999"),
        ("init_task + 1", "a value of type 'struct task_struct' is not a number"),
        ("*init_task", "a value of type 'struct task_struct' is not a pointer"),
        ("total_forks", "the type of 'total_forks' is not known"),
        ("5.pid", "has no member 'pid'"),
    ] {
        let answer = p(expression);
        assert!(answer.starts_with("error: ") && answer.contains(why), "{expression}: {answer}");
    }
}

#[test]
fn a_per_cpu_variable_is_that_of_the_cpus_that_are_named() {
    let each: Vec<String> = (0..4).map(|cpu| p(&format!("runqueues:{cpu}.nr_running"))).collect();
    for (text, cpus) in [
        ("runqueues.nr_running", &[0, 1, 2, 3][..]),
        ("runqueues:a.nr_running", &[0, 1, 2, 3]),
        ("runqueues:all.nr_running", &[0, 1, 2, 3]),
        ("runqueues:3,1.nr_running", &[3, 1]),
        ("runqueues:1-3->nr_running", &[1, 2, 3]),
    ] {
        let expected: Vec<_> = cpus.iter().map(|cpu: &usize| each[*cpu].as_str()).collect();
        assert_eq!(p(text), expected.join(" "), "{text}");
    }
    // A minus sign stays one, and so does the comma between arguments.
    assert_eq!(p("runqueues:3.cpu - runqueues:1.cpu"), "2");
    assert_eq!(p("per_cpu_ptr(&runqueues, 2)->cpu"), "2");
    assert!(p("runqueues:0-4.cpu").starts_with("error: the machine has no CPU 4"));
    let addresses = |text: &str| Expression::parse(text).unwrap().addresses(&KERNEL).unwrap();
    let one = |cpu: u32| Expression::parse(&format!("runqueues:{cpu}")).unwrap().address(&KERNEL).unwrap();
    assert_eq!(addresses("runqueues:2,0"), [(Some(2), one(2)), (Some(0), one(0))]);
    assert_eq!(addresses("runqueues:1"), [(None, one(1))]);
}

#[test]
fn every_struct_of_the_kernel_can_be_read_anywhere() {
    let names = KERNEL.vmlinux().types().type_names();
    assert!(names.len() > 5000, "{}", names.len());
    for name in names.iter().step_by(53) {
        let ty = find_type(&KERNEL, name).unwrap();
        let _ = layout(ty);
        for address in [TASK.get(), 0, u64::MAX - 3, 0xffff_ffff_af01_aa41] {
            let _ = read_value(&KERNEL, ty, VirtAddr::new(address));
        }
    }
}

#[test]
fn an_object_has_all_that_its_layout_has() {
    let task = find_type(&KERNEL, "task_struct").unwrap();
    let form = layout(task);
    let direct = form.members.iter().filter(|member| member.depth == 0).count();
    let Content::Members(members) = read_value(&KERNEL, task, TASK).content else { panic!("no struct") };
    assert_eq!(members.len(), direct);
    let pid = select(&KERNEL, task, TASK, "pid").unwrap();
    assert!(form.members.iter().any(|member| member.name.as_deref() == Some("pid") && member.offset == pid.offset));
    // A bit-field has its own width.
    let bit = select(&KERNEL, task, TASK, "sched_reset_on_fork").unwrap();
    assert_eq!((bit.bits, show(&bit.value.content)), (Some(1), "0".to_owned()));
}

#[test]
fn lists_and_trees_lead_to_the_same_tasks() {
    let offset = |path| KERNEL.vmlinux().types().member("task_struct", path).unwrap().offset;
    let init = KERNEL.symbol("init_task").unwrap();
    let options = |offset, limit| ListOptions { offset, reverse: false, end: None, limit };
    let forward = list(&KERNEL, ListStart::Object(init), options(offset("tasks"), 1000));
    let backward =
        list(&KERNEL, ListStart::Object(init), ListOptions { reverse: true, ..options(offset("tasks"), 1000) });
    assert_eq!((forward.problem.as_ref(), backward.problem.as_ref()), (None, None));
    let (first, rest) = forward.objects.split_first().unwrap();
    assert_eq!(first.0, init);
    assert_eq!(rest.iter().rev().collect::<Vec<_>>(), backward.objects.iter().skip(1).collect::<Vec<_>>());
    let few = list(&KERNEL, ListStart::Object(init), options(offset("tasks"), 5));
    assert_eq!(few.objects.len(), 5);
    assert!(few.problem.unwrap().contains("more than 5 objects"));
    let root = Expression::parse("&runqueues:3.cfs.tasks_timeline").unwrap().address(&KERNEL).unwrap();
    let queued = tree(&KERNEL, TreeKind::RedBlack, root, offset("se.run_node"), 100).unwrap();
    let names: Vec<_> =
        queued.objects.iter().map(|(task, _)| p(&format!("((struct task_struct *){task})->comm"))).collect();
    assert_eq!(names, ["\"kworker/3:2\"", "\"rcu_preempt\"", "\"splitter\""]);
}

#[test]
fn memory_is_read_and_searched() {
    let words = read_words(&KERNEL, Space::Kernel(TASK), 4, 8).unwrap();
    assert_eq!(words.words().next(), Some((TASK.get(), 8)));
    let found = search(&KERNEL, &Needle::Value { value: TASK.get(), mask: 0, width: 8 }, 3);
    assert_eq!((found.hits.len(), found.more), (3, true));
    for hit in found.hits {
        assert_eq!(
            read_words(&KERNEL, Space::Kernel(hit.address.unwrap()), 1, 8).unwrap().words().next().unwrap().1,
            TASK.get()
        );
    }
    assert!(read_words(&KERNEL, Space::Kernel(VirtAddr::new(0)), 1, 8).is_err());
    assert!(read_words(&KERNEL, Space::Kernel(TASK), u64::MAX, 8).is_err());
    assert_eq!(symbol_addresses(&KERNEL, "schedule").len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Nothing that can be written makes the evaluator panic.
    #[test]
    fn any_expression_has_an_answer_or_an_error(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("init_task"), Just("."), Just("->"), Just("comm"), Just("mm"), Just("*"), Just("&"), Just("("),
                Just(")"), Just("[3]"), Just("[-1]"), Just("(struct rq *)"), Just("runqueues"), Just(":1"), Just("+"),
                Just("-"), Just("/"), Just("%"), Just("<<"), Just("0"), Just("0xffffffffffffffff"), Just("se"),
                Just("sizeof("), Just("(u8)"), Just("cpus_mask"), Just("~"), Just("curr"), Just("parent"), Just("(void *)"),
            ],
            1..10,
        )
    ) {
        let _ = p(&parts.concat());
    }
}

/// The dump has only what its verdict rests on: of most lists it has nothing, and none may look as if that were all.
#[test]
fn lists_of_state_say_what_is_missing() {
    use vmcore_inspect::state::{self, State};
    use vmcore_kernel::{Detail, Snapshot};

    let snapshot = Snapshot::read(&KERNEL);
    let asleep: Vec<_> = (0..snapshot.tasks.len()).filter(|&index| !snapshot.tasks[index].on_cpu).collect();
    let stacks = snapshot.stacks(&KERNEL, &asleep, Detail::Symbols);
    let everybody = state::files(&KERNEL, &snapshot, &stacks, Some(&|_| true));
    let lists: [(&str, &dyn State); 9] = [
        ("timers", &state::timers(&KERNEL)),
        ("interrupts", &state::interrupts(&KERNEL, &snapshot)),
        ("workqueues", &state::workqueues(&KERNEL, &snapshot)),
        ("disks", &state::disks(&KERNEL)),
        ("mounts", &state::mounts(&KERNEL, &snapshot, &stacks)),
        ("network", &state::network(&KERNEL)),
        ("memory", &state::memory(&KERNEL, &snapshot)),
        ("swap", &state::swap(&KERNEL)),
        ("files", &everybody),
    ];
    for (name, list) in lists {
        assert!(!list.missing().is_empty(), "{name}: nothing is missing");
        let twice: std::collections::BTreeSet<_> = list.missing().iter().map(|gap| (&gap.what, &gap.why)).collect();
        assert_eq!(twice.len(), list.missing().len(), "{name}");
    }
    // What the dump does have, because the verdict rests on it: two tasks sleep for the page, in one wait queue.
    let locks = state::locks(&KERNEL, &snapshot, &stacks, state::SpunLocks::default());
    let pages: Vec<_> =
        locks.pages.found().iter().map(|wait| (wait.waiter.pid, wait.page.0, wait.bit.as_str())).collect();
    let page = 0xffb7_27ce_4013_0000;
    assert_eq!(pages, [(149, page, "PG_locked"), (150, page, "PG_locked")]);
    let waiters = state::waiters(&KERNEL, &snapshot, &stacks).waiters;
    let of_pages = waiters.found().iter().filter(|waiter| waiter.wakes_by.as_deref() == Some("wake_page_function"));
    let of_pages: Vec<_> = of_pages.map(|waiter| (waiter.waiter.as_ref().unwrap().pid, waiter.queue)).collect();
    assert_eq!(of_pages.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [149, 150]);
    assert_eq!(of_pages[0].1, of_pages[1].1);
    let queue = VirtAddr::new(of_pages[0].1.unwrap().0);
    let queue = state::wait_queue(&KERNEL, &snapshot, state::QueueKind::WaitQueue, queue);
    let inside: Vec<_> = queue.entries.found().iter().map(|entry| entry.waiter.as_ref().unwrap().pid).collect();
    assert_eq!((inside, queue.gaps.len()), (vec![149, 150], 0));
    let rcu = state::rcu(&KERNEL, &snapshot);
    let names: Vec<_> = rcu.cpus.found().iter().filter_map(|cpu| Some(cpu.current.as_ref()?.comm.as_str())).collect();
    assert_eq!(names, ["fstat/0", "fstat/1", "fstat/2", "fstat/3"]);
}

/// Any memory may be asked for as a queue.
#[test]
fn what_is_no_wait_queue_is_not_an_empty_one() {
    use vmcore_inspect::state::{QueueKind, State, wait_queue};
    use vmcore_kernel::Snapshot;

    let snapshot = Snapshot::read(&KERNEL);
    for kind in [QueueKind::WaitQueue, QueueKind::Simple] {
        for address in [TASK, VirtAddr::new(0), VirtAddr::new(u64::MAX - 7), VirtAddr::new(0x1234)] {
            let queue = wait_queue(&KERNEL, &snapshot, kind, address);
            assert!(!queue.missing().is_empty(), "{address}: {queue:?}");
        }
    }
}
