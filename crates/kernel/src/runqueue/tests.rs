use proptest::prelude::*;

use super::*;
use crate::test_memory::{TestMemory, damaged_memory};

const RQ: u64 = 0x10_0000;
const RT_QUEUE: u64 = 0x100;
const NR_RUNNING: u64 = 0x24;
const DONOR: u64 = 0x2000;
/// Tasks; the first one runs.
const TASKS: [u64; 7] = [0x20_0000, 0x21_0000, 0x22_0000, 0x23_0000, 0x24_0000, 0x25_0000, 0x26_0000];
const FAIR_NODE: u64 = 0xb0;
const RT_NODE: u64 = 0xc8;
const DL_NODE: u64 = 0xd8;
/// `rq.fair_server.rb_node`.
const SERVER: u64 = 0x900;
const EXT_LIST: u64 = 0x800;
const EXT_NODE: u64 = 0xf0;
/// In a `cfs_rq`: the second tree and the list of some vendors' kernels; the node of the latter in an entity.
const LOW_ROOT: u64 = 0x1000;
const EXPELLED: u64 = 0x1010;
const EXPEL_NODE: u64 = 0x28;
/// The entity of a task group, and the queue that it owns.
const GROUP: u64 = 0x30_0000;
const GROUP_QUEUE: u64 = 0x31_0000;
/// The same of the real-time class: addresses of the kernel's half.
const RT_GROUP: u64 = 0xffff_8880_0030_0000;
const RT_GROUP_QUEUE: u64 = 0xffff_8880_0031_0000;

fn layout() -> RunQueueLayout {
    let word = |offset| Field { offset, size: 8 };
    RunQueueLayout {
        curr: word(0),
        idle: word(8),
        stop: Some(word(0x10)),
        clock: word(0x18),
        task_clock: None,
        nr_running: Field { offset: NR_RUNNING, size: 4 },
        online: None,
        donor: Some(word(DONOR)),
        // In the CPU's own, `tasks_timeline` is at 0x28 and `curr` at 0x40.
        fair: FairLayout {
            queue: Field { offset: 0x20, size: 0x40 },
            root: word(0x8),
            current: Some(word(0x20)),
            low_root: None,
            expelled: None,
        },
        rt_queue: Some(Field { offset: RT_QUEUE, size: 1600 }),
        rt_group: Some(RealTimeGroup {
            node: Field { offset: 0, size: 16 },
            queue: word(0x38),
            lists: Field { offset: 0x40, size: 1600 },
        }),
        dl_root: Some(word(0x30)),
        dl_servers: vec![word(SERVER)],
        ext_list: Some(Field { offset: EXT_LIST, size: 16 }),
    }
}

/// An empty run queue whose CPU runs the first task.
fn empty() -> TestMemory {
    let mut memory = TestMemory::default();
    memory.put_u64(RQ, TASKS[0]);
    memory.put_u64(RQ + 8, 0x1_0000);
    memory.put_u64(RQ + 0x18, 20_000_000_000);
    memory.put_u32(RQ + NR_RUNNING, 1);
    for priority in 0..real_time::PRIORITIES {
        link(&mut memory, &[RQ + RT_QUEUE + priority * 16]);
    }
    link(&mut memory, &[RQ + EXT_LIST]);
    for task in TASKS {
        memory.put(task, &[0; 0x100]);
        memory.put_u32(task + 0x5c, 1);
    }
    memory
}

/// Links `list_head`s to a circle.
fn link(memory: &mut TestMemory, heads: &[u64]) {
    for (index, &head) in heads.iter().enumerate() {
        let next = heads[(index + 1) % heads.len()];
        memory.put_u64(head, next);
        memory.put_u64(next + 8, head);
    }
}

/// Writes an `rb_node` and gives its address.
fn node(memory: &mut TestMemory, at: u64, left: u64, right: u64) -> u64 {
    memory.put_u64(at + 8, right);
    memory.put_u64(at + 16, left);
    at
}

