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
//! The first letter of an expanded name is the symbol's type, as `nm` prints it. Since 7.0, which has no
//! `kallsyms_relative_base`, an offset is signed and counts from its own place. Before, it counts from that base, in one of
//! two ways. With `CONFIG_KALLSYMS_ABSOLUTE_PERCPU` (x86-64 with more than one CPU,
//! up to 6.14) an offset that is not negative is an absolute value, that of a per-CPU variable, and a negative one stands
//! for base - 1 - offset. Otherwise it is an unsigned distance; the image is not large enough for one with the highest
//! bit. So a table with negative offsets is one of the first kind.
//!
//! Source: `scripts/kallsyms.c`, `kernel/kallsyms.c`, `kernel/kallsyms_internal.h`.

use std::collections::HashSet;
use std::ops::Range;

use vmcore_memory::{VirtAddr, le_u16, le_u32, le_u64};

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
    /// `kallsyms_offsets` that count each from its own place, and the link-time address of the first.
    PlaceRelative { offsets: &'a [u8], place: u64 },
}

/// What the numbers of [`RawTables::values`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// Offsets from this run-time address, `kallsyms_relative_base`.
    Relative { base: u64 },
    /// Run-time addresses.
    Addresses,
    /// Offsets each from its own place; the first is at this link-time address.
    PlaceRelative { place: u64 },
}

impl ValueKind {
    /// How many bytes the value of one symbol has.
    pub(super) const fn width(self) -> u64 {
        match self {
            Self::Addresses => 8,
            Self::Relative { .. } | Self::PlaceRelative { .. } => 4,
        }
    }
}

/// The tables, copied out of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawTables {
    pub(super) count: u32,
    pub(super) names: Vec<u8>,
    pub(super) token_table: Vec<u8>,
    pub(super) token_index: Vec<u8>,
    /// One number for each symbol.
    pub(super) values: Vec<u8>,
    pub(super) kind: ValueKind,
}

impl RawTables {
    /// Decodes the tables of an image that was moved by `kaslr_offset`.
    pub(super) fn decode(&self, kaslr_offset: u64) -> Result<Kallsyms, KallsymsError> {
        Kallsyms::decode(&self.tables(kaslr_offset))
    }

    /// Whether the symbols are in the order of their addresses, as the kernel needs them to be.
    pub(super) fn addresses_ascend(&self) -> bool {
        let tables = self.tables(0);
        let absolute_percpu = tables.has_absolute_percpu();
        let mut last = 0;
        (0..self.count).all(|symbol| {
            let Some((address, _)) = tables.value(symbol, absolute_percpu) else { return false };
            std::mem::replace(&mut last, address) <= address
        })
    }

    fn tables(&self, kaslr_offset: u64) -> Tables<'_> {
        let values = match self.kind {
            ValueKind::Relative { base } => Values::Relative { offsets: &self.values, base },
            ValueKind::Addresses => Values::Addresses(&self.values),
            ValueKind::PlaceRelative { place } => Values::PlaceRelative { offsets: &self.values, place },
        };
        let Self { count, names, token_table, token_index, .. } = self;
        Tables { count: *count, names, token_table, token_index, values, kaslr_offset }
    }
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

    /// The same symbols, but of an image that was moved by `offset` more than was thought.
    pub(super) fn moved_back(mut self, offset: u64) -> Self {
        for entry in self.symbols.iter_mut().filter(|entry| entry.letter != b'A') {
            entry.address = entry.address.wrapping_sub(offset);
        }
        self
    }

    /// Whether there are variables among them: `init_task` is one that every kernel has.
    pub(super) fn has_variables(&self) -> bool {
        self.address("init_task").is_some()
    }

    /// Whether all of them are there: `_end`, which no other table names.
    pub(super) fn has_all_variables(&self) -> bool {
        self.address("_end").is_some()
    }

    /// The symbols of this name; static functions may share theirs.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = Symbol<'_>> {
        self.iter().filter(move |symbol| symbol.name == name.as_bytes())
    }

    /// How many bytes there are from `address` to the next symbol; 0 behind the last.
    pub(super) fn distance_to_next(&self, address: u64) -> u64 {
        let behind = self.symbols.partition_point(|entry| entry.address <= address);
        self.symbols.get(behind).map_or(0, |next| next.address.wrapping_sub(address))
    }

    /// Adds symbols of the image with the letter that `nm` has for a variable. Those whose names are there already are left out.
    pub(super) fn with_variables(mut self, variables: impl IntoIterator<Item = (Vec<u8>, VirtAddr)>) -> Self {
        let known: HashSet<Vec<u8>> = self.iter().map(|symbol| symbol.name.to_vec()).collect();
        for (name, address) in variables.into_iter().filter(|(name, _)| !known.contains(name)) {
            let start = self.names.len();
            self.names.extend(name);
            self.symbols.push(Entry { name: start..self.names.len(), letter: b'D', address: address.get() });
        }
        self.symbols.sort_by_key(|entry| entry.address);
        self
    }

    /// The address of a symbol of the image.
    pub(super) fn address(&self, name: &str) -> Option<VirtAddr> {
        let found = self.iter().find(|symbol| symbol.name == name.as_bytes() && symbol.letter != b'A')?;
        Some(VirtAddr::new(found.address))
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
pub(super) fn take_codes<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
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
                if !VirtAddr::new(address).is_kernel_half() {
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
            Values::PlaceRelative { offsets, place } => {
                let at = at.checked_mul(4)?;
                let offset = i64::from(le_u32(offsets, at)?.cast_signed());
                let address = place.wrapping_add(at as u64).wrapping_add_signed(offset);
                return Some((address, !VirtAddr::new(address).is_kernel_half()));
            }
        };
        Some((run_time.wrapping_sub(self.kaslr_offset), false))
    }
}

#[cfg(test)]
mod tests;
