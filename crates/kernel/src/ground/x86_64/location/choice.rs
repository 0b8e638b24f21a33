//! Which of several kernels in one memory is meant.
//!
//! When a machine whose crash kernel hung is dumped from outside, both the crashed kernel and the crash kernel are in
//! memory, mostly of the same build. What an earlier boot left can be there too. They are told apart by what they say
//! of themselves:
//!
//! ```text
//! elfcorehdr_addr   ELFCORE_ADDR_MAX (all ones) but in a crash kernel: how the kernel itself asks (`is_kdump_kernel()`)
//! crashk_res        the memory that a kernel reserved for its crash kernel: what lies in there is that
//! panic_cpu         -1 before a panic, then the CPU that panics
//! crashing_cpu      -1 before kexec leads to the crash kernel
//! ```
//!
//! Source: `include/linux/crash_dump.h`, `kernel/crash_core.c` (before 6.9 `kexec_core.c`), `kernel/panic.c`,
//! `arch/x86/kernel/reboot.c`.

use std::fmt;
use std::ops::Range;

use vmcore_debuginfo::Vmlinux;
use vmcore_memory::{PhysAddr, ReadPhysical, VirtAddr};

use super::{FoundBy, KernelLocation, physical_address};

/// `ELFCORE_ADDR_MAX`.
const NO_ELF_HEADERS: u64 = u64::MAX;
/// What `panic_cpu` and `crashing_cpu` are until a CPU sets them.
const NO_CPU: u32 = u32::MAX;

/// Which kernel to take where several are in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelChoice {
    /// The one that crashed, else the one that ran.
    #[default]
    Best,
    /// The one whose image holds this physical address.
    At(PhysAddr),
    /// The one with this number, counted from 1 by their physical addresses.
    Number(usize),
}

/// What a kernel in memory was doing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It was started by the crash of another one, to write a dump.
    Capture,
    /// It ran, or had run before the machine was started again.
    Running,
    /// It panicked, or had begun to start its crash kernel.
    Crashed,
}

impl Role {
    /// What the kernel was doing that has these symbols, with its image at `delta` from their addresses.
    pub(crate) fn of(physical: &dyn ReadPhysical, symbol: &dyn Fn(&str) -> Option<VirtAddr>, delta: u64) -> Self {
        Variables { physical, symbol, delta }.role()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capture => "a crash kernel, started to write a dump of the other",
            Self::Running => "neither crashed nor a crash kernel",
            Self::Crashed => "it crashed",
        })
    }
}

/// A kernel in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelInMemory {
    /// Its number among those in memory, from 1 on, by their addresses.
    pub number: usize,
    /// Where its image begins.
    pub image: PhysAddr,
    /// What it was doing.
    pub role: Role,
    /// Whether it is the one that is analyzed.
    pub chosen: bool,
}

/// A kernel that was found and proved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) location: KernelLocation,
    pub(super) found_by: FoundBy,
    pub(super) image: Range<u64>,
    pub(super) role: Role,
    /// What it has reserved for its crash kernel; empty if nothing.
    reserved: Range<u64>,
}

impl Candidate {
    pub(super) fn new(
        location: KernelLocation,
        found_by: FoundBy,
        physical: &dyn ReadPhysical,
        vmlinux: &Vmlinux,
    ) -> Self {
        let variables =
            Variables { physical, symbol: &|name| vmlinux.symbols().address(name), delta: location.delta() };
        let address = |name| variables.address(name).map(PhysAddr::get);
        let start = address("_text").or_else(|| address("_stext")).unwrap_or(location.root.get());
        let end = address("_end").unwrap_or(start);
        Self { location, found_by, image: start..end, role: variables.role(), reserved: variables.reserved() }
    }
}

/// What decides, in the image of one kernel.
struct Variables<'a> {
    physical: &'a dyn ReadPhysical,
    symbol: &'a dyn Fn(&str) -> Option<VirtAddr>,
    delta: u64,
}

impl Variables<'_> {
    fn address(&self, name: &str) -> Option<PhysAddr> {
        Some(physical_address((self.symbol)(name)?, self.delta))
    }

    fn word(&self, name: &str, index: u64) -> Option<u64> {
        self.physical.read_physical_u64(self.address(name)?.checked_add(index * 8)?).ok()
    }

    fn cpu(&self, name: &str) -> Option<u32> {
        let mut bytes = [0; 4];
        self.physical.read_physical(self.address(name)?, &mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes)).filter(|&cpu| cpu != NO_CPU)
    }

    fn role(&self) -> Role {
        // Headers are never at address 0: zeroes are what a page that was left out reads as in some forms of dump.
        if self.word("elfcorehdr_addr", 0).is_some_and(|address| address != NO_ELF_HEADERS && address != 0) {
            return Role::Capture;
        }
        let crashed = self.cpu("panic_cpu").or_else(|| self.cpu("crashing_cpu")).is_some();
        if crashed { Role::Crashed } else { Role::Running }
    }

    /// `struct resource` begins with the addresses of its first and its last byte.
    fn reserved(&self) -> Range<u64> {
        let bounds = self.word("crashk_res", 0).zip(self.word("crashk_res", 1));
        match bounds {
            Some((start, last @ 1..)) if start < last => start..last.saturating_add(1),
            _ => 0..0,
        }
    }
}

