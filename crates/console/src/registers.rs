//! The lines of a register dump on x86-64, and the registers they hold.
//!
//! ```text
//! RIP: 0010:symbol+0x1/0x20                       before 4.14: RIP: 0010:[<ffff…>]  [<ffff…>] symbol+0x1/0x20
//! Code: 89 d1 … <f3> …
//! RSP: 0018:ffff… EFLAGS: 00050206 ORIG_RAX: …    the last part may be a line of its own
//! RAX: … RBX: … RCX: …
//! RDX: … RSI: … RDI: …
//! RBP: … R08: … R09: …
//! R10: … R11: … R12: …
//! R13: … R14: … R15: …
//! FS:  … GS:… knlGS:…                             from here on only of the CPU's own registers
//! CS:  … DS: … ES: … CR0: …
//! CR2: … CR3: … CR4: …
//! DR0: … DR1: … DR2: …    DR3: … DR6: … DR7: …    only where breakpoints are set
//! PKRU: …
//! ```
//!
//! Source: `arch/x86/kernel/process_64.c`, `__show_regs()`; `arch/x86/kernel/dumpstack.c`, `show_ip()`.

use std::collections::BTreeMap;

use vmcore_memory::VirtAddr;

use crate::frame::{Location, bracketed_address};

/// The lines, by the register that they begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RowKind {
    Rsp,
    OrigRax,
    Rax,
    Rdx,
    Rbp,
    R10,
    R13,
    Fs,
    Cs,
    Cr2,
    Dr0,
    Dr3,
    Pkru,
}

/// Names of registers as the kernel prints them, as they are called here, and the line that each begins, if any.
const NAMES: [(&str, &str, Option<RowKind>); 35] = [
    ("RSP", "rsp", Some(RowKind::Rsp)),
    ("EFLAGS", "eflags", None),
    ("ORIG_RAX", "orig_rax", Some(RowKind::OrigRax)),
    ("RAX", "rax", Some(RowKind::Rax)),
    ("RBX", "rbx", None),
    ("RCX", "rcx", None),
    ("RDX", "rdx", Some(RowKind::Rdx)),
    ("RSI", "rsi", None),
    ("RDI", "rdi", None),
    ("RBP", "rbp", Some(RowKind::Rbp)),
    ("R08", "r8", None),
    ("R09", "r9", None),
    ("R10", "r10", Some(RowKind::R10)),
    ("R11", "r11", None),
    ("R12", "r12", None),
    ("R13", "r13", Some(RowKind::R13)),
    ("R14", "r14", None),
    ("R15", "r15", None),
    ("FS", "fs_base", Some(RowKind::Fs)),
    ("GS", "gs_base", None),
    ("knlGS", "kernel_gs_base", None),
    ("CS", "cs", Some(RowKind::Cs)),
    ("DS", "ds", None),
    ("ES", "es", None),
    ("CR0", "cr0", None),
    ("CR2", "cr2", Some(RowKind::Cr2)),
    ("CR3", "cr3", None),
    ("CR4", "cr4", None),
    ("DR0", "dr0", Some(RowKind::Dr0)),
    ("DR1", "dr1", None),
    ("DR2", "dr2", None),
    ("DR3", "dr3", Some(RowKind::Dr3)),
    ("DR6", "dr6", None),
    ("DR7", "dr7", None),
    ("PKRU", "pkru", Some(RowKind::Pkru)),
];

/// One line of a register dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) kind: RowKind,
    /// The code or stack segment in front of a pointer.
    pub(crate) selector: Option<u16>,
    pub(crate) values: Vec<(&'static str, u64)>,
}

