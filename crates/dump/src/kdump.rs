//! The kdump-compressed format: what makedumpfile writes by default, and QEMU on request.
//!
//! ```text
//! block 0        disk_dump_header: "KDUMP   ", version, utsname, time, status, sizes in blocks (of one page)
//! block 1        kdump_sub_header: dump level, part of a split dump, places of notes and VMCOREINFO
//! block 1 + S    first bitmap: a bit for each page frame, set if it is memory
//!                second bitmap: set if its page is in the dump; the rest was left out
//! block 1 + S + B  page descriptors, one for each set bit of the second bitmap, in order:
//!                u64 offset, u32 size, u32 flags (how it is compressed), u64 page flags (always 0)
//! anywhere       pages. Pages of zeroes share one.
//! ```
//!
//! Versions: 1 has the dump level, 2 split dumps, 3 VMCOREINFO, 4 notes, 5 erased data, 6 frame numbers of 64 bits.
//! Source: makedumpfile's `IMPLEMENTATION` and `diskdump_mod.h`, QEMU's `include/sysemu/dump.h`.

mod bitmap;
mod codec;
mod header;
mod memory;

use std::path::Path;

use vmcore_memory::FileOffset;

#[cfg(feature = "fuzzing")]
pub(crate) use self::codec::decode;
pub(crate) use self::header::{SIGNATURE, block_size, identity, release};
pub(crate) use self::memory::KdumpMemory;

use self::header::Header;
use self::memory::Part;
use crate::bytes::FileBytes;
use crate::contents::Contents;
use crate::notes::{MAX_NOTES_LEN, Notes};
use crate::warnings::Warnings;
use crate::{Lookalike, OpenError, RawNote, Source, device_dumps, erased};

/// Reads the headers and notes of a kdump-compressed dump, or of all the parts of a split one that there are.
///
/// # Errors
///
/// [`OpenError`] where a header is unusable, there is no memory, or parts do not belong together.
pub(crate) fn open(files: Vec<(&Path, FileBytes)>, mut warnings: Warnings) -> Result<Contents<KdumpMemory>, OpenError> {
    let mut notes = Notes::default();
    let mut parts: Vec<Part> = Vec::new();
    let mut first: Option<(&Path, Header)> = None;
    for (path, file) in files {
        let header = Header::parse(path, &file, &mut warnings)?;
        match &first {
            Some((first_path, first)) => {
                let not_one = || OpenError::NotOneDump { path: path.to_owned(), other: first_path.to_path_buf() };
                let same = header.split.is_some() && first.split.is_some() && header.identity == first.identity;
                if !same || header.memory.bits != first.memory.bits || header.block_size != first.block_size {
                    return Err(not_one());
                }
                // Every part has all notes, registers, build-id and the time of the crash included.
                let own = read_notes(&file, &header, &mut Warnings::default());
                if own.raw.iter().zip(&notes.raw).any(|(own, first)| own != first) {
                    return Err(not_one());
                }
                if header.written != first.written {
                    // Then all of them have to be there.
                    if own.raw.is_empty() || own.raw != notes.raw {
                        return Err(not_one());
                    }
                    warnings.push("the headers of the parts have different times, but the same notes".to_owned());
                }
            }
            None => first = Some((path, header.clone())),
        }
        // Every part has all the notes.
        if notes.raw.is_empty() {
            notes = read_notes(&file, &header, &mut warnings);
        }
        parts.push(Part::new(file, header));
    }
    let Some((path, header)) = first else {
        return Err(OpenError::NoMemory { path: Path::new("").to_owned() });
    };
    if header.memory.bits == 0 {
        return Err(OpenError::NoMemory { path: path.to_owned() });
    }
    if notes.is_of_xen_host() {
        return Err(OpenError::NotADump { path: path.to_owned(), looks_like: Lookalike::XenHost });
    }
    // QEMU alone leaves the machine's names empty; a QEMU dump that makedumpfile wrote again has them.
    let source = if header.has_system_name || !notes.is_of_qemu() { Source::Makedumpfile } else { Source::Qemu };
    Ok(Contents { source, memory: KdumpMemory::new(parts), notes, warnings })
}

fn read_notes(file: &FileBytes, header: &Header, warnings: &mut Warnings) -> Notes {
    let mut notes = Notes { architecture: header.architecture, ..Notes::default() };
    let read = |what: &str, (start, len): (u64, u64), warnings: &mut Warnings| {
        let bytes = file.prefix(start, len.min(MAX_NOTES_LEN)).into_owned();
        if (bytes.len() as u64) < len {
            let have = bytes.len();
            warnings.push(format!("the {what} at file offset {start:#x} has {len} bytes; only {have} can be read"));
        }
        bytes
    };
    if let Some(place) = header.notes {
        let place = device_dumps::behind(file, place, &mut device_dumps::Left::default());
        let bytes = read("notes block", place, warnings);
        notes.add(&bytes, FileOffset::new(place.0), warnings);
    }
    // Before version 4 this is all there is; later it is inside the notes.
    if let (None, Some(place)) = (&notes.vmcoreinfo, header.vmcoreinfo) {
        let desc = read("VMCOREINFO", place, warnings);
        notes.add_note(RawNote { name: b"VMCOREINFO".to_vec(), kind: 0, desc }, FileOffset::new(place.0), warnings);
    }
    if let Some(place) = header.erased {
        let text = read("list of erased data", place, warnings);
        warnings.push(erased::warning(&text));
    }
    notes
}

#[cfg(test)]
mod tests;
