//! Memory: what is free in each zone and against which marks, which slabs are large, and which processes are.
//!
//! Source: `include/linux/mmzone.h`, `mm/slab.h`, `include/linux/mm.h`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::{Kernel, Snapshot};
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::{Collector, Missing, Who, state};
use crate::object::Object;
use crate::{Hex, InspectError};

/// `MAX_NUMNODES` of the largest configuration, and CPUs that may have a part of a counter.
const MAX_NODES: u64 = 1 << 10;

/// The memory of a machine.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Memory")]
pub struct Memory {
    /// Zones of all nodes that have memory.
    pub zones: Vec<Zone>,
    /// Slab caches, the largest first.
    pub slabs: Vec<Slab>,
    /// Processes with memory of their own, the largest first.
    pub processes: Vec<Process>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}
state!(Memory, zones, slabs, processes);

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
    pub rss_bytes: u64,
    /// Of that, anonymous memory.
    pub anonymous_bytes: u64,
    /// Memory in swap.
    pub swap_bytes: u64,
}

/// Reads it.
#[must_use]
pub fn memory<'k>(kernel: &'k Kernel<'k>, snapshot: &Snapshot) -> Memory {
    let mut missing = Collector::default();
    let zones = zones(kernel, &mut missing);
    let zones = missing.take("zones", zones).unwrap_or_default();
    let slabs = slabs(kernel, &mut missing);
    let mut slabs = missing.take("slab caches", slabs).unwrap_or_default();
    slabs.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.name.cmp(&other.name)));
    let mut processes = Vec::new();
    for task in snapshot.tasks.iter().filter(|task| task.pid == task.tgid && !task.kernel_thread) {
        let (Some(mm), Some(process)) = (task.mm, Who::at(snapshot, task.address)) else { continue };
        let read = process_memory(kernel, process, mm);
        processes.extend(missing.take(format!("the mm_struct of pid {}", task.pid), read));
    }
    processes.sort_by(|one, other| other.rss_bytes.cmp(&one.rss_bytes).then(one.process.pid.cmp(&other.process.pid)));
    Memory { zones, slabs, processes, gaps: missing.0 }
}

fn zones<'k>(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Result<Vec<Zone>, InspectError> {
    // `node_data`, an array of pointers; the one node of a kernel without NUMA is `contig_page_data`.
    let nodes: Vec<(u64, VirtAddr)> = match (kernel.symbol("node_data"), kernel.symbol("contig_page_data")) {
        (Some(table), _) => {
            let count = kernel.vmlinux().types().enumerator("MAX_NUMNODES").map_or(MAX_NODES, i64::cast_unsigned);
            // Its length is in DWARF only: nodes are numbered from 0 on, and behind the last that can be is other data.
            let highest = Object::variable(kernel, "node_states", "unsigned long")
                .and_then(Object::number)
                .map_or(1, |online| u64::from(64 - online.leading_zeros()));
            let node = |number: u64| {
                let at = kernel.memory().read_pointer(table.wrapping_add(number * 8)).ok()?;
                at.is_kernel_half().then_some((number, at))
            };
            (0..highest.min(count)).filter_map(node).collect()
        }
        (None, Some(only)) => vec![(0, only)],
        (None, None) => return Err(InspectError::NoSymbol("node_data".to_owned())),
    };
    let free = kernel.vmlinux().types().enumerator("NR_FREE_PAGES").unwrap_or_default();
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
    let boost = zone.number_at("watermark_boost").unwrap_or_default();
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
    let read = |cache: Object<'k>| missing.take(format!("the kmem_cache at {}", cache.address()), slab(cache));
    Ok(caches.into_iter().filter_map(read).collect())
}

fn slab(cache: Object<'_>) -> Result<Slab, InspectError> {
    let mut slab = Slab {
        name: cache.text_at("name")?,
        cache: cache.address().into(),
        object_bytes: cache.number_at("object_size")?,
        slabs: None,
        objects: None,
        bytes: None,
    };
    // In structs of its own, one for each node, on the newest kernels.
    let (nodes, of_node) = match cache.at("node") {
        Ok(nodes) => (nodes, None),
        Err(_) => (cache.at("per_node")?, Some("node")),
    };
    let order = cache.number_at("oo.x").map(|oo| oo >> 16);
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
        if let (Ok(slabs), Ok(objects)) = (node.number_at("nr_slabs"), node.number_at("total_objects")) {
            slab.slabs = slab.slabs.unwrap_or_default().checked_add(slabs);
            slab.objects = slab.objects.unwrap_or_default().checked_add(objects);
        }
    }
    slab.bytes = slab.slabs.zip(order.ok()).and_then(|(slabs, order)| {
        cache.kernel().bytes_of_pages(slabs).checked_shl(u32::try_from(order).ok()?).filter(|bytes| bytes >> 52 == 0)
    });
    Ok(slab)
}

fn process_memory<'k>(kernel: &'k Kernel<'k>, process: Who, mm: VirtAddr) -> Result<Process, InspectError> {
    let at = Object::new(kernel, "struct mm_struct", mm)?;
    let counters = at.at("rss_stat")?;
    let count = |index: u64| {
        // Four counters with parts on each CPU since 6.2 (kernel commit f1a7941243c1), one struct of atomics before.
        if counters.len() == 0 {
            let value = counters.at("count")?.element(index)?.value()?;
            return Ok::<_, InspectError>(value);
        }
        let counter = counters.element(index)?;
        let mut sum = counter.at("count")?.value()?;
        for cpu in kernel.percpu().cpus() {
            let part = counter.at("counters").and_then(|parts| parts.pointee_on(cpu)?.value());
            sum = sum.wrapping_add(part.unwrap_or_default());
        }
        Ok(sum)
    };
    // `MM_FILEPAGES`, `MM_ANONPAGES`, `MM_SWAPENTS`, `MM_SHMEMPAGES`. A part of a counter may be negative.
    let pages = |index| count(index).map(|pages| kernel.bytes_of_pages(u64::try_from(pages).unwrap_or_default()));
    let anonymous_bytes = pages(1)?;
    Ok(Process {
        process,
        mm: mm.into(),
        rss_bytes: pages(0)?.saturating_add(anonymous_bytes).saturating_add(pages(3)?),
        anonymous_bytes,
        swap_bytes: pages(2)?,
    })
}
