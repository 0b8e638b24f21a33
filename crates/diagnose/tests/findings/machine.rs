//! A machine of two idle CPUs, to which tests add what is wrong.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, unreachable_pub, dead_code, reason = "test support")]

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use vmcore_diagnose::{Diagnosis, LogLine};
use vmcore_kernel::{
    AwaitedWork, Class, Found, GraceHoldout, GracePeriod, Interrupt, Location, Lock, LockKind, LockWait, LockWord,
    Owner, PanicInfo, Queued, Source, SymbolName, TaskState, Waiter, WorkWait,
};
use vmcore_memory::{VirtAddr, arch::x86_64::Registers};

use crate::support::*;

pub const SECOND: u64 = 1_000_000_000;
pub const LOCK_A: VirtAddr = VirtAddr::new(0xffff_8880_0900_0000);
pub const LOCK_B: VirtAddr = VirtAddr::new(0xffff_8880_0900_0100);
/// `mov 0x18(%rdi),%rax`
pub const NULL_READ: [u8; 4] = [0x48, 0x8b, 0x47, 0x18];

/// [`World`] with what is needed here.
pub struct Machine(World);

impl Deref for Machine {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0
    }
}

impl DerefMut for Machine {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0
    }
}

pub fn held_by(pid: i32) -> Owner {
    Owner::Task(task_address(pid))
}

pub fn read_by(count: u64, last: i32) -> Owner {
    Owner::Readers { count: Some(count), last: Some(task_address(last)) }
}

impl Machine {
    /// Both CPUs idle.
    pub fn new() -> Self {
        let mut world = World::livelock();
        world.tasks = (0..2).map(|cpu| vmcore_kernel::Task { address: idle(cpu), ..task(0, cpu) }).collect();
        for cpu in &mut world.cpus {
            let queue = cpu.run_queue.as_mut().unwrap();
            queue.current = idle(cpu.cpu);
            queue.idle = queue.current;
            queue.queued.clear();
        }
        world.running = (0..2)
            .map(|cpu: u32| (cpu, stack(cpu as usize, 0, &["default_idle", "do_idle", "cpu_startup_entry"])))
            .collect();
        world.waiting.clear();
        Self::late(world)
    }

    /// The machine of the livelock.
    pub fn livelock() -> Self {
        Self::late(World::livelock())
    }

    /// Three minutes after boot, so that a task can have been asleep for long.
    fn late(mut world: World) -> Self {
        const PASSED: u64 = NOW - CLOCK;
        for cpu in &mut world.cpus {
            cpu.run_queue.as_mut().unwrap().clock_ns = NOW;
        }
        for task in &mut world.tasks {
            task.last_arrival_ns = task.last_arrival_ns.map(|arrival| arrival + PASSED);
            task.last_queued_ns = task.last_queued_ns.map(|queued| if queued == 0 { 0 } else { queued + PASSED });
        }
        Self(world)
    }

    /// A task that has been sleeping uninterruptibly for so long.
    pub fn sleeper(&mut self, pid: i32, for_ns: u64) -> &mut Self {
        self.add(pid, TaskState { state: 2, exit_state: 0 }, NOW - for_ns);
        let index = self.0.tasks.len() - 1;
        self.0.blocked.push(stack(index, pid, &["__schedule", "schedule", "wait_for_something"]));
        self
    }

    /// A task that has been sleeping for so long so that any signal wakes it.
    pub fn interruptible(&mut self, pid: i32, for_ns: u64) -> &mut Self {
        self.asleep_in(pid, "wait_for_something");
        self.0.tasks.last_mut().unwrap().last_arrival_ns = Some(NOW - for_ns);
        self
    }

    /// A task that has been sleeping for so long so that a deadly signal wakes it.
    pub fn killable(&mut self, pid: i32, for_ns: u64) -> &mut Self {
        self.sleeper(pid, for_ns);
        self.0.tasks.last_mut().unwrap().state = TaskState { state: 0x102, exit_state: 0 };
        self
    }

