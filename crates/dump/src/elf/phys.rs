//! Physical addresses for ELF cores whose headers have none.
//!
//! Copies of an old `/proc/kcore` (before Linux 4.11) have `p_paddr` 0 in every header, newer ones all ones in those
//! that describe no memory of their own (vmalloc, modules). Where *no* header has a physical address, it follows from
//! the virtual one: the lowest kernel mapping of x86-64 is the direct map, whose base is a multiple of 1 GiB with and
//! without KASLR (`arch/x86/mm/kaslr.c`) and whose first segment is the memory below 1 MiB; the kernel's text lies at
//! `__START_KERNEL_map` plus its physical address less `phys_base`.

use vmcore_memory::Architecture;

use super::Load;
use crate::Vmcoreinfo;
use crate::warnings::Warnings;

/// What a header says that has no physical address.
const NO_ADDRESS: u64 = u64::MAX;
const GIB: u64 = 1 << 30;
/// The most memory that 4 levels of page tables can map directly: 64 TiB.
const DIRECT_MAP_SIZE: u64 = 1 << 46;
/// Where the kernel's text is mapped (`__START_KERNEL_map`), and how much there can be of it.
const TEXT_MAP: u64 = 0xffff_ffff_8000_0000;
const TEXT_MAP_SIZE: u64 = GIB;
const KERNEL_HALF: u64 = 1 << 63;

/// Takes away addresses that are none, and finds them by the virtual ones where there is no other way.
pub(super) fn assign(
    loads: &mut [Load],
    architecture: Architecture,
    info: Option<&Vmcoreinfo>,
    warnings: &mut Warnings,
) {
    let without = |load: &Load| matches!(load.physical, Some(0 | NO_ADDRESS));
    let mapped = loads.iter().any(|load| load.virtual_address >= KERNEL_HALF);
    // No kernel of arm64 that had `/proc/kcore` left the addresses out of it.
    if architecture == Architecture::X86_64 && mapped && loads.iter().all(without) {
        from_virtual(loads, info);
        warnings.push(
            "no header has a physical address: they were computed from the virtual ones, taking the lowest for the \
             direct map"
                .to_owned(),
        );
    } else {
        for load in loads.iter_mut().filter(|load| load.physical == Some(NO_ADDRESS)) {
            load.physical = None;
        }
    }
    let lost = loads.iter().filter(|load| load.physical.is_none()).count();
    if lost > 0 {
        warnings.push(format!("{lost} of {} segments have no physical address and are not used", loads.len()));
    }
}

fn from_virtual(loads: &mut [Load], info: Option<&Vmcoreinfo>) {
    let lowest = loads.iter().map(|load| load.virtual_address).filter(|&address| address >= KERNEL_HALF).min();
    let direct_map = lowest.unwrap_or_default() / GIB * GIB;
    let phys_base = info.and_then(|info| info.number("phys_base"));
    for load in loads {
        let address = load.virtual_address;
        load.physical = match address.checked_sub(direct_map) {
            _ if address < KERNEL_HALF => None,
            _ if (TEXT_MAP..TEXT_MAP + TEXT_MAP_SIZE).contains(&address) => {
                phys_base.and_then(|base| (address - TEXT_MAP).checked_add_signed(base))
            }
            Some(offset) if offset < DIRECT_MAP_SIZE => Some(offset),
            _ => None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(physical: u64, virtual_address: u64) -> Load {
        Load { physical: Some(physical), virtual_address, offset: 0, file_size: 0x1000, memory_size: 0x1000 }
    }

    fn assigned(mut loads: Vec<Load>, info: Option<&Vmcoreinfo>) -> (Vec<Option<u64>>, usize) {
        let mut warnings = Warnings::default();
        assign(&mut loads, Architecture::X86_64, info, &mut warnings);
        (loads.iter().map(|load| load.physical).collect(), warnings.as_slice().len())
    }

    #[test]
    fn addresses_in_headers_are_believed() {
        // The first page of memory really has address 0, as in every QEMU dump.
        assert_eq!(assigned(vec![load(0, 0), load(0x10_0000, 0)], None), (vec![Some(0), Some(0x10_0000)], 0));
        assert_eq!(assigned(vec![load(0, 0)], None), (vec![Some(0)], 0));
        let with_vmalloc = vec![load(0x1000, 0xffff_8880_0000_1000), load(u64::MAX, 0xffff_c900_0000_0000)];
        assert_eq!(assigned(with_vmalloc, None), (vec![Some(0x1000), None], 1));
    }

    #[test]
    fn without_any_they_follow_from_the_direct_map_and_the_text() {
        let old_kcore = vec![
            load(0, 0xffff_ffff_8100_0000),
            load(0, 0xffff_9d40_0000_1000),
            load(0, 0xffff_9d41_0000_0000),
            load(0, 0xffff_ff00_0000_0000),
        ];
        let info = Vmcoreinfo::parse(b"NUMBER(phys_base)=-4096\n");
        let expected = vec![Some(0xff_f000), Some(0x1000), Some(0x1_0000_0000), None];
        assert_eq!(assigned(old_kcore.clone(), Some(&info)), (expected, 2));
        assert_eq!(assigned(old_kcore, None).0.first(), Some(&None));
    }
}
