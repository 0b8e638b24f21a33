//! The tables of kallsyms, found in physical memory by their shape.
//!
//! VMCOREINFO says where they are only since 6.0 (kernel commit f09bddbd8661), and no kernel has symbols for them in
//! the tables themselves. But they lie together, each aligned to 8 bytes (since 7.0 to 4), in an order that has been one of
//! three:
//!
//! ```text
//! up to 6.3   offsets, relative_base, num_syms, names, markers, (6.2: seqs_of_names), token_table, token_index
//!             without CONFIG_KALLSYMS_BASE_RELATIVE: addresses, num_syms, names, ...
//! since 6.4   num_syms, names, markers, token_table, token_index, offsets, relative_base, seqs_of_names
//!             (kernel commit 404bad70fcf7)
//! since 7.0   num_syms, names, markers, token_table, token_index, offsets, seqs_of_names
//! ```
//!
//! 1. `token_index`: 256 ascending u16 from 0 on, and before it the 256 strings that they say how long are. Nothing else
//!    looks like this.
//! 2. `num_syms` and `names`: going back from there, the first number that is followed by as many names and then by
//!    `markers`, which say where every 256th name begins: u32 each (u64 before 5.0, kernel commit 80ffbaa5b1bd). Where
//!    the number is not padded to 8 bytes, too much could be it: there the markers are found first.
//! 3. The symbols' addresses: at one of three places, and ascending.
//!
//! Source: `scripts/kallsyms.c`.

use std::ops::Range;

use rayon::prelude::*;
use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadPhysical, le_u16, le_u32, le_u64};

use super::kallsyms::{MAX_SYMBOLS, RawTables, ValueKind, take_codes};
use crate::frames::each_page;

/// `kallsyms_token_index` in bytes.
pub(super) const INDEX_LEN: usize = 512;
/// Fewer symbols than any kernel has.
const MIN_SYMBOLS: u32 = 256;
/// The longest token that is accepted: that of a whole name.
const MAX_TOKEN: usize = 512;
/// Where names are looked for before the tokens, in bytes: with all symbols of a distribution they take some 3 MiB.
const MAX_BEFORE: u64 = 16 << 20;
/// Places with tokens that are looked at: a machine has two when a crash kernel is loaded.
const MAX_PLACES: usize = 16;
/// Chunks that are searched before what was found is looked at: 128 MiB, more than an image.
const AT_ONCE: usize = 8;
/// Names that are passed over for all numbers that could be `num_syms` together.
const MAX_STEPS: usize = 64 << 20;
/// Symbols between two markers.
const MARKED: usize = 256;

/// Tables in memory.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) tables: RawTables,
    /// Where `kallsyms_token_index` is.
    pub(super) index: PhysAddr,
}

/// The tables in these frames, in the order of their addresses, searched for as they are asked for. Symbols may be counted from
/// an address in `images`, where kernels are. `done` is told which chunks were looked through.
pub(super) fn find<'a>(
    physical: &'a dyn ReadPhysical,
    chunks: &'a [Range<u64>],
    images: Range<u64>,
    done: &'a dyn Fn(&[Range<u64>]),
) -> impl Iterator<Item = Found> + 'a {
    let tokens = move |chunks: &[Range<u64>]| -> Vec<Tokens> {
        let in_chunk = |frames: &Range<u64>| {
            let mut found = Vec::new();
            each_page(physical, frames.clone(), |start, page| found.extend(tokens_in(physical, start, page)));
            found
        };
        let found = chunks.par_iter().flat_map_iter(in_chunk).collect();
        done(chunks);
        found
    };
    let places = chunks.chunks(AT_ONCE).flat_map(tokens).take(MAX_PLACES);
    places.filter_map(move |tokens| tables(physical, tokens, &images))
}

/// `kallsyms_token_table` and `kallsyms_token_index`.
struct Tokens {
    table_at: PhysAddr,
    table: Vec<u8>,
    index_at: PhysAddr,
    index: Vec<u8>,
}

/// The tokens whose index begins in this page.
fn tokens_in(physical: &dyn ReadPhysical, start: PhysAddr, page: &[u8]) -> Vec<Tokens> {
    let words = page.as_chunks::<4>().0;
    let following = words.iter().skip(1).map(Some).chain([None]);
    words
        .iter()
        .zip(following)
        .zip((0..).step_by(4))
        .filter(|((word, next), _)| begins_index(**word, *next))
        .filter_map(|(_, at)| tokens_at(physical, start.checked_add(at)?))
        .collect()
}

