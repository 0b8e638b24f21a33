//! The forms of a dump's file.

use std::io::{self, Write};

use vmcore_dump::{Compression, Flattener, NewKdump, write_elf_core};
use vmcore_memory::{Pfn, PhysAddr};

use crate::SynthError;
use crate::build::Synthetic;

/// A form of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpForm {
    /// An ELF core, as `/proc/vmcore` and QEMU have it.
    Elf,
    /// The same, cut into records.
    FlattenedElf,
    /// kdump-compressed.
    Kdump(Compression),
    /// The same, cut into records.
    FlattenedKdump(Compression),
    /// kdump-compressed, in two files of the same number of pages.
    Split(Compression),
}

const FORMS: [(&str, DumpForm); 9] = [
    ("elf", DumpForm::Elf),
    ("elf-flattened", DumpForm::FlattenedElf),
    ("kdump", DumpForm::Kdump(Compression::None)),
    ("kdump-zlib", DumpForm::Kdump(Compression::Zlib)),
    ("kdump-lzo", DumpForm::Kdump(Compression::Lzo)),
    ("kdump-snappy", DumpForm::Kdump(Compression::Snappy)),
    ("kdump-zstd", DumpForm::Kdump(Compression::Zstd)),
    ("kdump-flattened", DumpForm::FlattenedKdump(Compression::Zlib)),
    ("kdump-split", DumpForm::Split(Compression::Zlib)),
];

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
            SynthError::Scenario(format!("there is no form '{name}'; hint: one of {}", Self::names().join(", ")))
        })
    }

    /// The names of the files that a dump of this form has.
    #[must_use]
    pub const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Split(_) => &["vmcore", "vmcore.part2"],
            _ => &["vmcore"],
        }
    }

    /// Writes one file of the dump of `machine`: `file` is its place in [`DumpForm::files`].
    ///
    /// # Errors
    ///
    /// What `out` says.
    pub fn write(self, machine: &Synthetic, file: usize, out: &mut impl Write) -> Result<(), SynthError> {
        match self {
            Self::Elf => elf(machine, out)?,
            Self::FlattenedElf => flattened(out, |out| elf(machine, out))?,
            Self::Kdump(compression) => kdump(machine, compression).write(out)?,
            Self::FlattenedKdump(compression) => {
                flattened(out, |out| kdump(machine, compression).write(out))?;
            }
            Self::Split(compression) => {
                let middle = machine.memory.pages().nth(machine.memory.page_count() / 2);
                let middle = middle.map_or(Pfn::new(0), |(pfn, _)| pfn);
                let last = machine.memory.pages().next_back().map_or(0, |(pfn, _)| pfn.get());
                let frames = if file == 0 { Pfn::new(0)..middle } else { middle..Pfn::new(last + 1) };
                kdump(machine, compression).write_part(frames, out)?;
            }
        }
        Ok(())
    }
}

fn elf(machine: &Synthetic, out: &mut impl Write) -> io::Result<()> {
    let range = |(pfn, bytes): (Pfn, _)| (pfn.phys_addr().unwrap_or(PhysAddr::new(0)), bytes);
    write_elf_core(out, machine.architecture, &machine.notes, machine.memory.pages().map(range))
}

fn kdump(machine: &Synthetic, compression: Compression) -> NewKdump<'_, impl Iterator<Item = (Pfn, &[u8])> + Clone> {
    NewKdump { architecture: machine.architecture, notes: &machine.notes, pages: machine.memory.pages(), compression }
}

fn flattened<W: Write>(out: W, write: impl FnOnce(&mut Flattener<W>) -> io::Result<()>) -> io::Result<()> {
    let mut flattener = Flattener::new(out)?;
    write(&mut flattener)?;
    flattener.finish()?;
    Ok(())
}
