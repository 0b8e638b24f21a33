//! A machine built by hand: two CPUs, a spinner on each, and the splitter of their page queued on CPU 1. Tests change one
//! thing and look at the verdict.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, unreachable_pub, dead_code, reason = "test support")]

use std::collections::HashMap;
use std::sync::Arc;

use vmcore_diagnose::{
    Derived, Diagnosis, Evidence, Facts, KernelPreemption, KernelState, LogLine, Options, Preemption, Reader, judge,
};
use vmcore_kernel::paging::{Entry, Outcome, Step, SwapFields, SwapLayout, Walk};
use vmcore_kernel::{
    Accounting, Class, Cpu, CpuRegisters, Gap, Interrupt, Location, Page, Policy, PreemptCount, Queued, RegisterSource,
    RunQueue, Segment, Snapshot, Source, Stack, StackEnd, StackFrame, SymbolName, Task, TaskState, Trust,
};
use vmcore_memory::{PageLevel, Pfn, PhysAddr, ReadError, VirtAddr, arch::x86_64::Registers};

pub const CLOCK: u64 = 30_000_000_000;
pub const MM: VirtAddr = VirtAddr::new(0xffff_8880_0100_0000);
pub const OTHER_MM: VirtAddr = VirtAddr::new(0xffff_8880_0200_0000);
pub const SPINNER: [i32; 2] = [101, 102];
pub const SPLITTER: i32 = 100;
/// Where spinner `n` faults: in 4 KiB page `n + 3` of the huge page.
pub const FAULT: [u64; 2] = [0x7f00_0060_3140, 0x7f00_0060_4140];
const HUGE_START: u64 = 0x7f00_0060_0000;
const HEAD_PFN: u64 = 0x4200;
const VMEMMAP: u64 = 0xffff_ea00_0000_0000;
const USER_CODE: u64 = 0x40_1000;
const COPY: u64 = 0xffff_ffff_8180_0010;
const STACKS: u64 = 0xffff_c900_0000_0000;
pub const LOCKED: u64 = 1;

pub const SWAP: SwapLayout = SwapLayout {
    fields: Some(SwapFields::X86_64),
    max_swapfiles: Some(25),
    hwpoison: true,
    read_exclusive: true,
    pfn_bits: 40,
};

pub struct World {
    pub tasks: Vec<Task>,
    pub cpus: Vec<Cpu>,
    pub running: Vec<(u32, Stack)>,
    pub waiting: Vec<Stack>,
    pub blocked: Vec<Stack>,
    pub memory: Memory,
    pub preemption: KernelPreemption,
    pub log: Vec<LogLine>,
    pub blind_spots: Vec<String>,
    pub incomplete: Option<String>,
    pub state: KernelState,
    pub gaps: Vec<Gap>,
}

/// Page tables, pages, code and stack words.
#[derive(Default)]
pub struct Memory {
    /// The deciding entry of a page of `MM`.
    pub entries: HashMap<u64, (PageLevel, u64)>,
    pub pages: HashMap<VirtAddr, Page>,
    pub words: HashMap<u64, u64>,
    pub no_code: bool,
    pub no_page_flags: bool,
    /// The user code that faults can be read.
    pub user_code: bool,
    /// It is not known which swap types are devices.
    pub no_swap_types: bool,
    /// Highest bit clear: the scheduler asks for the CPU.
    pub preempt_count: Option<PreemptCount>,
}

impl Reader for Memory {
    fn walk_user(&self, mm: VirtAddr, address: VirtAddr) -> Result<Walk, ReadError> {
        let table = PhysAddr::new(0x10_0000);
        let (level, raw) = match self.entries.get(&(address.get() & !0xfff)) {
            Some(entry) if mm == MM => *entry,
            _ => {
                let missing = ReadError::NotInDump { address: table };
                return Ok(Walk { address, steps: Vec::new(), outcome: Outcome::Unreadable(PageLevel::Pgd, missing) });
            }
        };
        let entry = Entry::new(raw);
        let swap = if self.no_swap_types { SwapLayout { max_swapfiles: None, ..SWAP } } else { SWAP };
        let step = Step { level, entry_address: table, entry, meaning: entry.meaning(level, &swap) };
        let outcome = if raw & 1 != 0 { Outcome::Mapped(table) } else { Outcome::NotMapped };
        Ok(Walk { address, steps: vec![step], outcome })
    }

