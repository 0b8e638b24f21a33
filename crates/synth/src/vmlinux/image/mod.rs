//! Where everything in the kernel image is linked.
//!
//! ```text
//! _text               where the machine's kernels are linked
//! _stext .. _etext    code
//! + 2 MiB             banner, unwind tables, variables
//! __per_cpu_start     per-CPU variables: on x86-64 from 0 on, offsets in each CPU's area; elsewhere behind the variables
//! _end
//! ```

mod arm64;
mod x86_64;

use std::collections::BTreeMap;

use vmcore_memory::{Architecture, VirtAddr};

use crate::SynthError;
use crate::arch::{Kind, Paging, Target};
use crate::generation::{Generation, LogForm, PreemptionForm};
use crate::scenario::Scenario;
use crate::vmlinux::code::{Code, Owner};

const HUGE: u64 = 2 << 20;
/// `NR_CPUS`: for how many CPUs masks and arrays have room.
pub(crate) const MAX_CPUS: u64 = 8192;

/// A variable of the image or of the per-CPU area.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variable {
    /// Link-time address, or offset in a per-CPU area.
    pub(crate) link: VirtAddr,
    pub(crate) size: u64,
}

/// A linked kernel.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) code: Code,
    /// `_text`, where the image begins.
    pub(crate) start: VirtAddr,
    /// `_stext`, where its code does.
    pub(crate) text: VirtAddr,
    pub(crate) banner: String,
    /// Unwind tables.
    pub(crate) tables: Vec<Table>,
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) percpu: BTreeMap<String, Variable>,
    /// `__per_cpu_start`.
    pub(crate) percpu_start: VirtAddr,
    pub(crate) percpu_size: u64,
    /// Behind the variables.
    pub(crate) data_end: VirtAddr,
    pub(crate) end: VirtAddr,
    next: u64,
}

/// A section of its own among the variables.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) section: &'static str,
    pub(crate) at: VirtAddr,
    /// As the running kernel has it.
    pub(crate) bytes: Vec<u8>,
    /// As the vmlinux has it, where that is something else.
    pub(crate) in_file: Option<Vec<u8>>,
}

impl Image {
    pub(crate) fn link(
        generation: &Generation,
        code: Code,
        scenario: &Scenario,
        paging: Paging,
    ) -> Result<Self, SynthError> {
        let facts = &generation.facts;
        let (start, text) = generation.target().link_base(paging);
        let banner = format!(
            "Linux version {} (vmcore-thp@synthetic) (gcc, GNU ld) {} Thu Jan  1 00:00:00 UTC 1970\n",
            facts.release, facts.version
        );
        let next = (text.get() + code.kernel.bytes.len() as u64).next_multiple_of(HUGE);
        let mut image = Self {
            code,
            start,
            text,
            banner,
            tables: Vec::new(),
            variables: BTreeMap::new(),
            percpu: BTreeMap::new(),
            percpu_start: VirtAddr::default(),
            percpu_size: 0,
            data_end: VirtAddr::default(),
            end: VirtAddr::default(),
            next,
        };
        image.declare("linux_banner", image.banner.len() as u64 + 1, 64);
        match generation.target() {
            Target::X86_64(facts) => x86_64::add_unwind_tables(&mut image, facts),
            Target::Arm64(_) => {}
        }
        image.declare_variables(generation, paging)?;
        image.declare_percpu(generation)?;
        image.declare_what_only_some_have(scenario);
        image.data_end = VirtAddr::new(image.next.next_multiple_of(HUGE));
        image.end = match generation.target() {
            Target::X86_64(_) => image.data_end,
            Target::Arm64(_) => arm64::place_percpu(&mut image),
        };
        Ok(image)
    }

    /// The run-time address of code that is so far behind the start of the text, in a kernel that moved by `kaslr`.
    pub(crate) const fn code_at(&self, offset: u64, kaslr: u64) -> VirtAddr {
        self.text.wrapping_add(kaslr).wrapping_add(offset)
    }

    /// Behind the last entry code, which comes first where the machine has it so.
    pub(crate) fn entry_end(&self) -> u64 {
        let entries = self.code.functions(Owner::Kernel).filter(|function| function.kind == Kind::Exception);
        entries.map(|function| function.offset + function.size).max().unwrap_or_default()
    }

    pub(crate) fn text_size(&self) -> u64 {
        self.code.kernel.bytes.len() as u64
    }

