use vmcore_dump::{Dump, write_elf_core};
use vmcore_memory::{Architecture, PhysAddr};

use super::FoundVmcoreinfo;
use crate::Sweep;

const REAL: &str = "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff82a1aa40\n";

fn find_vmcoreinfo(dump: &Dump, build_id: Option<&[u8]>) -> Option<FoundVmcoreinfo> {
    super::find_vmcoreinfo(dump, build_id, &Sweep::default())
}

/// A dump of these pages, by frame.
fn dump(pages: &[(u64, &str)]) -> Dump {
    let page = |text: &str| {
        let mut page = text.as_bytes().to_vec();
        page.resize(4096, 0);
        page
    };
    let pages: Vec<_> = pages.iter().map(|&(frame, text)| (PhysAddr::new(frame * 4096), page(text))).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write_elf_core(&mut file, Architecture::X86_64, &[], pages.iter().map(|(start, bytes)| (*start, bytes.as_slice())))
        .unwrap();
    Dump::open(file.path()).unwrap()
}

#[test]
fn the_lowest_page_that_is_one() {
    let memory = [
        (3, " OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(a)=1\n"),
        (9000, REAL),
        (4, "OSRELEASE=6.1.0\nPAGESIZE=4096\n"),
        (5, "OSRELEASE=6.1.0\nSYMBOL(a)=1\n"),
        (70_000, "OSRELEASE=later\nKERNELOFFSET=0\nSYMBOL(a)=1\n"),
    ];
    let found = find_vmcoreinfo(&dump(&memory), None).unwrap();
    assert_eq!(found.address, PhysAddr::new(9000 * 4096));
    assert!(found.text.starts_with(REAL.as_bytes()));
}

#[test]
fn that_of_the_kernel_in_memory_goes_before_one_below() {
    // `init_uts_ns` is in the frame 0x161a, and the release 134 bytes from its start.
    let of_x86_64 = "SYMBOL(init_uts_ns)=ffffffff82a1a000\nNUMBER(phys_base)=-20971520\n";
    let of_arm64 = "SYMBOL(init_uts_ns)=ffffa1f42ca1a000\nNUMBER(kimage_voffset)=0xffffa1f42b400000\n";
    for place in [of_x86_64, of_arm64] {
        let text = |release: &str| format!("OSRELEASE={release}\nPAGESIZE=4096\nOFFSET(uts_namespace.name)=4\n{place}");
        let names = format!("{}6.12.0\0", " ".repeat(134));
        let (old, new) = (text("6.12"), text("6.12.0"));
        let found = find_vmcoreinfo(&dump(&[(3, &old), (4, &new), (0x161a, &names)]), None).unwrap();
        assert_eq!(found.address, PhysAddr::new(4 * 4096));
        assert_eq!(find_vmcoreinfo(&dump(&[(3, &old), (4, &new)]), None).unwrap().address, PhysAddr::new(3 * 4096));
    }
}

#[test]
fn none() {
    assert_eq!(find_vmcoreinfo(&dump(&[(0, "nothing"), (1, "OSRELEASE=")]), None), None);
}
