//! What only the image of a kernel of arm64 has.

use vmcore_memory::VirtAddr;

use super::Image;
use crate::arch::Paging;

/// `OVERFLOW_STACK_SIZE`.
const OVERFLOW_STACK: u64 = 4 << 10;
const HUGE: u64 = 2 << 20;

/// What tells where memory is.
pub(super) fn declare_memory(image: &mut Image, paging: Paging) {
    image.declare("swapper_pg_dir", paging.page_size(), paging.page_size());
    for name in ["memstart_addr", "kimage_voffset", "vabits_actual"] {
        image.declare(name, 8, 8);
    }
}

pub(super) fn declare_percpu(image: &mut Image) {
    for name in ["__entry_task", "irq_stack_ptr", "call_single_queue"] {
        image.declare_percpu_variable(name, 8);
    }
    image.declare_percpu_variable("overflow_stack", OVERFLOW_STACK);
}

/// Gives the per-CPU variables their place in the image, behind all others, and returns its end.
pub(super) fn place_percpu(image: &mut Image) -> VirtAddr {
    let start = image.data_end;
    image.percpu_start = start;
    image.percpu.values_mut().for_each(|variable| variable.link = start.wrapping_add(variable.link.get()));
    VirtAddr::new((start.get() + image.percpu_size).next_multiple_of(HUGE))
}
