//! The two headers of a kdump-compressed dump, checked.

use std::ops::Range;
use std::path::Path;

use vmcore_memory::{Architecture, FileOffset, Machine, PAGE_SIZE, le_u32, le_u64};

use super::bitmap::Bitmap;
use crate::OpenError;
use crate::bytes::FileBytes;
use crate::warnings::Warnings;

/// What the file starts with.
pub(crate) const SIGNATURE: &[u8; 8] = b"KDUMP   ";

const RELEASE: Range<usize> = 142..207;
const MACHINE: Range<usize> = 272..337;
/// How far the names are shifted by an old makedumpfile.
const SHIFT: usize = 4;
const NAMES: Range<usize> = 8..402;
const BLOCK_SIZE_AT: usize = 428;
const MAIN_HEADER_LEN: u64 = 464;
const SUB_HEADER_LEN: u64 = 104;
/// The newest version that is known.
const MAX_VERSION: u32 = 6;
/// Frames of 1 PiB. The index of such a dump has 1 GiB; no machine has come near.
const MAX_FRAMES: u64 = 1 << 38;

/// `status`: the writer ran out of space.
const STATUS_INCOMPLETE: u32 = 0x8;

/// What the headers say, with every offset from the start of the file.
#[derive(Clone, Debug)]
pub(super) struct Header {
    /// The machine's architecture; `None` where the header does not say it, as QEMU's.
    pub(super) architecture: Option<Architecture>,
    /// What is the same in all parts of a split dump: the version and the machine's names.
    pub(super) identity: Vec<u8>,
    /// `timestamp`: the same in all parts, unless their writers took it one by one.
    pub(super) written: Vec<u8>,
    /// Bytes of a page, and of everything that is counted in pages.
    pub(super) block_size: u64,
    /// Whether the writer filled in the system's name, which makedumpfile does and QEMU does not.
    pub(super) has_system_name: bool,
    /// Whether the writer ran out of space.
    pub(super) incomplete: bool,
    /// The pages that makedumpfile was asked to leave out (its `-d`).
    pub(super) dump_level: Option<u32>,
    /// The frames that this part of a split dump has.
    pub(super) split: Option<Range<u64>>,
    /// The frames that are memory.
    pub(super) memory: Bitmap,
    /// The frames that are in the dump.
    pub(super) dumped: Bitmap,
    /// Where the page descriptors start.
    pub(super) descriptors_at: u64,
    /// Offset and length of the ELF notes.
    pub(super) notes: Option<(u64, u64)>,
    /// Offset and length of the VMCOREINFO text.
    pub(super) vmcoreinfo: Option<(u64, u64)>,
    /// Offset and length of the list of data that the dump's owner had erased.
    pub(super) erased: Option<(u64, u64)>,
}

impl Header {
    /// Reads and checks both headers.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where they are not those of a dump with pages in it, of a machine that is read.
    pub(super) fn parse(path: &Path, file: &FileBytes, warnings: &mut Warnings) -> Result<Self, OpenError> {
        let main = file.prefix(0, MAIN_HEADER_LEN);
        let block_size = block_size(&main).unwrap_or(PAGE_SIZE);
        let needed = block_size + SUB_HEADER_LEN;
        let sub = file.prefix(block_size, SUB_HEADER_LEN);
        let truncated = || OpenError::TruncatedHeader { path: path.to_owned(), needed, len: file.missing_after(0) };
        let main32 = |offset| le_u32(&main, offset).ok_or_else(truncated);
        let damaged = |offset: usize, reason: String| OpenError::BadHeader {
            path: path.to_owned(),
            offset: FileOffset::new(offset as u64),
            reason,
        };

        let version = main32(8)?;
        // Version numbers are small: in the wrong byte order they are not.
        if version > 0xffff && version.swap_bytes() < 0xff {
            return Err(OpenError::WrongMachine { path: path.to_owned(), machine: Machine::BIG_ENDIAN });
        }
        let architecture = match machine(&main).ok_or_else(truncated)? {
            Named::Unnamed => None,
            Named::Machine(machine) => match machine.architecture() {
                Some(architecture) => Some(architecture),
                None => return Err(OpenError::WrongMachine { path: path.to_owned(), machine }),
            },
            Named::Unknown => {
                warnings
                    .push("the header names no machine that is known: the dump is read as one of x86-64".to_owned());
                Some(Architecture::X86_64)
            }
        };
        if version > MAX_VERSION {
            warnings.push(format!("header version {version} is newer than {MAX_VERSION}: it is read as {MAX_VERSION}"));
        }
        let named = main32(BLOCK_SIZE_AT)?;
        if u64::from(named) != block_size {
            return Err(damaged(BLOCK_SIZE_AT, format!("its blocks have {named} bytes instead of {PAGE_SIZE}")));
        }
        let (status, sub_blocks, bitmap_blocks) = (main32(424)?, main32(432)?, main32(436)?);

        let sub64 = |offset| le_u64(&sub, offset).ok_or_else(truncated);
        let place = |since: u32, offset: usize| -> Result<_, OpenError> {
            let (start, len) = (sub64(offset)?, sub64(offset + 8)?);
            Ok(Some((start, len)).filter(|_| version >= since && start != 0 && len != 0))
        };
        let (frames, frames_at) = match version {
            ..6 => (u64::from(main32(440)?), 440),
            _ => (sub64(96)?, usize::try_from(block_size).unwrap_or_default() + 96),
        };
        if frames > MAX_FRAMES {
            return Err(damaged(frames_at, format!("{frames} page frames are more than any machine has")));
        }
        let split = match version {
            2.. if le_u32(&sub, 12).ok_or_else(truncated)? != 0 => {
                let at = if version < 6 { 16 } else { 80 };
                Some(sub64(at)?..sub64(at + 8)?)
            }
            _ => None,
        };

        // Neither sum nor product can overflow: all factors come from 32 bits.
        let bitmap_at = (1 + u64::from(sub_blocks)) * block_size;
        let bitmap_len = u64::from(bitmap_blocks) * block_size;
        // Writers have always made two bitmaps, but the format lets a dump of all pages have one.
        let two = u64::from(bitmap_blocks) >= 2 * frames.div_ceil(8).div_ceil(block_size);
        let one_len = if two { u64::from(bitmap_blocks / 2) * block_size } else { bitmap_len };
        if frames > one_len * 8 {
            warnings.push(format!("the bitmap has room for {} of {frames} page frames", one_len * 8));
        }
        let bits = frames.min(one_len * 8);
        let memory = Bitmap { offset: bitmap_at, bits };
        Ok(Self {
            architecture,
            block_size,
            identity: main.get(NAMES).ok_or_else(truncated)?.to_vec(),
            written: main.get(NAMES.end..424).ok_or_else(truncated)?.to_vec(),
            has_system_name: main.get(12).is_some_and(|&first| first != 0),
            incomplete: status & STATUS_INCOMPLETE != 0,
            dump_level: if version >= 1 { Some(le_u32(&sub, 8).ok_or_else(truncated)?) } else { None },
            split,
            memory,
            dumped: if two { Bitmap { offset: bitmap_at + one_len, bits } } else { memory },
            descriptors_at: bitmap_at + bitmap_len,
            notes: place(4, 48)?,
            vmcoreinfo: place(3, 32)?,
            erased: place(5, 64)?,
        })
    }

