use vmcore_dump::write_elf_core;
use vmcore_memory::Architecture;

use super::*;
use crate::contents::Contents;
use crate::layout::Field;
use crate::test_memory::TestMemory;

const BANNER: &[u8] = b"Linux version 6.1.0 (builder) #1";
const KASLR: u64 = 0x1a00_0000;
/// 16 MiB in the image, as all of these, and the image begins at 64 MiB.
const DELTA: u64 = 0x300_0000;
const IMAGE: u64 = 0x400_0000;
const BANNER_AT: u64 = 0x20_0080;
const ROOT_AT: u64 = 0x41_0000;
const LEVEL3_AT: u64 = 0x41_2000;
const LEVEL4_AT: u64 = 0x41_3000;
const INIT_TASK_AT: u64 = 0x42_0940;
const LEADER_AT: u64 = 0x30;

type Change = fn(&mut TestMemory);

const fn link(offset: u64) -> VirtAddr {
    VirtAddr::new(0xffff_ffff_8100_0000 + offset)
}

fn signature() -> Signature {
    Signature::for_tests(link(BANNER_AT), BANNER)
}

fn finder<'a>(memory: &'a TestMemory, signature: &'a Signature) -> Finder<'a> {
    Finder {
        physical: memory,
        signature,
        mask: PhysicalMask::of_memory_up_to(PhysAddr::new(1 << 30)),
        root: link(ROOT_AT),
        level3: link(LEVEL3_AT),
        level4: Some(link(LEVEL4_AT)),
        init_task: link(INIT_TASK_AT),
        group_leader: Field { offset: LEADER_AT, size: 8 },
    }
}

fn kernel() -> TestMemory {
    let mut memory = TestMemory::default();
    memory.put(IMAGE + BANNER_AT, BANNER);
    memory.put_u64(IMAGE + ROOT_AT + 511 * 8, (IMAGE + LEVEL3_AT) | 0x67);
    memory.put_u64(IMAGE + INIT_TASK_AT + LEADER_AT, link(INIT_TASK_AT).get() + KASLR);
    memory
}

#[test]
fn a_running_kernel_says_where_it_is() {
    let (mut memory, signature) = (kernel(), signature());
    let location = KernelLocation {
        kaslr_offset: KASLR,
        phys_base: DELTA.wrapping_sub(KASLR),
        root: PhysAddr::new(IMAGE + ROOT_AT),
        page_levels: 4,
        mask: PhysicalMask::of_memory_up_to(PhysAddr::new(1 << 30)),
    };
    assert_eq!(finder(&memory, &signature).location_at(DELTA), Some(location));
    assert_eq!(location.delta(), DELTA);
    assert_eq!(finder(&memory, &signature).location_at(DELTA + ALIGNMENT), None);
    memory.put_u64(IMAGE + ROOT_AT + 511 * 8, (IMAGE + LEVEL4_AT) | 0x67);
    assert_eq!(finder(&memory, &signature).location_at(DELTA), Some(KernelLocation { page_levels: 5, ..location }));
}

#[test]
fn a_copy_is_not_a_kernel() {
    let signature = signature();
    let changes: [(&str, Change); 6] = [
        ("page tables that were never set up", |memory| memory.put_u64(IMAGE + ROOT_AT + 511 * 8, 0)),
        ("page tables of another place", |memory| {
            memory.put_u64(IMAGE + ROOT_AT + 511 * 8, (IMAGE + LEVEL3_AT + ALIGNMENT) | 0x67);
        }),
        ("a pointer that is not one to itself", |memory| {
            memory.put_u64(IMAGE + INIT_TASK_AT + LEADER_AT, link(INIT_TASK_AT).get() + KASLR + 8);
        }),
        ("moved too far", |memory| memory.put_u64(IMAGE + INIT_TASK_AT + LEADER_AT, 0)),
        ("another build", |memory| memory.put(IMAGE + BANNER_AT + 14, b"7")),
        ("nothing there", |memory| memory.remove_page(IMAGE + INIT_TASK_AT)),
    ];
    for (what, change) in changes {
        let mut memory = kernel();
        change(&mut memory);
        assert_eq!(finder(&memory, &signature).location_at(DELTA), None, "{what}");
    }
}

#[test]
fn without_a_signature_the_tables_decide() {
    let (memory, nothing) = (kernel(), Signature::default());
    assert!(finder(&memory, &nothing).location_at(DELTA).is_some());
}

