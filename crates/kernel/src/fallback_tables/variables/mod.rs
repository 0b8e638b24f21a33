//! Variables of a kernel whose kallsyms has only functions (without `CONFIG_KALLSYMS_ALL`), from all else that names some.
//!
//! ```text
//! VMCOREINFO   those that dump tools need
//! exports      those that modules may use: init_task, __per_cpu_offset, the masks of CPUs, jiffies
//! BTF          per-CPU variables: runqueues, irq_stack_ptr (pahole 1.19 and later; not that of 5.10)
//! by shape     the BTF itself, and the banner
//! by use       a few more, through code that uses them: each with a proof
//! ```
//!
//! Variables that are static in a file, such as `panic_cpu` or `tainted_mask`, are not among them: what rests on those alone
//! stays unknown.

mod by_shape;
mod by_use;
mod contents;
mod exports;
mod percpu;

use std::collections::BTreeSet;

use vmcore_debuginfo::Types;
use vmcore_dump::Vmcoreinfo;
use vmcore_memory::{Architecture, PAGE_SIZE, ReadVirtual, VirtAddr};

use self::by_use::{Evidence, WANTED, Wanted};
use self::contents::Contents;
use self::exports::{Exports, Functions};
use super::image::Image;
use super::kallsyms::{Kallsyms, Symbol};
use crate::arch::arm64;
use crate::percpu::areas_in_mask;

/// Variables of which VMCOREINFO has the address. (Of some others, such as `mem_section`, it has the value.)
const IN_VMCOREINFO: [&str; 9] = [
    "init_uts_ns",
    "node_online_map",
    "swapper_pg_dir",
    "prb",
    "clear_seq",
    "log_buf",
    "log_buf_len",
    "log_first_idx",
    "log_next_idx",
];
/// More code than is looked through for what a function uses, in bytes.
const MAX_CODE: u64 = 4 << 10;

/// `symbols`, link-time addresses as all here, with the variables of `image` where they have none.
pub(super) fn added_to(
    symbols: Kallsyms,
    image: &Image<'_>,
    info: &Vmcoreinfo,
    architecture: Architecture,
) -> Kallsyms {
    if symbols.has_variables() {
        return symbols;
    }
    let link = |at: VirtAddr| at.wrapping_sub(image.kaslr_offset);
    let found = found(&symbols, image, info, architecture).unwrap_or_default();
    symbols.with_variables(found.into_iter().map(|(name, at)| (name, link(at))))
}

/// Names with run-time addresses.
type Named = Vec<(Vec<u8>, VirtAddr)>;

fn found(symbols: &Kallsyms, image: &Image<'_>, info: &Vmcoreinfo, architecture: Architecture) -> Option<Named> {
    let run_time = |at: u64| VirtAddr::new(at).wrapping_add(image.kaslr_offset);
    let stext = symbols.address("_stext")?.get();
    let contents = Contents::read(&image.memory, run_time(stext & !(PAGE_SIZE - 1)));
    let functions = Functions::new(symbols.iter().map(|symbol| (symbol.name, run_time(symbol.address))));
    let exports = exports::find(&contents, &functions);
    let described = IN_VMCOREINFO.into_iter().filter_map(|name| Some((name.into(), info.symbol(name)?)));
    let mut named: Named = described.chain(exports.iter().map(|(name, at)| (name.to_vec(), *at))).collect();
    let banner = info.osrelease().and_then(|release| by_shape::banner(&contents, release));
    named.extend(banner.map(|at| (b"linux_banner".to_vec(), at)));
    let Some(btf) = by_shape::btf(&contents) else { return Some(named) };
    named.extend([(b"__start_BTF".to_vec(), btf.start), (b"__stop_BTF".to_vec(), btf.end)]);
    let percpu = percpu::find(&btf.types, &exports);
    let unnamed = WANTED.iter().filter(|wanted| percpu.iter().all(|(name, _)| name != wanted.name));
    let cpus = cpus(image, &btf.types, &exports);
    let evidence = Evidence::new(&image.memory, &btf.types, &cpus);
    for wanted in unnamed {
        let at = evidence.find(wanted, candidates(wanted, symbols, image, architecture));
        named.extend(at.map(|at| (wanted.name.into(), at)));
    }
    named.extend(percpu.into_iter().map(|(name, at)| (name.into_bytes(), at)));
    Some(named)
}

/// The CPUs that there are, each with what is added to the address of a per-CPU variable.
fn cpus(image: &Image<'_>, types: &Types, exports: &Exports<'_>) -> Vec<(u32, u64)> {
    let cpus = || {
        let mask = *exports.get(&b"__cpu_present_mask"[..])?;
        let offsets = *exports.get(&b"__per_cpu_offset"[..])?;
        Some(areas_in_mask(&image.memory, mask, types.size_of("cpumask")?, offsets))
    };
    cpus().unwrap_or_default()
}

/// Run-time addresses that the functions mention.
fn candidates(
    wanted: &Wanted,
    symbols: &Kallsyms,
    image: &Image<'_>,
    architecture: Architecture,
) -> BTreeSet<VirtAddr> {
    let mut mentioned = BTreeSet::new();
    // Instructions of x86-64 are not decoded here.
    if architecture == Architecture::Arm64 {
        for Symbol { address, .. } in wanted.functions.iter().flat_map(|name| symbols.named(name)) {
            let start = VirtAddr::new(address).wrapping_add(image.kaslr_offset);
            let size = symbols.distance_to_next(address).min(MAX_CODE);
            if let Ok(code) = image.memory.read_bytes(start, size) {
                mentioned.extend(arm64::references(&code, start));
            }
        }
    }
    mentioned
}
