//! One opened ELF file: its mapping, what its headers say, and the parts that are read through the file itself.

use std::{
    borrow::Cow,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use vmcore_memory::VirtAddr;
use vmcore_os::{FileKind, Mapping};

use crate::{
    OpenError,
    bytes::Bytes,
    dwarf::Dwarf,
    elf::{Elf, Role},
    packed,
};

/// The contents of one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'vmlinux> {
    /// Link-time address of its first byte; 0 where the section is not part of the kernel's memory.
    pub address: VirtAddr,
    /// Its bytes, decompressed where the file has them compressed.
    pub data: Cow<'vmlinux, [u8]>,
}

/// A file, or an image in memory that reads like one.
#[derive(Debug)]
pub(crate) struct ObjectFile {
    /// As the caller named it.
    pub(crate) path: PathBuf,
    pub(crate) elf: Elf,
    /// `None` where there is no file.
    handle: Option<Arc<File>>,
}

impl ObjectFile {
    /// Maps the file at `path` and reads its headers.
    pub(crate) fn open(path: &Path, role: Role) -> Result<Self, OpenError> {
        let (mut handle, mut bytes) = map(path)?;
        // As SUSE installs debug files of kernels.
        if let Some(unpacked) = packed::unpack_to_file(&bytes) {
            let packed = |source| OpenError::Packed { path: path.into(), source };
            (handle, bytes) = map_file(unpacked.map_err(packed)?, path)?;
        }
        Ok(Self { path: path.into(), elf: Elf::parse(path, bytes, role)?, handle: Some(handle) })
    }

    /// The ELF image that a mapped file begins with; `path` is for errors.
    pub(crate) fn from_mapping(path: &Path, handle: Arc<File>, bytes: Bytes, role: Role) -> Result<Self, OpenError> {
        Ok(Self { path: path.into(), elf: Elf::parse(path, bytes, role)?, handle: Some(handle) })
    }

    /// The ELF image in `image`, which `name` names in errors.
    pub(crate) fn from_image(name: &Path, image: Vec<u8>, role: Role) -> Result<Self, OpenError> {
        Ok(Self { path: name.into(), elf: Elf::parse(name, image.into(), role)?, handle: None })
    }

    /// Whether it was read from a file.
    pub(crate) const fn is_file(&self) -> bool {
        self.handle.is_some()
    }

    /// The contents of the section `name`; `None` where the file does not hold them or they cannot be decompressed.
    pub(crate) fn section(&self, name: &str) -> Option<Section<'_>> {
        let section = self.elf.section(name)?;
        let data = if section.is_compressed() {
            Cow::Owned(self.elf.contents(section)?.to_vec())
        } else {
            Cow::Borrowed(self.elf.raw_slice(section)?)
        };
        Some(Section { address: VirtAddr::new(section.address), data })
    }

    /// `len` bytes at the link-time address `address`; `None` where they are not all in one section whose bytes the
    /// file holds as they are.
    pub(crate) fn read_static(&self, address: VirtAddr, len: u64) -> Option<&[u8]> {
        let section = self.elf.section_at(address.get())?;
        if section.is_compressed() {
            return None;
        }
        let skip = usize::try_from(address.get().checked_sub(section.address)?).ok()?;
        self.elf.raw_slice(section)?.get(skip..)?.get(..usize::try_from(len).ok()?)
    }

    /// Its DWARF, the large sections read from the file piece by piece; `None` where it has none.
    pub(crate) fn dwarf(&self) -> Option<Dwarf> {
        Dwarf::new(&self.elf, self.handle.as_ref())
    }
}

/// Opens a regular file that has bytes, and maps it.
pub(crate) fn map(path: &Path) -> Result<(Arc<File>, Bytes), OpenError> {
    let io_error = |source| OpenError::Io { path: path.into(), source };
    // Asked before opening, which would wait for a writer if this is a pipe.
    let metadata = std::fs::metadata(path).map_err(io_error)?;
    if !metadata.is_file() {
        return Err(OpenError::NotAFile { path: path.into() });
    }
    if metadata.len() == 0 {
        return Err(OpenError::Empty { path: path.into() });
    }
    map_file(File::open(path).map_err(io_error)?, path)
}

/// Maps a file that has bytes; errors call it `path`.
fn map_file(file: File, path: &Path) -> Result<(Arc<File>, Bytes), OpenError> {
    let io_error = |source| OpenError::Io { path: path.into(), source };
    let handle = Arc::new(file);
    let len = handle.metadata().map_err(io_error)?.len();
    if len == 0 {
        return Err(OpenError::Empty { path: path.into() });
    }
    let len = usize::try_from(len).map_err(|_| io_error(io::ErrorKind::FileTooLarge.into()))?;
    let bytes = Bytes::mapped(Mapping::new(&handle, len, FileKind::Vmlinux).map_err(io_error)?);
    Ok((handle, bytes))
}
