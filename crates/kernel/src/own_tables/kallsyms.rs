//! Decoding of kallsyms, the compressed symbol table that a kernel keeps of itself.
//!
//! ```text
//! names         one after the other, in the order of their addresses: length, then that many token numbers (bytes).
//!               length: one byte; since 6.1 (kernel commit 73bbb94466fd), with bit 7 set, bits 0..7 of 15, then one
//!               more byte with bits 7..15
//! token_table   256 C strings: what each token stands for
//! token_index   256 u16: where each token starts in token_table
//! offsets       one i32 for each symbol, or, without CONFIG_KALLSYMS_BASE_RELATIVE, addresses, one u64 each
//! ```
//!
//! The first letter of an expanded name is the symbol's type, as `nm` prints it. An offset counts from
//! `kallsyms_relative_base`, in one of two ways. With `CONFIG_KALLSYMS_ABSOLUTE_PERCPU` (x86-64 with more than one CPU,
//! up to 6.14) an offset that is not negative is an absolute value, that of a per-CPU variable, and a negative one stands
//! for base - 1 - offset. Otherwise it is an unsigned distance; the image is not large enough for one with the highest
//! bit. So a table with negative offsets is one of the first kind.
//!
//! Source: `scripts/kallsyms.c`, `kernel/kallsyms.c`, `kernel/kallsyms_internal.h`.

use std::ops::Range;

use vmcore_memory::{le_u16, le_u32, le_u64};

use crate::address_space::IMAGE_BASE;

/// More symbols than any kernel has: distributions have some 200 000.
pub(super) const MAX_SYMBOLS: u32 = 1 << 22;
/// `KSYM_NAME_LEN`, the type letter included (128 before 6.1).
const MAX_NAME: usize = 512;
/// More than all names of a kernel together, in bytes; some 4 MiB are usual.
const MAX_NAMES: usize = 64 << 20;

/// The kernel's tables, as they are in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables<'a> {
    /// `kallsyms_num_syms`.
    pub(super) count: u32,
    /// From `kallsyms_names` on, at least to the end of the names.
    pub(super) names: &'a [u8],
    /// From `kallsyms_token_table` on, at least to the end of the last token.
    pub(super) token_table: &'a [u8],
    /// `kallsyms_token_index`.
    pub(super) token_index: &'a [u8],
    pub(super) values: Values<'a>,
    /// Run-time minus link-time address of the image.
    pub(super) kaslr_offset: u64,
}

/// Where the symbols are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Values<'a> {
    /// `kallsyms_offsets`, and the run-time address that is in `kallsyms_relative_base`.
    Relative { offsets: &'a [u8], base: u64 },
    /// `kallsyms_addresses`: run-time addresses and absolute values.
    Addresses(&'a [u8]),
}

/// A decoded table.
#[derive(Debug, Default)]
pub(super) struct Kallsyms {
    names: Vec<u8>,
    symbols: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: Range<usize>,
    letter: u8,
    address: u64,
}

/// A symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Symbol<'a> {
    pub(super) name: &'a [u8],
    /// As `nm` prints it; `A` for an absolute value whatever the table says.
    pub(super) letter: u8,
    /// The link-time address; of an absolute symbol, its value.
    pub(super) address: u64,
}

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KallsymsError {
    /// The count is zero or absurd.
    #[error("kallsyms claims to have {0} symbols")]
    Count(u32),
    /// A table ends before the symbol of this number.
    #[error("{table} ends before symbol {symbol}")]
    Short {
        /// Which table.
        table: &'static str,
        /// The symbol, from 0.
        symbol: u32,
    },
    /// A name is longer than the kernel allows, or all together are.
    #[error("the names from symbol {0} on are too long")]
    LongName(u32),
}

impl Kallsyms {
    /// Decodes `tables`.
    pub(super) fn decode(tables: &Tables<'_>) -> Result<Self, KallsymsError> {
        if !(1..=MAX_SYMBOLS).contains(&tables.count) {
            return Err(KallsymsError::Count(tables.count));
        }
        let tokens = tokens(tables);
        let mut decoded = Self::default();
        let mut rest = tables.names;
        let absolute_percpu = tables.has_absolute_percpu();
        for symbol in 0..tables.count {
            let short = |table| KallsymsError::Short { table, symbol };
            let codes = take_codes(&mut rest).ok_or_else(|| short("kallsyms_names"))?;
            let start = decoded.names.len();
            for &code in codes {
                let token = tokens.get(usize::from(code)).copied().flatten();
                decoded.names.extend(token.ok_or_else(|| short("kallsyms_token_table"))?);
                if decoded.names.len() - start > MAX_NAME || decoded.names.len() > MAX_NAMES {
                    return Err(KallsymsError::LongName(symbol));
                }
            }
            let (address, absolute) =
                tables.value(symbol, absolute_percpu).ok_or_else(|| short("the table of addresses"))?;
            // A symbol without even a letter is of no use, but neither is it a reason to give up.
            let Some(&letter) = decoded.names.get(start) else { continue };
            let letter = if absolute { b'A' } else { letter };
            decoded.symbols.push(Entry { name: start + 1..decoded.names.len(), letter, address });
        }
        Ok(decoded)
    }

