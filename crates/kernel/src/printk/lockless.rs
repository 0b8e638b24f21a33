//! The lock-less log buffer of 5.10 and later.
//!
//! ```text
//! prb -> struct printk_ringbuffer
//!   .desc_ring       descs[1 << count_bits]    struct prb_desc: state_var, begin and next of the text's block
//!                    infos[1 << count_bits]    struct printk_info: sequence number, time, caller, length of the text
//!                    tail_id ..= head_id       oldest and newest record
//!   .text_data_ring  data[1 << size_bits]      the texts, see `block`
//! ```
//!
//! The low bits of a record's id are its index in both arrays. The top two bits of `state_var` are the record's state,
//! the others the id of the record that the descriptor holds just now:
//!
//! | state | | here |
//! |---|---|---|
//! | 0 | reserved: being written | shown as unfinished if its text is there |
//! | 1 | committed: whole, but may be continued | shown |
//! | 2 | finalized | shown |
//! | 3 | reusable: its text may have been overwritten | gone |
//!
//! Source: `kernel/printk/printk_ringbuffer.c`, kernel commit b6cf8b3f3312.

#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod sample;
#[cfg(test)]
mod tests;

use vmcore_memory::{ReadError, ReadVirtual, VirtAddr};

use super::block::{Block, ID_SIZE, locate};
use super::header::{Header, HeaderLayout, Scalar, record_size};
use super::{Damage, LogDevice, LogRecord, gap};
use crate::layout::{Field, Resolver};
use crate::{Gap, LayoutError};

/// `LOG_BUF_LEN_MAX` is 2 GiB.
const MAX_SIZE_BITS: u64 = 31;
/// There is a descriptor for every 32 bytes of text (`PRB_AVGBITS`).
const MAX_COUNT_BITS: u64 = 26;
/// As many records are read at most, the newest: more than 32 MiB of text, the largest buffer that can be configured
/// without the command line, have.
const MAX_RECORDS: u64 = 1 << 20;
/// Ids have no room for the two bits of the state.
const ID_MASK: u64 = u64::MAX >> 2;

/// Offsets in the ring buffer and what it consists of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) count_bits: Field,
    pub(super) descs: Field,
    pub(super) infos: Field,
    pub(super) head_id: Field,
    pub(super) tail_id: Field,
    pub(super) size_bits: Field,
    pub(super) data: Field,
    pub(super) desc_size: u64,
    pub(super) state_var: Scalar,
    pub(super) begin: Scalar,
    pub(super) next: Scalar,
    pub(super) info_size: u64,
    pub(super) seq: Scalar,
    pub(super) header: HeaderLayout,
    /// Offset and size of the two strings.
    pub(super) subsystem: Option<Field>,
    pub(super) device: Option<Field>,
}

impl Layout {
    pub(super) fn resolve(types: Resolver<'_>) -> Result<Self, LayoutError> {
        let ring = |path| types.field("printk_ringbuffer", path);
        let desc = |path| Scalar::resolve(types, "prb_desc", path);
        Ok(Self {
            count_bits: ring("desc_ring.count_bits")?,
            descs: ring("desc_ring.descs")?,
            infos: ring("desc_ring.infos")?,
            head_id: ring("desc_ring.head_id.counter")?,
            tail_id: ring("desc_ring.tail_id.counter")?,
            size_bits: ring("text_data_ring.size_bits")?,
            data: ring("text_data_ring.data")?,
            desc_size: record_size(types, "prb_desc")?,
            state_var: desc("state_var.counter")?,
            begin: desc("text_blk_lpos.begin")?,
            next: desc("text_blk_lpos.next")?,
            info_size: record_size(types, "printk_info")?,
            seq: Scalar::resolve(types, "printk_info", "seq")?,
            header: HeaderLayout::resolve(types, "printk_info")?,
            subsystem: types.optional("printk_info", "dev_info.subsystem"),
            device: types.optional("printk_info", "dev_info.device"),
        })
    }
}

