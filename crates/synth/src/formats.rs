//! The forms of a dump's file.

use std::io::Write;

use vmcore_dump::write_elf_core;
use vmcore_memory::PhysAddr;

use crate::SynthError;
use crate::build::Synthetic;

/// A form of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpForm {
    /// An ELF core, as `/proc/vmcore` and QEMU have it.
    Elf,
}

const FORMS: [(&str, DumpForm); 1] = [("elf", DumpForm::Elf)];

impl DumpForm {
    /// The names of all forms.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        FORMS.iter().map(|(name, _)| *name).collect()
    }

    /// The form with this name.
    ///
    /// # Errors
    ///
    /// [`SynthError::Scenario`] where there is none.
    pub fn named(name: &str) -> Result<Self, SynthError> {
        let found = FORMS.iter().find(|(known, _)| *known == name).map(|(_, form)| *form);
        found.ok_or_else(|| {
            SynthError::Scenario(format!("there is no form '{name}'; hint: {}", Self::names().join(", ")))
        })
    }

    /// Writes the dump of `machine`.
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn write(self, machine: &Synthetic, out: &mut impl Write) -> Result<(), SynthError> {
        let Self::Elf = self;
        let pages = machine.memory.pages();
        let ranges = pages.map(|(pfn, bytes)| (pfn.phys_addr().unwrap_or(PhysAddr::new(0)), bytes));
        Ok(write_elf_core(out, &machine.notes, ranges)?)
    }
}
