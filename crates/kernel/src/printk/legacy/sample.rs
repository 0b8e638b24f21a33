//! A layout for tests and fuzzers.

use super::*;

/// `struct printk_log` of 4.19; with `CONFIG_PRINTK_CALLER` of 5.1 it has a word more.
pub(in crate::printk) const fn layout(has_caller: bool) -> Layout {
    Layout {
        size: if has_caller { 20 } else { 16 },
        len: Scalar::bytes(8, 2),
        dict_len: Some(Scalar::bytes(12, 2)),
        header: HeaderLayout {
            timestamp: Scalar::bytes(0, 8),
            text_len: Scalar::bytes(10, 2),
            level: Scalar::bits(15, 5, 3),
            facility: Some(Scalar::bytes(14, 1)),
            flags: Some(Scalar::bits(15, 0, 5)),
            caller_id: if has_caller { Some(Scalar::bytes(16, 4)) } else { None },
        },
        joins_lines: false,
    }
}

pub(in crate::printk) const VARIABLES: Variables = Variables {
    log_buf: VirtAddr::new(0x1000),
    log_buf_len: VirtAddr::new(0x1008),
    first_idx: VirtAddr::new(0x100c),
    next_idx: VirtAddr::new(0x1010),
    first_seq: Some(VirtAddr::new(0x1018)),
    next_seq: Some(VirtAddr::new(0x1020)),
};