fn read(memory: &TestMemory) -> (RunQueue, Vec<Gap>) {
    read_with(memory, layout())
}

fn read_with(memory: &TestMemory, layout: RunQueueLayout) -> (RunQueue, Vec<Gap>) {
    let tasks = (0..).zip(TASKS).map(|(index, task)| (VirtAddr::new(task), index)).collect();
    let task_layout = TaskLayout::for_tests();
    let reader = RunQueueReader {
        memory,
        layout: &layout,
        task_layout: &task_layout,
        tasks: &tasks,
        nodes: NodesLeft::default(),
    };
    let mut gaps = Vec::new();
    let queue = reader.read(3, VirtAddr::new(RQ), &mut gaps).unwrap();
    (queue, gaps)
}

/// Who waits: index of the task and class.
fn queued(memory: &TestMemory) -> Vec<(usize, Class)> {
    queued_with(memory, layout())
}

fn queued_with(memory: &TestMemory, layout: RunQueueLayout) -> Vec<(usize, Class)> {
    let (queue, gaps) = read_with(memory, layout);
    assert_eq!(gaps, []);
    let index = |task: VirtAddr| TASKS.iter().position(|&known| known == task.get()).unwrap();
    queue.queued.iter().map(|queued| (index(queued.task), queued.class)).collect()
}

#[test]
fn an_idle_cpu() {
    let (queue, gaps) = read(&empty());
    assert_eq!(gaps, []);
    assert_eq!((queue.cpu, queue.address.get(), queue.current.get(), queue.idle.get()), (3, RQ, TASKS[0], 0x1_0000));
    assert_eq!((queue.clock_ns, queue.nr_running), (20_000_000_000, 1));
    assert!(queue.queued.is_empty());
}

#[test]
fn tasks_of_a_bpf_scheduler() {
    let mut memory = empty();
    // The current task is in the list, too.
    link(&mut memory, &[RQ + EXT_LIST, TASKS[4] + EXT_NODE, TASKS[0] + EXT_NODE, TASKS[2] + EXT_NODE]);
    assert_eq!(queued(&memory), [(4, Class::Ext), (2, Class::Ext)]);
    // Never set up.
    memory.put_u64(RQ + EXT_LIST, 0);
    assert_eq!(queued(&memory), []);
}

#[test]
fn queues_that_share_their_nodes_are_bounded_together() {
    let mut memory = empty();
    link(&mut memory, &[RQ + RT_QUEUE, TASKS[1] + RT_NODE, TASKS[2] + RT_NODE]);
    let tasks = (0..).zip(TASKS).map(|(index, task)| (VirtAddr::new(task), index)).collect();
    let (layout, task_layout) = (layout(), TaskLayout::for_tests());
    let nodes = NodesLeft(Cell::new(5));
    let reader = RunQueueReader { memory: &memory, layout: &layout, task_layout: &task_layout, tasks: &tasks, nodes };
    // A small dump can give each of 8192 CPUs the same 131072 nodes: that took minutes and gigabytes.
    let found = [0, 1, 2, 3].map(|cpu| {
        let mut gaps = Vec::new();
        let queue = reader.read(cpu, VirtAddr::new(RQ), &mut gaps).unwrap();
        (queue.queued.len(), gaps.len())
    });
    assert_eq!(found, [(2, 0), (2, 0), (1, 1), (0, 1)]);
}