    /// The link-time address of a variable of the image.
    pub(crate) fn variable(&self, name: &str) -> Result<VirtAddr, SynthError> {
        let found = self.variables.get(name).map(|variable| variable.link);
        found.ok_or_else(|| SynthError::scenario(format!("the kernel has no variable '{name}'")))
    }

    pub(super) fn allocate(&mut self, size: u64, align: u64) -> VirtAddr {
        let at = self.next.next_multiple_of(align);
        self.next = at + size;
        VirtAddr::new(at)
    }

    pub(super) fn declare(&mut self, name: &str, size: u64, align: u64) {
        let link = self.allocate(size, align);
        self.variables.insert(name.to_owned(), Variable { link, size });
    }

    pub(super) fn declare_percpu_variable(&mut self, name: &str, size: u64) {
        // Offset 0 is never a variable: a null pointer.
        let link = VirtAddr::new(self.percpu_size.max(64).next_multiple_of(64));
        self.percpu_size = link.get() + size;
        self.percpu.insert(name.to_owned(), Variable { link, size });
    }

    fn declare_variables(&mut self, generation: &Generation, paging: Paging) -> Result<(), SynthError> {
        let facts = &generation.facts;
        match generation.target() {
            Target::X86_64(_) => x86_64::declare_memory(self),
            Target::Arm64(_) => arm64::declare_memory(self, paging),
        }
        for name in ["__cpu_possible_mask", "__cpu_present_mask", "__cpu_online_mask", "__cpu_active_mask"] {
            self.declare(name, MAX_CPUS / 8, 64);
        }
        self.declare("__per_cpu_offset", MAX_CPUS * 8, 64);
        self.declare("init_task", generation.size_of("task_struct")?, 64);
        self.declare("init_signals", generation.size_of("signal_struct")?, 64);
        self.declare("init_mm", generation.size_of("mm_struct")?, 64);
        self.declare("init_uts_ns", generation.size_of("uts_namespace")?, 64);
        self.declare("modules", 16, 16);
        let [rcu_state, _] = &facts.rcu;
        self.declare(rcu_state, generation.size_of("rcu_state")?, 64);
        if generation.architecture() == Architecture::X86_64 {
            // By it `crash` knows that a kernel may have been moved.
            self.declare("module_load_offset", 8, 8);
        }
        self.declare("swap_info", facts.max_swapfiles * 8, 64);
        self.declare("crash_notes", 8, 8);
        self.declare("nr_cpu_ids", 4, 4);
        self.declare("panic_cpu", 4, 4);
        if generation.architecture() == Architecture::X86_64 {
            self.declare("crashing_cpu", 4, 4);
        }
        if facts.preemption == PreemptionForm::Dynamic {
            self.declare("preempt_dynamic_mode", 4, 4);
        }
        match facts.log {
            LogForm::Ring => {
                self.declare("prb", 8, 8);
                self.declare("printk_rb_static", generation.size_of("printk_ringbuffer")?, 64);
            }
            LogForm::Records => {
                for name in ["log_buf", "log_first_seq", "log_next_seq"] {
                    self.declare(name, 8, 8);
                }
                for name in ["log_buf_len", "log_first_idx", "log_next_idx"] {
                    self.declare(name, 4, 4);
                }
            }
        }
        Ok(())
    }

    fn declare_what_only_some_have(&mut self, scenario: &Scenario) {
        scenario.limits.variables().for_each(|(name, size, _)| self.declare(name, size, size));
        if scenario.grace_period.is_some() {
            ["jiffies_64", "tick_nsec"].into_iter().for_each(|name| self.declare(name, 8, 8));
        }
    }

    fn declare_percpu(&mut self, generation: &Generation) -> Result<(), SynthError> {
        match generation.target() {
            Target::X86_64(facts) => x86_64::declare_percpu(self, generation, facts)?,
            Target::Arm64(_) => arm64::declare_percpu(self),
        }
        self.declare_percpu_variable("runqueues", generation.size_of("rq")?);
        let [_, rcu_data] = &generation.facts.rcu;
        self.declare_percpu_variable(rcu_data, generation.size_of("rcu_data")?);
        // What `crash_notes` points to, allocated when the kernel starts: it has no symbol.
        self.declare_percpu_variable(CRASH_NOTE_AREA, NOTE_BUFFER);
        Ok(())
    }
}

/// Bytes of a CPU's notes in memory: one note, and an empty one that ends them.
pub(crate) const NOTE_BUFFER: u64 = 512;
/// The name under which the image knows the per-CPU memory behind `crash_notes`. No symbol.
pub(crate) const CRASH_NOTE_AREA: &str = "(crash notes)";