/// Reads all records. `prb` is the address of the kernel's pointer to the ring buffer.
pub(super) fn read<M: ReadVirtual + ?Sized>(
    memory: &M,
    layout: &Layout,
    prb: VirtAddr,
    gaps: &mut Vec<Gap>,
) -> Result<Vec<LogRecord>, Gap> {
    let ring = memory.read_pointer(prb).map_err(gap)?;
    let mut damage = Damage::new(gaps);
    let mut reader = Reader::open(memory, layout, ring)?;
    let mut records = Vec::new();
    for id in reader.ids(ring, &mut damage)? {
        match reader.record(id) {
            Ok(record) => records.extend(record),
            Err(why) => damage.note(why),
        }
    }
    damage.finish();
    Ok(records)
}

/// What a descriptor says of the record that it is to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It holds none, or that of the round before.
    Gone,
    /// It is zero, as until the first record is written there.
    Unused,
    Unfinished,
    Whole,
}

struct Reader<'a, M: ?Sized> {
    memory: &'a M,
    layout: &'a Layout,
    count: u64,
    descs: VirtAddr,
    infos: VirtAddr,
    size_bits: u32,
    data: VirtAddr,
    /// The texts together cannot be longer than the ring that they are in.
    text_left: u64,
}

impl<'a, M: ReadVirtual + ?Sized> Reader<'a, M> {
    fn open(memory: &'a M, layout: &'a Layout, ring: VirtAddr) -> Result<Self, Gap> {
        let read = |field: Field| field.read(memory, ring).map_err(gap);
        let bits = |field: Field, what, max| match read(field)? {
            bits if bits <= max => Ok(u32::try_from(bits).unwrap_or_default()),
            bits => Err(gap(format!("{what} of the ring buffer at {ring} is {bits}"))),
        };
        let count_bits = bits(layout.count_bits, "count_bits", MAX_COUNT_BITS)?;
        let size_bits = bits(layout.size_bits, "size_bits", MAX_SIZE_BITS)?;
        Ok(Self {
            memory,
            layout,
            count: 1 << count_bits,
            descs: VirtAddr::new(read(layout.descs)?),
            infos: VirtAddr::new(read(layout.infos)?),
            size_bits,
            data: VirtAddr::new(read(layout.data)?),
            text_left: 1 << size_bits,
        })
    }

    /// The ids of the records, oldest first. Where the tail cannot be right, all that the array can hold up to the head.
    fn ids(&self, ring: VirtAddr, damage: &mut Damage<'_>) -> Result<impl Iterator<Item = u64> + use<M>, Gap> {
        let id = |field: Field| Ok(field.read(self.memory, ring).map_err(gap)? & ID_MASK);
        let (head, tail) = (id(self.layout.head_id)?, id(self.layout.tail_id)?);
        let mut older = head.wrapping_sub(tail) & ID_MASK;
        if older >= self.count {
            damage.note(format!("head_id {head:#x} and tail_id {tail:#x} of the ring buffer at {ring} do not fit"));
            older = self.count - 1;
        }
        if older >= MAX_RECORDS {
            damage.note(format!("there are {} records; the newest {MAX_RECORDS} are read", older + 1));
            older = MAX_RECORDS - 1;
        }
        Ok((0..=older).rev().map(move |back| head.wrapping_sub(back) & ID_MASK))
    }

