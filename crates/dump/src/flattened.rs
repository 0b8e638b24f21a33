//! The flattened format: a dump cut into records, for writers that can only append.
//!
//! ```text
//! 16 bytes "makedumpfile" padded with zeroes, i64 type = 1, i64 version = 1, zeroes up to 4096
//! records: i64 offset, i64 size, then `size` bytes that belong at `offset` of the real file
//! end mark: offset = size = -1; whatever follows it (the rest of a raw disk) is not looked at
//! ```
//!
//! All numbers are big-endian. A later record overwrites an earlier one: headers are written again when the dump is
//! finished. Written by `makedumpfile -F`, and by QEMU for all its kdump formats that are not named `raw`.
//! Source: makedumpfile's `makedumpfile.h` and QEMU's `dump.c`.
//!
//! The file is used as it is. Opening reads the header of each record, not the data; records of one size that follow
//! each other in the file and in the dump are kept as one run, so that the index stays small.

mod kept_index;
mod writer;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::stored::Stored;
use crate::warnings::Warnings;

pub use writer::Flattener;

/// What the file starts with.
pub(crate) const SIGNATURE: &[u8; 16] = b"makedumpfile\0\0\0\0";
/// Where the first record is.
pub(crate) const RECORDS_AT: u64 = 4096;
/// Bytes of a record before its data.
pub(crate) const RECORD_HEADER_LEN: u64 = 16;
/// Bounds the index (to about 150 MiB). Half as many runs are enough for a terabyte written by QEMU.
const MAX_RUNS: usize = 2 << 20;

/// A flattened file, addressed by offsets in the dump that it holds.
#[derive(Debug)]
pub(crate) struct Flattened {
    file: Stored,
    /// Sorted by `start`, without overlaps.
    pieces: Vec<Piece>,
    end_mark: bool,
}

/// Records of one size that follow each other both in the file and in the dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Where the first record's data belongs in the dump.
    dump_offset: u64,
    /// Where that data is in the file.
    file_offset: u64,
    /// Data bytes of each record; not 0.
    record_len: u64,
}

/// A part of the dump, and the run that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: u64,
    end: u64,
    run: Run,
}

impl Piece {
    /// Where the byte at `offset` of the dump is in the file, and how many bytes of the same piece follow it there.
    fn locate(&self, offset: u64) -> (u64, u64) {
        let in_run = offset - self.run.dump_offset;
        let (record, in_record) = (in_run / self.run.record_len, in_run % self.run.record_len);
        let file_offset = self.run.file_offset + record * (self.run.record_len + RECORD_HEADER_LEN) + in_record;
        (file_offset, (self.run.record_len - in_record).min(self.end - offset))
    }
}

/// One record's header.
enum Record {
    Data { dump_offset: u64, len: u64 },
    End,
    Damaged,
}

impl Flattened {
    /// Reads the headers of all records in `file`, or what is remembered of them.
    pub(crate) fn new(file: Stored, warnings: &mut Warnings) -> Self {
        if let Some(pieces) = file.recall().and_then(|kept| kept_index::parse(&kept, file.len())) {
            return Self { file, pieces, end_mark: true };
        }
        let mut index = Index::default();
        let mut at = RECORDS_AT;
        let file_len = file.len();
        let end_mark = loop {
            let mut header = [0; RECORD_HEADER_LEN as usize];
            if file.read_apart(at, &mut header).is_none() {
                break false;
            }
            match parse(header) {
                Record::Data { dump_offset, len } => {
                    let data_at = at + RECORD_HEADER_LEN;
                    // The last record of a truncated file has less data than it says.
                    let present = len.min(file_len.saturating_sub(data_at));
                    if index.is_full() {
                        warnings.push(format!(
                            "the flattened file has too many records: those from {at:#x} on are ignored"
                        ));
                        break false;
                    }
                    index.add(Run { dump_offset, file_offset: data_at, record_len: len }, present);
                    if present < len {
                        break false;
                    }
                    at = data_at + len;
                }
                Record::End => break true,
                Record::Damaged => {
                    warnings.push(format!("the record at file offset {at:#x} of the flattened file is damaged"));
                    break false;
                }
            }
        };
        let pieces = index.finish();
        // What ends as it should has no warnings to be repeated.
        if end_mark {
            file.remember(|| kept_index::encode(&pieces));
        }
        Self { file, pieces, end_mark }
    }

    /// Whether the last record was found.
    pub(crate) fn has_end_mark(&self) -> bool {
        self.end_mark
    }

