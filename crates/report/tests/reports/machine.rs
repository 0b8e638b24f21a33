//! A machine of two CPUs in the livelock: CPU 0 spins in a fault under a timer interrupt and an NMI while the splitter
//! waits for it, CPU 1 is idle. One task has a hostile name.

use std::sync::Arc;

use vmcore_diagnose::FaultingAddresses;
use vmcore_kernel::{
    Class, Cpu, Interrupt, Location, Policy, Queued, RunQueue, Segment, Snapshot, SourceFrame, Stack, StackEnd,
    StackFrame, SymbolName, Task, TaskState, Trust,
};
use vmcore_memory::{VirtAddr, arch::x86_64::Registers};

/// Clears the screen, turns the reading direction around and rings the bell.
pub(crate) const HOSTILE: &str = "\x1b[2J\u{202e}evil\x07";

pub(crate) const SPINNER: VirtAddr = VirtAddr::new(0xffff_8880_0010_0000);
pub(crate) const SPLITTER: VirtAddr = VirtAddr::new(0xffff_8880_0020_0000);

fn task(address: VirtAddr, pid: i32, comm: &str) -> Task {
    Task {
        address,
        pid,
        tgid: 143,
        ppid: Some(1),
        comm: comm.to_owned(),
        state: TaskState::default(),
        kernel_thread: false,
        cpu: 0,
        on_cpu: false,
        on_rq: 1,
        sleeps_queued: false,
        policy: Policy(0),
        prio: 120,
        mm: Some(VirtAddr::new(0xffff_8880_0bad_c000)),
        active_mm: None,
        stack: VirtAddr::new(0xffff_c900_0000_0000),
        last_arrival_ns: None,
        last_queued_ns: None,
        exec_start_ns: None,
        accounting: vmcore_kernel::Accounting::default(),
    }
}

fn idle(cpu: u32) -> Task {
    Task {
        tgid: 0,
        ppid: Some(0),
        kernel_thread: true,
        cpu,
        mm: None,
        ..task(VirtAddr::new(0xffff_8880_0000_0000 + u64::from(cpu) * 0x1_0000), 0, &format!("swapper/{cpu}"))
    }
}

fn run_queue(cpu: u32, current: &Task, queued: Vec<Queued>) -> Cpu {
    let queue = RunQueue {
        cpu,
        address: VirtAddr::new(0xffff_8880_7da0_0000 + u64::from(cpu) * 0x8_0000),
        current: current.address,
        idle: idle(cpu).address,
        clock_ns: 14_954_229_219,
        task_clock_ns: None,
        nr_running: queued.len() as u64 + u64::from(current.pid != 0),
        servers: 0,
        online: Some(true),
        queued,
    };
    Cpu { cpu, online: true, registers: None, run_queue: Some(queue) }
}

/// Tasks by index: the idle tasks of CPUs 0 and 1, the spinner, the splitter, one that sleeps and has the hostile name.
pub(crate) fn snapshot() -> Snapshot {
    let mut idle_tasks = [idle(0), idle(1)];
    idle_tasks[1].on_cpu = true;
    let [idle_0, idle_1] = idle_tasks;
    let spinner = Task { on_cpu: true, last_arrival_ns: Some(5_010_440_000), ..task(SPINNER, 146, "fstat/0") };
    let splitter = Task { last_queued_ns: Some(5_115_116_223), ..task(SPLITTER, 143, "splitter") };
    let sleeper = Task {
        cpu: 1,
        on_rq: 0,
        sleeps_queued: false,
        ppid: None,
        state: TaskState { state: 2, exit_state: 0 },
        policy: Policy(1),
        prio: 49,
        ..task(VirtAddr::new(0xffff_8880_0030_0000), 150, HOSTILE)
    };
    let stopper = Queued { task: VirtAddr::new(0xdead), class: Class::RealTime };
    let waiting = Queued { task: SPLITTER, class: Class::Fair };
    let cpus = vec![
        run_queue(0, &spinner, vec![stopper, waiting]),
        run_queue(1, &idle_1, Vec::new()),
        Cpu { cpu: 2, online: false, registers: None, run_queue: None },
    ];
    Snapshot::from_parts(vec![idle_0, idle_1, spinner, splitter, sleeper], cpus)
}

/// A frame in the image. `function` is `name+offset`.
fn frame(pc: u64, sp: u64, function: &str, segment: Segment, trust: Trust) -> StackFrame {
    let (name, offset) = function.split_once('+').unwrap();
    let symbol = SymbolName { name: name.to_owned(), offset: offset.parse().unwrap(), module: None };
    StackFrame {
        pc: VirtAddr::new(pc),
        sp: VirtAddr::new(sp),
        exact: trust == Trust::Context,
        trust,
        segment: Some(segment),
        location: Arc::new(Location { symbol: Some(symbol), source: Vec::new() }),
    }
}

