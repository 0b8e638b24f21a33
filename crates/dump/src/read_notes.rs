//! Which notes readers of dumps take anything from.

use object::elf;

use crate::{KeptRanges, RawNote};

/// Xen's `XEN_ELFNOTE_CRASH_INFO` and `XEN_ELFNOTE_CRASH_REGS`.
const XEN_CRASH: [u32; 2] = [0x100_0001, 0x100_0002];

impl RawNote {
    /// Whether a reader of dumps takes anything from it, be it only that it is there: the registers of CPUs, VMCOREINFO, that QEMU
    /// or Xen wrote it. A dump may have many others: command lines, whole structures, what its writer wanted to add.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match (self.name.as_slice(), self.kind) {
            (b"CORE", kind) => kind == elf::NT_PRSTATUS.0 || kind == elf::NT_PRFPREG.0,
            (b"QEMU", 0) | (b"VMCOREINFO" | b"VMCOREINFO_XEN", _) => true,
            (b"Xen", kind) => XEN_CRASH.contains(&kind),
            _ => KeptRanges::is_note(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_know_and_nothing_else() {
        let is_read = |name: &str, kind| RawNote { name: name.into(), kind, desc: vec![1; 8] }.is_read();
        for (name, kind) in [
            ("CORE", 1),
            ("CORE", 2),
            ("QEMU", 0),
            ("VMCOREINFO", 0),
            ("VMCOREINFO_XEN", 0),
            ("Xen", 0x100_0001),
            ("VMCORE-THP", 1),
        ] {
            assert!(is_read(name, kind), "{name} {kind}");
        }
        // NT_PRPSINFO, NT_TASKSTRUCT, NT_AUXV, NT_FILE, NT_SIGINFO, vector registers, what nobody knows.
        for (name, kind) in [
            ("CORE", 3),
            ("CORE", 4),
            ("CORE", 6),
            ("CORE", 0x4649_4c45),
            ("CORE", 0x5349_4749),
            ("LINUX", 0x405),
            ("QEMU", 1),
            ("Xen", 1),
            ("VENDOR", 99),
            ("", 0),
        ] {
            assert!(!is_read(name, kind), "{name} {kind}");
        }
    }
}
