//! Dumps that were compressed as a whole file, or are in an archive: unpacked to a temporary file before anything else.
//!
//! Pages are read in any order, which none of these formats allows. The temporary file has no name from the start: it
//! is gone when the process ends, however it ends, and only its owner can open it.

mod archive;
mod avml;
mod decoder;
mod sniff;
mod sparse;

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::mmap::Mapping;
use crate::stored::Stored;
use crate::warnings::Warnings;

pub(crate) use self::decoder::open as open_stream;
use self::sparse::SparseFile;

/// Bytes unpacked at a time, and between two reports.
const CHUNK: usize = 1 << 20;
/// Bytes asked of a decoder at a time: one that fails loses what it has for the same call.
const PIECE: usize = 16 << 10;

/// What the decoders read from.
type Input = Box<dyn BufRead>;

/// How a whole file was compressed or packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Xz,
    Lzma,
    Zstd,
    Lz4,
    Bzip2,
    /// A memory image whose ranges are each compressed.
    Avml,
    /// An archive with a dump in it.
    Tar,
}

impl Compression {
    /// The name of the program.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
            Self::Avml => "AVML",
            Self::Tar => "tar",
        }
    }
}

/// The bytes of a stream, unpacked where they were compressed by gzip, xz or zstd: for what is read once from its beginning
/// to its end, such as a log.
///
/// # Errors
///
/// As `input` when its first bytes are read.
pub fn unpacked(mut input: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    let compression = Compression::detect(input.fill_buf()?);
    Ok(match compression {
        Some(compression) => Box::new(BufReader::with_capacity(CHUNK, decoder::open(compression, input))),
        None => Box::new(input),
    })
}

/// Where a compressed dump is unpacked to, how far that may go, and who is told.
pub struct Unpacking<'a> {
    /// The directory of the temporary file.
    pub directory: PathBuf,
    /// No more bytes than this are unpacked of a file.
    pub limit: u64,
    /// Called when a file is begun, after each MiB of it, and when it is done.
    pub watch: &'a mut dyn FnMut(&UnpackProgress<'_>),
}

impl Unpacking<'_> {
    /// 1 TiB: more than dumps have that anybody still moves about compressed, and an end to a file made to have none.
    pub const DEFAULT_LIMIT: u64 = 1 << 40;

    /// The directory for temporary files: `$TMPDIR`, or `/tmp` where that is unset or empty.
    #[must_use]
    pub fn default_directory() -> PathBuf {
        Some(std::env::temp_dir()).filter(|path| !path.as_os_str().is_empty()).unwrap_or_else(|| "/tmp".into())
    }
}

/// How far the unpacking of a file is.
#[derive(Clone, Copy, Debug)]
pub struct UnpackProgress<'a> {
    /// The compressed file.
    pub path: &'a Path,
    /// The program that compressed or packed it, such as `gzip` or `tar`.
    pub compression: &'static str,
    /// Where it is unpacked to.
    pub directory: &'a Path,
    /// Bytes of the compressed file that were read.
    pub read: u64,
    /// Bytes of the compressed file in all.
    pub len: u64,
    /// Bytes unpacked.
    pub unpacked: u64,
    /// Whether this is the last report of this file.
    pub done: bool,
}

/// Unpacks the file that errors call `path`, and maps the result.
///
/// A stream that is damaged or ends early is used as far as it goes, with a warning.
///
/// # Errors
///
/// [`OpenError::CannotUnpack`] where the temporary file cannot be written or the limit is reached;
/// [`OpenError::DamagedStream`] where nothing at all could be unpacked.
pub(crate) fn unpack(
    path: &Path,
    packed: &Stored,
    compression: Compression,
    unpacking: &mut Unpacking<'_>,
    warnings: &mut Warnings,
) -> Result<Mapping, OpenError> {
    let (directory, limit) = (unpacking.directory.clone(), unpacking.limit);
    let name = compression.name();
    let cannot = |unpacked: u64, cause: io::Error| OpenError::CannotUnpack {
        path: path.to_owned(),
        compression: name,
        directory: directory.clone(),
        unpacked,
        cause,
    };
    let mut out = SparseFile::create(&directory).map_err(|cause| cannot(0, cause))?;
    let input = packed.reader().map_err(|cause| OpenError::Unreadable { path: path.to_owned(), cause })?;
    let mut report = |unpacked, done| {
        let read = if done { packed.len() } else { packed.position() };
        let len = packed.len();
        let progress = UnpackProgress { path, compression: name, directory: &directory, read, len, unpacked, done };
        (unpacking.watch)(&progress);
    };
    report(0, false);
    let damaged = |cause: io::Error| match cause.kind() {
        io::ErrorKind::OutOfMemory => OpenError::TooLarge { path: path.to_owned(), compression: name, cause },
        _ => OpenError::DamagedStream { path: path.to_owned(), compression: name, cause },
    };
    let stream = decoder::open(compression, BufReader::with_capacity(CHUNK, input));
    // What a compressed archive holds is taken from it on the way, without a copy of all of it.
    let mut stream = archive::member(stream, compression == Compression::Tar, warnings).map_err(damaged)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let (filled, end) = fill(&mut stream, &mut chunk);
        let bytes = chunk.get(..filled).unwrap_or_default();
        if out.len() + bytes.len() as u64 > limit {
            let why = format!("it has more than {limit} bytes, the limit");
            return Err(cannot(out.len(), io::Error::new(io::ErrorKind::FileTooLarge, why)));
        }
        out.write(bytes).map_err(|cause| cannot(out.len(), cause))?;
        report(out.len(), false);
        match end {
            Ok(true) => break,
            Ok(false) => {}
            Err(cause) if out.len() == 0 => return Err(damaged(cause)),
            Err(cause) => {
                tell(name, out.len(), &cause, warnings);
                break;
            }
        }
    }
    let len = out.len();
    report(len, true);
    Mapping::of(out.finish().map_err(|cause| cannot(len, cause))?, path)
}

/// Says why a stream was unpacked no farther than `len` bytes.
fn tell(name: &str, len: u64, cause: &io::Error, warnings: &mut Warnings) {
    if cause.kind() == io::ErrorKind::OutOfMemory {
        warnings
            .push(format!("the {name} stream needs more memory after {len} unpacked bytes than the limit: {cause}"));
    } else if is_end(cause) {
        warnings.push(format!("the {name} stream is cut off after {len} unpacked bytes: {cause}"));
    } else {
        // A decoder notices damage late, or not before the checksum at the end.
        warnings.push_damage(format!(
            "the {name} stream is damaged ({cause}, after {len} unpacked bytes): any byte of the dump may be wrong"
        ));
    }
}

/// Whether an error comes from the end of the file alone.
fn is_end(error: &io::Error) -> bool {
    let mut next = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    let inner = std::iter::from_fn(|| {
        let this = next?;
        next = this.source();
        Some(this)
    });
    let ends = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
    ends(error) || inner.filter_map(|inner| inner.downcast_ref()).any(ends)
}

/// Fills `chunk` as far as the stream goes: how many bytes, and whether it ended there or failed.
fn fill(stream: &mut dyn Read, chunk: &mut [u8]) -> (usize, io::Result<bool>) {
    let mut filled = 0;
    loop {
        let rest = chunk.get_mut(filled..).unwrap_or_default();
        let piece = match rest.len() {
            0 => return (filled, Ok(false)),
            len => rest.get_mut(..len.min(PIECE)).unwrap_or_default(),
        };
        match stream.read(piece) {
            Ok(0) => return (filled, Ok(true)),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Err(error)),
        }
    }
}

#[cfg(test)]
mod tests;
