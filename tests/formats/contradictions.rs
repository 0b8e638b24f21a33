//! VMCOREINFO that memory contradicts.

use tempfile::TempDir;

use crate::machine::Machine;
use crate::{Run, livelock, run};

fn analyze(machine: &Machine) -> Run {
    let directory = TempDir::new().unwrap();
    let vmcore = directory.path().join("vmcore");
    machine.write_elf(&vmcore);
    run("analyze", &vmcore, &[])
}

#[test]
fn memory_counts_and_the_contradiction_is_said() {
    let original = run("analyze", &livelock(), &[]).answer();
    let cases = [
        ("NUMBER(pgtable_l5_enabled)=", "0", "the number of page-table levels is 4 by it and 5 by memory"),
        ("SYMBOL(swapper_pg_dir)=", "ff00000000001000", "the top page table's address is 0x"),
        ("KERNELOFFSET=", "0", "it is not that of the kernel in memory"),
    ];
    for (key, value, said) in cases {
        let mut machine = Machine::livelock();
        let (line, _) = machine.vmcoreinfo_line(key);
        machine.replace_in_vmcoreinfo(&line, &format!("{key}{value}"));
        let found = analyze(&machine);
        assert_eq!(found.status, 1, "{key}{value}: {}", found.stderr);
        let answer = found.answer();
        assert_eq!(answer["verdict"], original["verdict"], "{key}{value}");
        assert!(answer["stacks"] == original["stacks"], "{key}{value}");
        assert!(answer["unknown"].to_string().contains(said), "{key}{value}: {}", answer["unknown"]);
    }
}

#[test]
fn pages_of_another_kind_are_not_analyzed() {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 56) as u8
    };
    let mut machine = Machine::livelock();
    machine.pages.values_mut().flatten().for_each(|byte| *byte = random());
    let encrypted = analyze(&machine);
    assert_eq!(encrypted.status, 2, "{}", encrypted.stderr);
    assert!(encrypted.stderr.contains("are random bytes; the memory is encrypted, or"), "{}", encrypted.stderr);
    assert!(
        encrypted.stderr.contains("hint: pages that AMD SEV or Intel TDX encrypts look like this"),
        "{}",
        encrypted.stderr
    );
    machine.pages.values_mut().flatten().for_each(|byte| *byte = 0);
    let zeroes = analyze(&machine);
    assert_eq!(zeroes.status, 2, "{}", zeroes.stderr);
    assert!(zeroes.stderr.contains("are only zeroes"), "{}", zeroes.stderr);
}

/// That a page is missing is another answer.
#[test]
fn a_page_that_is_not_in_the_dump_is_named() {
    let mut machine = Machine::livelock();
    let kept = *machine.pages.keys().next_back().unwrap();
    machine.pages.retain(|&frame, _| frame == kept);
    let missing = analyze(&machine);
    assert_eq!(missing.status, 3, "{}", missing.stderr);
    let unknown = missing.json()["unknown"].to_string();
    assert!(unknown.contains("is not in the dump") && !unknown.contains("encrypted"), "{unknown}");
}
