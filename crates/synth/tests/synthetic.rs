//! What every synthetic machine has in common, whatever its scenario, kernel and seed.

// All of this is test code, which clippy does not see in helpers.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use proptest::prelude::*;
use vmcore_debuginfo::{Vmlinux, VmlinuxKind};
use vmcore_dump::Dump;
use vmcore_memory::{ReadPhysical, VirtAddr};
use vmcore_synth::scenario::{self, Doing, Scenario};
use vmcore_synth::{DumpForm, Generation, Synthetic, build};

fn machine(name: &str, kernel: &str, seed: u64) -> Synthetic {
    build(&scenario::named(name).unwrap(), &Generation::named(kernel).unwrap(), seed).unwrap()
}

fn core(machine: &Synthetic) -> Vec<u8> {
    let mut core = Vec::new();
    DumpForm::Elf.write(machine, 0, &mut core).unwrap();
    core
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_gives_others() {
    for kernel in Generation::names() {
        let [first, same, other] = [1, 1, 2].map(|seed| machine("thp-livelock", kernel, seed));
        assert!(core(&first) == core(&same) && first.vmlinux == same.vmlinux, "{kernel}");
        assert!(core(&first) != core(&other), "{kernel}: another seed moves the kernel");
    }
}

/// The image in memory is the one in the file, moved.
#[test]
fn dump_and_vmlinux_are_of_one_kernel() {
    for kernel in Generation::names() {
        let machine = machine("idle", kernel, 7);
        let directory = tempfile::tempdir().unwrap();
        let [vmcore, vmlinux] = ["vmcore", "vmlinux"].map(|name| directory.path().join(name));
        std::fs::write(&vmcore, core(&machine)).unwrap();
        std::fs::write(&vmlinux, &machine.vmlinux).unwrap();
        let (dump, vmlinux) = (Dump::open(&vmcore).unwrap(), Vmlinux::open(&vmlinux).unwrap());
        assert_eq!(vmlinux.kind(), VmlinuxKind::File, "{kernel}");
        assert_eq!((dump.warnings(), dump.incomplete()), (&[][..], None));
        let info = dump.vmcoreinfo().unwrap();
        let offset = info.kerneloffset().unwrap();
        let start = vmlinux.symbols().address("_stext").unwrap();
        assert_eq!(info.symbol("_stext"), Some(start.wrapping_add(offset)));
        let physical = |address: VirtAddr| {
            let moved = address.get() + offset;
            let of_image = |base: i64| (moved - 0xffff_ffff_8000_0000).wrapping_add(base.cast_unsigned());
            vmcore_memory::PhysAddr::new(match info.number("kimage_voffset") {
                Some(offset) => moved.wrapping_sub(offset.cast_unsigned()),
                None => of_image(info.number("phys_base").unwrap()),
            })
        };
        let code = vmlinux.read_static(start, 256).unwrap();
        let mut found = vec![0; code.len()];
        dump.read_physical(physical(start), &mut found).unwrap();
        assert!(found == code, "{kernel}: code differs");
        let has_build_id = info.build_id().is_some();
        assert!(!has_build_id || info.build_id().as_deref() == vmlinux.build_id(), "{kernel}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let generation = Generation::named("6.1").unwrap();
    let refused = |change: &dyn Fn(&mut Scenario)| {
        let mut scenario = scenario::named("thp-livelock").unwrap();
        change(&mut scenario);
        build(&scenario, &generation, 1).unwrap_err().to_string()
    };
    assert!(refused(&|scenario| scenario.page_kib = Some(16)).contains("arm64"));
    assert!(refused(&|scenario| scenario.va_bits = Some(53)).contains("53 bits"));
    assert!(refused(&|scenario| scenario.cpus = 0).contains("1 to 512"));
    assert!(refused(&|scenario| scenario.cpus = 513).contains("1 to 512"));
    assert!(refused(&|scenario| scenario.task[1].cpu = 9).contains("CPU 9"));
    assert!(refused(&|scenario| scenario.task[1].cpu = 1).contains("two tasks run on CPU 1"));
    assert!(refused(&|scenario| scenario.task[1].pid = 200).contains("one pid"));
    assert!(refused(&|scenario| scenario.task[1].seconds = f64::NAN).contains("NaN"));
    assert!(refused(&|scenario| scenario.task[1].seconds = 31.0).contains("longer than the machine was up"));
    assert!(refused(&|scenario| scenario.process[0].map[0].at += 4096).contains("multiple of 2 MiB"));
    assert!(refused(&|scenario| scenario.process[0].map[0].at = 0xffff_8000_0020_0000).contains("user address"));
    assert!(refused(&|scenario| scenario.offline = vec![0]).contains("never started"));
    assert!(refused(&|scenario| scenario.uptime = f64::INFINITY).contains("cannot be"));
    let deep = Doing::Stack { calls: vec!["recursive".to_owned(); 1000], page: None };
    assert!(refused(&|scenario| scenario.task[1].doing = deep.clone()).contains("deeper than its stack"));
    assert!(refused(&|scenario| scenario.process.clear()).contains("no process 'victim'"));
    assert!(refused(&|scenario| scenario.page.clear()).contains("needs a page"));
    assert!(Generation::named("2.4").unwrap_err().to_string().contains("4.19, 5.10"));
    assert!(Scenario::parse("cpus = 'many'").is_err());
    assert!(Scenario::parse("unknown = 1").unwrap_err().to_string().contains("unknown"));
}

/// What only larger pages, or fewer bits of address, do not have.
#[test]
fn what_cannot_be_on_arm64_is_refused_with_a_reason() {
    let refused = |kernel: &str, change: &dyn Fn(&mut Scenario)| {
        let mut scenario = scenario::named("thp-livelock").unwrap();
        change(&mut scenario);
        build(&scenario, &Generation::named(kernel).unwrap(), 1).unwrap_err().to_string()
    };
    assert!(refused("arm64-6.12", &|scenario| scenario.page_kib = Some(8)).contains("4, 16 or 64"));
    assert!(refused("arm64-6.12", &|scenario| scenario.page_kib = Some(16)).contains("32 MiB"));
    assert!(refused("arm64-6.12", &|scenario| scenario.page_kib = Some(64)).contains("512 MiB"));
    assert!(refused("arm64-6.1", &|scenario| scenario.va_bits = Some(52)).contains("39, 48"));
    assert!(refused("arm64-6.12", &|scenario| scenario.va_bits = Some(39)).contains("memory"));
    assert!(refused("arm64-6.1", &|scenario| scenario.preempt = true).contains("without preemption"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Wherever the seed puts the kernel, its memory can be found again.
    #[test]
    fn any_seed_and_any_number_of_cpus(seed: u64, cpus in 1u32..=64, sleepers in 0u32..50, levels in 4u8..=5) {
        let scenario = Scenario { cpus, sleepers, page_levels: Some(levels), uptime: 5.0, ..Scenario::default() };
        for kernel in ["4.19", "6.12"] {
            let machine = build(&scenario, &Generation::named(kernel).unwrap(), seed).unwrap();
            prop_assert_eq!(machine.notes.len() as u32, cpus + 1);
            let mut last = None;
            for (pfn, bytes) in machine.memory.pages() {
                prop_assert_eq!(bytes.len(), 4096);
                prop_assert!(last < Some(pfn));
                last = Some(pfn);
            }
        }
    }

    /// The text form never ends in a panic.
    #[test]
    fn any_text_is_a_scenario_or_an_error(text in "[a-z\\[\\]=\"{} 0-9.\\n]{0,200}") {
        let _ = Scenario::parse(&text);
    }
}

#[test]
fn a_scenario_is_the_same_once_it_was_written_and_read() {
    for name in scenario::names() {
        let scenario = scenario::named(name).unwrap();
        let text = scenario.to_text().unwrap();
        let again = Scenario::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
        assert_eq!(format!("{again:?}"), format!("{scenario:?}"), "{name}");
        assert!(!text.contains("\nsleepers = 0") && text.contains("\n[expect]"), "{text}");
    }
}