#[test]
fn classes_in_the_order_in_which_they_run() {
    let mut memory = empty();
    // The stop task, then deadline, then real-time by priority, then fair. CFS keeps the current task out of its tree,
    // real-time keeps it in its list.
    memory.put_u64(RQ + 0x10, TASKS[1]);
    let deadline = node(&mut memory, TASKS[2] + DL_NODE, 0, 0);
    memory.put_u64(RQ + 0x30, deadline);
    link(&mut memory, &[RQ + RT_QUEUE + 50 * 16, TASKS[3] + RT_NODE]);
    link(&mut memory, &[RQ + RT_QUEUE + 10 * 16, TASKS[0] + RT_NODE, TASKS[4] + RT_NODE]);
    let left = node(&mut memory, TASKS[5] + FAIR_NODE, 0, 0);
    let root = node(&mut memory, TASKS[6] + FAIR_NODE, left, 0);
    memory.put_u64(RQ + 0x28, root);
    let expected = [
        (1, Class::Stop),
        (2, Class::Deadline),
        (4, Class::RealTime),
        (3, Class::RealTime),
        (5, Class::Fair),
        (6, Class::Fair),
    ];
    assert_eq!(queued(&memory), expected);
}

#[test]
fn a_deadline_server_is_counted_and_no_task() {
    let mut memory = empty();
    let task = node(&mut memory, TASKS[2] + DL_NODE, 0, 0);
    let root = node(&mut memory, RQ + SERVER, task, 0);
    memory.put_u64(RQ + 0x30, root);
    let (queue, gaps) = read(&memory);
    assert_eq!(queue.queued, [Queued { task: VirtAddr::new(TASKS[2]), class: Class::Deadline }]);
    assert_eq!((queue.servers, gaps.len()), (1, 0));
    // One that does not wait is in no tree.
    memory.put_u64(RQ + 0x30, task);
    assert_eq!(read(&memory).0.servers, 0);
}

#[test]
fn a_stop_task_that_sleeps_does_not_wait() {
    let mut memory = empty();
    memory.put_u64(RQ + 0x10, TASKS[1]);
    memory.put_u32(TASKS[1] + 0x5c, 0);
    assert_eq!(queued(&memory), []);
}

#[test]
fn tasks_of_a_group_are_found_in_its_queue() {
    let mut memory = empty();
    let group = node(&mut memory, GROUP, 0, TASKS[2] + FAIR_NODE);
    node(&mut memory, TASKS[2] + FAIR_NODE, 0, 0);
    memory.put_u64(RQ + 0x28, group);
    memory.put_u64(GROUP + 0x40, GROUP_QUEUE);
    let inside = node(&mut memory, TASKS[1] + FAIR_NODE, 0, 0);
    memory.put_u64(GROUP_QUEUE + 8, inside);
    assert_eq!(queued(&memory), [(1, Class::Fair), (2, Class::Fair)]);
}

/// The lists of a real-time group, all empty, and the group itself in the queue of the CPU.
fn with_real_time_group() -> TestMemory {
    let mut memory = empty();
    for priority in 0..real_time::PRIORITIES {
        link(&mut memory, &[RT_GROUP_QUEUE + 0x40 + priority * 16]);
    }
    link(&mut memory, &[RQ + RT_QUEUE + 49 * 16, RT_GROUP, TASKS[3] + RT_NODE]);
    memory.put_u64(RT_GROUP + 0x38, RT_GROUP_QUEUE);
    memory
}

#[test]
fn real_time_tasks_of_a_group_are_found_in_its_queue() {
    let mut memory = with_real_time_group();
    link(&mut memory, &[RT_GROUP_QUEUE + 0x40 + 49 * 16, TASKS[1] + RT_NODE]);
    link(&mut memory, &[RT_GROUP_QUEUE + 0x40 + 60 * 16, TASKS[2] + RT_NODE]);
    assert_eq!(queued(&memory), [(1, Class::RealTime), (2, Class::RealTime), (3, Class::RealTime)]);
}

#[test]
fn real_time_groups_that_contain_themselves_end() {
    let mut memory = with_real_time_group();
    link(&mut memory, &[RT_GROUP_QUEUE + 0x40, TASKS[1] + RT_NODE, RT_GROUP + 0x100]);
    memory.put_u64(RT_GROUP + 0x138, RT_GROUP_QUEUE);
    let (queue, gaps) = read(&memory);
    let found: Vec<_> = queue.queued.iter().map(|queued| queued.task.get()).collect();
    assert_eq!(found, [TASKS[1], TASKS[3]]);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
}