    fn page_address(&self, pfn: Pfn) -> Option<VirtAddr> {
        Some(page_address(pfn.get()))
    }

    fn page(&self, address: VirtAddr) -> Result<Page, ReadError> {
        self.pages.get(&address).cloned().ok_or(ReadError::NonCanonical { address })
    }

    fn knows_page_flag(&self, _: &str) -> bool {
        !self.no_page_flags
    }

    fn member(&self, object: VirtAddr, type_name: &'static str, path: &'static str) -> Option<Source> {
        Some(Source { type_name: Some(type_name), path, address: object })
    }

    fn preempt_count(&self, cpu: u32) -> Option<(Source, PreemptCount)> {
        let address = VirtAddr::new(0xffff_8880_0700_0000 + u64::from(cpu) * 8);
        Some((Source { type_name: None, path: "__preempt_count", address }, self.preempt_count?))
    }

    fn read_user(&self, mm: VirtAddr, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        if !self.user_code || mm != MM || address.get() != USER_CODE {
            return Err(ReadError::NonCanonical { address });
        }
        // mov (%rdi),%rax
        buf.fill(0x90);
        buf[..3].copy_from_slice(&[0x48, 0x8b, 0x07]);
        Ok(())
    }

    fn read(&self, address: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        if address.get() == COPY && !self.no_code {
            // rep movsb
            buf.fill(0x90);
            buf[..2].copy_from_slice(&[0xf3, 0xa4]);
            return Ok(());
        }
        if address.get() < STACKS || address.get() > STACKS + 0x100_0000 {
            return Err(ReadError::NonCanonical { address });
        }
        for (index, byte) in buf.iter_mut().enumerate() {
            let at = address.get() + index as u64;
            *byte = self.words.get(&(at & !7)).copied().unwrap_or_default().to_le_bytes()[(at & 7) as usize];
        }
        Ok(())
    }
}

pub fn page_address(pfn: u64) -> VirtAddr {
    VirtAddr::new(VMEMMAP + pfn * 64)
}

/// A write-migration entry for a frame.
pub fn migration_entry(pfn: u64) -> u64 {
    28 << 59 | (!pfn << 14) >> 5
}

pub fn page(pfn: u64, flags: u64, head: Option<u64>) -> Page {
    let mut flag_names = Vec::new();
    if flags & LOCKED != 0 {
        flag_names.push("PG_locked");
    }
    if head.is_none() {
        flag_names.push("PG_head");
    }
    Page {
        address: page_address(pfn),
        pfn: Some(Pfn::new(pfn)),
        flags,
        flag_names,
        refcount: if head.is_some() { 0 } else { 2 },
        mapcount: Some(-1),
        mapping: Some(0xffff_8880_0300_0001),
        compound_head_raw: head.map_or(0, |head| page_address(head).get() | 1),
        head: head.map(page_address),
    }
}

pub fn task(pid: i32, cpu: u32) -> Task {
    Task {
        address: task_address(pid),
        pid,
        tgid: pid,
        ppid: Some(1),
        comm: format!("comm{pid}"),
        state: TaskState::default(),
        kernel_thread: false,
        cpu,
        on_cpu: true,
        on_rq: 1,
        sleeps_queued: false,
        policy: Policy(0),
        prio: 120,
        mm: Some(MM),
        active_mm: Some(MM),
        stack: stack_address(pid),
        last_arrival_ns: Some(CLOCK - 10_000_000_000),
        last_queued_ns: Some(0),
        exec_start_ns: None,
        // As of real spinners: 50 000 faults in a second.
        accounting: Accounting {
            minor_faults: Some(500_000),
            user_ns: Some(8_000_000),
            system_ns: Some(9_900_000_000),
        },
    }
}

