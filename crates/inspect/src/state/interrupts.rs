//! Interrupts: who handles each line, whether it is being handled, and which soft interrupts wait on which CPU.
//!
//! Source: `include/linux/irqdesc.h`, `include/linux/irq.h`, `include/linux/interrupt.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot};
use vmcore_memory::VirtAddr;

use super::{Collector, Listing, Missing, Who, state};
use crate::object::{Object, if_known};
use crate::{Hex, InspectError, Linked, TreeKind, tree};

/// Lines of a machine.
const MAX_LINES: usize = 1 << 14;
/// Handlers that share a line.
const MAX_ACTIONS: usize = 64;
/// `IRQD_IRQ_DISABLED`, `IRQD_IRQ_MASKED`, `IRQD_IRQ_INPROGRESS` of `include/linux/irq.h`.
const FLAGS: [(u64, &str); 3] = [(1 << 16, "disabled"), (1 << 17, "masked"), (1 << 18, "in progress")];
/// `IRQS_PENDING` of `kernel/irq/internals.h`.
const PENDING: u64 = 0x200;
/// In the order of their numbers: unchanged since 2.6.
const SOFT_IRQS: [&str; 10] =
    ["HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU"];

/// The interrupts of a machine.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Interrupts")]
pub struct Interrupts {
    /// Lines that have a handler.
    pub lines: Listing<Irq>,
    /// Soft interrupts, by CPU.
    pub soft: Listing<SoftIrqs>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Interrupts, lines, soft);

/// An interrupt line.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Irq")]
pub struct Irq {
    /// Its number.
    pub irq: u64,
    /// The address of its `struct irq_desc`.
    pub desc: Hex,
    /// How often it came, on all CPUs.
    pub count: Option<u64>,
    /// The interrupt chip.
    pub chip: Option<String>,
    /// `disabled`, `masked`, `in progress` (a CPU is in its handler), `pending`.
    pub flags: Vec<&'static str>,
    /// Interrupts that threads are handling.
    pub threads_active: Option<u64>,
    /// The names of those who share it.
    pub names: Vec<String>,
    /// Their functions.
    pub handlers: Vec<Option<String>>,
    /// Their threads, where they have some.
    pub threads: Vec<Who>,
}

/// Soft interrupts of a CPU.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SoftIrqs")]
pub struct SoftIrqs {
    /// The CPU.
    pub cpu: u32,
    /// The mask of those that are to be served; null where it could not be read.
    pub mask: Option<Hex>,
    /// Their names.
    pub pending: Listing<&'static str>,
    /// `ksoftirqd`, which serves them when there are too many.
    pub thread: Option<Who>,
}

/// Reads them.
#[must_use]
pub fn interrupts<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot) -> Interrupts {
    let mut missing = Collector::default();
    let soft = missing.list("soft interrupts", |missing| {
        Ok(kernel.percpu().cpus().map(|cpu| soft(kernel, snapshot, cpu, missing)).collect())
    });
    let lines = missing.list("interrupt lines", |missing| {
        let found = lines(kernel)?;
        missing.note_some("interrupt lines", found.problem);
        let mut lines = Vec::new();
        for (desc, number) in found.objects {
            let what = format!("the irq_desc at {desc}");
            let read = line(kernel, snapshot, desc, number.unwrap_or_default(), missing);
            lines.extend(missing.take(what, read).flatten());
        }
        Ok(lines)
    });
    Interrupts { lines, soft, gaps: missing.into_gaps() }
}

fn soft<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot, cpu: u32, missing: &mut Collector) -> SoftIrqs {
    let mask = soft_mask(kernel, cpu);
    let number = mask.as_ref().ok().copied();
    let pending = missing.list(format!("soft interrupts of CPU {cpu}"), |_| {
        let mask = mask?;
        let names = SOFT_IRQS.iter().enumerate();
        Ok(names.filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, name)| *name).collect())
    });
    let thread = Object::per_cpu(kernel, "ksoftirqd", "void *", cpu).and_then(Object::pointer);
    let thread = missing.take(format!("ksoftirqd of CPU {cpu}"), thread);
    SoftIrqs { cpu, mask: number.map(Hex), pending, thread: thread.and_then(|task| missing.who(snapshot, task)) }
}