    /// A task that sleeps interruptibly in this function.
    pub fn asleep_in(&mut self, pid: i32, function: &str) -> &mut Self {
        self.add(pid, TaskState { state: 1, exit_state: 0 }, NOW - SECOND);
        let index = self.0.tasks.len() - 1;
        self.0.state.owners.push(stack(index, pid, &["__schedule", "schedule", function]));
        self
    }

    /// This task has had the CPU for so long, in this kernel code; in user code where there is none.
    pub fn runs(&mut self, cpu: u32, pid: i32, functions: &[&str], for_ns: u64) -> &mut Self {
        let mut task = task(pid, cpu);
        task.last_arrival_ns = Some(NOW - for_ns);
        self.0.tasks.push(task);
        self.0.cpus[cpu as usize].run_queue.as_mut().unwrap().current = task_address(pid);
        self.0.running[cpu as usize] = (cpu, stack(self.0.tasks.len() - 1, pid, functions));
        self
    }

    /// The code of this frame was interrupted with these flags.
    pub fn interrupted(&mut self, cpu: u32, frame: usize, eflags: u64) {
        let registers = Registers { rip: CODE, cs: 0x10, eflags, ..Registers::default() };
        let address = VirtAddr::new(0xffff_c900_0005_0000);
        self.0.running[cpu as usize].1.interrupts.push(Interrupt {
            frame,
            address,
            registers: registers.into(),
            complete: true,
            orig_rax: Some(0),
        });
    }

    /// A task that has been waiting for this CPU for so long.
    pub fn queued(&mut self, pid: i32, cpu: u32, for_ns: u64) {
        let mut waiting = task(pid, cpu);
        waiting.on_cpu = false;
        waiting.last_queued_ns = Some(NOW - for_ns);
        self.0.tasks.push(waiting);
        let queue = self.0.cpus[cpu as usize].run_queue.as_mut().unwrap();
        queue.queued.push(Queued { task: task_address(pid), class: Class::Fair });
    }

    fn add(&mut self, pid: i32, state: TaskState, last_arrival: u64) {
        let mut task = task(pid, 0);
        task.state = state;
        task.on_cpu = false;
        task.on_rq = 0;
        task.last_arrival_ns = Some(last_arrival);
        self.0.tasks.push(task);
    }

    /// This task waits for a lock.
    pub fn waits(&mut self, pid: i32, kind: LockKind, lock: VirtAddr, owner: Owner) -> &mut Self {
        let waiter = Waiter { address: lock.wrapping_add(0x1000), task: task_address(pid) };
        self.0.state.lock_waits.push(LockWait {
            task: task_address(pid),
            kind,
            lock,
            shared: false,
            found: Found::OnStack {
                function: "__mutex_lock".to_owned(),
                waiter: waiter.address,
                names_task: Source { type_name: Some("mutex_waiter"), path: "task", address: waiter.address },
            },
        });
        let known = self.0.state.locks.iter_mut().find(|known| known.address == lock);
        match known {
            Some(known) => known.waiters.push(waiter),
            None => self.0.state.locks.push(Lock {
                kind,
                address: lock,
                owner,
                words: vec![LockWord { member: "owner.counter", value: 1, flags: vec!["MUTEX_FLAG_WAITERS"] }],
                waiters: vec![waiter],
            }),
        }
        self
    }

    /// This task waits for a work.
    pub fn waits_for_work(&mut self, pid: i32, work: AwaitedWork) -> &mut Self {
        self.0.state.work_waits.push(WorkWait {
            task: task_address(pid),
            names_task: Source {
                type_name: Some("wq_barrier"),
                path: "task",
                address: VirtAddr::new(0xffff_c900_0060_0000 + u64::from(pid.unsigned_abs()) * 0x4000),
            },
            function: "__flush_work".to_owned(),
            work,
        });
        self
    }

    pub fn log(&mut self, text: &str) {
        self.log_at(text, NOW);
    }

    /// As [`log`](Self::log), at this time.
    pub fn log_at(&mut self, text: &str, timestamp_ns: u64) {
        self.0.log.push(LogLine { timestamp_ns, caller: None, text: text.to_owned() });
    }