#[test]
fn a_task_that_exits_is_on_no_list_but_in_the_queue() {
    const EXITING: u64 = 0x40_0000;
    let mut memory = empty();
    let root = node(&mut memory, EXITING + FAIR_NODE, 0, 0);
    memory.put_u64(RQ + 0x28, root);
    memory.put(EXITING, &[0; 0x100]);
    node(&mut memory, EXITING + FAIR_NODE, 0, 0);
    memory.put_u32(EXITING + 0x54, 3);
    memory.put_u32(EXITING + 0x5c, 1);
    let found = |memory: &TestMemory| read(memory).0.queued;
    assert_eq!(found(&memory), [Queued { task: VirtAddr::new(EXITING), class: Class::Fair }]);
    memory.put_u64(RQ + 0x28, 0);
    link(&mut memory, &[RQ + RT_QUEUE + 98 * 16, EXITING + RT_NODE]);
    assert_eq!(found(&memory), [Queued { task: VirtAddr::new(EXITING), class: Class::RealTime }]);
    // What does not say that it waits here is no task.
    memory.put_u32(EXITING + 0x54, 2);
    assert_eq!(found(&memory), []);
}

/// While a task of a group runs, the group's entity is in no tree: the others of the group are behind `cfs_rq.curr`.
#[test]
fn tasks_of_the_current_tasks_group_are_found() {
    let mut memory = empty();
    let (inner, inner_queue) = (GROUP + 0x1000, GROUP_QUEUE + 0x1000);
    // The task that runs is in a group within a group.
    memory.put_u64(RQ + 0x40, GROUP);
    memory.put_u64(GROUP + 0x40, GROUP_QUEUE);
    memory.put_u64(GROUP_QUEUE + 0x8, 0);
    memory.put_u64(GROUP_QUEUE + 0x20, inner);
    memory.put_u64(inner + 0x40, inner_queue);
    let waits = node(&mut memory, TASKS[2] + FAIR_NODE, 0, 0);
    memory.put_u64(inner_queue + 0x8, waits);
    memory.put_u64(inner_queue + 0x20, TASKS[0] + FAIR_NODE);
    memory.put_u64(RQ + 0x28, 0);
    let (queue, gaps) = read(&memory);
    assert_eq!(queue.queued, [Queued { task: VirtAddr::new(TASKS[2]), class: Class::Fair }]);
    assert_eq!(gaps, []);
}

#[test]
fn groups_that_contain_one_another_end() {
    let mut memory = empty();
    // Two groups in one tree that both own this very tree.
    let group = node(&mut memory, GROUP, 0, GROUP + 0x100);
    node(&mut memory, GROUP + 0x100, 0, TASKS[1] + FAIR_NODE);
    node(&mut memory, TASKS[1] + FAIR_NODE, 0, 0);
    memory.put_u64(RQ + 0x28, group);
    memory.put_u64(GROUP + 0x40, GROUP_QUEUE);
    memory.put_u64(GROUP + 0x140, GROUP_QUEUE);
    memory.put_u64(GROUP_QUEUE + 8, group);
    let (queue, gaps) = read(&memory);
    assert!(queue.queued.iter().all(|queued| queued.task.get() == TASKS[1]));
    let reasons: Vec<_> = gaps.iter().map(|gap| gap.why.as_str()).collect();
    assert_eq!(reasons, ["task groups lead back to one another"; 3]);
}

#[test]
fn a_broken_list_costs_no_other_class() {
    let mut memory = empty();
    let root = node(&mut memory, TASKS[5] + FAIR_NODE, 0, 0);
    memory.put_u64(RQ + 0x28, root);
    memory.put_u64(RQ + 0x30, 0xdead_0000);
    memory.put_u64(RQ + RT_QUEUE, 0xdead_0000);
    let (queue, gaps) = read(&memory);
    assert_eq!(queue.queued, [Queued { task: VirtAddr::new(TASKS[5]), class: Class::Fair }]);
    assert_eq!(gaps.len(), 2, "{gaps:?}");
}