/// The kernels of one memory, by their addresses, and which of them is taken; `None` where none is as asked.
pub(super) fn choose(mut found: Vec<Candidate>, choice: KernelChoice) -> Option<(Candidate, Vec<KernelInMemory>)> {
    found.sort_by_key(|kernel| kernel.image.start);
    found.dedup_by_key(|kernel| kernel.image.start);
    let reserved: Vec<_> = found.iter().map(|kernel| kernel.reserved.clone()).collect();
    for kernel in &mut found {
        if reserved.iter().any(|range| range.contains(&kernel.image.start)) {
            kernel.role = Role::Capture;
        }
    }
    let chosen = match choice {
        // Of two the same, that which CPUs ran; then the first.
        KernelChoice::Best => {
            let rank = |kernel: &Candidate| (kernel.role, kernel.found_by == FoundBy::Registers);
            let best = found.iter().map(rank).max()?;
            found.iter().position(|kernel| rank(kernel) == best)?
        }
        KernelChoice::At(address) => found.iter().position(|kernel| kernel.image.contains(&address.get()))?,
        KernelChoice::Number(number) => number.checked_sub(1)?,
    };
    let all = found.iter().enumerate().map(|(index, kernel)| KernelInMemory {
        number: index + 1,
        image: PhysAddr::new(kernel.image.start),
        role: kernel.role,
        chosen: index == chosen,
    });
    let all = all.collect();
    Some((found.into_iter().nth(chosen)?, all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paging::PhysicalMask;
    use crate::test_memory::TestMemory;

    const fn location(delta: u64) -> KernelLocation {
        KernelLocation {
            kaslr_offset: 0,
            phys_base: delta,
            root: PhysAddr::new(delta),
            page_levels: 4,
            mask: PhysicalMask::ALL,
        }
    }

    fn candidate(start: u64, role: Role, found_by: FoundBy, reserved: Range<u64>) -> Candidate {
        Candidate { location: location(start), found_by, image: start..start + 0x100, role, reserved }
    }

    fn role(values: &[(&str, u64)]) -> Role {
        let mut memory = TestMemory::default();
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        for (index, (_, value)) in values.iter().enumerate() {
            memory.put_u64(0x1000 + index as u64 * 8, *value);
        }
        let at = |name: &str| {
            let index = names.iter().position(|known| *known == name)? as u64;
            Some(VirtAddr::new(0xffff_ffff_8000_1000 + index * 8))
        };
        Variables { physical: &memory, symbol: &at, delta: 0 }.role()
    }

    #[test]
    fn what_a_kernel_says_of_itself() {
        let never = u64::MAX;
        assert_eq!(role(&[("elfcorehdr_addr", never), ("panic_cpu", never), ("crashing_cpu", never)]), Role::Running);
        assert_eq!(role(&[("elfcorehdr_addr", never), ("panic_cpu", 2)]), Role::Crashed);
        assert_eq!(role(&[("crashing_cpu", 0)]), Role::Crashed);
        // A crash kernel that panicked in its turn.
        assert_eq!(role(&[("elfcorehdr_addr", 0x2f00_0000), ("panic_cpu", 0)]), Role::Capture);
        assert_eq!(role(&[]), Role::Running);
    }

    #[test]
    fn the_crashed_kernel_is_taken_and_the_others_are_told() {
        let found = vec![
            candidate(0x9000, Role::Capture, FoundBy::Registers, 0..0),
            candidate(0x1000, Role::Running, FoundBy::Banner, 0..0),
            candidate(0x5000, Role::Crashed, FoundBy::Banner, 0x8000..0xa000),
        ];
        let (chosen, all) = choose(found.clone(), KernelChoice::Best).unwrap();
        assert_eq!(chosen.image.start, 0x5000);
        let told: Vec<_> = all.iter().map(|kernel| (kernel.number, kernel.image.get(), kernel.chosen)).collect();
        assert_eq!(told, [(1, 0x1000, false), (2, 0x5000, true), (3, 0x9000, false)]);
        let chosen = |choice| choose(found.clone(), choice).map(|(chosen, _)| chosen.image.start);
        assert_eq!(chosen(KernelChoice::At(PhysAddr::new(0x90ff))), Some(0x9000));
        assert_eq!(chosen(KernelChoice::At(PhysAddr::new(0x9100))), None);
        assert_eq!(chosen(KernelChoice::Number(1)), Some(0x1000));
        assert_eq!(chosen(KernelChoice::Number(0)), None);
        assert_eq!(chosen(KernelChoice::Number(4)), None);
    }

    #[test]
    fn what_lies_in_a_crash_reservation_is_a_crash_kernel() {
        let found = vec![
            candidate(0x9000, Role::Running, FoundBy::Registers, 0..0),
            candidate(0x5000, Role::Running, FoundBy::Banner, 0x8000..0xa000),
        ];
        let (chosen, all) = choose(found, KernelChoice::Best).unwrap();
        assert_eq!((chosen.image.start, all[1].role), (0x5000, Role::Capture));
    }

    #[test]
    fn of_two_that_run_the_one_that_cpus_ran() {
        let found = vec![
            candidate(0x1000, Role::Running, FoundBy::Banner, 0..0),
            candidate(0x5000, Role::Running, FoundBy::Registers, 0..0),
            candidate(0x5000, Role::Running, FoundBy::Banner, 0..0),
        ];
        let (chosen, all) = choose(found, KernelChoice::Best).unwrap();
        assert_eq!((chosen.image.start, all.len()), (0x5000, 2));
        assert!(choose(Vec::new(), KernelChoice::Best).is_none());
    }
}
