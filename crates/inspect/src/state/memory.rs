//! Memory: what is free in each zone and against which marks, which slabs are large, and which processes are.
//!
//! Source: `include/linux/mmzone.h`, `mm/slab.h`, `include/linux/mm.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot};
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::{Collector, Listing, Missing, Who};
use crate::object::{Object, if_known};
use crate::{Hex, InspectError};

/// `MAX_NUMNODES` of the largest configuration, and CPUs that may have a part of a counter.
const MAX_NODES: u64 = 1 << 10;

/// The memory of a machine.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Memory")]
pub struct Memory {
    /// Zones of all nodes that have memory.
    pub zones: Listing<Zone>,
    /// Slab caches, the largest first.
    pub slabs: Listing<Slab>,
    /// Processes with memory of their own, the largest first.
    pub processes: Listing<Process>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}

impl super::State for Memory {
    fn missing(&self) -> &[Missing] {
        &self.gaps
    }

    /// That there are processes says nothing of memory.
    fn is_empty(&self) -> bool {
        let processes = self.processes.found().iter();
        let known = processes.filter(|process| process.rss_bytes.is_some()).count();
        self.zones.found().is_empty() && self.slabs.found().is_empty() && known == 0
    }
}

/// A zone.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Zone")]
pub struct Zone {
    /// The NUMA node.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// The address of its `struct zone`.
    pub zone: Hex,
    /// Memory that it manages.
    pub managed_bytes: u64,
    /// Free memory, without what each CPU keeps for itself.
    pub free_bytes: u64,
    /// Below this, only those who free memory get some.
    pub min_bytes: u64,
    /// Below this, kswapd is woken.
    pub low_bytes: u64,
    /// At this, kswapd sleeps again.
    pub high_bytes: u64,
}

/// A slab cache.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Slab")]
pub struct Slab {
    /// Its name.
    pub name: String,
    /// The address of its `struct kmem_cache`.
    pub cache: Hex,
    /// Bytes of an object.
    pub object_bytes: u64,
    /// Slabs that it has; null where the kernel does not count them (`CONFIG_SLUB_DEBUG`).
    pub slabs: Option<u64>,
    /// Objects that they have room for.
    pub objects: Option<u64>,
    /// Memory that it takes.
    pub bytes: Option<u64>,
}

/// A process.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProcessMemory")]
pub struct Process {
    /// The process.
    pub process: Who,
    /// The address of its `struct mm_struct`.
    pub mm: Hex,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// Of that, anonymous memory.
    pub anonymous_bytes: Option<u64>,
    /// Memory in swap.
    pub swap_bytes: Option<u64>,
}

/// Reads it.
#[must_use]
pub fn memory<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot) -> Memory {
    let mut missing = Collector::default();
    let zones = missing.list("zones", |missing| zones(kernel, missing));
    let slabs = missing.list("slab caches", |missing| slabs(kernel, missing));
    let processes = missing.list("processes", |missing| {
        missing.note_gaps(&snapshot.gaps);
        let mut processes = Vec::new();
        for task in snapshot.tasks.iter().filter(|task| task.pid == task.tgid && !task.kernel_thread) {
            let (Some(mm), Some(process)) = (task.mm, Who::at(snapshot, task.address)) else { continue };
            let read = process_memory(kernel, process, mm, missing);
            processes.extend(missing.take(format!("the mm_struct of pid {}", task.pid), read));
        }
        Ok(processes)
    });
    let by_pid = |one: &Process, other: &Process| one.process.pid.cmp(&other.process.pid);
    Memory {
        zones,
        slabs: slabs.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.name.cmp(&other.name))),
        processes: processes.sort_by(|one, other| other.rss_bytes.cmp(&one.rss_bytes).then_with(|| by_pid(one, other))),
        gaps: missing.into_gaps(),
    }
}

/// `node_data`, an array of pointers; the one node of a kernel without NUMA is `contig_page_data`.
fn nodes<'k>(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Result<Vec<(u64, VirtAddr)>, InspectError> {
    let table = match (kernel.symbol("node_data"), kernel.symbol("contig_page_data")) {
        (Some(table), _) => table,
        (None, Some(only)) => return Ok(vec![(0, only)]),
        (None, None) => return Err(InspectError::NoSymbol("node_data".to_owned())),
    };
    let count = kernel.vmlinux().types().enumerator("MAX_NUMNODES").map_or(MAX_NODES, i64::cast_unsigned);
    // Its length is in DWARF only: nodes are numbered from 0 on, and behind the last that can be is other data.
    let states = Object::variable(kernel, "node_states", "unsigned long").and_then(Object::number);
    let states = missing.take("which nodes there are: only the first is read", states);
    let highest = states.map_or(1, |online| u64::from(64 - online.leading_zeros()));
    let mut nodes = Vec::new();
    for number in 0..highest.min(count) {
        let at = table.wrapping_add(number * 8);
        let read = kernel.memory().read_pointer(at);
        let read = read.map_err(|error| InspectError::read(format!("node_data[{number}] at {at}"), error));
        let node = missing.take(format!("node {number}"), read).filter(|at| at.is_kernel_half());
        nodes.extend(node.map(|at| (number, at)));
    }
    Ok(nodes)
}

fn zones<'k>(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Result<Vec<Zone>, InspectError> {
    let nodes = nodes(kernel, missing)?;
    let free = kernel.vmlinux().types().enumerator("NR_FREE_PAGES");
    let free = free.ok_or_else(|| InspectError::NoSymbol("NR_FREE_PAGES".to_owned()))?;
    let mut found = Vec::new();
    for (number, at) in nodes {
        let zones = Object::new(kernel, "struct pglist_data", at)?.at("node_zones")?;
        for index in 0..zones.len() {
            let zone = zones.element(index)?;
            let read = zone_of(zone, number, free);
            found.extend(missing.take(format!("the zone at {}", zone.address()), read).flatten());
        }
    }
    Ok(found)
}

