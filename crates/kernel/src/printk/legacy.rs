//! The log buffer of 3.5 to 5.9: records of variable length in one ring of bytes.
//!
//! ```text
//! log_buf[log_buf_len], from log_first_idx to log_next_idx:
//!
//! struct printk_log (struct log before 3.11, kernel commit 62e32ac3505a; RHEL 7 kept it)
//!   u64 ts_nsec | u16 len | u16 text_len | u16 dict_len | u8 facility | u8 flags:5, level:3 | u32 caller_id
//! text ... | dict "SUBSYSTEM=pci\0DEVICE=+pci:0000:00:01.0" | padding
//! ```
//!
//! `len` is that of the whole record; a header of zeroes says that the next record is at the start of the buffer. `caller_id` is there
//! with `CONFIG_PRINTK_CALLER` (kernel commit 15ff2069cb7f, 5.1).
//!
//! Until kernel commit 5aa068ea4082 (4.10, and 4.9 stable) a line that was printed in pieces could be stored as several
//! records, which readers put together by their flags. So does this.
//!
//! Source: `kernel/printk/printk.c` (`kernel/printk.c` before 3.11).

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod sample;
#[cfg(test)]
mod tests;

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use super::header::{Header, HeaderLayout, Scalar, record_size};
use super::{Damage, LogDevice, LogRecord, gap};
use crate::layout::Resolver;
use crate::{Gap, LayoutError};

/// The largest buffer that is read, in bytes; `CONFIG_LOG_BUF_SHIFT` ends at 32 MiB.
const MAX_BUFFER: u64 = 256 << 20;
/// `LOG_ALIGN` of x86-64, and the distance in bytes of the places where a record can begin.
const ALIGN: u64 = 4;
/// As many bytes are searched at most for where the records go on behind damage.
const MAX_SEARCH: u64 = 4 << 20;

/// `enum log_flags`.
const NEWLINE: u64 = 2;
const PREFIX: u64 = 4;
const CONT: u64 = 8;

/// Offsets in a record's header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) size: u64,
    pub(super) len: Scalar,
    pub(super) dict_len: Option<Scalar>,
    pub(super) header: HeaderLayout,
    /// Whether readers put pieces of lines together.
    pub(super) joins_lines: bool,
}

impl Layout {
    /// `joins_lines` says whether the kernel remembers the flags of the record before, as it did while records could be
    /// pieces of lines.
    pub(super) fn resolve(types: Resolver<'_>, joins_lines: bool) -> Result<Self, LayoutError> {
        let name = if types.types().has_type("struct printk_log") { "struct printk_log" } else { "struct log" };
        Ok(Self {
            size: record_size(types, name)?,
            len: Scalar::resolve(types, name, "len")?,
            dict_len: Scalar::optional(types, name, "dict_len"),
            header: HeaderLayout::resolve(types, name)?,
            joins_lines,
        })
    }
}

/// The addresses of the kernel's variables.
pub(super) struct Variables {
    pub(super) log_buf: VirtAddr,
    pub(super) log_buf_len: VirtAddr,
    pub(super) first_idx: VirtAddr,
    pub(super) next_idx: VirtAddr,
    pub(super) first_seq: Option<VirtAddr>,
    pub(super) next_seq: Option<VirtAddr>,
}

/// Reads all records.
pub(super) fn read<M: ReadVirtual + ?Sized>(
    memory: &M,
    layout: &Layout,
    variables: &Variables,
    gaps: &mut Vec<Gap>,
) -> Result<Vec<LogRecord>, Gap> {
    let word = |address| memory.read_u32(address).map(u64::from).map_err(gap);
    let seq = |address: Option<VirtAddr>| address.and_then(|address| memory.read_u64(address).ok());
    let buffer = Buffer {
        memory,
        layout,
        start: memory.read_pointer(variables.log_buf).map_err(gap)?,
        len: word(variables.log_buf_len)?,
    };
    let (first, next) = (word(variables.first_idx)?, word(variables.next_idx)?);
    if buffer.len > MAX_BUFFER || first >= buffer.len || next > buffer.len {
        return Err(gap(format!("{} bytes of log with records from {first} to {next}", buffer.len)));
    }
    let mut pieces = buffer.pieces(first, next, gaps);
    let (first_seq, next_seq) = (seq(variables.first_seq), seq(variables.next_seq));
    gaps.extend(
        first_seq.zip(next_seq).and_then(|(first, next)| pieces.are_missing(next.wrapping_sub(first))).map(gap),
    );
    pieces.number(first_seq, next_seq);
    Ok(if layout.joins_lines {
        join_lines(pieces.all)
    } else {
        pieces.all.into_iter().map(|(record, _)| record).collect()
    })
}

