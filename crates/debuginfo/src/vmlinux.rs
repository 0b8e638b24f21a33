//! An opened vmlinux.

use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use vmcore_memory::{Architecture, VirtAddr};

use crate::{
    BtfError, CallFrames, OpenError, Section, SourceFrame, SourceLines, SymbolTable, Types,
    bytes::Bytes,
    call_frames::{FrameSection, Functions},
    column::{Columns, ColumnsWriter},
    dwarf::Dwarf,
    elf::{Elf, Role},
    object_file::ObjectFile,
    separate::{self, Found},
    source::all_frames,
};

/// Where a profile, and an image of parts, hold the banner. No linker gives a section this name.
pub(crate) const BANNER: &str = ".rodata.linux_banner";
/// The longest banner that is read, in bytes. A release string has at most 64; the compiler's version makes it longer.
const MAX_BANNER: u64 = 1024;
const TYPES: &str = ".BTF";
const DEBUG_FRAME: &str = ".debug_frame";
const EH_FRAME: &str = ".eh_frame";

/// What a [`Vmlinux`] was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmlinuxKind {
    /// A vmlinux file.
    File,
    /// A profile: see [`crate::Profile`].
    Profile,
    /// Parts that were collected from a kernel's memory: see [`crate::ImageParts`].
    Parts,
}

/// A section of [`ImageParts`](crate::ImageParts).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSection {
    /// Its name in a vmlinux.
    pub name: &'static str,
    /// Where it starts.
    pub address: VirtAddr,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// A kernel image with its debug information, mapped read-only. Opening reads only the ELF headers; symbols, types and
/// source lines are each read when they are first asked for, and shared between threads from then on.
///
/// It may consist of two files: a stripped image, and the debug file that was split from it.
pub struct Vmlinux {
    image: ObjectFile,
    debug: Option<ObjectFile>,
    /// Debug files that were found but do not belong, each with the reason.
    rejected: Vec<String>,
    /// What neither file holds, as a caller read it elsewhere.
    supplied: Vec<PartSection>,
    symbols: Arc<SymbolTable>,
    types: OnceLock<(Types, Option<BtfError>)>,
    dwarf_types: OnceLock<Option<Types>>,
    dwarf: OnceLock<Option<Arc<Dwarf>>>,
    functions: OnceLock<Arc<Functions>>,
}

