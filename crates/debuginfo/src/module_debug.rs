//! The debug information of one loaded module.

use std::{path::Path, path::PathBuf, sync::Arc};

use vmcore_memory::VirtAddr;

use crate::{
    SourceFrame, SymbolTable,
    dwarf::Dwarf,
    elf::{Elf, Role},
    object_file, packed,
    source::all_frames,
};

/// What a dump says of a module that was loaded.
#[derive(Clone, Copy, Debug)]
pub struct LoadedModule<'m> {
    /// Its name. From the dump: it is compared, and never part of a path.
    pub name: &'m str,
    /// The contents of its build-id note.
    pub build_id: &'m [u8],
    /// Its sections, and where in memory they were.
    pub sections: &'m [(String, VirtAddr)],
}

/// A module's file, put where the crashed kernel had loaded it. All addresses are run-time addresses.
#[derive(Debug)]
pub struct ModuleDebug {
    path: PathBuf,
    symbols: SymbolTable,
    dwarf: Arc<Dwarf>,
}

impl ModuleDebug {
    /// Opens the file at `path`, which must be of the same build as `module` and have DWARF. The error says why not.
    pub(crate) fn open(path: &Path, module: &LoadedModule<'_>) -> Result<Self, String> {
        let (_, bytes) = object_file::map(path).map_err(|error| error.to_string())?;
        let because = |why: &str| format!("{}: {why}", path.display());
        let bytes = match packed::unpack(&bytes) {
            Some(unpacked) => unpacked.map_err(|error| because(&error.to_string()))?.into(),
            None => bytes,
        };
        let mut elf = Elf::parse(path, bytes, Role::Module).map_err(|error| error.to_string())?;
        if elf.build_id.as_deref() != Some(module.build_id) {
            return Err(because("it is of another build"));
        }
        if !elf.has_dwarf() {
            return Err(because("it has no DWARF"));
        }
        if elf.needs_supplement() {
            return Err(because("it was reduced by dwz -m"));
        }
        let place = |name: &str| module.sections.iter().find(|(known, _)| known == name);
        elf.place_sections(|name| place(name).map(|(_, address)| address.get())).map_err(|why| because(&why))?;
        let symbols = SymbolTable::new(&elf).ok_or_else(|| because("its symbol table cannot be read"))?;
        let dwarf = Dwarf::new(&elf, None).ok_or_else(|| because("its DWARF cannot be read"))?;
        Ok(Self { path: path.into(), symbols, dwarf: Arc::new(dwarf) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its symbols.
    #[must_use]
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// The source frames of code addresses, one answer per address and in their order; see
    /// [`SourceLines::frames`](crate::SourceLines::frames).
    #[must_use]
    pub fn source_frames(&self, addresses: &[VirtAddr]) -> Vec<Vec<SourceFrame>> {
        all_frames(&self.dwarf, addresses)
    }
}
