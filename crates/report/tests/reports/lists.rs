//! `ps`, `runq`, `dmesg`, `info` and `vtop`.

use vmcore_kernel::paging::{Entry, Outcome, Step, SwapFields, SwapLayout, Walk};
use vmcore_kernel::{Caller, Gap, LogDevice, LogRecord, Page};
use vmcore_memory::{PageLevel, Pfn, PhysAddr, ReadError, VirtAddr};
use vmcore_report::Hex;
use vmcore_report::dmesg::{Dmesg, Order};
use vmcore_report::info::{DebugInfo, Info, Machine};
use vmcore_report::machine::{Dump, Followed, Kernel, Panic, StacksFollowed};
use vmcore_report::ps::{self, Ps};
use vmcore_report::runq::Runq;
use vmcore_report::vtop::Vtop;

use crate::machine::{HOSTILE, snapshot};
use crate::{json, text};

#[test]
fn ps() {
    let snapshot = snapshot();
    let report = Ps::new(&snapshot, ps::Order::Pid, &|_| true);
    insta::assert_snapshot!("ps_text", text(&report));
    insta::assert_snapshot!("ps_json", json(&report));
}

#[test]
fn runq() {
    let snapshot = snapshot();
    let report = Runq::new(&snapshot);
    insta::assert_snapshot!("runq_text", text(&report));
    insta::assert_snapshot!("runq_json", json(&report));
}

fn record(seq: u64, level: u8, text: &str) -> LogRecord {
    LogRecord {
        seq,
        timestamp_ns: 14_954_229_219 + seq,
        level,
        facility: 0,
        caller: Some(Caller::Cpu(3)),
        text: text.to_owned(),
        device: None,
        unfinished: false,
    }
}

#[test]
fn dmesg() {
    let device = LogDevice { subsystem: "pci".to_owned(), device: "+pci:0000:00:01.0".to_owned() };
    let log = [
        LogRecord { caller: None, timestamp_ns: 0, ..record(0, 5, "Linux version 6.1.0") },
        LogRecord { device: Some(device), ..record(1, 6, "two lines\n\twith a tab") },
        LogRecord { facility: 1, caller: Some(Caller::Task(150)), ..record(2, 0, &format!("forged\r{HOSTILE}")) },
        LogRecord { unfinished: true, ..record(3, 4, "half a li") },
    ];
    let gaps = [Gap::new("kernel log", "one place is damaged")];
    let report = Dmesg::new(&log, &gaps, Order::Sequence);
    insta::assert_snapshot!("dmesg_text", text(&report));
    insta::assert_snapshot!("dmesg_json", json(&report));
}

#[test]
fn dmesg_by_caller() {
    let by = |seq, caller| LogRecord { caller, timestamp_ns: 0, ..record(seq, 6, &format!("record {seq}")) };
    let (cpu, task) = (Some(Caller::Cpu(3)), Some(Caller::Task(150)));
    let log = [by(0, cpu), by(1, task), by(2, cpu), by(3, None), by(4, task)];
    insta::assert_snapshot!(text(&Dmesg::new(&log, &[], Order::Caller)), @r"
    --- cpu:3: 2 records ---
    [    0.000000] record 0
    [    0.000000] record 2
    --- task:150: 2 records ---
    [    0.000000] record 1
    [    0.000000] record 4
    --- caller not recorded: 1 record ---
    [    0.000000] record 3
    ");
}

fn info() -> Info<'static> {
    Info {
        dump: Dump {
            path: "/var/crash/vmcore".to_owned(),
            format: "elf".to_owned(),
            source: "/proc/vmcore".to_owned(),
            pages: 262_208,
            excluded_pages: Some(12),
            dump_level: Some(31),
            incomplete: true,
            incomplete_reason: Some("the file is truncated: it has 10 of 20 bytes".to_owned()),
            cpus_with_registers: vec![0, 2],
        },
        kernel: Kernel {
            release: Some("6.1.0-30-cloud-amd64".to_owned()),
            version: Some("#1 SMP PREEMPT_DYNAMIC Debian 6.1.124-1 (2025-01-12)".to_owned()),
            build_id: Some("3b43fad5034874490492495d552c0af6a5fab235".to_owned()),
            nodename: Some(HOSTILE.to_owned()),
            arch: "x86_64",
            kaslr_offset: Hex(0x2700_0000),
            page_levels: 5,
            cpus: Some(4),
            modules: Some(8),
            more_modules: false,
            stacks: Some(StacksFollowed {
                cpus: Followed { total: 4, ended: 4, guessed: 0 },
                tasks: Followed { total: 94, ended: 91, guessed: 1 },
            }),
        },
        debuginfo: DebugInfo {
            source: "vmlinux",
            path: "/usr/lib/debug/boot/vmlinux-6.1.0-30-cloud-amd64".to_owned(),
            build_id: Some("3b43fad5034874490492495d552c0af6a5fab235".to_owned()),
            matches: Some(true),
        },
        panic: Panic {
            message: Some("Kernel panic - not syncing: softlockup: hung tasks".to_owned()),
            cpu: Some(3),
            pid: Some(149),
        },
        uptime_ns: Some(14_958_232_208),
        crash_time: Some(1_763_841_600),
        tasks: Some(94),
        machine: Machine {
            command_line: Some(format!("ro quiet {HOSTILE}")),
            load: Some(vec![4.12, 1.05, 0.36]),
            memory_total: Some(1 << 30),
            memory_free: Some(700 << 20),
            taint: Some(Hex(0x4200)),
            taint_letters: Some("WL".to_owned()),
            tainting_modules: Vec::new().into(),
            hardware: Some("QEMU, Standard PC".to_owned()),
            firmware: None,
            processor: Some("AMD EPYC Processor".to_owned()),
            gaps: Vec::new(),
        },
        gaps: Vec::new(),
    }
}