pub fn task_address(pid: i32) -> VirtAddr {
    VirtAddr::new(0xffff_8880_0400_0000 + pid as u64 * 0x2000)
}

fn stack_address(pid: i32) -> VirtAddr {
    VirtAddr::new(STACKS + pid as u64 * 0x4000)
}

/// A stack of these functions, innermost first, 64 bytes each.
pub fn stack(index: usize, pid: i32, functions: &[&str]) -> Stack {
    let frame = |(depth, name): (usize, &&str)| StackFrame {
        pc: VirtAddr::new(0xffff_ffff_8100_0000 + depth as u64 * 0x100),
        sp: stack_address(pid).wrapping_add(0x3000 + depth as u64 * 64),
        exact: depth == 0,
        trust: if depth == 0 { Trust::Context } else { Trust::Orc },
        segment: Some(Segment::Task),
        location: Arc::new(Location {
            symbol: Some(SymbolName { name: (*name).to_owned(), offset: 0x10, module: None }),
            source: Vec::new(),
        }),
    };
    Stack {
        task: index,
        frames: functions.iter().enumerate().map(frame).collect(),
        interrupts: Vec::new(),
        end: StackEnd::UserMode,
        error: None,
    }
}

/// The stack of a CPU that was caught in a page fault of a copy to `address`.
pub fn faulting_stack(index: usize, pid: i32, address: u64) -> Stack {
    faulting_stack_in(index, pid, address, "handle_mm_fault")
}

/// The stack of a CPU whose user code took a page fault at `address`.
pub fn user_faulting_stack(index: usize, pid: i32, address: u64) -> Stack {
    let functions = ["handle_mm_fault", "do_user_addr_fault", "exc_page_fault", "asm_exc_page_fault"];
    let mut stack = stack(index, pid, &functions);
    let registers = Registers { rip: USER_CODE, cs: 0x33, eflags: 0x246, rdi: address, ..Registers::default() };
    stack.interrupts.push(Interrupt {
        frame: 4,
        address: stack_address(pid).wrapping_add(0x3100),
        registers: registers.into(),
        complete: true,
        orig_rax: Some(6),
    });
    stack
}

/// Says what the interrupted code's flags were.
pub fn set_flags(interrupt: &mut Interrupt, eflags: u64) {
    let registers = *interrupt.registers.x86_64().unwrap();
    interrupt.registers = Registers { eflags, ..registers }.into();
}

/// The same, caught in `innermost` within the fault.
pub fn faulting_stack_in(index: usize, pid: i32, address: u64, innermost: &str) -> Stack {
    let functions = [
        innermost,
        "do_user_addr_fault",
        "exc_page_fault",
        "asm_exc_page_fault",
        "copy_user_enhanced_fast_string",
        "_copy_to_user",
        "cp_new_stat",
        "__do_sys_newfstat",
        "do_syscall_64",
        "entry_SYSCALL_64_after_hwframe",
    ];
    let mut stack = stack(index, pid, &functions);
    // Interrupts are on.
    let eflags = 0x246;
    let registers =
        Registers { rip: COPY, cs: 0x10, eflags, rdi: address, rsi: 0xffff_c900_0000_1000, ..Registers::default() };
    stack.interrupts.push(Interrupt {
        frame: 4,
        address: stack_address(pid).wrapping_add(0x3100),
        registers: registers.into(),
        complete: true,
        orig_rax: Some(0),
    });
    stack
}