impl Vmlinux {
    /// Opens the vmlinux at `path`. A stripped one needs its debug file, which is looked for beside it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where the file cannot be read, or is not a 64-bit x86-64 ELF executable with a symbol table.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, &[])
    }

    /// As [`Vmlinux::open`]. Where the file has no symbols or no DWARF, the debug file that was split from it is looked
    /// for beside it and in `directories`, which are laid out like `/usr/lib/debug`.
    ///
    /// # Errors
    ///
    /// As [`Vmlinux::open`].
    pub fn open_with(path: &Path, directories: &[PathBuf]) -> Result<Self, OpenError> {
        let image = ObjectFile::open(path, Role::Vmlinux)?;
        if image.elf.needs_supplement() {
            return Err(unusable(&image, OpenError::Supplemented { path: path.into() }));
        }
        let whole = image.elf.symbol_table().is_some() && image.elf.has_dwarf() || is_profile(&image);
        let found = if whole { Found::default() } else { separate::find(&image, directories) };
        Self::new(image, found)
    }

    /// The build-id of the ELF executable at `path`; `None` where it has none.
    ///
    /// # Errors
    ///
    /// As [`Vmlinux::open`], but no symbols are needed.
    pub fn build_id_of(path: &Path) -> Result<Option<Vec<u8>>, OpenError> {
        Ok(ObjectFile::open(path, Role::Vmlinux)?.elf.build_id)
    }

    /// The ELF image in `image`, which `name` names in errors.
    pub(crate) fn from_image(name: &Path, image: Vec<u8>) -> Result<Self, OpenError> {
        Self::new(ObjectFile::from_image(name, image, Role::Vmlinux)?, Found::default())
    }

    /// A mapped file, for which all that it holds is enough.
    pub(crate) fn from_file(image: ObjectFile) -> Result<Self, OpenError> {
        Self::new(image, Found::default())
    }

    fn new(image: ObjectFile, found: Found) -> Result<Self, OpenError> {
        let Found { file: debug, rejected } = found;
        let symbols = debug.iter().chain([&image]).find_map(|file| SymbolTable::new(&file.elf));
        let Some(symbols) = symbols else {
            let path = image.path.clone();
            return Err(unusable(&image, OpenError::NoSymbols { path, rejected }));
        };
        let (types, dwarf_types, dwarf, functions) = Default::default();
        let (supplied, symbols) = (Vec::new(), Arc::new(symbols));
        let opened = Self { image, debug, rejected, supplied, symbols, types, dwarf_types, dwarf, functions };
        let has_btf = opened.files().any(|file| file.elf.section(TYPES).is_some());
        if !has_btf && opened.dwarf().is_some_and(|dwarf| dwarf.is_split()) {
            let path = opened.debug_file().unwrap_or(&opened.image.path).into();
            return Err(unusable(&opened.image, OpenError::SplitDwarf { path }));
        }
        Ok(opened)
    }

    /// The indexes of what a profile has, which are made for that, for [`Vmlinux::with_indexes`].
    pub(crate) fn indexes(&self) -> Vec<u8> {
        let mut columns = ColumnsWriter::default();
        self.symbols.keep(&mut columns);
        if self.types().keep(&mut columns)
            && let Some((data, section)) = self.call_frame_section()
        {
            self.functions(&data, section).keep(&mut columns);
        }
        columns.into_bytes()
    }

    /// This one, a profile, with the indexes that were kept of it. What is not among them is made when it is needed.
    /// Whoever keeps them answers for it that they are of this very profile: that cannot be told from them.
    pub(crate) fn with_indexes(self, indexes: &Bytes) -> Self {
        let mut columns = Columns::new(indexes);
        if self.symbols.take(&mut columns)
            && let Some(btf) = self.image.elf.contents_of(TYPES)
            && let Some(types) = Types::kept(&btf, Arc::clone(&self.symbols), &mut columns)
            && self.types.set((types, None)).is_ok()
            && let Some(functions) = Functions::kept(&mut columns)
        {
            let _ = self.functions.set(Arc::new(functions));
        }
        self
    }

    /// The machine's architecture.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.image.elf.architecture
    }

    /// The call-frame information, by the registers of this architecture: that in `.debug_frame`, else that in `.eh_frame`; `None` where
    /// there is neither.
    #[must_use]
    pub fn call_frames(&self, architecture: Architecture) -> Option<CallFrames<'_>> {
        let (data, section) = self.call_frame_section()?;
        let functions = Arc::clone(self.functions(&data, section));
        Some(CallFrames::with(data, section, architecture, functions))
    }

    /// Whether there is call-frame information.
    #[must_use]
    pub fn has_call_frames(&self) -> bool {
        self.call_frame_section().is_some()
    }

    fn call_frame_section(&self) -> Option<(Cow<'_, [u8]>, FrameSection)> {
        let section = |name| self.section(name).filter(|section| !section.data.is_empty());
        let debug = section(DEBUG_FRAME).map(|section| (section.data, FrameSection::Debug));
        debug.or_else(|| section(EH_FRAME).map(|section| (section.data, FrameSection::Eh(section.address))))
    }

    fn functions(&self, data: &[u8], section: FrameSection) -> &Arc<Functions> {
        self.functions.get_or_init(|| Arc::new(Functions::of(data, section)))
    }

    /// Adds the contents of sections that the files do not hold, as those of `objcopy --only-keep-debug` do not. What
    /// they do hold is not replaced.
    #[must_use]
    pub fn with_supplied(self, supplied: Vec<PartSection>) -> Self {
        if supplied.is_empty() {
            return self;
        }
        // What is known of types may be better now.
        Self { supplied, types: OnceLock::new(), functions: OnceLock::new(), ..self }
    }

    /// Whether the section `name` is declared but its bytes are nowhere, as `objcopy --only-keep-debug` leaves sections
    /// that are part of the running kernel's memory: a dump may still have them.
    #[must_use]
    pub fn lacks_contents(&self, name: &str) -> bool {
        let declared = |file: &ObjectFile| file.elf.section(name).is_some();
        self.files().any(declared) && self.section(name).is_none()
    }

    /// Where the debug file is, if the debug information is in one of its own.
    #[must_use]
    pub fn debug_file(&self) -> Option<&Path> {
        self.debug.as_ref().map(|file| file.path.as_path())
    }

    /// Why debug files that were found are not used, one line each. Paths and names in them are not escaped.
    #[must_use]
    pub fn rejected_debug_files(&self) -> &[String] {
        &self.rejected
    }

    /// What it was made of.
    #[must_use]
    pub fn kind(&self) -> VmlinuxKind {
        if !self.image.is_file() {
            VmlinuxKind::Parts
        } else if is_profile(&self.image) {
            VmlinuxKind::Profile
        } else {
            VmlinuxKind::File
        }
    }

    /// The GNU build-id: 20 bytes with the usual kind.
    #[must_use]
    pub fn build_id(&self) -> Option<&[u8]> {
        self.files().find_map(|file| file.elf.build_id.as_deref())
    }

    /// The kernel's banner, "Linux version ...", without its newline; `None` where the file does not hold the kernel's
    /// read-only data. It came from the file: escape it before printing.
    #[must_use]
    pub fn banner(&self) -> Option<String> {
        banner_text(self.banner_bytes()?)
    }

    /// The symbol table.
    #[must_use]
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// The kernel's types: from BTF where the file has a readable `.BTF` section, else from DWARF.
    #[must_use]
    pub fn types(&self) -> &Types {
        &self.types_and_problem().0
    }

    /// Why the file's BTF could not be used, if there is some.
    #[must_use]
    pub fn btf_problem(&self) -> Option<&BtfError> {
        self.types_and_problem().1.as_ref()
    }

    /// The kernel's types from DWARF, even where there is BTF; `None` where the file has no DWARF. For tests:
    /// [`Vmlinux::types`] gives the same answers in less time and memory.
    #[must_use]
    pub fn dwarf_types(&self) -> Option<Types> {
        let dwarf = Arc::clone(self.dwarf()?);
        Some(Types::from_dwarf(dwarf, Arc::clone(&self.symbols)))
    }

    /// The types from DWARF, which has those of all variables; `None` where the file has no DWARF. All of it may be read
    /// for an answer: ask [`Vmlinux::types`] first.
    #[must_use]
    pub fn variable_types(&self) -> Option<&Types> {
        self.dwarf_types.get_or_init(|| self.dwarf_types()).as_ref()
    }

    /// A reader of source lines, for one thread; `None` where the file has no DWARF.
    #[must_use]
    pub fn source(&self) -> Option<SourceLines> {
        self.dwarf().map(|dwarf| SourceLines::new(Arc::clone(dwarf)))
    }

    /// The source frames of many addresses, one answer per address and in their order; see [`SourceLines::frames`].
    /// Faster than one by one: each unit is read once, on as many threads as the caller's pool has.
    #[must_use]
    pub fn source_frames(&self, addresses: &[VirtAddr]) -> Vec<Vec<SourceFrame>> {
        self.dwarf().map_or_else(|| vec![Vec::new(); addresses.len()], |dwarf| all_frames(dwarf, addresses))
    }

    /// The contents of the section `name`; `None` where there is none, the file does not hold its bytes, or they
    /// cannot be decompressed.
    ///
    /// Contents are final. A vmlinux that was linked with `--emit-relocs` still has `.rela` sections, but the linker
    /// has applied them already.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<Section<'_>> {
        self.files().find_map(|file| file.section(name)).or_else(|| {
            let PartSection { address, data, .. } = self.supplied.iter().find(|section| section.name == name)?;
            Some(Section { address: *address, data: data.into() })
        })
    }

    /// `len` bytes at the link-time address `address`, as the kernel had them when it was built; `None` where they are
    /// not all in one section whose bytes the file holds.
    #[must_use]
    pub fn read_static(&self, address: VirtAddr, len: u64) -> Option<&[u8]> {
        self.files().find_map(|file| file.read_static(address, len)).or_else(|| {
            let inside = |section: &PartSection| {
                let skip = usize::try_from(address.get().checked_sub(section.address.get())?).ok()?;
                Some(skip..skip.checked_add(usize::try_from(len).ok()?)?)
            };
            self.supplied.iter().find_map(|section| section.data.get(inside(section)?))
        })
    }

    /// The variable `linux_banner`.
    pub(crate) fn banner_bytes(&self) -> Option<&[u8]> {
        // The symbol's size is right in every kernel; the limit is for a damaged table.
        let size = self.symbols.size("linux_banner")?.min(MAX_BANNER);
        self.read_static(self.symbols.address("linux_banner")?, size)
    }

    /// The headers that the symbols' section numbers refer to.
    pub(crate) fn elf(&self) -> &Elf {
        let with_symbols = |file: &&ObjectFile| file.elf.symbol_table().is_some();
        &self.debug.as_ref().filter(with_symbols).unwrap_or(&self.image).elf
    }

    fn files(&self) -> impl Iterator<Item = &ObjectFile> {
        [&self.image].into_iter().chain(&self.debug)
    }

    fn dwarf(&self) -> Option<&Arc<Dwarf>> {
        self.dwarf.get_or_init(|| self.files().find_map(ObjectFile::dwarf).map(Arc::new)).as_ref()
    }

    fn types_and_problem(&self) -> &(Types, Option<BtfError>) {
        self.types.get_or_init(|| {
            let symbols = Arc::clone(&self.symbols);
            let in_files = self.files().find_map(|file| file.elf.contents_of(TYPES));
            let btf = in_files.or_else(|| {
                let supplied = self.supplied.iter().find(|section| section.name == TYPES)?;
                Some(supplied.data.clone().into())
            });
            let problem = match btf.map(|bytes| Types::from_btf_bytes(bytes, Some(symbols))) {
                Some(Ok(types)) => return (types, None),
                Some(Err(problem)) => Some(problem),
                None => None,
            };
            let types = self.dwarf_types().unwrap_or_else(|| Types::missing(Some(Arc::clone(&self.symbols))));
            (types, problem)
        })
    }
}

/// The banner that bytes begin with.
pub(crate) fn banner_text(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|&byte| byte == 0 || byte == b'\n').next()?;
    text.starts_with(b"Linux version ").then(|| crate::bytes::text(text))
}

fn is_profile(file: &ObjectFile) -> bool {
    file.elf.section(BANNER).is_some()
}

/// Why `image` is of no use: that it is a program, which has a section for the dynamic linker that no kernel has, or `otherwise`.
fn unusable(image: &ObjectFile, otherwise: OpenError) -> OpenError {
    match image.elf.section(".interp") {
        Some(_) => OpenError::NotAKernel { path: image.path.clone() },
        None => otherwise,
    }
}

impl fmt::Debug for Vmlinux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vmlinux").field("image", &self.image).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