#[test]
fn info_with_everything() {
    insta::assert_snapshot!("info_text", text(&info()));
    insta::assert_snapshot!("info_json", json(&info()));
}

#[test]
fn info_of_an_old_kernel_that_did_not_panic() {
    let info = Info {
        kernel: Kernel { build_id: None, version: None, nodename: None, ..info().kernel },
        debuginfo: DebugInfo { build_id: None, matches: None, ..info().debuginfo },
        dump: Dump {
            excluded_pages: None,
            dump_level: None,
            incomplete: false,
            incomplete_reason: None,
            cpus_with_registers: vec![0, 1, 2, 3],
            ..info().dump
        },
        panic: Panic::default(),
        uptime_ns: None,
        crash_time: None,
        ..info()
    };
    insta::assert_snapshot!("info_unknown_text", text(&info));
    insta::assert_snapshot!("info_unknown_json", json(&info));
}

#[test]
fn modules_that_were_not_read_are_not_none() {
    let kernel = Kernel { modules: Some(3), more_modules: true, ..info().kernel };
    let machine = Machine {
        taint: Some(Hex(0x1000)),
        taint_letters: Some("O".to_owned()),
        ..vmcore_inspect::Machine::unknown().into()
    };
    let info = Info { kernel, machine, ..info() };
    let text = text(&info);
    assert!(text.contains("MODULES: 3 or more\n"), "{text}");
    let taint = "TAINT: O (0x1000); modules not read: loaded modules: without debug information they cannot be read\n";
    assert!(text.contains(taint), "{text}");
    assert!(json(&info).contains("\"tainting_modules\": null"), "{}", json(&info));
}

const SWAP: SwapLayout = SwapLayout {
    fields: Some(SwapFields::X86_64),
    max_swapfiles: Some(26),
    hwpoison: true,
    read_exclusive: true,
    pfn_bits: 40,
};
const ADDRESS: VirtAddr = VirtAddr::new(0x7f3b_6460_31b1);

fn step(level: PageLevel, entry_address: u64, raw: u64) -> Step {
    let entry = Entry::new(raw);
    Step { level, entry_address: PhysAddr::new(entry_address), entry, meaning: entry.meaning(level, &SWAP) }
}

fn page(address: u64, flag_names: Vec<&'static str>, head: Option<u64>) -> Page {
    Page {
        address: VirtAddr::new(address),
        pfn: Some(Pfn::new(address >> 6 & 0xffff)),
        flags: 0x000f_ffff_c009_009d,
        flag_names,
        refcount: if head.is_some() { 0 } else { 2 },
        mapcount: None,
        mapping: Some(0xffff_8880_0ffc_a5b1),
        compound_head_raw: head.map_or(0, |head| head | 1),
        head: head.map(VirtAddr::new),
    }
}

#[test]
fn vtop_to_a_migration_entry() {
    let steps =
        vec![step(PageLevel::Pgd, 0x1ad_4000, 0x24d2_b067), step(PageLevel::Pte, 0x3fe5_b018, 0xeff9_ffff_ff7b_f802)];
    let walk = Walk { address: ADDRESS, steps, outcome: Outcome::NotMapped };
    let tail = page(0xffff_ea00_0010_80c0, Vec::new(), Some(0xffff_ea00_0010_8000));
    let head = page(0xffff_ea00_0010_8000, vec!["PG_locked", "PG_head"], None);
    let report = Vtop::new(Some(146), &walk, Some(&tail), Some(&head), &[]);
    insta::assert_snapshot!("vtop_migration_text", text(&report));
    insta::assert_snapshot!("vtop_migration_json", json(&report));
}

#[test]
fn vtop_of_mapped_kernel_memory() {
    let steps = vec![step(PageLevel::Pmd, 0x24e1_6a28, 0x8000_0000_23e0_01e3)];
    let outcome = Outcome::Mapped(PhysAddr::new(0x23e0_6ef0));
    let walk = Walk { address: VirtAddr::new(0xffff_ffff_a8a0_6ef0), steps, outcome };
    insta::assert_snapshot!(text(&Vtop::new(
        None,
        &walk,
        Some(&page(0xffff_ea00_008f_8180, Vec::new(), None)),
        None,
        &[]
    )));
}

#[test]
fn vtop_where_a_table_is_missing() {
    let error = ReadError::Excluded { address: PhysAddr::new(0x24d2_b7f0), level: None };
    let steps = vec![step(PageLevel::Pgd, 0x1ad_4000, 0x24d2_b067)];
    let walk = Walk { address: ADDRESS, steps, outcome: Outcome::Unreadable(PageLevel::P4d, error) };
    let report = Vtop::new(Some(146), &walk, None, None, &[]);
    insta::assert_snapshot!("vtop_unreadable_text", text(&report));
    insta::assert_snapshot!("vtop_unreadable_json", json(&report));
}