/// All `struct irq_desc`: in a maple tree since 6.5 (kernel commit 721255b9826b).
fn lines(kernel: &Kernel<'_>) -> Result<Linked, InspectError> {
    if let Some(root) = kernel.symbol("sparse_irqs") {
        return tree(kernel, TreeKind::Maple, root, 0, MAX_LINES);
    }
    let root = kernel.symbol("irq_desc_tree").ok_or_else(|| InspectError::NoSymbol("irq_desc_tree".to_owned()))?;
    tree(kernel, TreeKind::XArray, root, 0, MAX_LINES)
}

fn line<'k>(
    kernel: &'k Kernel<'k>,
    snapshot: &Snapshot,
    at: VirtAddr,
    number: u64,
    missing: &mut Collector,
) -> Result<Option<Irq>, InspectError> {
    let desc = Object::new(kernel, "struct irq_desc", at)?;
    let mut next = desc.pointer_at("action")?;
    let mut irq = Irq {
        irq: if_known(desc.number_at("irq_data.irq"))?.unwrap_or(number),
        desc: at.into(),
        count: None,
        chip: None,
        flags: Vec::new(),
        threads_active: if_known(desc.number_at("threads_active"))?,
        names: Vec::new(),
        handlers: Vec::new(),
        threads: Vec::new(),
    };
    while let Some(action) = next.filter(|_| irq.names.len() < MAX_ACTIONS) {
        let action = Object::new(kernel, "struct irqaction", action)?;
        irq.names.push(action.text_at("name")?);
        irq.handlers.push(missing.function(kernel, action.at("handler")?.pointer()?));
        irq.threads.extend(action.pointer_at("thread")?.and_then(|task| missing.who(snapshot, task)));
        next = action.pointer_at("next")?;
    }
    if irq.names.is_empty() {
        return Ok(None);
    }
    irq.count = missing.take(format!("how often interrupt {} came", irq.irq), count(desc));
    irq.chip = missing.take_known(format!("the chip of interrupt {}", irq.irq), desc.text_at("irq_data.chip.name"));
    let state = desc.number_at("irq_common_data.state_use_accessors")?;
    irq.flags.extend(FLAGS.iter().filter(|(bit, _)| state & bit != 0).map(|(_, name)| *name));
    // `istate`, under the name that keeps others away.
    let internal = if_known(desc.number_at("core_internal_state__do_not_mess_with_it"))?;
    if internal.is_some_and(|state| state & PENDING != 0) {
        irq.flags.push("pending");
    }
    Ok(Some(irq))
}

/// `kstat_irqs` of all CPUs: a struct on newer kernels, whose first member is the count.
fn count(desc: Object<'_>) -> Result<u64, InspectError> {
    let counts = desc.at("kstat_irqs")?;
    desc.kernel().percpu().cpus().map(|cpu| counts.pointee_on(cpu).and_then(Object::number)).sum()
}

/// `__softirq_pending`: a variable of its own since 6.15, in `pcpu_hot` since 6.2, in
/// `irq_stat` before.
fn soft_mask<'k>(kernel: &'k Kernel<'k>, cpu: u32) -> Result<u64, InspectError> {
    if let Ok(own) = Object::per_cpu(kernel, "__softirq_pending", "u16", cpu) {
        return own.number();
    }
    if let Ok(hot) = Object::per_cpu(kernel, "pcpu_hot", "struct pcpu_hot", cpu)
        && hot.has("softirq_pending")
    {
        return hot.number_at("softirq_pending");
    }
    Object::per_cpu(kernel, "irq_stat", "irq_cpustat_t", cpu)?.number_at("__softirq_pending")
}