/// Records as they are stored, with their flags.
#[derive(Default)]
struct Pieces {
    all: Vec<(LogRecord, u64)>,
    /// How many there are before the first damage.
    before_damage: Option<usize>,
}

impl Pieces {
    /// That there are other than so many records where no damage was seen: zeroes that are taken for the end of the buffer, where it
    /// begins anew, pass over what is behind them. The last one may not be counted yet (`log_store`).
    fn are_missing(&self, counted: u64) -> Option<String> {
        let found = self.all.len() as u64;
        let is_as_counted = found == counted || found == counted.wrapping_add(1);
        (self.before_damage.is_none() && !is_as_counted)
            .then(|| format!("log_first_seq and log_next_seq count {counted} records, {found} were found"))
    }

    /// Counts up from `first_seq`, but behind damage down from `next_seq`: it is not known how many records it swallowed.
    fn number(&mut self, first_seq: Option<u64>, next_seq: Option<u64>) {
        let first_seq = first_seq.unwrap_or_default();
        let total = self.all.len();
        let from_front = self.before_damage.unwrap_or(total);
        for (index, (record, _)) in self.all.iter_mut().enumerate() {
            let back = (total - index) as u64;
            record.seq = match next_seq {
                Some(next_seq) if index >= from_front => next_seq.wrapping_sub(back),
                _ => first_seq.wrapping_add(index as u64),
            };
        }
    }
}

/// A walk along the buffer.
struct Walk<'g> {
    pieces: Pieces,
    damage: Damage<'g>,
    /// How many bytes may still be searched.
    search_left: u64,
}

impl Walk<'_> {
    fn note(&mut self, why: impl ToString) {
        self.damage.note(why);
        self.pieces.before_damage.get_or_insert(self.pieces.all.len());
    }
}

/// Puts lines together by the rules of `msg_print_text` of those kernels.
fn join_lines(pieces: Vec<(LogRecord, u64)>) -> Vec<LogRecord> {
    let mut lines: Vec<LogRecord> = Vec::with_capacity(pieces.len());
    let mut before = NEWLINE;
    for (piece, flags) in pieces {
        let ended = before & CONT == 0 || before & NEWLINE != 0;
        let continues = before & CONT != 0 && (flags & PREFIX == 0 || (flags & CONT != 0 && !ended));
        before = flags;
        match lines.last_mut() {
            Some(line) if continues => {
                if ended {
                    line.text.push('\n');
                }
                line.text.push_str(&piece.text);
            }
            _ => lines.push(piece),
        }
    }
    lines
}

struct Buffer<'a, M: ?Sized> {
    memory: &'a M,
    layout: &'a Layout,
    start: VirtAddr,
    len: u64,
}

/// What is at an index of the buffer.
enum Entry {
    /// The next record is at the start.
    Wrap,
    /// A record of this many bytes.
    Record { len: u64, header: Header, dict_len: u64 },
}

