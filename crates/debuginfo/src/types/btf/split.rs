//! Split BTF: that of a module, which only goes on where its kernel's BTF ends.
//!
//! Its first type has the id behind the kernel's last one, and its names begin behind the kernel's names. So the two, one
//! behind the other, are one BTF. Source: `btf_parse_module()` in `kernel/bpf/btf.c`.

use super::BtfError;
use super::header::{HEADER_SIZE, MAGIC, Places};
use super::kind::{Head, Kind};

/// `split` with the `base` that it continues, as one blob. The base's types come first, under the ids that they have.
pub(in crate::types) fn join(base: &[u8], split: &[u8]) -> Result<Vec<u8>, BtfError> {
    let (base, split) = (Sections::of(base)?, Sections::of(split)?);
    let length = |parts: &[&[u8]]| {
        let needed = parts.iter().map(|part| part.len() as u64).sum();
        let truncated = BtfError::Truncated { what: "a length", needed, available: u64::from(u32::MAX) };
        u32::try_from(needed).map_err(|_| truncated)
    };
    // A module may leave them to its kernel, which was built with the same program.
    let layouts = if split.layouts.is_empty() { base.layouts } else { split.layouts };
    let head: [u32; 8] = [
        u32::from(MAGIC) | 1 << 16,
        HEADER_SIZE,
        length(&[layouts])?,
        length(&[base.types, split.types])?,
        length(&[layouts, base.types, split.types])?,
        length(&[base.strings, split.strings])?,
        0,
        length(&[layouts])?,
    ];
    let head: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
    Ok([&head, layouts, base.types, split.types, base.strings, split.strings].concat())
}

/// A name of C, as it is written in split BTF: names that the kernel's BTF has are not repeated there.
#[derive(Debug)]
pub struct NameInSplitBtf<'a> {
    /// The name with a NUL on either side, as the names before it and it itself end.
    between_ends: Vec<u8>,
    /// Where the kernel's BTF has it.
    in_base: Option<u32>,
    base: Sections<'a>,
}

impl<'a> NameInSplitBtf<'a> {
    /// The name in what continues `base`.
    ///
    /// # Errors
    ///
    /// [`BtfError`] where that is no BTF.
    pub fn new(base: &'a [u8], name: &str) -> Result<Self, BtfError> {
        let base = Sections::of(base)?;
        let between_ends = [b"\0", name.as_bytes(), b"\0"].concat();
        Ok(Self { in_base: place_of(base.strings, &between_ends), between_ends, base })
    }

    /// Whether the `split` BTF of a module defines a type or variable of this name. It is cheaper
    /// to ask this than to read all its types.
    #[must_use]
    pub fn is_defined_in(&self, split: &[u8]) -> bool {
        let Ok(split) = Sections::of(split) else { return false };
        let own = || {
            let place = place_of(split.strings, &self.between_ends)?;
            place.checked_add(u32::try_from(self.base.strings.len()).ok()?)
        };
        let names = [self.in_base, own()];
        if names == [None; 2] {
            return false;
        }
        let layouts = if split.layouts.is_empty() { self.base.layouts } else { split.layouts };
        let mut at = 0;
        while let Some(head) = Head::parse(split.types, at) {
            if names.contains(&Some(head.name)) && head.kind().is_some_and(Kind::is_looked_up_by_name) {
                return true;
            }
            let Some(len) = head.len(layouts) else { return false };
            at = at.saturating_add(len);
        }
        false
    }
}

/// The offset of a name among strings. Those of a module have no empty one at their start.
fn place_of(strings: &[u8], between_ends: &[u8]) -> Option<u32> {
    if between_ends.get(1..).is_some_and(|first| strings.starts_with(first)) {
        return Some(0);
    }
    u32::try_from(memchr::memmem::find(strings, between_ends)? + 1).ok()
}

#[derive(Debug)]
struct Sections<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Empty where there are none.
    layouts: &'a [u8],
}