impl World {
    /// The livelock, with every link in place.
    pub fn livelock() -> Self {
        let mut tasks = vec![task(SPINNER[0], 0), task(SPINNER[1], 1)];
        let splitter = Task {
            on_cpu: false,
            last_arrival_ns: Some(CLOCK - 11_000_000_000),
            last_queued_ns: Some(CLOCK - 4_000_000_000),
            exec_start_ns: Some(CLOCK - 4_000_000_000),
            ..task(SPLITTER, 1)
        };
        tasks.push(splitter);
        let cpus = (0..2).map(|cpu| Cpu {
            cpu,
            online: true,
            registers: Some(CpuRegisters { registers: Registers::default().into(), source: RegisterSource::GsBase }),
            run_queue: Some(RunQueue {
                cpu,
                address: VirtAddr::new(0xffff_8880_0500_0000 + u64::from(cpu) * 0x10000),
                current: task_address(SPINNER[cpu as usize]),
                idle: VirtAddr::new(0xffff_8880_0600_0000),
                clock_ns: CLOCK,
                task_clock_ns: Some(CLOCK),
                nr_running: 1 + u64::from(cpu),
                servers: 0,
                online: Some(true),
                queued: Vec::new(),
            }),
        });
        let mut cpus: Vec<_> = cpus.collect();
        cpus[1].run_queue.as_mut().unwrap().queued = vec![Queued { task: task_address(SPLITTER), class: Class::Fair }];
        let splitting = [
            "__schedule",
            "__cond_resched",
            "rmap_walk_anon",
            "remap_page",
            "split_huge_page_to_list",
            "madvise_free_huge_pmd",
        ];
        let mut memory = Memory { preempt_count: Some(PreemptCount::Bits32(0x10000)), ..Memory::default() };
        for (index, address) in FAULT.iter().enumerate() {
            let pfn = HEAD_PFN + 3 + index as u64;
            memory.entries.insert(address & !0xfff, (PageLevel::Pte, migration_entry(pfn)));
            memory.pages.insert(page_address(pfn), page(pfn, 0, Some(HEAD_PFN)));
        }
        memory.pages.insert(page_address(HEAD_PFN), page(HEAD_PFN, LOCKED, None));
        memory.words.insert(splitter_word(), page_address(HEAD_PFN).get());
        Self {
            running: vec![(0, faulting_stack(0, SPINNER[0], FAULT[0])), (1, faulting_stack(1, SPINNER[1], FAULT[1]))],
            waiting: vec![stack(2, SPLITTER, &splitting)],
            blocked: Vec::new(),
            tasks,
            cpus,
            memory,
            preemption: KernelPreemption::No,
            log: Vec::new(),
            blind_spots: Vec::new(),
            incomplete: None,
            state: KernelState::default(),
            gaps: Vec::new(),
        }
    }

    /// Changes the page that the spinners wait for.
    pub fn head(&mut self) -> &mut Page {
        self.memory.pages.get_mut(&page_address(HEAD_PFN)).unwrap()
    }

    /// Replaces what the splitter's stack says about the page.
    pub fn splitter_word(&mut self, word: u64) {
        self.memory.words.insert(splitter_word(), word);
    }

    pub fn task(&mut self, pid: i32) -> &mut Task {
        self.tasks.iter_mut().find(|task| task.pid == pid).unwrap()
    }

    pub fn judge(self) -> Diagnosis {
        let snapshot = Snapshot::from_parts(self.tasks, self.cpus);
        let facts = Facts {
            release: Some("4.19.91-19.1.al7.x86_64".to_owned()),
            snapshot: &snapshot,
            running: self.running,
            waiting: self.waiting,
            blocked: self.blocked,
            preemption: Preemption::new(self.preemption, Evidence::new("preempt_dynamic_mode", "preempt=none")),
            reports: vmcore_diagnose::read_log(&self.log),
            log: self.log,
            gaps: self.gaps,
            blind_spots: self.blind_spots,
            incomplete: self.incomplete,
            state: self.state,
            derived: Derived::default(),
        };
        judge(&facts, &self.memory, &Options::default())
    }
}

fn splitter_word() -> u64 {
    stack_address(SPLITTER).get() + 0x3000 + 4 * 64 + 8
}

/// An address in the spinners' huge page.
pub fn huge_page_address(offset: u64) -> u64 {
    HUGE_START + offset
}

/// A word of the splitter's stack, with this index, in the frame that the split calls.
pub fn below_the_split(index: u64) -> u64 {
    stack_address(SPLITTER).get() + 0x3000 + 3 * 64 + 8 * (index + 1)
}

/// A word of the splitter's stack above the frame of the split itself.
pub fn above_the_split() -> u64 {
    stack_address(SPLITTER).get() + 0x3000 + 5 * 64 + 8
}