    /// The record with this id; `None` where it is gone or was not begun.
    fn record(&mut self, id: u64) -> Result<Option<LogRecord>, String> {
        let layout = self.layout;
        let index = id & (self.count - 1);
        let desc_address = self.descs.wrapping_add(index * layout.desc_size);
        let unreadable = |error: ReadError| format!("record {id:#x}: {error}");
        let desc = self.memory.read_bytes(desc_address, layout.desc_size).map_err(unreadable)?;
        let state = self.state(id, layout.state_var.get(&desc), desc_address)?;
        if state == State::Gone {
            return Ok(None);
        }
        let info_address = self.infos.wrapping_add(index * layout.info_size);
        let info = self.memory.read_bytes(info_address, layout.info_size).map_err(unreadable)?;
        let header = layout.header.read(&info);
        if state == State::Unused {
            return match (header.timestamp_ns, header.text_len) {
                (0, 0) => Ok(None),
                _ => Err(format!("the descriptor at {desc_address} of record {id:#x} is zero, its printk_info is not")),
            };
        }
        let unfinished = state == State::Unfinished;
        // The length is set after the text is written. Before that, the block holds what was there before.
        if unfinished && header.text_len == 0 {
            return Ok(None);
        }
        let seq = layout.seq.get(&info);
        // It counts up by as much as there are descriptors, each time that one is used again (`prb_reserve`).
        if seq & (self.count - 1) != index {
            return Err(format!("the printk_info at {info_address} of record {id:#x} is that of record number {seq}"));
        }
        let text = self.text(id, layout.begin.get(&desc), layout.next.get(&desc), header.text_len)?;
        Ok(Some(LogRecord { device: self.device(&info), ..record(seq, header, &text, unfinished) }))
    }

    fn state(&self, id: u64, state_var: u64, address: VirtAddr) -> Result<State, String> {
        let found = state_var & ID_MASK;
        // The head moves first: the descriptor may still hold the record one round before, or none ever.
        let before = id.wrapping_sub(self.count) & ID_MASK;
        match state_var >> 62 {
            0 if found == id => Ok(State::Unfinished),
            1 | 2 if found == id => Ok(State::Whole),
            _ if state_var == 0 => Ok(State::Unused),
            _ if found == id || found == before => Ok(State::Gone),
            _ => Err(format!("the descriptor at {address} of record {id:#x} holds {found:#x}")),
        }
    }

    fn text(&mut self, id: u64, begin: u64, next: u64, len: u64) -> Result<Vec<u8>, String> {
        let (index, capacity) = match locate(begin, next, self.size_bits) {
            Some(Block::At { index, capacity }) => (index, capacity),
            Some(Block::Empty) => return Ok(Vec::new()),
            Some(Block::Lost) => return Err(format!("there was no room for the text of record {id:#x}")),
            None => return Err(format!("record {id:#x} has an impossible data block: {begin:#x} to {next:#x}")),
        };
        let address = self.data.wrapping_add(index);
        let unreadable = |error: ReadError| format!("text of record {id:#x}: {error}");
        let owner = self.memory.read_u64(address).map_err(unreadable)?;
        if owner != id {
            return Err(format!("the data block at {address} of record {id:#x} belongs to {owner:#x}"));
        }
        // The kernel itself takes no more than the block has.
        let len = len.min(capacity);
        self.text_left = self.text_left.checked_sub(len).ok_or_else(|| format!("texts overlap at record {id:#x}"))?;
        self.memory.read_bytes(address.wrapping_add(ID_SIZE), len).map_err(unreadable)
    }

    fn device(&self, info: &[u8]) -> Option<LogDevice> {
        let string = |field: Option<Field>| {
            let field = field?;
            let start = usize::try_from(field.offset).ok()?;
            let bytes = info.get(start..start.checked_add(usize::try_from(field.size).ok()?)?)?;
            let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        let subsystem = string(self.layout.subsystem)?;
        let device = string(self.layout.device)?;
        (!subsystem.is_empty() || !device.is_empty()).then_some(LogDevice { subsystem, device })
    }
}

fn record(seq: u64, header: Header, text: &[u8], unfinished: bool) -> LogRecord {
    LogRecord {
        seq,
        timestamp_ns: header.timestamp_ns,
        level: header.level,
        facility: header.facility,
        caller: header.caller,
        text: String::from_utf8_lossy(text).into_owned(),
        device: None,
        unfinished,
    }
}