impl<'a> Sections<'a> {
    fn of(blob: &'a [u8]) -> Result<Self, BtfError> {
        let places = Places::of(blob)?;
        Ok(Self { types: places.types(blob)?, strings: places.strings(blob)?, layouts: places.layouts(blob)? })
    }
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
        let split = blob(&[5, STRUCT | 1, 8, 10, 1, 32], b"conn\0alive\0");
        (base, split)
    }

    fn is_defined(base: &[u8], split: &[u8], name: &str) -> bool {
        NameInSplitBtf::new(base, name).unwrap().is_defined_in(split)
    }

    /// The kernel has a member `conn`, so that the module's struct of this name has it from there.
    #[test]
    fn a_name_may_be_a_word_of_the_kernels() {
        let base = blob(&[1, INT, 4, 1 << 24 | 32, 5, STRUCT | 1, 4, 10, 1, 0], b"\0int\0host\0conn\0");
        let split = blob(&[10, STRUCT | 1, 8, 15, 1, 32], b"alive\0");
        assert_eq!(Types::from_split_btf(&base, &split).unwrap().size_of("struct conn"), Some(8));
        for (name, expected) in [("conn", true), ("host", false), ("int", false), ("alive", false)] {
            assert_eq!(is_defined(&base, &split, name), expected, "{name}");
        }
        // One that is only declared, or only a function's.
        for kind in [7u32, 12] {
            let split = blob(&[10, kind << 24, 0], b"");
            assert!(!is_defined(&base, &split, "conn"), "{kind}");
        }
        // A type of a kind that nobody knows, without its length, hides what comes behind it.
        assert!(!is_defined(&base, &blob(&[0, 99 << 24, 0, 10, STRUCT, 8], b""), "conn"));
    }

    #[test]
    fn a_module_continues_its_kernel() {
        let (base, split) = kernel_and_module();
        let types = Types::from_split_btf(&base, &split).unwrap();
        let member = types.member("struct conn", "alive").unwrap();
        assert_eq!((member.offset, member.type_name.as_deref()), (4, Some("int")));
        assert_eq!(types.size_of("struct conn"), Some(8));
        for (name, expected) in [("conn", true), ("con", false), ("int", false), ("alive", false), ("", false)] {
            assert_eq!(is_defined(&base, &split, name), expected, "{name}");
        }
    }

    /// The module leaves to its kernel how long types of a kind are that nobody here knows.
    #[test]
    fn a_module_has_the_layouts_of_its_kernel() {
        let mut layouts = [[0; 4]; 41];
        layouts[40] = [4, 0, 0, 0];
        let layouts: Vec<u8> = layouts.into_iter().flatten().collect();
        let (base, _) = kernel_and_module();
        let with_layouts = |blob: &[u8]| {
            let (head, rest) = blob.split_at(24);
            let mut head = head.to_vec();
            head[4] = 32;
            let at = u32::try_from(rest.len()).unwrap().to_le_bytes();
            let len = u32::try_from(layouts.len()).unwrap().to_le_bytes();
            [&head, &at[..], &len, rest, &layouts].concat()
        };
        // One of that kind, with a word behind its head, before the struct.
        let split = blob(&[0, 40 << 24, 0, 0xffff_ffff, 5, STRUCT | 1, 8, 10, 1, 32], b"conn\0alive\0");
        assert!(Types::from_split_btf(&base, &split).is_err());
        for (base, split) in [(with_layouts(&base), split.clone()), (base, with_layouts(&split))] {
            assert_eq!(Types::from_split_btf(&base, &split).unwrap().size_of("struct conn"), Some(8));
            assert!(is_defined(&base, &split, "conn"));
        }
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let (base, split) = kernel_and_module();
        for cut in 0..split.len() {
            assert!(Types::from_split_btf(&base, &split[..cut]).is_err(), "{cut}");
            assert!(!is_defined(&base, &split[..cut], "conn"), "{cut}");
        }
        assert!(Types::from_split_btf(&base[..20], &split).is_err());
        assert!(NameInSplitBtf::new(&base[..20], "conn").is_err());
    }

    #[test]
    fn lengths_that_overflow_are_refused() {
        let (base, mut split) = kernel_and_module();
        split[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Types::from_split_btf(&base, &split).is_err());
    }
}
