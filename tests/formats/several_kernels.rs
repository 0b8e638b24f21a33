//! Two kernels of one build in memory: the one that crashed, and its crash kernel, which hung.

use std::ffi::OsStr;

use tempfile::TempDir;
use vmcore_debuginfo::Vmlinux;

use crate::machine::Machine;
use crate::{Run, livelock, run, testdata};

const IMAGE_BASE: u64 = 0xffff_ffff_8000_0000;

/// Where the images of the two begin.
struct Images {
    crashed: u64,
    capture: u64,
}

/// The livelock's machine with a second kernel below the first, which is what a search meets first: a copy of its image,
/// moved, with page tables that lead to its own, and `elfcorehdr_addr` as a crash kernel has it.
fn with_a_crash_kernel() -> (Machine, Images) {
    let vmlinux = Vmlinux::open(&testdata("vmlinux.profile")).unwrap();
    let link = |name: &str| vmlinux.symbols().address(name).unwrap().get() - IMAGE_BASE;
    let mut machine = Machine::livelock();
    let delta = machine.root() - link("init_top_pgt");
    let image = delta + link("_text")..delta + link("_end");
    let overlaps = |moved: u64| {
        let start = image.start - moved;
        machine.pages.range(start / 4096..(image.end - moved) / 4096 + 1).next().is_some()
    };
    let moved = (0..image.start).step_by(2 << 20).skip(1).find(|&moved| !overlaps(moved)).expect("room below");
    let copies = machine.pages.range(image.start / 4096..image.end / 4096 + 1);
    let copies: Vec<_> = copies.map(|(frame, page)| (frame - moved / 4096, page.clone())).collect();
    machine.pages.extend(copies);
    let root = machine.root() - moved;
    let mut table = machine.table(root).unwrap();
    table[511] -= moved;
    machine.put_table(root, &table);
    let at = delta - moved + link("elfcorehdr_addr");
    let page = machine.pages.entry(at / 4096).or_insert_with(|| vec![0; 4096]);
    page[(at % 4096) as usize..][..8].copy_from_slice(&0x2f00_0000u64.to_le_bytes());
    let images = Images { crashed: image.start, capture: image.start - moved };
    (machine, images)
}

fn analyze(machine: &Machine, more: &[&str]) -> Run {
    let directory = TempDir::new().unwrap();
    let vmcore = directory.path().join("vmcore");
    machine.write_elf(&vmcore);
    let more: Vec<&OsStr> = more.iter().map(OsStr::new).collect();
    run("analyze", &vmcore, &more)
}

#[test]
fn the_one_that_crashed_is_judged_and_the_other_is_told() {
    let (mut machine, images) = with_a_crash_kernel();
    machine.notes.retain(|note| note.name != b"VMCOREINFO");
    let original = run("analyze", &livelock(), &[]).answer();
    let found = analyze(&machine, &[]);
    let Images { crashed, capture } = images;
    let told = format!("2 kernels are in memory: 1 at physical {capture:#x}: a crash kernel");
    assert!(found.stderr.contains(&told), "{}", found.stderr);
    assert!(found.stderr.contains(&format!("2 at physical {crashed:#x}: ")), "{}", found.stderr);
    let answer = found.answer();
    assert_eq!(answer["verdict"], original["verdict"]);
    assert!(answer["stacks"] == original["stacks"]);
    let unknown = answer["unknown"].to_string();
    assert!(unknown.contains(&format!("another kernel at physical {capture:#x}: a crash kernel")), "{unknown}");
    // By hand: the same, by number and by an address inside; and one that is not there.
    let by_address = format!("{:#x}", crashed + 0x1234);
    for by_hand in [["--which", "2"], ["--kernel-at", &by_address]] {
        assert_eq!(analyze(&machine, &by_hand).answer()["verdict"], original["verdict"], "{by_hand:?}");
    }
    let nowhere = analyze(&machine, &["--which", "3"]);
    assert_eq!(nowhere.status, 2, "{}", nowhere.stderr);
    assert!(
        nowhere.stderr.contains(&format!("there is one at physical {capture:#x}, {crashed:#x}")),
        "{}",
        nowhere.stderr
    );
}

/// The note can be that of the crash kernel, and the crashed one can be lost: nothing is judged in its place.
#[test]
fn a_crash_kernel_is_not_judged_unless_it_is_asked_for() {
    let (mut machine, images) = with_a_crash_kernel();
    let (line, base) = machine.vmcoreinfo_line("NUMBER(phys_base)=");
    let moved = base.parse::<i64>().unwrap() - (images.crashed - images.capture).cast_signed();
    machine.replace_in_vmcoreinfo(&line, &format!("NUMBER(phys_base)={moved}"));
    let original = run("analyze", &livelock(), &[]).answer();
    assert_eq!(analyze(&machine, &[]).answer()["verdict"], original["verdict"], "by a crash kernel's VMCOREINFO");
    machine.pages.retain(|&frame, _| !(images.crashed..images.crashed + (64 << 20)).contains(&(frame * 4096)));
    let alone = analyze(&machine, &[]);
    assert_eq!((alone.status, alone.stdout.len()), (3, 0), "{}", alone.stderr);
    assert!(alone.stderr.contains("is a crash kernel, and the one that crashed was not found"), "{}", alone.stderr);
    assert_ne!(analyze(&machine, &["--which", "1"]).stdout.len(), 0);
}