    /// The symbols, in the order of the table.
    pub(super) fn iter(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.symbols.iter().filter_map(|entry| {
            let name = self.names.get(entry.name.clone())?;
            Some(Symbol { name, letter: entry.letter, address: entry.address })
        })
    }
}

/// The strings that the 256 tokens stand for; `None` where one is not in the table.
fn tokens<'a>(tables: &Tables<'a>) -> Vec<Option<&'a [u8]>> {
    let token = |number: usize| {
        let start = le_u16(tables.token_index, number * 2)?;
        let rest = tables.token_table.get(usize::from(start)..)?;
        rest.split(|&byte| byte == 0).next().filter(|token| token.len() < rest.len())
    };
    (0..256).map(token).collect()
}

/// The token numbers of the next name.
fn take_codes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    const MORE: u8 = 0x80;
    let (&low, mut after) = rest.split_first()?;
    let mut len = usize::from(low);
    if low & MORE != 0 {
        let (&high, behind) = after.split_first()?;
        len = usize::from(low & !MORE) | usize::from(high) << 7;
        after = behind;
    }
    let (codes, after) = after.split_at_checked(len)?;
    *rest = after;
    Some(codes)
}

impl Tables<'_> {
    fn has_absolute_percpu(&self) -> bool {
        let Values::Relative { offsets, .. } = self.values else { return false };
        offsets.as_chunks::<4>().0.iter().any(|bytes| i32::from_le_bytes(*bytes) < 0)
    }

    /// The link-time address of a symbol, or its absolute value and `true`.
    fn value(&self, symbol: u32, absolute_percpu: bool) -> Option<(u64, bool)> {
        let at = usize::try_from(symbol).ok()?;
        let run_time = match self.values {
            Values::Addresses(addresses) => {
                let address = le_u64(addresses, at.checked_mul(8)?)?;
                if address < IMAGE_BASE {
                    return Some((address, true));
                }
                address
            }
            Values::Relative { offsets, base } => {
                let offset = le_u32(offsets, at.checked_mul(4)?)?;
                match offset.cast_signed() {
                    value @ 0.. if absolute_percpu => return Some((u64::from(value.cast_unsigned()), true)),
                    negative @ ..0 => base.wrapping_sub(1).wrapping_add_signed(-i64::from(negative)),
                    distance => base.wrapping_add(u64::from(distance.cast_unsigned())),
                }
            }
        };
        Some((run_time.wrapping_sub(self.kaslr_offset), false))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const BASE: u64 = 0xffff_ffff_8100_0000;
    const KASLR: u64 = 0x1a00_0000;

    /// A token table in which every byte stands for itself, but 1 for `sched` and 2 for `ule`.
    fn token_table() -> (Vec<u8>, Vec<u8>) {
        let (mut table, mut index) = (Vec::new(), Vec::new());
        for number in 0..=u8::MAX {
            index.extend(u16::try_from(table.len()).unwrap().to_le_bytes());
            match number {
                1 => table.extend(b"sched"),
                2 => table.extend(b"ule"),
                0 => {}
                byte => table.push(byte),
            }
            table.push(0);
        }
        (table, index)
    }

    fn names(names: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names {
            match u8::try_from(name.len()) {
                Ok(len @ ..0x80) => bytes.push(len),
                _ => bytes.extend([name.len() as u8 & 0x7f | 0x80, (name.len() >> 7) as u8]),
            }
            bytes.extend(*name);
        }
        bytes
    }

    fn words(values: &[i32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn decode(names: &[u8], count: u32, values: Values<'_>) -> Result<Vec<(String, char, u64)>, KallsymsError> {
        let (token_table, token_index) = token_table();
        let (token_table, token_index) = (&token_table[..], &token_index[..]);
        let decoded =
            Kallsyms::decode(&Tables { count, names, token_table, token_index, values, kaslr_offset: KASLR })?;
        let text = |symbol: Symbol<'_>| String::from_utf8(symbol.name.to_vec()).unwrap();
        Ok(decoded.iter().map(|symbol| (text(symbol), char::from(symbol.letter), symbol.address)).collect())
    }

    fn symbol(name: &str, letter: char, address: u64) -> (String, char, u64) {
        (name.to_owned(), letter, address)
    }

    #[test]
    fn negative_offsets_are_addresses_and_others_absolute() {
        let names = names(&[b"Arunqueues", b"T_text", b"T\x01\x02"]);
        let offsets = words(&[0x340, -1, -0x101]);
        let values = Values::Relative { offsets: &offsets, base: BASE + KASLR };
        let expected =
            [symbol("runqueues", 'A', 0x340), symbol("_text", 'T', BASE), symbol("schedule", 'T', BASE + 0x100)];
        assert_eq!(decode(&names, 3, values).unwrap(), expected);
    }

    #[test]
    fn without_negative_offsets_all_are_distances() {
        let names = names(&[b"T_text", b"T\x01\x02", b"drunqueues"]);
        let offsets = words(&[0, 0x100, 0x340]);
        let values = Values::Relative { offsets: &offsets, base: BASE + KASLR };
        let expected =
            [symbol("_text", 'T', BASE), symbol("schedule", 'T', BASE + 0x100), symbol("runqueues", 'd', BASE + 0x340)];
        assert_eq!(decode(&names, 3, values).unwrap(), expected);
    }

    #[test]
    fn addresses_in_full() {
        let names = names(&[b"drunqueues", b"T_text"]);
        let addresses = [0x340u64.to_le_bytes(), (BASE + KASLR).to_le_bytes()].concat();
        let expected = [symbol("runqueues", 'A', 0x340), symbol("_text", 'T', BASE)];
        assert_eq!(decode(&names, 2, Values::Addresses(&addresses)).unwrap(), expected);
    }

    #[test]
    fn long_names_have_two_bytes_of_length() {
        let long = [&b"t"[..], &[b'x'; 300]].concat();
        let names = names(&[&long, b"tnext"]);
        let offsets = words(&[-1, -2]);
        let found = decode(&names, 2, Values::Relative { offsets: &offsets, base: BASE + KASLR }).unwrap();
        assert_eq!(found[0], symbol(&"x".repeat(300), 't', BASE));
        assert_eq!(found[1], symbol("next", 't', BASE + 1));
    }

    #[test]
    fn damage_is_named() {
        let names = names(&[b"T_text", b"T\x01\x02"]);
        let offsets = words(&[-1, -2]);
        let values = Values::Relative { offsets: &offsets, base: BASE };
        let short = |table, symbol| Err(KallsymsError::Short { table, symbol });
        assert_eq!(decode(&names, 3, values), short("kallsyms_names", 2));
        assert_eq!(decode(&names[..8], 2, values), short("kallsyms_names", 1));
        let values = Values::Relative { offsets: &offsets[..4], base: BASE };
        assert_eq!(decode(&names, 2, values), short("the table of addresses", 1));
        assert_eq!(decode(&names, 0, values), Err(KallsymsError::Count(0)));
        assert_eq!(decode(&names, u32::MAX, values), Err(KallsymsError::Count(u32::MAX)));
        let long = [&[0xff, 0x7f][..], &[1; 0x3fff]].concat();
        assert_eq!(decode(&long, 1, values), Err(KallsymsError::LongName(0)));
        let tables =
            Tables { count: 2, names: &names, token_table: b"T", token_index: &[0; 512], values, kaslr_offset: 0 };
        assert_eq!(
            Kallsyms::decode(&tables).unwrap_err(),
            KallsymsError::Short { table: "kallsyms_token_table", symbol: 0 }
        );
    }

    #[test]
    fn a_nameless_symbol_is_passed_over() {
        let offsets = words(&[-1, -2]);
        let values = Values::Relative { offsets: &offsets, base: BASE + KASLR };
        assert_eq!(decode(&names(&[b"", b"Tb"]), 2, values).unwrap(), [symbol("b", 'T', BASE + 1)]);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            count in 0u32..64,
            names in vec(any::<u8>(), 0..512),
            token_table in vec(any::<u8>(), 0..512),
            token_index in vec(any::<u8>(), 0..600),
            values in vec(any::<u8>(), 0..256),
            base in any::<u64>(),
            kaslr_offset in any::<u64>(),
        ) {
            for values in [Values::Relative { offsets: &values, base }, Values::Addresses(&values)] {
                let tables = Tables { count, names: &names, token_table: &token_table, token_index: &token_index, values, kaslr_offset };
                if let Ok(decoded) = Kallsyms::decode(&tables) {
                    prop_assert!(decoded.iter().count() <= count as usize);
                }
            }
        }
    }
}