impl Row {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (mut kind, mut selector, mut values) = (None, None, Vec::new());
        while let Some(word) = words.next() {
            let (name, glued) = word.split_once(':')?;
            let (_, name, starts) = NAMES.iter().find(|(printed, ..)| *printed == name)?;
            if kind.is_none() {
                kind = Some((*starts)?);
            }
            // `GS:ffff…` and `FS:  ffff…(0000)`.
            let value = if glued.is_empty() { words.next()? } else { glued };
            let value = value.split_once('(').map_or(value, |(base, _)| base);
            let value = match value.split_once(':') {
                Some((segment, value)) => {
                    selector = Some(u16::from_str_radix(segment, 16).ok()?);
                    value
                }
                None => value,
            };
            values.push((*name, u64::from_str_radix(value, 16).ok()?));
        }
        Some(Self { kind: kind?, selector, values })
    }
}

/// The line with the instruction pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rip {
    pub(crate) selector: u16,
    pub(crate) location: Location,
}

/// The kernel's code segment on x86-64; other architectures have none.
const KERNEL: u16 = 0x10;

impl Rip {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let Some(rest) = text.strip_prefix("RIP: ") else { return Self::of_other(text) };
        let (selector, rest) = rest.trim_start().split_once(':')?;
        let selector = u16::from_str_radix(selector, 16).ok()?;
        let (rest, first) = bracketed_address(rest.trim());
        let (rest, second) = bracketed_address(rest);
        Some(Self { selector, location: Location::parse(rest, second.or(first))? })
    }

    /// Of other architectures: arm64 `pc : f+0x1/0x2`, ARM `PC is at f+0x1/0x2`, RISC-V `epc : f+0x1/0x2`, MIPS
    /// `epc   : 8066c218 f+0x1/0x2`, powerpc `NIP [c0…] f+0x1/0x2`, s390 `Krnl PSW : 07… 00… (f+0x1/0x2)`, x86 with 32
    /// bits `EIP: f+0x1/0x2` or `EIP is at f+0x1/0x2`.
    fn of_other(text: &str) -> Option<Self> {
        const STARTS: [&str; 9] =
            ["pc : ", "PC is at ", "epc : ", "epc   : ", "NIP ", "NIP: ", "EIP is at ", "EIP: ", "Krnl PSW : "];
        let rest = STARTS.iter().find_map(|start| text.strip_prefix(start))?.trim();
        let rest = match rest.split_once(" (") {
            Some((_, inside)) if text.starts_with("Krnl") => inside.strip_suffix(')')?,
            _ => rest.strip_prefix("0060:").unwrap_or(rest),
        };
        let (rest, _) = bracketed_address(rest);
        let rest = match rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((digits, rest)) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => rest,
            _ => rest,
        };
        let rest = match rest.split_once(' ') {
            Some((digits, after)) if digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => after,
            _ => rest,
        };
        let location = Location::parse(rest, None).filter(|location| location.symbol.is_some())?;
        Some(Self { selector: KERNEL, location })
    }

    /// Whether user code was interrupted: the privilege level in CS.
    pub(crate) const fn is_user(&self) -> bool {
        self.selector & 3 != 0
    }
}

/// General registers that were printed together, and where the CPU was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterDump {
    /// The instruction, where its line was found.
    pub location: Option<Location>,
    /// Whether user code was interrupted; `None` where neither segment was found.
    pub user_mode: Option<bool>,
    /// The values by lower-case name, such as `rdi`. A register whose line was lost is not there.
    pub values: BTreeMap<&'static str, u64>,
}

