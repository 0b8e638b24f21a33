//! Machines that encrypt their memory: the bit that says so in every entry of the page tables changes no answer.

use std::collections::BTreeSet;

use tempfile::TempDir;

use crate::machine::Machine;
use crate::{livelock, run};

const PRESENT: u64 = 1;
const HUGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Sets `bit` in entries of all page tables: in every present one, or only in those that map pages.
fn encrypt(machine: &mut Machine, bit: u64, leaves_only: bool) {
    let root = machine.root();
    let levels = if machine.vmcoreinfo_line("NUMBER(pgtable_l5_enabled)=").1 == "1" { 5 } else { 4 };
    // All processes have the kernel's half of the root.
    let kernel_half = machine.table(root).unwrap()[256..].to_vec();
    let addresses: Vec<u64> = machine.pages.keys().map(|frame| frame * 4096).collect();
    let roots = addresses.into_iter().filter(|&at| machine.table(at).unwrap()[256..] == kernel_half);
    let mut left: Vec<(u64, u32)> = roots.map(|root| (root, levels)).collect();
    assert!(left.len() > 1, "the kernel's, and those of processes");
    let mut seen = BTreeSet::new();
    while let Some((at, level)) = left.pop() {
        let Some(mut entries) = machine.table(at).filter(|_| seen.insert(at)) else { continue };
        for entry in entries.iter_mut().filter(|entry| **entry & PRESENT != 0) {
            let leaf = level == 1 || (level <= 3 && *entry & HUGE != 0);
            if !leaf {
                left.push((*entry & ADDRESS, level - 1));
            }
            if leaf || !leaves_only {
                *entry |= bit;
            }
        }
        machine.put_table(at, &entries);
    }
    assert!(seen.len() >= 16, "{} tables", seen.len());
}

/// What does not depend on the raw value of entries, which is in the proof.
fn same_verdict(machine: &Machine, what: &str) -> String {
    let directory = TempDir::new().unwrap();
    let vmcore = directory.path().join("vmcore");
    machine.write_elf(&vmcore);
    let original = run("analyze", &livelock(), &[]).answer();
    let found = run("analyze", &vmcore, &[]);
    assert_eq!(found.status, 1, "{what}: {}", found.stderr);
    let answer = found.answer();
    for member in ["verdict", "splitters", "findings", "refutations", "known_issue", "stacks", "kernel"] {
        assert!(answer[member] == original[member], "{what}: {member} differs");
    }
    let spinners = |answer: &serde_json::Value| answer["spinners"].as_array().map(Vec::len);
    assert_eq!(spinners(&answer), spinners(&original), "{what}");
    found.stderr
}

#[test]
fn with_the_mask_in_vmcoreinfo_without_it_and_with_a_wrong_one() {
    for (bit, mask) in [(47, Some(47)), (51, None), (43, Some(45))] {
        let mut machine = Machine::livelock();
        encrypt(&mut machine, 1 << bit, false);
        let (line, _) = machine.vmcoreinfo_line("NUMBER(sme_mask)=");
        let text = mask.map_or(String::new(), |bit| format!("NUMBER(sme_mask)={}", 1u64 << bit));
        machine.replace_in_vmcoreinfo(&line, &text);
        let stderr = same_verdict(&machine, &format!("bit {bit}, mask {mask:?}"));
        assert!(stderr.contains(&format!("bit {bit} set for encrypted memory")), "{stderr}");
    }
}

/// TDX: pages that are shared with the host have the bit, page tables never.
#[test]
fn pages_alone_that_are_shared() {
    let mut machine = Machine::livelock();
    encrypt(&mut machine, 1 << 51, true);
    same_verdict(&machine, "shared pages");
}
