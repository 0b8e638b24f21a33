//! Where everything in the kernel image is linked.
//!
//! ```text
//! 0xffffffff81000000  _stext .. _etext       code
//! + 2 MiB             banner, unwind tables, variables .. _end
//! 0                   per-CPU variables: offsets in each CPU's area
//! ```

use std::collections::BTreeMap;

use vmcore_memory::{PAGE_SIZE, VirtAddr};

use crate::SynthError;
use crate::generation::{Generation, IrqStackVariable, LogForm, PreemptionForm};
use crate::scenario::Scenario;
use crate::vmlinux::code::{Code, Owner};
use crate::vmlinux::orc;

/// Where kernels are linked.
pub(crate) const TEXT: VirtAddr = VirtAddr::new(0xffff_ffff_8100_0000);
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
    pub(crate) banner: String,
    pub(crate) orc_ips: (VirtAddr, Vec<u8>),
    pub(crate) orc_entries: (VirtAddr, Vec<u8>),
    /// Both as the vmlinux has them, where that is not how the running kernel does.
    pub(crate) orc_in_file: Option<(Vec<u8>, Vec<u8>)>,
    pub(crate) orc_header: Option<(VirtAddr, Vec<u8>)>,
    pub(crate) variables: BTreeMap<String, Variable>,
    pub(crate) percpu: BTreeMap<String, Variable>,
    pub(crate) end: VirtAddr,
    pub(crate) percpu_size: u64,
    next: u64,
}

impl Image {
    pub(crate) fn link(generation: &Generation, code: Code, scenario: &Scenario) -> Result<Self, SynthError> {
        let facts = &generation.facts;
        let banner = format!(
            "Linux version {} (vmcore-thp@synthetic) (gcc, GNU ld) {} Thu Jan  1 00:00:00 UTC 1970\n",
            facts.release, facts.version
        );
        let next = (TEXT.get() + code.kernel.bytes.len() as u64).next_multiple_of(HUGE);
        let mut image = Self {
            code,
            banner,
            orc_ips: (VirtAddr::default(), Vec::new()),
            orc_entries: (VirtAddr::default(), Vec::new()),
            orc_in_file: None,
            orc_header: None,
            variables: BTreeMap::new(),
            percpu: BTreeMap::new(),
            end: VirtAddr::default(),
            percpu_size: 0,
            next,
        };
        image.declare("linux_banner", image.banner.len() as u64 + 1, 64);
        image.add_unwind_tables(generation);
        image.declare_variables(generation)?;
        image.declare_percpu(generation)?;
        image.declare_what_only_some_have(generation, scenario)?;
        image.end = VirtAddr::new(image.next.next_multiple_of(HUGE));
        Ok(image)
    }

    pub(crate) fn text_size(&self) -> u64 {
        self.code.kernel.bytes.len() as u64
    }

    /// The link-time address of a variable of the image.
    pub(crate) fn variable(&self, name: &str) -> Result<VirtAddr, SynthError> {
        let found = self.variables.get(name).map(|variable| variable.link);
        found.ok_or_else(|| SynthError::scenario(format!("the kernel has no variable '{name}'")))
    }

    fn allocate(&mut self, size: u64, align: u64) -> VirtAddr {
        let at = self.next.next_multiple_of(align);
        self.next = at + size;
        VirtAddr::new(at)
    }

    fn declare(&mut self, name: &str, size: u64, align: u64) {
        let link = self.allocate(size, align);
        self.variables.insert(name.to_owned(), Variable { link, size });
    }

    fn declare_percpu_variable(&mut self, name: &str, size: u64) {
        // Offset 0 is never a variable: a null pointer.
        let link = VirtAddr::new(self.percpu_size.max(64).next_multiple_of(64));
        self.percpu_size = link.get() + size;
        self.percpu.insert(name.to_owned(), Variable { link, size });
    }

    fn add_unwind_tables(&mut self, generation: &Generation) {
        let mut rows = self.code.orc(Owner::Kernel);
        let unsorted = generation.facts.orc_link_order.then(|| orc::in_link_order(&rows, self.text_size()));
        if let Some(unsorted) = &unsorted {
            rows = orc::sorted(unsorted.clone());
        }
        if let Some(header) = generation.facts.orc_header {
            self.orc_header = Some((self.allocate(header.len() as u64, 4), header.to_vec()));
        }
        let ips = self.allocate(rows.len() as u64 * 4, 8);
        let entries = self.allocate(rows.len() as u64 * 6, 8);
        let (distances, encoded) = orc::sections(&rows, generation.facts.orc, TEXT, ips);
        self.orc_in_file = unsorted.map(|rows| orc::sections(&rows, generation.facts.orc, TEXT, ips));
        self.orc_ips = (ips, distances);
        self.orc_entries = (entries, encoded);
    }

    fn declare_variables(&mut self, generation: &Generation) -> Result<(), SynthError> {
        let facts = &generation.facts;
        // Two pages: with page-table isolation user space has the second.
        self.declare("init_top_pgt", 2 * PAGE_SIZE, 2 * PAGE_SIZE);
        for name in ["page_offset_base", "vmalloc_base", "vmemmap_base", "phys_base"] {
            self.declare(name, 8, 8);
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
        // By it `crash` knows that a kernel may have been moved.
        self.declare("module_load_offset", 8, 8);
        self.declare("swap_info", facts.max_swapfiles * 8, 64);
        self.declare("crash_notes", 8, 8);
        self.declare("nr_cpu_ids", 4, 4);
        self.declare("panic_cpu", 4, 4);
        self.declare("crashing_cpu", 4, 4);
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

    fn declare_what_only_some_have(&mut self, generation: &Generation, scenario: &Scenario) -> Result<(), SynthError> {
        scenario.limits.variables().for_each(|(name, size, _)| self.declare(name, size, size));
        if scenario.grace_period.is_some() {
            ["jiffies_64", "tick_nsec"].into_iter().for_each(|name| self.declare(name, 8, 8));
            self.declare("rcu_state", generation.size_of("rcu_state")?, 64);
            self.declare_percpu_variable("rcu_data", generation.size_of("rcu_data")?);
        }
        Ok(())
    }

    fn declare_percpu(&mut self, generation: &Generation) -> Result<(), SynthError> {
        for name in ["current_task", "this_cpu_off", "call_single_queue"] {
            self.declare_percpu_variable(name, 8);
        }
        // Since 5.2 (`arch/x86/include/asm/cpu_entry_area.h`).
        if generation.types().structure("cea_exception_stacks").is_some() {
            self.declare_percpu_variable("cea_exception_stacks", 8);
        }
        match generation.facts.irq_stack {
            IrqStackVariable::PcpuHot => self.declare_percpu_variable("pcpu_hot", generation.size_of("pcpu_hot")?),
            IrqStackVariable::HardirqStackPtr => self.declare_percpu_variable("hardirq_stack_ptr", 8),
            IrqStackVariable::IrqStackPtr => self.declare_percpu_variable("irq_stack_ptr", 8),
        }
        self.declare_percpu_variable("runqueues", generation.size_of("rq")?);
        // What `crash_notes` points to, allocated when the kernel starts: it has no symbol.
        self.declare_percpu_variable(CRASH_NOTE_AREA, NOTE_BUFFER);
        Ok(())
    }
}

/// Bytes of a CPU's notes in memory: one note, and an empty one that ends them.
pub(crate) const NOTE_BUFFER: u64 = 512;
/// The name under which the image knows the per-CPU memory behind `crash_notes`. No symbol.
pub(crate) const CRASH_NOTE_AREA: &str = "(crash notes)";
