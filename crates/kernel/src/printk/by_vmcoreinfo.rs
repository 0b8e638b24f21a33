//! The layouts of both log buffers by VMCOREINFO alone: the kernel describes its log there, so that it can be read without
//! any debug information.
//!
//! VMCOREINFO has offsets of members and sizes of structures, but neither sizes of members nor bit-fields. Where those
//! cannot be told from the offsets around them, they are those of the structures' definitions:
//!
//! ```text
//! struct printk_log   u64 ts_nsec | u16 len | u16 text_len | u16 dict_len | u8 facility | u8 flags:5, level:3 | u32 caller_id
//! struct printk_info  u64 seq | u64 ts_nsec | u16 text_len | u8 facility | u8 flags:5, level:3 | u32 caller_id | dev_info
//! ```
//!
//! Source: `log_buf_vmcoreinfo_setup` in `kernel/printk/printk.c`.

#[cfg(test)]
mod tests;

use vmcore_dump::Vmcoreinfo;
use vmcore_memory::{ReadVirtual, VirtAddr};

use super::header::{HeaderLayout, MAX_RECORD_SIZE, Scalar};
use super::{LogRecord, gap, legacy, lockless};
use crate::Gap;
use crate::layout::Field;

/// Reads the log with what VMCOREINFO says of it.
pub(crate) fn read<M: ReadVirtual + ?Sized>(
    memory: &M,
    info: &Vmcoreinfo,
    gaps: &mut Vec<Gap>,
) -> Result<Vec<LogRecord>, Gap> {
    let said = Said(info);
    match info.symbol("prb") {
        Some(prb) => lockless::read(memory, &said.lockless()?, prb, gaps),
        None => legacy::read(memory, &said.legacy()?, &said.legacy_variables()?, gaps),
    }
}

/// What VMCOREINFO says, and an error that names what it does not.
struct Said<'a>(&'a Vmcoreinfo);

impl Said<'_> {
    fn offset(&self, member: &str) -> Result<u64, Gap> {
        self.0.offset(member).ok_or_else(|| missing(&format!("OFFSET({member})")))
    }

    fn size(&self, name: &str) -> Result<u64, Gap> {
        let size = self.0.size(name).ok_or_else(|| missing(&format!("SIZE({name})")))?;
        if (1..=MAX_RECORD_SIZE).contains(&size) {
            return Ok(size);
        }
        Err(gap(format!("VMCOREINFO has an impossible SIZE({name})={size}")))
    }

    fn symbol(&self, name: &str) -> Result<VirtAddr, Gap> {
        self.0.symbol(name).ok_or_else(|| missing(&format!("SYMBOL({name})")))
    }

    /// The sum of the offsets on the way through nested structures.
    fn path(&self, members: &[&str]) -> Result<u64, Gap> {
        members.iter().try_fold(0_u64, |sum, member| Ok(sum.wrapping_add(self.offset(member)?)))
    }

    fn lockless(&self) -> Result<lockless::Layout, Gap> {
        let ring = |member: &str, size| {
            let offset = self.path(&["printk_ringbuffer.desc_ring", &format!("prb_desc_ring.{member}")])?;
            Ok(Field { offset, size })
        };
        let counter = |member: &str| {
            let field: Field = ring(member, 8)?;
            Ok(Field { offset: field.offset.wrapping_add(self.offset("atomic_long_t.counter")?), ..field })
        };
        let texts = |member: &str, size| {
            let offset = self.path(&["printk_ringbuffer.text_data_ring", &format!("prb_data_ring.{member}")])?;
            Ok(Field { offset, size })
        };
        let block = |member: &str| {
            let offset = self.path(&["prb_desc.text_blk_lpos", &format!("prb_data_blk_lpos.{member}")])?;
            Ok(Scalar::bytes(offset, 8))
        };
        let state_var = self.path(&["prb_desc.state_var", "atomic_long_t.counter"])?;
        Ok(lockless::Layout {
            count_bits: ring("count_bits", 4)?,
            descs: ring("descs", 8)?,
            infos: ring("infos", 8)?,
            head_id: counter("head_id")?,
            tail_id: counter("tail_id")?,
            size_bits: texts("size_bits", 4)?,
            data: texts("data", 8)?,
            desc_size: self.size("prb_desc")?,
            state_var: Scalar::bytes(state_var, 8),
            begin: block("begin")?,
            next: block("next")?,
            info_size: self.size("printk_info")?,
            seq: Scalar::bytes(self.offset("printk_info.seq")?, 8),
            header: self.header("printk_info", "text_len", self.offset("printk_info.caller_id")?)?,
            subsystem: self.device_string("subsystem"),
            device: self.device_string("device"),
        })
    }

    fn device_string(&self, member: &str) -> Option<Field> {
        let offset = self.path(&["printk_info.dev_info", &format!("dev_printk_info.{member}")]).ok()?;
        Some(Field { offset, size: self.0.length(&format!("printk_info_{member}"))? })
    }

    fn legacy(&self) -> Result<legacy::Layout, Gap> {
        // `struct log` before 3.11 (kernel commit 62e32ac3505a).
        let name = ["printk_log", "log"].into_iter().find(|name| self.0.size(name).is_some()).unwrap_or("printk_log");
        let offset = |member: &str| self.offset(&format!("{name}.{member}"));
        let size = self.size(name)?;
        Ok(legacy::Layout {
            size,
            len: Scalar::bytes(offset("len")?, 2),
            dict_len: Some(Scalar::bytes(offset("dict_len")?, 2)),
            header: self.header(name, "dict_len", offset("caller_id").unwrap_or(size))?,
            // What only symbols tell. Pieces of a line come out as lines.
            joins_lines: false,
        })
    }

    /// `before` is the member in front of `facility`, `after` where the next one begins, or the structure ends.
    fn header(&self, name: &str, before: &str, after: u64) -> Result<HeaderLayout, Gap> {
        let offset = |member: &str| self.offset(&format!("{name}.{member}"));
        let facility = offset(before)?.wrapping_add(2);
        // Nothing says where level and facility are but that there are just two bytes for them.
        let is_as_defined = facility.checked_add(2) == Some(after);
        if !is_as_defined {
            let why = format!("{} bytes between {before} and what follows", after.wrapping_sub(facility));
            return Err(gap(format!("VMCOREINFO describes an unknown struct {name}: {why}")));
        }
        let caller_id = self.0.offset(&format!("{name}.caller_id"));
        Ok(HeaderLayout {
            timestamp: Scalar::bytes(offset("ts_nsec")?, 8),
            text_len: Scalar::bytes(offset("text_len")?, 2),
            level: Scalar::bits(facility.wrapping_add(1), 5, 3),
            facility: Some(Scalar::bytes(facility, 1)),
            flags: Some(Scalar::bits(facility.wrapping_add(1), 0, 5)),
            caller_id: caller_id.map(|offset| Scalar::bytes(offset, 4)),
        })
    }

    fn legacy_variables(&self) -> Result<legacy::Variables, Gap> {
        Ok(legacy::Variables {
            log_buf: self.symbol("log_buf")?,
            log_buf_len: self.symbol("log_buf_len")?,
            first_idx: self.symbol("log_first_idx")?,
            next_idx: self.symbol("log_next_idx")?,
            // Not in VMCOREINFO: numbers count from the oldest record that is left.
            first_seq: None,
            next_seq: None,
        })
    }
}

fn missing(line: &str) -> Gap {
    gap(format!("VMCOREINFO has no {line}"))
}