impl<M: ReadVirtual + ?Sized> Buffer<'_, M> {
    fn pieces(&self, first: u64, next: u64, gaps: &mut Vec<Gap>) -> Pieces {
        let mut walk = Walk { pieces: Pieces::default(), damage: Damage::new(gaps), search_left: MAX_SEARCH };
        if first <= next {
            self.run(first, next, &mut walk);
        } else {
            self.run(first, self.len, &mut walk);
            self.run(0, next, &mut walk);
        }
        walk.damage.finish();
        walk.pieces
    }

    /// The records from `at` up to the wrap or `end`. Every step goes on by at least a header ([`Buffer::entry`]), so it ends.
    fn run(&self, mut at: u64, end: u64, walk: &mut Walk<'_>) {
        while at < end {
            match self.entry(at) {
                Ok(Entry::Record { len, header, dict_len }) => {
                    match self.record(at, header, dict_len) {
                        Ok(record) => walk.pieces.all.push((record, header.flags)),
                        Err(error) => walk.note(format!("record at index {at}: {error}")),
                    }
                    at += len;
                }
                Ok(Entry::Wrap) if end == self.len => return,
                Ok(Entry::Wrap) => {
                    walk.note(format!("there are zeroes at index {at}"));
                    at = self.search(at + ALIGN, end, &mut walk.search_left);
                }
                Err(why) => {
                    walk.note(why);
                    at = self.search(at + ALIGN, end, &mut walk.search_left);
                }
            }
        }
    }

    fn entry(&self, at: u64) -> Result<Entry, String> {
        let layout = self.layout;
        let unreadable = |error: ReadError| format!("record at index {at}: {error}");
        if at.checked_add(layout.size).is_none_or(|end| end > self.len) {
            return Err(format!("the record at index {at} crosses the end of the buffer"));
        }
        let bytes = self.memory.read_bytes(self.start.wrapping_add(at), layout.size).map_err(unreadable)?;
        // A writer that wraps clears the whole header.
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(Entry::Wrap);
        }
        let len = layout.len.get(&bytes);
        let header = layout.header.read(&bytes);
        let dict_len = layout.dict_len.map(|field| field.get(&bytes)).unwrap_or_default();
        let used = layout.size.checked_add(header.text_len).and_then(|used| used.checked_add(dict_len));
        let is_padding = |used: u64| len.checked_sub(used).is_some_and(|padding| padding < 2 * ALIGN);
        // No record is shorter than its header: nothing is gone through twice.
        let fits = len >= layout.size && len.is_multiple_of(ALIGN) && len <= self.len - at;
        if !(fits && used.is_some_and(is_padding)) {
            let text_len = header.text_len;
            return Err(format!("the record at index {at} has length {len} with {text_len} bytes of text"));
        }
        Ok(Entry::Record { len, header, dict_len })
    }

    fn record(&self, at: u64, header: Header, dict_len: u64) -> Result<LogRecord, ReadError> {
        let text_address = self.start.wrapping_add(at + self.layout.size);
        let text = self.memory.read_bytes(text_address, header.text_len)?;
        let dict = self.memory.read_bytes(text_address.wrapping_add(header.text_len), dict_len);
        Ok(LogRecord {
            seq: 0,
            timestamp_ns: header.timestamp_ns,
            level: header.level,
            facility: header.facility,
            caller: header.caller,
            text: String::from_utf8_lossy(&text).into_owned(),
            device: dict.ok().and_then(|dict| device(&dict)),
            unfinished: false,
        })
    }

    /// The first index from `from` on where a record begins that is followed by another or by `end`; `end` where there
    /// is none.
    fn search(&self, from: u64, end: u64, left: &mut u64) -> u64 {
        let begins_a_record = |at: u64| match self.entry(at) {
            Ok(Entry::Record { len, .. }) => at + len == end || at + len < end && self.entry(at + len).is_ok(),
            _ => false,
        };
        let mut at = from.next_multiple_of(ALIGN);
        while at < end && *left > 0 {
            if begins_a_record(at) {
                return at;
            }
            at += ALIGN;
            *left = left.saturating_sub(ALIGN);
        }
        end
    }
}

/// The device in a record's dictionary, `KEY=value` strings with a zero between them.
fn device(dict: &[u8]) -> Option<LogDevice> {
    let value = |key: &[u8]| {
        let value = dict.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(key))?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let (subsystem, device) = (value(b"SUBSYSTEM="), value(b"DEVICE="));
    if subsystem.is_none() && device.is_none() {
        return None;
    }
    Some(LogDevice { subsystem: subsystem.unwrap_or_default(), device: device.unwrap_or_default() })
}
