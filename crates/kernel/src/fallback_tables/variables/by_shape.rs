//! What is known where it stands: the types and the banner.

use vmcore_debuginfo::Types;
use vmcore_memory::{VirtAddr, le_u32};

use super::contents::Contents;
use crate::fallback_tables::BANNER;

/// Magic number, version and flags of BTF.
const BTF_START: u32 = 0x0001_eb9f;
/// `struct btf_header`, and as long as it may become.
const HEADER_SIZES: std::ops::RangeInclusive<u32> = 24..=64;
/// The length of a header with the place of `struct btf_layout`s.
const WITH_LAYOUTS: u32 = 32;
/// More than the type information of any kernel, in bytes.
const MAX_BTF: u32 = 64 << 20;
/// The longest banner, in bytes.
const MAX_BANNER: usize = 512;
/// The first word of a banner.
const FIRST_WORD: u32 = u32::from_le_bytes(*b"Linu");

/// A kernel's types, and where they lie.
pub(super) struct Btf {
    pub(super) start: VirtAddr,
    pub(super) end: VirtAddr,
    pub(super) types: Types,
}

/// The first type information that describes tasks.
pub(super) fn btf(contents: &Contents) -> Option<Btf> {
    let places = contents.words().filter(|(_, word)| *word == BTF_START).map(|(at, _)| at);
    places.filter_map(|start| btf_at(contents, start)).find(|btf| btf.types.has_type("struct task_struct"))
}

fn btf_at(contents: &Contents, start: VirtAddr) -> Option<Btf> {
    let bytes = contents.from(start)?;
    let word = |index: usize| le_u32(bytes, index * 4);
    let (header, types_at, types_len) = (word(1)?, word(2)?, word(3)?);
    let (strings_at, strings_len) = (word(4)?, word(5)?);
    // Since 7.3, in a header with room for it: how long types of each kind are.
    let layouts = if header >= WITH_LAYOUTS { Some((word(6)?, word(7)?)).filter(|(_, len)| *len != 0) } else { None };
    // The kernel wants them to lie one behind the other.
    let behind_types = match layouts {
        Some((at, len)) if at == types_len => at.checked_add(len)?,
        _ => types_len,
    };
    let is_one = HEADER_SIZES.contains(&header) && types_at == 0 && strings_at == behind_types;
    let len = header.checked_add(strings_at)?.checked_add(strings_len).filter(|&len| is_one && len <= MAX_BTF)?;
    let blob = bytes.get(..usize::try_from(len).ok()?)?;
    let types = Types::from_btf(blob.to_vec()).ok()?;
    Some(Btf { start, end: start.wrapping_add(len.into()), types })
}

/// `linux_banner` of the kernel `release`.
pub(super) fn banner(contents: &Contents, release: &str) -> Option<VirtAddr> {
    let is_one = |at: &VirtAddr| {
        let text = contents.c_string(*at, MAX_BANNER);
        let rest = text.and_then(|text| text.strip_prefix(BANNER)?.strip_prefix(release.as_bytes()));
        rest.is_some_and(|rest| rest.starts_with(b" ") && rest.ends_with(b"\n"))
    };
    contents.words().filter(|(_, word)| *word == FIRST_WORD).map(|(at, _)| at).find(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: VirtAddr = VirtAddr::new(0xffff_8000_0801_0000);

    /// BTF with one structure, or with a word of its header changed.
    fn blob(name: &str, changed: Option<(usize, u32)>) -> Vec<u8> {
        let strings = [b"\0", name.as_bytes(), b"\0"].concat();
        let mut words = [BTF_START, 24, 0, 12, 12, u32::try_from(strings.len()).unwrap(), 1, 4 << 24, 0];
        changed.into_iter().for_each(|(index, value)| words[index] = value);
        let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        [words, strings].concat()
    }

    fn found(blobs: &[Vec<u8>]) -> Option<(u64, u64)> {
        let mut bytes = vec![0x55; 0x20];
        for blob in blobs {
            bytes.resize(bytes.len().next_multiple_of(4), 0x55);
            bytes.extend(blob);
        }
        bytes.extend([0x55; 0x20]);
        let found = btf(&Contents::new(START, bytes))?;
        Some((found.start.get() - START.get(), found.end.get() - START.get()))
    }

    #[test]
    fn the_kernels_own_types_are_found() {
        let kernel = blob("task_struct", None);
        let end = 0x20 + kernel.len() as u64;
        assert_eq!(found(std::slice::from_ref(&kernel)), Some((0x20, end)));
        let other = blob("file", None);
        let start = (0x20 + other.len() as u64).next_multiple_of(4);
        assert_eq!(found(&[other, kernel.clone()]), Some((start, start + kernel.len() as u64)));
    }

    /// Between types and strings they have how long types of each kind are, one of them unknown here.
    #[test]
    fn types_with_layouts_are_found() {
        let mut words = vec![BTF_START, 32, 0, 24, 24 + 164, 13, 24, 164];
        // One of kind 40 without anything behind its head, and the structure.
        words.extend([0, 40 << 24, 0, 1, 4 << 24, 0]);
        words.extend([0; 41]);
        let blob = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_le_bytes()).chain(*b"\0task_struct\0").collect()
        };
        let len = 32 + 24 + 164 + 13;
        assert_eq!(found(&[blob(&words)]), Some((0x20, 0x20 + len)));
        words[6] = 20;
        assert_eq!(found(&[blob(&words)]), None, "they overlap the types");
    }

    #[test]
    fn what_only_begins_so_is_none() {
        for (index, value) in [(1, 8), (2, 4), (3, 8), (4, 16), (5, 0xffff), (5, u32::MAX), (7, 31 << 24)] {
            assert_eq!(found(&[blob("task_struct", Some((index, value)))]), None, "{index}: {value}");
        }
    }

    #[test]
    fn a_banner_is_that_of_the_release() {
        let contents = |text: &[u8]| Contents::new(START, [b"....", text, b"\0"].concat());
        let found = |text: &[u8]| banner(&contents(text), "6.1.0-50").map(|at| at.get() - START.get());
        assert_eq!(found(b"Linux version 6.1.0-50 (builder) #1 SMP\n"), Some(4));
        for other in
            [&b"Linux version 6.1.0-5 (builder)\n"[..], b"Linux version 6.1.0-50x\n", b"Linux version 6.1.0-50 "]
        {
            assert_eq!(found(other), None);
        }
    }
}