/// 0, and then three numbers that ascend: true of few places. The last two are in the next word, which may be on another
/// page.
fn begins_index(word: [u8; 4], next: Option<&[u8; 4]>) -> bool {
    let word = u32::from_le_bytes(word);
    // This runs for every word of the memory: what most of them are not is asked first.
    if word & 0xffff != 0 || word == 0 {
        return false;
    }
    let Some(next) = next.map(|next| u32::from_le_bytes(*next)) else { return true };
    let (second, third, fourth) = (word >> 16, next & 0xffff, next >> 16);
    second < third && third < fourth && fourth <= 3 * (MAX_TOKEN as u32 + 1)
}

fn tokens_at(physical: &dyn ReadPhysical, index_at: PhysAddr) -> Option<Tokens> {
    let mut index = vec![0; INDEX_LEN];
    physical.read_physical(index_at, &mut index).ok()?;
    let starts: Vec<usize> = (0..256).filter_map(|token| le_u16(&index, token * 2).map(usize::from)).collect();
    let ascending = starts.windows(2).all(|pair| matches!(pair, [a, b] if a < b && b - a <= MAX_TOKEN + 1));
    let last = *starts.last()?;
    if !ascending {
        return None;
    }
    let most = (last + MAX_TOKEN + 1).next_multiple_of(4);
    let before = read_before(physical, index_at, most as u64);
    // Where the table begins depends on the length of the last token.
    let table = ((last + 1).next_multiple_of(4)..=most).step_by(4).find_map(|len| {
        let table = before.get(before.len().checked_sub(len)?..)?;
        are_tokens(table, &starts).then_some(table)
    })?;
    Some(Tokens { table_at: index_at.checked_sub(table.len() as u64)?, table: table.to_vec(), index_at, index })
}

/// Whether each of the strings that begin at `starts` ends where the next begins, and the last before the padding.
fn are_tokens(table: &[u8], starts: &[usize]) -> bool {
    let ends = starts.iter().skip(1).copied().chain([table.len()]);
    starts.iter().zip(ends).all(|(&start, end)| {
        let Some((text, zeroes)) = table.get(start..end).map(|bytes| {
            let len = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            bytes.split_at(len)
        }) else {
            return false;
        };
        let most = if end == table.len() { 8 } else { 1 };
        let known = text.iter().all(|byte| !byte.is_ascii_control() && *byte != b' ');
        known && (1..=most).contains(&zeroes.len()) && zeroes.iter().all(|&byte| byte == 0)
    })
}

/// Up to `max` bytes that end before `end`, as far as they can be read.
fn read_before(physical: &dyn ReadPhysical, end: PhysAddr, max: u64) -> Vec<u8> {
    let lowest = end.get().saturating_sub(max);
    let mut pieces = Vec::new();
    let mut at = end.get();
    while at > lowest {
        let start = ((at - 1) & !(PAGE_SIZE - 1)).max(lowest);
        let mut piece = vec![0; usize::try_from(at - start).unwrap_or_default()];
        if physical.read_physical(PhysAddr::new(start), &mut piece).is_err() {
            break;
        }
        pieces.push(piece);
        at = start;
    }
    pieces.reverse();
    pieces.concat()
}

/// The other tables, which are around the tokens.
fn tables(physical: &dyn ReadPhysical, tokens: Tokens, images: &Range<u64>) -> Option<Found> {
    let Tokens { table_at, table, index_at, index } = tokens;
    let before = read_before(physical, table_at, MAX_BEFORE);
    let names = find_names(&before).or_else(|| names_before_markers(&before))?;
    let count_at = table_at.checked_sub((before.len() - names.count_at) as u64)?;
    let names_bytes = before.get(names.range)?.to_vec();
    let behind = index_at.checked_add(INDEX_LEN as u64)?;
    let tables = values(physical, count_at, behind, names.count, images).into_iter().find_map(|(values, kind)| {
        let tables = RawTables {
            count: names.count,
            names: names_bytes.clone(),
            token_table: table.clone(),
            token_index: index.clone(),
            values,
            kind,
        };
        tables.addresses_ascend().then_some(tables)
    })?;
    Some(Found { tables, index: index_at })
}

/// What follows a number that is `kallsyms_num_syms`.
struct Names {
    count: u32,
    count_at: usize,
    range: Range<usize>,
}