impl RegisterDump {
    pub(crate) fn start(rip: &Rip) -> Self {
        Self { location: Some(rip.location.clone()), user_mode: Some(rip.is_user()), values: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, row: &Row) {
        if let Some(selector) = row.selector {
            self.user_mode.get_or_insert(selector & 3 != 0);
        }
        self.values.extend(row.values.iter().copied());
    }

    /// The instruction, where its function is known.
    pub(crate) fn function(&self) -> Option<&Location> {
        self.location.as_ref().filter(|at| at.symbol.is_some())
    }

    /// A register's value as an address of a process.
    #[must_use]
    pub fn user_address(&self, register: &str) -> Option<VirtAddr> {
        /// User addresses end here, even with five levels of page tables; nothing is mapped in the first page.
        const USER: std::ops::Range<u64> = 0x1000..1 << 56;
        self.values.get(register).copied().filter(|value| USER.contains(value)).map(VirtAddr::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let row = Row::parse("RDX: 0000000000000090 RSI: ffffa389886efdf8 RDI: 000000c000100000").unwrap();
        assert_eq!(row.kind, RowKind::Rdx);
        assert_eq!(row.values, [("rdx", 0x90), ("rsi", 0xffff_a389_886e_fdf8), ("rdi", 0xc0_0010_0000)]);
        let row = Row::parse("RSP: 002b:00007eff08007ed8 EFLAGS: 00000246 ORIG_RAX: 0000000000000005").unwrap();
        assert_eq!((row.kind, row.selector, row.values.len()), (RowKind::Rsp, Some(0x2b), 3));
        assert_eq!(Row::parse(" ORIG_RAX: 0000000000000005").unwrap().kind, RowKind::OrigRax);
        let row = Row::parse("FS:  00007f3b625426c0(0000) GS:ff1d1aa07db00000(0000) knlGS:0000000000000000").unwrap();
        assert_eq!(row.values.get(1), Some(&("gs_base", 0xff1d_1aa0_7db0_0000)));
        assert_eq!(Row::parse("CS:  0010 DS: 0000 ES: 0000 CR0: 0000000080050033").unwrap().kind, RowKind::Cs);
        for text in ["", "RSI: 1", "RAX:", "RAX: zz", "RAX: 1 more", "CPU: 1 PID: 2"] {
            assert_eq!(Row::parse(text), None, "{text}");
        }
    }

    #[test]
    fn instruction_pointers_of_all_times() {
        let rip = Rip::parse("RIP: 0010:copy_user_enhanced_fast_string+0xe/0x20").unwrap();
        assert_eq!((rip.is_user(), rip.location.offset), (false, Some(0xe)));
        let old = "RIP: 0010:[<ffffffff8100a0b1>]  [<ffffffff8100a0b1>] native_safe_halt+0x6/0x10 [kvm]";
        let rip = Rip::parse(old).unwrap();
        assert_eq!(rip.location.symbol.as_deref(), Some("native_safe_halt"));
        assert_eq!(rip.location.address, Some(VirtAddr::new(0xffff_ffff_8100_a0b1)));
        assert_eq!(rip.location.module.as_deref(), Some("kvm"));
        let user = Rip::parse("RIP: 0033:0x7eff1b11e3a4").unwrap();
        assert_eq!((user.is_user(), user.location.symbol), (true, None));
        assert_eq!(Rip::parse("RIP: 0033:[<00007eff1b11e3a4>]").map(|rip| rip.is_user()), Some(true));
        assert_eq!(Rip::parse("RIP: "), None);
        for line in [
            "pc : demo+0x10/0x24",
            "PC is at demo+0x10/0x24",
            "epc : demo+0x10/0x24",
            "epc   : 8066c218 demo+0x10/0x24",
            "NIP [c0000000001c9f60] demo+0x10/0x24",
            "Krnl PSW : 0704c00180000000 000003ff8017c7b2 (demo+0x10/0x24)",
            "EIP: demo+0x10/0x24",
            "EIP is at demo+0x10/0x24",
        ] {
            let rip = Rip::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((rip.location.symbol.as_deref(), rip.is_user()), (Some("demo"), false), "{line}");
        }
        for line in [
            "pc : [<c01f3218>]    lr : [<c01f32a0>]    psr: 60000013",
            "epc : ffffffff8000c762 ra : ffffffff8000c760 sp : ff20",
            "NIP:  c0000000001c9f60 LR: c000000000d80000 CTR: c0",
        ] {
            assert_eq!(Rip::parse(line), None, "{line}");
        }
    }
}
