//! Split BTF: that of a module, which only goes on where its kernel's BTF ends.
//!
//! Its first type has the id behind the kernel's last one, and its names begin behind the kernel's names. So the two, one
//! behind the other, are one BTF. Source: `btf_parse_module()` in `kernel/bpf/btf.c`.

use std::ops::Range;

use super::{BtfError, MAGIC, MIN_HEADER_SIZE, parse_header};

/// `split` with the `base` that it continues, as one blob. The base's types come first, under the ids that they have.
pub(in crate::types) fn join(base: &[u8], split: &[u8]) -> Result<Vec<u8>, BtfError> {
    let (base_types, base_strings) = sections(base)?;
    let (types, strings) = sections(split)?;
    let length = |parts: [&[u8]; 2]| {
        let sum = parts[0].len() as u64 + parts[1].len() as u64;
        let truncated = BtfError::Truncated { what: "a length", needed: sum, available: u64::from(u32::MAX) };
        u32::try_from(sum).map_err(|_| truncated)
    };
    let (types_len, strings_len) = (length([base_types, types])?, length([base_strings, strings])?);
    let head: [u32; 6] = [
        u32::from(MAGIC) | 1 << 16,
        u32::try_from(MIN_HEADER_SIZE).unwrap_or_default(),
        0,
        types_len,
        types_len,
        strings_len,
    ];
    let head: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
    Ok([&head, base_types, types, base_strings, strings].concat())
}

/// Whether `name` is among the names that `split` adds: cheaper than to read its types.
pub(in crate::types) fn mentions(split: &[u8], name: &str) -> bool {
    let Ok((_, strings)) = sections(split) else { return false };
    strings.split(|&byte| byte == 0).any(|text| text == name.as_bytes())
}

fn sections(blob: &[u8]) -> Result<(&[u8], &[u8]), BtfError> {
    let (types, strings) = parse_header(blob)?;
    let of = |what, range: Range<u64>| {
        let truncated = BtfError::Truncated { what, needed: range.end, available: blob.len() as u64 };
        let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        place.and_then(|(start, end)| blob.get(start..end)).ok_or(truncated)
    };
    Ok((of("the type section", types)?, of("the string section", strings)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Types;

    const INT: u32 = 1 << 24;
    const STRUCT: u32 = 4 << 24;

    fn blob(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let types_len = u32::try_from(types.len() * 4).unwrap();
        let head = [0x0001_eb9f, 24, 0, types_len, types_len, u32::try_from(strings.len()).unwrap()];
        let words = head.iter().chain(types).flat_map(|word| word.to_le_bytes());
        words.chain(strings.iter().copied()).collect()
    }

    /// `int` in the kernel (type 1, name at 1 of 5 bytes), and in the module `struct conn { int alive; }` (type 2).
    fn kernel_and_module() -> (Vec<u8>, Vec<u8>) {
        let base = blob(&[1, INT, 4, 1 << 24 | 32], b"\0int\0");
        let split = blob(&[6, STRUCT | 1, 8, 11, 1, 32], b"\0conn\0alive\0");
        (base, split)
    }

    #[test]
    fn a_module_continues_its_kernel() {
        let (base, split) = kernel_and_module();
        let types = Types::from_split_btf(&base, &split).unwrap();
        let member = types.member("struct conn", "alive").unwrap();
        assert_eq!((member.offset, member.type_name.as_deref()), (4, Some("int")));
        assert_eq!(types.size_of("struct conn"), Some(8));
        assert!(mentions(&split, "conn") && !mentions(&split, "con") && !mentions(&split, "int"));
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let (base, split) = kernel_and_module();
        for cut in 0..split.len() {
            assert!(Types::from_split_btf(&base, &split[..cut]).is_err(), "{cut}");
            assert!(!mentions(&split[..cut], "conn"), "{cut}");
        }
        assert!(Types::from_split_btf(&base[..20], &split).is_err());
    }

    #[test]
    fn lengths_that_overflow_are_refused() {
        let (base, mut split) = kernel_and_module();
        split[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Types::from_split_btf(&base, &split).is_err());
    }
}