    /// The frames whose pages this file has descriptors for.
    pub(super) fn frames(&self) -> Range<u64> {
        match &self.split {
            Some(split) => split.start.min(self.dumped.bits)..split.end.min(self.dumped.bits),
            None => 0..self.dumped.bits,
        }
    }
}

/// What is mostly the same in all parts of a split dump, and in no other's, of the first bytes of one: names and time.
pub(crate) fn identity(head: &[u8]) -> Option<&[u8]> {
    head.get(NAMES.start..424)
}

/// `utsname.release`, of the first bytes of a dump; `None` where its writer left the names out or put them elsewhere (see [`machine`]).
pub(crate) fn release(head: &[u8]) -> Option<&str> {
    let name_at = |at: Range<usize>| head.get(at)?.split(|&byte| byte == 0).next();
    Machine::of_utsname(name_at(MACHINE)?)?.architecture()?;
    let release = std::str::from_utf8(name_at(RELEASE)?).ok()?;
    (!release.is_empty()).then_some(release)
}

/// The sizes of pages that machines have. A crash kernel's are those of the kernel; QEMU writes 64 KiB of arm64 machines
/// whatever their kernel has.
pub(crate) fn block_size(main: &[u8]) -> Option<u64> {
    let size = u64::from(le_u32(main, BLOCK_SIZE_AT)?);
    matches!(size, PAGE_SIZE | 0x4000 | 0x1_0000).then_some(size)
}

/// What the header says of the machine.
enum Named {
    Machine(Machine),
    /// The name is empty, which says nothing.
    Unnamed,
    Unknown,
}

/// The machine that `utsname.machine` names; `None` where the header is not all there.
///
/// makedumpfile before 1.6.9 copied the names of kernels since 5.11 from 4 bytes too far on (kernel commit 9a56493f6942
/// moved them in their structure): all of them lack their first 4 characters.
fn machine(main: &[u8]) -> Option<Named> {
    let name_at = |at: Range<usize>| main.get(at)?.split(|&byte| byte == 0).next();
    let name = name_at(MACHINE)?;
    let shifted = name_at(MACHINE.start - SHIFT..MACHINE.end - SHIFT)?;
    Some(match [name, shifted].into_iter().find_map(Machine::of_utsname) {
        Some(machine) => Named::Machine(machine),
        None => nameless(name),
    })
}

/// What is left to say of a name that is no machine's.
fn nameless(name: &[u8]) -> Named {
    let ends_like = |architecture: &Architecture| architecture.utsname_machine().as_bytes().get(SHIFT..) == Some(name);
    match name {
        // QEMU has no other name for most machines (`ELF_MACHINE_UNAME`).
        b"" | b"Unknown" => Named::Unnamed,
        // The ends of names that the rest of the header was cut from.
        _ => Architecture::ALL
            .iter()
            .find(|&architecture| ends_like(architecture))
            .and_then(|architecture| Machine::of_utsname(architecture.utsname_machine().as_bytes()))
            .map_or(Named::Unknown, Named::Machine),
    }
}