/// The number and names nearest to the end of `bytes`, which starts or ends at a multiple of 8.
fn find_names(bytes: &[u8]) -> Option<Names> {
    let mut steps = MAX_STEPS;
    let places = (8..=bytes.len()).rev().step_by(8).map(|end| end - 8);
    places.filter_map(|at| Some((at, le_u64(bytes, at)?))).find_map(|(count_at, number)| {
        let count = u32::try_from(number).ok().filter(|count| (MIN_SYMBOLS..=MAX_SYMBOLS).contains(count))?;
        let start = count_at + 8;
        let end = names_end(bytes, start, count, &mut steps)?;
        Some(Names { count, count_at, range: start..end })
    })
}

/// The same where tables are aligned to 4 bytes, and `markers` ends where `bytes` does.
fn names_before_markers(bytes: &[u8]) -> Option<Names> {
    let words = |end: usize| (4..=end).rev().step_by(4).map_while(|end| le_u32(bytes, end - 4));
    // Descending, back to the first, which is 0.
    let mut last = u32::MAX;
    let descending = words(bytes.len()).take_while(|&word| std::mem::replace(&mut last, word) > word);
    let markers: Vec<u32> = descending.take(1 + MAX_SYMBOLS as usize / MARKED).collect();
    let markers_at = bytes.len().checked_sub(markers.len() * 4)?;
    let (&marked, &first) = (markers.first()?, markers.last()?);
    // Behind the last marker are 1 to 256 names; before them, the padding and the number are not counted.
    let longest = MARKED * (MAX_TOKEN + 2) + 8;
    let latest = markers_at.checked_sub(usize::try_from(marked).ok()?)?;
    let mut steps = MAX_STEPS;
    let places = (latest.saturating_sub(longest)..=latest).rev().filter(|at| at % 4 == bytes.len() % 4);
    places.filter(|_| first == 0).find_map(|count_at| {
        let count = le_u32(bytes, count_at).filter(|count| (MIN_SYMBOLS..=MAX_SYMBOLS).contains(count))?;
        let start = count_at + 4;
        (usize::try_from(count).ok()?.div_ceil(MARKED) == markers.len()).then_some(())?;
        let end = names_end(bytes, start, count, &mut steps)?;
        Some(Names { count, count_at, range: start..end })
    })
}

/// The end of `count` names from `start` on, if their markers follow.
fn names_end(bytes: &[u8], start: usize, count: u32, steps: &mut usize) -> Option<usize> {
    let names = bytes.get(start..)?;
    let mut rest = names;
    let mut markers = Vec::new();
    for symbol in 0..usize::try_from(count).ok()? {
        *steps = steps.checked_sub(1)?;
        if symbol % MARKED == 0 {
            markers.push(u32::try_from(names.len() - rest.len()).ok()?);
        }
        // Every name has at least a letter for its type, and a character.
        take_codes(&mut rest).filter(|codes| !codes.is_empty())?;
    }
    let end = bytes.len() - rest.len();
    // Alignment is counted from the end: that is where the token table begins.
    let aligned = |alignment| rest.get(rest.len() % alignment..);
    let found = aligned(8)?;
    let follow = |found: &[u8]| markers.iter().enumerate().all(|(at, &marker)| le_u32(found, at * 4) == Some(marker));
    let narrow = || follow(found) || aligned(4).is_some_and(follow);
    let wide = || markers.iter().enumerate().all(|(at, &marker)| le_u64(found, at * 8) == Some(marker.into()));
    (narrow() || wide()).then_some(end)
}

/// What may be the symbols' addresses, and what they count from. Of those that count from their own place that is the
/// physical address.
fn values(
    physical: &dyn ReadPhysical,
    count_at: PhysAddr,
    behind: PhysAddr,
    count: u32,
    images: &Range<u64>,
) -> Vec<(Vec<u8>, ValueKind)> {
    let narrow = u64::from(count) * 4;
    let padded = narrow.next_multiple_of(8);
    let wide = u64::from(count) * 8;
    let read = |at: Option<PhysAddr>, len: u64| {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        physical.read_physical(at?, &mut bytes).ok()?;
        Some(bytes)
    };
    let base = |at: Option<PhysAddr>| physical.read_physical_u64(at?).ok().filter(|base| images.contains(base));
    let relative = |base_at, at| {
        let base = base(base_at)?;
        Some((read(at, padded)?, ValueKind::Relative { base }))
    };
    let since_6_4 = relative(behind.checked_add(padded), Some(behind));
    let up_to_6_3 = relative(count_at.checked_sub(8), count_at.checked_sub(8 + padded));
    let absolute = read(count_at.checked_sub(wide), wide).map(|bytes| (bytes, ValueKind::Addresses));
    let since_7_0 = read(Some(behind), narrow).map(|bytes| (bytes, ValueKind::PlaceRelative { place: behind.get() }));
    [since_6_4, up_to_6_3, absolute, since_7_0].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