fn zone_of(zone: Object<'_>, node: u64, free: i64) -> Result<Option<Zone>, InspectError> {
    let managed = zone.number_at("managed_pages")?;
    if managed == 0 {
        return Ok(None);
    }
    let bytes = |pages| zone.kernel().bytes_of_pages(pages);
    // `_watermark` since 5.0, with a boost beside it (kernel commits a921444382b4 and 1c30844d2dfe).
    let marks = zone.first(&["_watermark", "watermark"])?;
    let boost = if_known(zone.number_at("watermark_boost"))?.unwrap_or_default();
    let mark = |index| marks.element(index)?.number().map(|pages| bytes(pages.saturating_add(boost)));
    Ok(Some(Zone {
        node,
        name: zone.text_at("name")?,
        zone: zone.address().into(),
        managed_bytes: bytes(managed),
        free_bytes: bytes(zone.at("vm_stat")?.element(free.cast_unsigned())?.number()?),
        min_bytes: mark(0)?,
        low_bytes: mark(1)?,
        high_bytes: mark(2)?,
    }))
}

fn slabs<'k>(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Result<Vec<Slab>, InspectError> {
    let (caches, gap) =
        Object::variable(kernel, "slab_caches", "struct list_head")?.list("struct kmem_cache", "list")?;
    missing.note_some("slab caches", gap);
    let mut read = |cache: Object<'k>| {
        let read = slab(cache, missing);
        missing.take(format!("the kmem_cache at {}", cache.address()), read)
    };
    Ok(caches.into_iter().filter_map(&mut read).collect())
}

fn slab(cache: Object<'_>, missing: &mut Collector) -> Result<Slab, InspectError> {
    let mut slab = Slab {
        name: cache.text_at("name")?,
        cache: cache.address().into(),
        object_bytes: cache.number_at("object_size")?,
        slabs: None,
        objects: None,
        bytes: None,
    };
    let order = if_known(cache.number_at("oo.x"))?.map(|oo| oo >> 16);
    let counts = missing.take(format!("slabs of {}", slab.name), slabs_and_objects(cache)).flatten();
    (slab.slabs, slab.objects) = counts.unzip();
    slab.bytes = slab.slabs.zip(order).and_then(|(slabs, order)| {
        cache.kernel().bytes_of_pages(slabs).checked_shl(u32::try_from(order).ok()?).filter(|bytes| bytes >> 52 == 0)
    });
    Ok(slab)
}

/// Of all nodes; `None` where the kernel does not count them.
fn slabs_and_objects(cache: Object<'_>) -> Result<Option<(u64, u64)>, InspectError> {
    // In structs of its own, one for each node, on the newest kernels.
    let (nodes, of_node) = match if_known(cache.at("node"))? {
        Some(nodes) => (nodes, None),
        None => (cache.at("per_node")?, Some("node")),
    };
    let mut sum = None;
    for index in 0..nodes.len().min(MAX_NODES) {
        let node = nodes.element(index)?;
        let node = match of_node {
            Some(member) => node.at(member)?,
            None => node,
        };
        if !node.pointer()?.is_kernel_half() {
            // Nodes are numbered from 0 on.
            break;
        }
        let node = node.pointee()?;
        let counts = (if_known(node.number_at("nr_slabs"))?, if_known(node.number_at("total_objects"))?);
        if let (Some(slabs), Some(objects)) = counts {
            let (slabs_before, objects_before) = sum.unwrap_or_default();
            sum = Some((slabs.saturating_add(slabs_before), objects.saturating_add(objects_before)));
        }
    }
    Ok(sum)
}

fn process_memory<'k>(
    kernel: &'k Kernel<'k>,
    process: Who,
    mm: VirtAddr,
    missing: &mut Collector,
) -> Result<Process, InspectError> {
    let counters = Object::new(kernel, "struct mm_struct", mm)?.at("rss_stat")?;
    // `MM_FILEPAGES`, `MM_ANONPAGES`, `MM_SWAPENTS`, `MM_SHMEMPAGES`. A part of a counter may be negative.
    let mut bytes = |index| {
        let pages = missing.take(format!("rss_stat[{index}] of the mm_struct at {mm}"), count(counters, index));
        pages.map(|pages| kernel.bytes_of_pages(u64::try_from(pages).unwrap_or_default()))
    };
    let [file, anonymous, swapped, shared] = [bytes(0), bytes(1), bytes(2), bytes(3)];
    let resident = file.zip(anonymous).zip(shared);
    Ok(Process {
        process,
        mm: mm.into(),
        rss_bytes: resident.map(|((file, anonymous), shared)| file.saturating_add(anonymous).saturating_add(shared)),
        anonymous_bytes: anonymous,
        swap_bytes: swapped,
    })
}

/// Four counters with parts on each CPU since 6.2 (kernel commit f1a7941243c1), one struct of atomics before.
fn count(counters: Object<'_>, index: u64) -> Result<i64, InspectError> {
    if counters.len() == 0 {
        return counters.at("count")?.element(index)?.value();
    }
    let counter = counters.element(index)?;
    let mut sum = counter.at("count")?.value()?;
    let parts = counter.at("counters")?;
    for cpu in counters.kernel().percpu().cpus() {
        sum = sum.wrapping_add(parts.pointee_on(cpu)?.value()?);
    }
    Ok(sum)
}
