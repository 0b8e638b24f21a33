//! The kernel log, in either form of its buffer.
//!
//! Source: `kernel/printk/printk.c`, `kernel/printk/printk_ringbuffer.c`.

use vmcore_memory::VirtAddr;

use super::Machine;
use crate::SynthError;
use crate::generation::LogForm;

/// 64 KiB of text.
const SIZE_BITS: u32 = 16;
/// A descriptor for every 32 bytes.
const COUNT_BITS: u32 = SIZE_BITS - 5;
/// `prb_desc.state_var`: whole, and cannot be continued.
const FINALIZED: u64 = 2 << 62;
/// `LOG_NEWLINE`.
const NEWLINE: u64 = 2;
/// `KERN_EMERG`.
const LEVEL: u64 = 0;
/// `LOG_ALIGN`.
const ALIGN: usize = 4;

/// A line of the log.
pub(crate) struct Line<'t> {
    pub(crate) text: &'t str,
    pub(crate) at_ns: u64,
    pub(crate) caller: u32,
}

impl Machine<'_> {
    /// Writes the log and returns where its texts are.
    pub(crate) fn write_log(&mut self, lines: &[Line<'_>]) -> Result<VirtAddr, SynthError> {
        let bytes: usize = lines.iter().map(|line| line.text.len() + 64).sum();
        if bytes > 1 << SIZE_BITS || lines.len() >= 1 << COUNT_BITS {
            return Err(SynthError::scenario("the log is longer than its buffer"));
        }
        match self.generation.facts.log {
            LogForm::Ring => self.write_ring(lines),
            LogForm::Records => self.write_records(lines),
        }
    }

    fn write_ring(&mut self, lines: &[Line<'_>]) -> Result<VirtAddr, SynthError> {
        let ring = self.variable("printk_rb_static")?;
        self.set_variable("prb", ring.get())?;
        let (desc, info) = (self.generation.size_of("prb_desc")?, self.generation.size_of("printk_info")?);
        let count = 1u64 << COUNT_BITS;
        let descs = self.zeroed(desc * count)?;
        let infos = self.zeroed(info * count)?;
        let data = self.zeroed(1 << SIZE_BITS)?;
        // The first position and id of all are one round before the overflow; here they begin behind it.
        let mut position = 1u64 << SIZE_BITS;
        let first = count;
        for (id, line) in (first..).zip(lines) {
            let index = id % count;
            let begin = position;
            position += 8 + (line.text.len() as u64).next_multiple_of(8);
            let place = data.wrapping_add(begin % (1 << SIZE_BITS));
            self.space.write_u64(place, id)?;
            self.space.write(place.wrapping_add(8), line.text.as_bytes())?;
            let descriptor = descs.wrapping_add(index * desc);
            self.put(descriptor, "prb_desc", "state_var.counter", FINALIZED | id)?;
            self.put(descriptor, "prb_desc", "text_blk_lpos.begin", begin)?;
            self.put(descriptor, "prb_desc", "text_blk_lpos.next", position)?;
            let record = infos.wrapping_add(index * info);
            self.put(record, "printk_info", "seq", id - first)?;
            self.put_header(record, "printk_info", line)?;
            self.put(record, "printk_info", "caller_id", line.caller.into())?;
        }
        let newest = (first + lines.len() as u64).saturating_sub(1);
        for (path, value) in [
            ("desc_ring.count_bits", COUNT_BITS.into()),
            ("desc_ring.descs", descs.get()),
            ("desc_ring.infos", infos.get()),
            ("desc_ring.head_id.counter", newest),
            ("desc_ring.tail_id.counter", first.min(newest)),
            ("text_data_ring.size_bits", SIZE_BITS.into()),
            ("text_data_ring.data", data.get()),
            ("text_data_ring.head_lpos.counter", position),
            ("text_data_ring.tail_lpos.counter", 1 << SIZE_BITS),
        ] {
            self.put(ring, "printk_ringbuffer", path, value)?;
        }
        Ok(data)
    }

    fn write_records(&mut self, lines: &[Line<'_>]) -> Result<VirtAddr, SynthError> {
        let header = self.generation.size_of("printk_log")?;
        let buffer = self.zeroed(1 << SIZE_BITS)?;
        let mut at = 0;
        for line in lines {
            let record = buffer.wrapping_add(at);
            let len = (header as usize + line.text.len()).next_multiple_of(ALIGN) as u64;
            self.put_header(record, "printk_log", line)?;
            self.put(record, "printk_log", "len", len)?;
            self.space.write(record.wrapping_add(header), line.text.as_bytes())?;
            at += len;
        }
        self.set_variable("log_buf", buffer.get())?;
        self.set_int("log_buf_len", 1 << SIZE_BITS)?;
        self.set_int("log_next_idx", i32::try_from(at).unwrap_or_default())?;
        self.set_variable("log_next_seq", lines.len() as u64)?;
        Ok(buffer)
    }

    /// What the headers of both forms have.
    fn put_header(&mut self, record: VirtAddr, kind: &str, line: &Line<'_>) -> Result<(), SynthError> {
        self.put(record, kind, "ts_nsec", line.at_ns)?;
        self.put(record, kind, "text_len", line.text.len() as u64)?;
        self.put(record, kind, "flags", NEWLINE)?;
        self.put(record, kind, "level", LEVEL)
    }

    fn zeroed(&mut self, size: u64) -> Result<VirtAddr, SynthError> {
        let at = self.space.allocate_object(size);
        self.space.write(at, &vec![0; usize::try_from(size).unwrap_or_default()])?;
        Ok(at)
    }
}