#[test]
fn times_by_the_queues_own_clock() {
    let mut memory = empty();
    memory.put_u64(TASKS[1] + 0x88, 18_500_000_000);
    memory.put_u64(TASKS[1] + 0x90, 0);
    let task = TaskLayout::for_tests().read(&memory, VirtAddr::new(TASKS[1])).unwrap();
    let (queue, _) = read(&memory);
    assert_eq!(queue.running_ns(&task), Some(1_500_000_000));
    assert_eq!(queue.waiting_ns(&task), None, "it does not wait");
    let ahead = RunQueue { clock_ns: 1, ..queue };
    assert_eq!(ahead.running_ns(&task), None, "a clock that has not got there");
}

/// A vendor's kernel keeps entities of low rank in a tree of their own, and who may not run beside others in a list.
#[test]
fn tasks_in_a_vendors_own_queues_are_found() {
    let mut memory = empty();
    let cfs = RQ + 0x20;
    let root = node(&mut memory, TASKS[2] + FAIR_NODE, 0, 0);
    memory.put_u64(RQ + 0x28, root);
    let low = node(&mut memory, TASKS[4] + FAIR_NODE, 0, 0);
    memory.put_u64(cfs + LOW_ROOT, low);
    // One of these is still in its tree.
    link(&mut memory, &[cfs + EXPELLED, TASKS[5] + FAIR_NODE + EXPEL_NODE, TASKS[2] + FAIR_NODE + EXPEL_NODE]);
    let mut layout = layout();
    layout.fair.low_root = Some(Field { offset: LOW_ROOT, size: 8 });
    layout.fair.expelled = Some((Field { offset: EXPELLED, size: 16 }, Field { offset: EXPEL_NODE, size: 16 }));
    assert_eq!(queued_with(&memory, layout), [(2, Class::Fair), (4, Class::Fair), (5, Class::Fair)]);
}

#[test]
fn what_is_counted_and_in_no_known_queue_is_a_gap() {
    let mut memory = empty();
    let root = node(&mut memory, TASKS[2] + FAIR_NODE, 0, 0);
    memory.put_u64(RQ + 0x28, root);
    memory.put_u32(RQ + NR_RUNNING, 2);
    assert_eq!(read(&memory).1, []);
    memory.put_u32(RQ + NR_RUNNING, 4);
    let gaps: Vec<_> = read(&memory).1.iter().map(ToString::to_string).collect();
    let known = "run queue of CPU 3: rq.nr_running counts 2 more than were found in the queues that are known";
    assert_eq!(gaps, [known]);
    // Whose rank the CPU runs by is counted and in no tree.
    memory.put_u64(RQ + DONOR, TASKS[3]);
    assert!(read(&memory).1[0].to_string().contains("counts 1 more"));
}

proptest! {
    #[test]
    fn any_memory_gives_tasks_only(memory in damaged_memory(RQ..RQ + 0x2000)) {
        let tasks = (0..0x40).map(|index| (VirtAddr::new(RQ + 0x80 * index as u64), index)).collect();
        let (layout, task_layout) = (layout(), TaskLayout::for_tests());
        let reader = RunQueueReader { memory: &memory, layout: &layout, task_layout: &task_layout, tasks: &tasks, nodes: NodesLeft::default() };
        if let Ok(queue) = reader.read(0, VirtAddr::new(RQ), &mut Vec::new()) {
            let waits = |task| task_layout.read(&memory, task).is_ok_and(|task| task.on_rq == 1 && task.cpu == 0);
            prop_assert!(queue.queued.iter().all(|queued| tasks.contains_key(&queued.task) || waits(queued.task)));
        }
    }
}
