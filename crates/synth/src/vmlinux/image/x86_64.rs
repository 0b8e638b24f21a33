//! What only the image of a kernel of x86-64 has.

use vmcore_memory::PAGE_SIZE;

use super::{Image, Table};
use crate::SynthError;
use crate::arch::x86_64::{Facts, IrqStackVariable};
use crate::generation::Generation;
use crate::vmlinux::code::Owner;
use crate::vmlinux::x86_64::orc;

/// `.orc_unwind_ip`, `.orc_unwind` and `.orc_header`.
pub(super) fn add_unwind_tables(image: &mut Image, facts: &Facts) {
    let mut rows = orc::rows(&image.code, Owner::Kernel);
    let unsorted = facts.orc_link_order.then(|| orc::in_link_order(&rows, image.text_size()));
    if let Some(unsorted) = &unsorted {
        rows = orc::sorted(unsorted.clone());
    }
    let header = facts.orc_header.map(|header| Table {
        section: ".orc_header",
        at: image.allocate(header.len() as u64, 4),
        bytes: header.to_vec(),
        in_file: None,
    });
    let ips = image.allocate(rows.len() as u64 * 4, 8);
    let entries = image.allocate(rows.len() as u64 * 6, 8);
    let (distances, encoded) = orc::sections(&rows, facts.orc, image.text, ips);
    let in_file = unsorted.map(|rows| orc::sections(&rows, facts.orc, image.text, ips));
    let (distances_in_file, encoded_in_file) = in_file.unzip();
    let table = |section, at, bytes, in_file| Table { section, at, bytes, in_file };
    image.tables.push(table(".orc_unwind_ip", ips, distances, distances_in_file));
    image.tables.push(table(".orc_unwind", entries, encoded, encoded_in_file));
    image.tables.extend(header);
}

/// What tells where memory is.
pub(super) fn declare_memory(image: &mut Image) {
    // Two pages: with page-table isolation user space has the second.
    image.declare("init_top_pgt", 2 * PAGE_SIZE, 2 * PAGE_SIZE);
    for name in ["page_offset_base", "vmalloc_base", "vmemmap_base", "phys_base"] {
        image.declare(name, 8, 8);
    }
}

pub(super) fn declare_percpu(image: &mut Image, generation: &Generation, facts: &Facts) -> Result<(), SynthError> {
    for name in ["current_task", "this_cpu_off", "call_single_queue"] {
        image.declare_percpu_variable(name, 8);
    }
    // Since 5.2 (`arch/x86/include/asm/cpu_entry_area.h`).
    if generation.types().structure("cea_exception_stacks").is_some() {
        image.declare_percpu_variable("cea_exception_stacks", 8);
    }
    match facts.irq_stack {
        IrqStackVariable::PcpuHot => image.declare_percpu_variable("pcpu_hot", generation.size_of("pcpu_hot")?),
        IrqStackVariable::HardirqStackPtr => image.declare_percpu_variable("hardirq_stack_ptr", 8),
        IrqStackVariable::IrqStackPtr => image.declare_percpu_variable("irq_stack_ptr", 8),
    }
    Ok(())
}