    /// The length of the dump in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    fn find(&self, offset: u64) -> Option<&Piece> {
        let after = self.pieces.partition_point(|piece| piece.start <= offset);
        self.pieces.get(after.checked_sub(1)?).filter(|piece| offset < piece.end)
    }

    /// How many of the `len` bytes at `offset` there are before the first that is missing.
    pub(crate) fn present(&self, offset: u64, len: u64) -> u64 {
        let wanted = offset.saturating_add(len);
        let mut end = offset;
        while end < wanted
            && let Some(piece) = self.find(end)
        {
            end = piece.end;
        }
        end.min(wanted) - offset
    }

    /// As [`FileBytes::slice`](crate::bytes::FileBytes::slice).
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Option<Cow<'_, [u8]>> {
        if len == 0 {
            return Some(Cow::Borrowed(&[]));
        }
        let (file_offset, in_piece) = self.find(offset)?.locate(offset);
        if len <= in_piece {
            return self.file.slice(file_offset, len);
        }
        // Not more than there is: `len` may be absurd.
        if self.present(offset, len) < len {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.read(offset, &mut bytes)?;
        Some(Cow::Owned(bytes))
    }

    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        self.read_with(offset, buf, |file_offset, buf| self.file.read(file_offset, buf))
    }

    /// The file that holds the records.
    pub(crate) fn file(&self) -> &Stored {
        &self.file
    }

    pub(crate) fn read_apart(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        self.read_with(offset, buf, |file_offset, buf| self.file.read_apart(file_offset, buf))
    }

    fn read_with(
        &self,
        mut offset: u64,
        mut buf: &mut [u8],
        read: impl Fn(u64, &mut [u8]) -> Option<()>,
    ) -> Option<()> {
        while !buf.is_empty() {
            let (file_offset, in_piece) = self.find(offset)?.locate(offset);
            let here = usize::try_from(in_piece).unwrap_or(usize::MAX).min(buf.len());
            let (now, later) = buf.split_at_mut(here);
            read(file_offset, now)?;
            buf = later;
            offset += here as u64;
        }
        Some(())
    }
}

fn parse(header: [u8; RECORD_HEADER_LEN as usize]) -> Record {
    let number = u128::from_be_bytes(header);
    let (offset, len) = ((number >> 64) as u64, number as u64);
    match (offset.cast_signed(), len.cast_signed()) {
        (-1, -1) => Record::End,
        // Both sum and sizes stay far from the end of 64 bits.
        (0.., 1..) if offset.checked_add(len).is_some_and(|end| end <= i64::MAX.cast_unsigned()) => {
            Record::Data { dump_offset: offset, len }
        }
        _ => Record::Damaged,
    }
}

/// The pieces found so far, by their start.
#[derive(Default)]
struct Index {
    pieces: BTreeMap<u64, Piece>,
    /// The run that the next record may continue, and where it ends in the dump.
    open: Option<(Run, u64)>,
}

impl Index {
    fn is_full(&self) -> bool {
        self.pieces.len() >= MAX_RUNS
    }

    /// Adds one record of which `present` data bytes are in the file.
    fn add(&mut self, record: Run, present: u64) {
        let end = record.dump_offset + present;
        if let Some((run, run_end)) = &mut self.open {
            let records = (*run_end - run.dump_offset) / run.record_len;
            let follows_in_file =
                run.file_offset.checked_add(records.saturating_mul(run.record_len + RECORD_HEADER_LEN));
            if record.record_len == run.record_len
                && record.dump_offset == *run_end
                && Some(record.file_offset) == follows_in_file
            {
                *run_end = end;
                return;
            }
        }
        self.close();
        if present > 0 {
            self.open = Some((record, end));
        }
    }

    /// Puts the open run in place; what was there before is overwritten.
    fn close(&mut self) {
        let Some((run, end)) = self.open.take() else { return };
        let start = run.dump_offset;
        // The piece before may reach into this one, or even beyond it.
        if let Some((_, before)) = self.pieces.range_mut(..start).next_back()
            && before.end > start
        {
            let after = Piece { start: end, ..*before };
            before.end = start;
            if after.end > end {
                self.pieces.insert(end, after);
            }
        }
        while let Some((&covered_start, &covered)) = self.pieces.range(start..end).next() {
            self.pieces.remove(&covered_start);
            if covered.end > end {
                self.pieces.insert(end, Piece { start: end, ..covered });
            }
        }
        self.pieces.insert(start, Piece { start, end, run });
    }

    fn finish(mut self) -> Vec<Piece> {
        self.close();
        self.pieces.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
