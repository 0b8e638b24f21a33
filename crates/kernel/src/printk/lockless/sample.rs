//! A layout for tests and fuzzers.

use super::*;

/// The layout of 6.1 to 6.12.
pub(in crate::printk) const LAYOUT: Layout = Layout {
    count_bits: Field { offset: 0, size: 4 },
    descs: Field { offset: 8, size: 8 },
    infos: Field { offset: 16, size: 8 },
    head_id: Field { offset: 24, size: 8 },
    tail_id: Field { offset: 32, size: 8 },
    size_bits: Field { offset: 48, size: 4 },
    data: Field { offset: 56, size: 8 },
    desc_size: 24,
    state_var: Scalar::bytes(0, 8),
    begin: Scalar::bytes(8, 8),
    next: Scalar::bytes(16, 8),
    info_size: 88,
    seq: Scalar::bytes(0, 8),
    header: HeaderLayout {
        timestamp: Scalar::bytes(8, 8),
        text_len: Scalar::bytes(16, 2),
        level: Scalar::bits(19, 5, 3),
        facility: Some(Scalar::bytes(18, 1)),
        flags: Some(Scalar::bits(19, 0, 5)),
        caller_id: Some(Scalar::bytes(20, 4)),
    },
    subsystem: Some(Field { offset: 24, size: 16 }),
    device: Some(Field { offset: 40, size: 48 }),
};
