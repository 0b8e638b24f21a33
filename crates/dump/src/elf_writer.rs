//! Writes ELF core dumps that this crate, crash, drgn and makedumpfile can read.
//!
//! ```text
//! ELF header | section header 0 where PN_XNUM needs it | program headers | notes | padding | ranges, one by one
//! ```

use std::io::{self, Write};

use vmcore_memory::{Architecture, PAGE_SIZE, PhysAddr};

use crate::RawNote;

const HEADER_LEN: u64 = 64;
const SECTION_HEADER_LEN: u64 = 64;
const PROGRAM_HEADER_LEN: u64 = 56;

/// Writes an ELF64 core dump of such a machine with `notes` and the given ranges of physical memory, in their order.
///
/// Ranges that touch in physical memory are joined under one program header. The headers come first, so `ranges` is
/// walked twice and must yield the same both times; nothing is kept in memory but one header for each gap, and the range
/// at hand.
///
/// # Errors
///
/// What `out` says; [`io::ErrorKind::InvalidInput`] where a range leaves the address space or a note is too long.
pub fn write_elf_core<B: AsRef<[u8]>>(
    out: &mut impl Write,
    architecture: Architecture,
    notes: &[RawNote],
    ranges: impl Iterator<Item = (PhysAddr, B)> + Clone,
) -> io::Result<()> {
    let notes = encode_notes(notes)?;
    let segments = segments(ranges.clone())?;

    // 0xffff in e_phnum means that the number did not fit and is in sh_info of section 0.
    let header_count = segments.len() as u64 + 1;
    let section_count: u16 = u16::from(header_count >= u64::from(object::elf::PN_XNUM));
    let section_at = u64::from(section_count) * HEADER_LEN;
    let headers_at = HEADER_LEN + u64::from(section_count) * SECTION_HEADER_LEN;
    let notes_at = headers_at + header_count * PROGRAM_HEADER_LEN;
    let memory_at = (notes_at + notes.len() as u64).next_multiple_of(PAGE_SIZE);

    let mut head = Vec::new();
    head.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    put16(&mut head, [object::elf::ET_CORE.0, architecture.elf_machine()]);
    put32(&mut head, [1]);
    put64(&mut head, [0, headers_at, section_at]);
    put32(&mut head, [0]);
    let count_field = if section_count == 1 { object::elf::PN_XNUM } else { header_count as u16 };
    let section_size = if section_count == 1 { SECTION_HEADER_LEN as u16 } else { 0 };
    put16(&mut head, [HEADER_LEN as u16, PROGRAM_HEADER_LEN as u16, count_field, section_size, section_count, 0]);
    if section_count == 1 {
        let count = u32::try_from(header_count).map_err(|_| invalid("too many ranges"))?;
        put32(&mut head, [0, 0]);
        put64(&mut head, [0, 0, 0, 0]);
        put32(&mut head, [0, count]);
        put64(&mut head, [0, 0]);
    }
    put32(&mut head, [object::elf::PT_NOTE.0, 0]);
    put64(&mut head, [notes_at, 0, 0, notes.len() as u64, notes.len() as u64, 4]);
    let mut offset = memory_at;
    for &(start, len) in &segments {
        put32(&mut head, [object::elf::PT_LOAD.0, 7]);
        put64(&mut head, [offset, 0, start, len, len, 0]);
        offset = offset.checked_add(len).ok_or_else(|| invalid("the ranges are larger than any file"))?;
    }
    out.write_all(&head)?;
    out.write_all(&notes)?;
    let padding = memory_at - notes_at - notes.len() as u64;
    out.write_all(&vec![0; usize::try_from(padding).unwrap_or_default()])?;
    for (_, bytes) in ranges {
        out.write_all(bytes.as_ref())?;
    }
    Ok(())
}

/// Start and length of each run of ranges that touch.
fn segments<B: AsRef<[u8]>>(ranges: impl Iterator<Item = (PhysAddr, B)>) -> io::Result<Vec<(u64, u64)>> {
    let mut segments: Vec<(u64, u64)> = Vec::new();
    for (start, bytes) in ranges {
        let (start, len) = (start.get(), bytes.as_ref().len() as u64);
        let outside = || invalid("a range leaves the address space");
        start.checked_add(len).ok_or_else(outside)?;
        match segments.last_mut() {
            Some((last_start, last_len)) if *last_start + *last_len == start => *last_len += len,
            _ => segments.push((start, len)),
        }
    }
    Ok(segments)
}

/// Notes as both formats have them.
pub(crate) fn encode_notes(notes: &[RawNote]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for note in notes {
        let too_long = |_| invalid("a note is too long");
        let name_len = u32::try_from(note.name.len() + 1).map_err(too_long)?;
        let desc_len = u32::try_from(note.desc.len()).map_err(too_long)?;
        put32(&mut bytes, [name_len, desc_len, note.kind]);
        bytes.extend(&note.name);
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(&note.desc);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    Ok(bytes)
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn put16<const N: usize>(out: &mut Vec<u8>, values: [u16; N]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put32<const N: usize>(out: &mut Vec<u8>, values: [u32; N]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn put64<const N: usize>(out: &mut Vec<u8>, values: [u64; N]) {
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}