    /// The kernel panicked with this message on this CPU.
    pub fn panic(&mut self, message: &str, cpu: u32) {
        self.panic_at(message, cpu, NOW);
    }

    /// The machine ran on for so long.
    pub fn later(&mut self, ns: u64) {
        for queue in self.0.cpus.iter_mut().filter_map(|cpu| cpu.run_queue.as_mut()) {
            queue.clock_ns += ns;
        }
    }

    /// As [`panic`](Self::panic), at this time.
    pub fn panic_at(&mut self, message: &str, cpu: u32, timestamp_ns: u64) {
        self.log_at(message, timestamp_ns);
        self.0.state.panic = PanicInfo { message: Some(message.to_owned()), cpu: Some(cpu), pid: None };
    }

    /// Pid 20 on CPU 0 died of a page fault at this instruction, with RDI so.
    pub fn oops(&mut self, code: [u8; 4], rdi: u64) {
        let mut culprit = task(20, 0);
        culprit.last_arrival_ns = Some(NOW - 1_000_000);
        self.0.tasks.push(culprit);
        self.0.cpus[0].run_queue.as_mut().unwrap().current = task_address(20);
        let functions = [
            "panic",
            "oops_end",
            "page_fault_oops",
            "exc_page_fault",
            "asm_exc_page_fault",
            "read_value",
            "driver_write",
            "do_syscall_64",
        ];
        let mut stack = stack(self.0.tasks.len() - 1, 20, &functions);
        let symbol = SymbolName { name: "read_value".to_owned(), offset: 0x10, module: Some("driver".to_owned()) };
        stack.frames[5].location = Arc::new(Location { symbol: Some(symbol), source: Vec::new() });
        let registers = Registers { rip: CODE, cs: 0x10, rdi, ..Registers::default() };
        let address = VirtAddr::new(0xffff_c900_0005_0000);
        stack.interrupts.push(Interrupt {
            frame: 5,
            address,
            registers: registers.into(),
            complete: true,
            orig_rax: Some(0),
        });
        self.0.running[0] = (0, stack);
        let mut word = [0x90; 8];
        word[..4].copy_from_slice(&code);
        self.0.memory.words.insert(CODE, u64::from_le_bytes(word));
        self.log("BUG: kernel NULL pointer dereference, address: 0000000000000018");
        self.log("Oops: 0000 [#1] PREEMPT SMP NOPTI");
        self.log("CPU: 0 PID: 20 Comm: comm20 Tainted: G           OE     6.1.0 #1");
        self.log("RIP: 0010:read_value+0x10/0x20 [driver]");
        self.log("Call Trace:");
        self.log(" driver_write+0x10/0x20 [driver]");
        self.log("RIP: 0033:0x7f0000001000");
        self.panic("Kernel panic - not syncing: Fatal exception", 0);
    }

    pub fn judge(self) -> Diagnosis {
        self.0.judge()
    }
}

pub const NOW: u64 = 200 * SECOND;
/// Where the faulting instruction is: anywhere that can be read.
const CODE: u64 = 0xffff_c900_0080_0000;

fn idle(cpu: u32) -> VirtAddr {
    VirtAddr::new(0xffff_8880_0600_0000 + u64::from(cpu) * 0x2000)
}

/// The grace period of `rcu_preempt`, which has been running for so long and waits for nobody.
pub fn grace_period(age_ns: u64) -> GracePeriod {
    GracePeriod {
        name: Some("rcu_preempt".to_owned()),
        state: VirtAddr::new(0xffff_8880_0c00_1000),
        seq: 0x15,
        running: true,
        age_ns: Some(age_ns),
        cpus: Vec::new(),
        readers: Vec::new(),
        ender: None,
    }
}

/// That a grace period waits for CPU 1.
pub fn held_by_cpu_1() -> GraceHoldout {
    GraceHoldout { cpu: 1, node: VirtAddr::new(0xffff_8880_0c00_0000), qsmask: 2 }
}
