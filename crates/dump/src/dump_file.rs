//! The files of a dump, on this machine or on a server: what is in them once archives and compressors are taken off.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::FileBytes;
use crate::compressed::{self, Compression};
use crate::flattened::Flattened;
use crate::mmap::Mapping;
use crate::sniff::{self, Detected, SNIFF_LEN};
use crate::stored::{ReadAt, Remote, Stored};
use crate::warnings::Warnings;
use crate::{Format, Lookalike, OpenError, Unpacking, raw};

/// Layers of archives and compressors around a dump that are taken off.
const MAX_LAYERS: usize = 4;
/// As much of a file on a server is looked at to see how it is compressed.
const COMPRESSION_LEN: u64 = 64 << 10;

/// Where a file of a dump is.
#[derive(Clone, Debug)]
pub enum DumpFile {
    /// On this machine, or where this machine sees it as a file.
    Path(PathBuf),
    /// On a server.
    Remote {
        /// What messages call it.
        name: PathBuf,
        /// Its bytes.
        file: Arc<dyn ReadAt>,
    },
}

impl DumpFile {
    /// What messages call it.
    #[must_use]
    pub fn name(&self) -> &Path {
        match self {
            Self::Path(name) | Self::Remote { name, .. } => name,
        }
    }

    fn open(&self) -> Result<Stored, OpenError> {
        match self {
            Self::Path(path) => Mapping::open(path).map(Stored::Mapped),
            Self::Remote { name, file } if file.is_empty() => Err(OpenError::Empty { path: name.clone() }),
            Self::Remote { file, .. } => Ok(Stored::Remote(Remote::new(Arc::clone(file)))),
        }
    }

    /// Opens it, or what it holds where it is compressed, and finds out its format.
    pub(crate) fn detect(
        &self,
        unpacking: &mut Unpacking<'_>,
        warnings: &mut Warnings,
    ) -> Result<(Format, FileBytes), OpenError> {
        let path = self.name();
        let mut stored = self.open()?;
        // An archive holds a compressed dump, or the other way round.
        for _ in 0..MAX_LAYERS {
            let Some(compression) = compression_of(&stored) else { break };
            stored = Stored::Mapped(compressed::unpack(path, &stored, compression, unpacking, warnings)?);
        }
        if let Some(compression) = compression_of(&stored) {
            let looks_like = Lookalike::Compressed(compression.name());
            return Err(OpenError::NotADump { path: path.to_owned(), looks_like });
        }
        let not_a_dump = |looks_like| Err(OpenError::NotADump { path: path.to_owned(), looks_like });
        let detected = sniff::detect(&stored.prefix(0, SNIFF_LEN as u64));
        match detected {
            Detected::Elf => Ok((Format::Elf, FileBytes::Plain(stored))),
            Detected::Kdump => Ok((Format::KdumpCompressed, FileBytes::Plain(stored))),
            Detected::Flattened => {
                let file = FileBytes::Flattened(Flattened::new(stored, warnings));
                match sniff::detect(&file.prefix(0, SNIFF_LEN as u64)) {
                    Detected::Elf => Ok((Format::FlattenedElf, file)),
                    Detected::Kdump => Ok((Format::FlattenedKdumpCompressed, file)),
                    _ => not_a_dump(Lookalike::EmptyFlattened),
                }
            }
            Detected::Lime => Ok((Format::Lime, FileBytes::Plain(stored))),
            // What memory begins with is anything; often, nothing but zeroes.
            Detected::Other(Lookalike::Unknown | Lookalike::Zeroes) if raw::is_plausible(&stored) => {
                Ok((Format::Raw, FileBytes::Plain(stored)))
            }
            Detected::Other(looks_like) => not_a_dump(looks_like),
        }
    }
}

/// How a file is compressed as a whole, by its beginning. Only where that is a frame to be skipped the rest is looked at.
fn compression_of(file: &Stored) -> Option<Compression> {
    match file {
        Stored::Mapped(map) => Compression::detect(map),
        Stored::Remote(_) => Compression::detect(&file.prefix(0, COMPRESSION_LEN)),
    }
}