#[test]
fn banners_are_looked_for_at_every_2_mib() {
    let page = |at: usize| {
        let mut page = vec![0; 4096];
        page[at..at + BANNER.len()].copy_from_slice(BANNER);
        page
    };
    let banner = IMAGE + BANNER_AT;
    let at = usize::try_from(banner % PAGE_SIZE).unwrap();
    // The kernel; one in the segment of the page before it, not aligned; a copy; one that is not at the right place in
    // its page; and the place of an image that begins below 16 MiB.
    let pages = [
        (banner - PAGE_SIZE, page(at)),
        (banner, page(at)),
        (banner + 9 * ALIGNMENT, page(at)),
        (banner + 10 * ALIGNMENT, page(at + 8)),
        (ALIGNMENT, page(at)),
    ];
    let pages = pages.map(|(address, page)| (PhysAddr::new(address & !0xfff), page));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write_elf_core(&mut file, Architecture::X86_64, &[], pages.iter().map(|(start, bytes)| (*start, bytes.as_slice())))
        .unwrap();
    let dump = Dump::open(file.path()).unwrap();
    let expected = [ALIGNMENT.wrapping_sub(0x120_0000), DELTA, DELTA + 9 * ALIGNMENT];
    assert_eq!(deltas(&dump, link(BANNER_AT), &signature()), expected);
}

/// The seven ways in which an entry of a machine with SME can look, as far as finding the kernel goes.
#[test]
fn entries_that_carry_a_bit_of_encryption() {
    for bit in [36, 43, 47, 51] {
        let (mut memory, signature) = (kernel(), signature());
        memory.put_u64(IMAGE + ROOT_AT + 511 * 8, (IMAGE + LEVEL3_AT) | 1 << bit | 0x67);
        let location = finder(&memory, &signature).location_at(DELTA).unwrap();
        assert_eq!((location.page_levels, location.mask.encryption_bit()), (4, 1 << bit));
    }
    // A bit that this memory of 1 GiB could have, and two bits.
    for bits in [1 << 29, 3 << 46] {
        let (mut memory, signature) = (kernel(), signature());
        memory.put_u64(IMAGE + ROOT_AT + 511 * 8, (IMAGE + LEVEL3_AT) | bits | 0x67);
        assert_eq!(finder(&memory, &signature).location_at(DELTA), None);
    }
}

#[test]
fn what_is_there_instead_of_a_kernel_is_told() {
    let signature = signature();
    let prove = |memory: &TestMemory| finder(memory, &signature).prove(DELTA);
    assert!(matches!(prove(&kernel()), Proof::Kernel(_)));
    let mut zeroed = kernel();
    zeroed.put(IMAGE + BANNER_AT, &[0; BANNER.len()]);
    let at = PhysAddr::new(IMAGE + BANNER_AT);
    assert_eq!(prove(&zeroed), Proof::Other(Contents::Zeroes, at));
    let mut no_banner = kernel();
    no_banner.remove_page(IMAGE + BANNER_AT);
    assert!(matches!(prove(&no_banner), Proof::Kernel(_)), "a page that is not in the dump speaks against nothing");
    let mut no_root = kernel();
    no_root.remove_page(IMAGE + ROOT_AT);
    assert!(matches!(prove(&no_root), Proof::Unreadable(_)));
    let mut damaged = kernel();
    damaged.put_u64(IMAGE + ROOT_AT + 511 * 8, 0);
    assert!(matches!(prove(&damaged), Proof::NotRunning(_)));
    assert!(matches!(prove(&TestMemory::default()), Proof::Unreadable(_)));
}

#[test]
fn memory_counts_where_vmcoreinfo_contradicts_it() {
    let signature = signature();
    let memory = kernel();
    let proved = finder(&memory, &signature).location_at(DELTA).unwrap();
    let reconciled = |claimed| {
        let mut gaps = Vec::new();
        (reconcile(claimed, proved, &mut gaps), gaps.len())
    };
    assert_eq!(reconciled(proved), ((proved, FoundBy::Vmcoreinfo), 0));
    assert_eq!(reconciled(KernelLocation { page_levels: 5, ..proved }), ((proved, FoundBy::Vmcoreinfo), 1));
    let elsewhere = KernelLocation { root: PhysAddr::new(0x1000), ..proved };
    assert_eq!(reconciled(elsewhere), ((proved, FoundBy::Vmcoreinfo), 1));
    let encrypted = KernelLocation { mask: proved.mask.without(1 << 47), ..proved };
    assert_eq!(reconciled(encrypted), ((proved, FoundBy::Vmcoreinfo), 1));
    let moved = KernelLocation { kaslr_offset: 0, ..proved };
    assert_eq!(reconciled(moved), ((proved, FoundBy::Banner), 1));
}