fn with_source(frame: StackFrame, source: &[(&str, &str, u32)]) -> StackFrame {
    let source = source.iter().map(|(function, file, line)| SourceFrame {
        function: Some((*function).to_owned()),
        file: Some((*file).to_owned()),
        line: Some(*line),
    });
    let symbol = frame.location.symbol.clone();
    StackFrame { location: Arc::new(Location { symbol, source: source.collect() }), ..frame }
}

fn interrupt(frame: usize, address: u64, rip: u64, cs: u64, complete: bool) -> Interrupt {
    let registers = Registers {
        rip,
        cs,
        ss: if cs == 0x33 { 0x2b } else { 0x18 },
        rsp: address + 0xa8,
        eflags: 0x206,
        rdi: 0x7f3b_6460_31b1,
        rcx: 0x1f,
        orig_rax: u64::MAX,
        ..Registers::default()
    };
    Interrupt {
        frame,
        address: VirtAddr::new(address),
        registers: registers.into(),
        complete,
        orig_rax: complete.then_some(registers.orig_rax),
    }
}

/// The spinner's stack: an NMI on top of a page fault in a copy to user memory, in a system call.
fn spinner_stack() -> Stack {
    let copy = with_source(
        frame(
            0xffff_ffff_a89c_2e7a,
            0xffff_c900_0040_bb30,
            "copy_user_enhanced_fast_string+10",
            Segment::Task,
            Trust::Orc,
        ),
        &[("copy_user_enhanced_fast_string", "arch/x86/lib/copy_user_64.S", 166)],
    );
    let stat = with_source(
        frame(0xffff_ffff_a85a_29b1, 0xffff_c900_0040_bb38, "_copy_to_user+33", Segment::Task, Trust::Orc),
        &[
            ("copy_user_generic", "arch/x86/include/asm/uaccess_64.h", 37),
            ("raw_copy_to_user", "arch/x86/include/asm/uaccess_64.h", 58),
            ("_copy_to_user", "lib/usercopy.c", 34),
        ],
    );
    let frames = vec![
        frame(0xffff_ffff_a803_d023, 0xffff_fe00_0000_de38, "stop_this_cpu+99", Segment::Nmi, Trust::Context),
        frame(0xffff_ffff_a8c0_1680, 0xffff_fe00_0000_def8, "end_repeat_nmi+22", Segment::Nmi, Trust::Orc),
        frame(0xffff_ffff_a82c_278c, 0xffff_c900_0040_b9e0, "handle_mm_fault+92", Segment::Task, Trust::Orc),
        frame(0xffff_ffff_a8c0_0c02, 0xffff_c900_0040_ba88, "asm_exc_page_fault+34", Segment::Task, Trust::Orc),
        copy,
        stat,
        frame(
            0xffff_ffff_a8c0_0126,
            0xffff_c900_0040_bf58,
            "entry_SYSCALL_64_after_hwframe+110",
            Segment::Task,
            Trust::Orc,
        ),
    ];
    let interrupts = vec![
        interrupt(2, 0xffff_fe00_0000_df58, 0xffff_ffff_a82c_278c, 0x10, false),
        interrupt(4, 0xffff_c900_0040_ba88, 0xffff_ffff_a89c_2e7a, 0x10, true),
        interrupt(7, 0xffff_c900_0040_bf58, 0x44_7329, 0x33, true),
    ];
    Stack { task: 2, frames, interrupts, end: StackEnd::UserMode, error: None }
}

/// The splitter's stack, which cannot be followed to its end.
fn splitter_stack() -> Stack {
    let module = SymbolName { name: "hook\u{202e}".to_owned(), offset: 1, module: Some("lab\x1b[31m".to_owned()) };
    let scanned = frame(0xffff_ffff_c000_0001, 0xffff_c900_0003_f900, "x+0", Segment::Task, Trust::Scan);
    let nameless = frame(0xffff_ffff_c000_1000, 0xffff_c900_0003_f910, "x+0", Segment::Task, Trust::FramePointer);
    let frames = vec![
        frame(0xffff_ffff_a8a1_0e3d, 0xffff_c900_0003_f8b0, "__schedule+845", Segment::Task, Trust::Orc),
        StackFrame { location: Arc::new(Location { symbol: Some(module), source: Vec::new() }), ..scanned },
        StackFrame { location: Arc::default(), segment: None, ..nameless },
    ];
    let error = Some("stack word at 0xffffc9000003f918 cannot be read".to_owned());
    Stack { task: 3, frames, interrupts: Vec::new(), end: StackEnd::Truncated, error }
}

/// What the page fault on the spinner's stack was about.
pub(crate) fn faults() -> FaultingAddresses {
    FaultingAddresses::from_iter([(VirtAddr::new(0xffff_c900_0040_ba88), VirtAddr::new(0x7f3b_6460_31b1))])
}

pub(crate) fn stacks() -> Vec<Stack> {
    vec![spinner_stack(), splitter_stack()]
}
