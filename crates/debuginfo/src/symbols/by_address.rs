//! From an address to the symbol around it: the table's overlapping symbols flattened to a list of boundaries.
//!
//! Symbols nest (a label inside an assembly function), share addresses (aliases), leave gaps (padding) and have no end
//! (labels). One sweep from the lowest address up resolves all of that, so that a lookup is one binary search:
//!
//! ```text
//! entry_SYSCALL_64           [=================================]
//! ..._after_hwframe                [-- no size: to the end ----]
//! boundaries                 ^     ^                           ^ (a gap starts)
//! ```

use std::cmp::Reverse;

use super::{Binding, Entry, Kind, SymbolTable};
use crate::column::{Column, Columns, ColumnsWriter};

/// Stands for "no symbol" after the end of one.
const GAP: u32 = u32::MAX;

/// What an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Number of the entry in the symbol table.
    pub(super) entry: u32,
    /// Bytes from the boundary below the address to the one above it: how far a label without a size goes.
    pub(super) extent: u64,
}

/// Sorted boundaries between symbols.
#[derive(Debug)]
pub(super) struct AddressIndex {
    /// Where each stretch starts.
    starts: Column<u64>,
    /// Which table entry each stretch belongs to, or [`GAP`].
    entries: Column<u32>,
}

/// One that is being made.
#[derive(Debug, Default)]
struct Boundaries {
    starts: Vec<u64>,
    entries: Vec<u32>,
}

/// A symbol that may own addresses.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    start: u64,
    /// The first address behind it; for a label the furthest it could go.
    end: u64,
    rank: Rank,
    entry: u32,
}

/// Decides which of several symbols that start at one address owns it: the lowest does. Fields in their order of weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_label: bool,
    kind: Kind,
    binding: Binding,
    size: u64,
    underscores: usize,
}

impl AddressIndex {
    /// The index over the symbols in all sections that hold code, or in all those that do not.
    pub(super) fn build(table: &SymbolTable, executable: bool) -> Self {
        let definitions = table.entries_with_numbers().filter(|(_, entry)| entry.is_definition());
        let candidates = definitions.filter_map(|(at, entry)| {
            let span = table.span(&entry).filter(|span| span.executable == executable)?;
            let end = if entry.size == 0 { span.end } else { entry.value.saturating_add(entry.size) };
            Some(Candidate { start: entry.value, end, rank: rank(table, &entry), entry: at })
        });
        Self::flatten(candidates.collect())
    }

    /// One that was kept.
    pub(super) fn kept(columns: &mut Columns<'_>) -> Option<Self> {
        let (starts, entries) = (columns.next()?, columns.next()?);
        (starts.len() == entries.len()).then_some(Self { starts, entries })
    }

    /// Keeps it, for [`AddressIndex::kept`].
    pub(super) fn keep(&self, to: &mut ColumnsWriter) {
        to.add(&self.starts);
        to.add(&self.entries);
    }

    /// What `address` lies in; `None` in a gap.
    pub(super) fn find(&self, address: u64) -> Option<Found> {
        let at = self.starts.partition_point(|start| start <= address).checked_sub(1)?;
        let entry = self.entries.get(at).filter(|&entry| entry != GAP)?;
        let start = self.starts.get(at)?;
        let extent = self.starts.get(at.checked_add(1)?)?.checked_sub(start)?;
        Some(Found { entry, extent })
    }

    /// Resolves candidates to boundaries.
    fn flatten(mut candidates: Vec<Candidate>) -> Self {
        // Of those at one address the best comes last, on top of the others. Of aliases that is the first entry.
        candidates.sort_unstable_by_key(|candidate| (candidate.start, Reverse((candidate.rank, candidate.entry))));
        let mut index = Boundaries::default();
        // Symbols that have started and not ended, the innermost last.
        let mut open: Vec<Candidate> = Vec::new();
        for candidate in candidates {
            index.close(&mut open, candidate.start);
            // A label ends where anything else starts.
            open.pop_if(|top| top.rank.is_label);
            let room = open.last().map_or(u64::MAX, |around| around.end);
            let end = if candidate.rank.is_label { candidate.end.min(room) } else { candidate.end };
            index.push(candidate.start, candidate.entry);
            open.push(Candidate { end, ..candidate });
        }
        index.close(&mut open, u64::MAX);
        Self { starts: index.starts.into(), entries: index.entries.into() }
    }
}

impl Boundaries {
    /// Ends the innermost open symbols up to `until`; the next one around each goes on, if it has not ended as well.
    fn close(&mut self, open: &mut Vec<Candidate>, until: u64) {
        while let Some(ended) = open.pop_if(|top| top.end <= until) {
            while open.pop_if(|around| around.end <= ended.end).is_some() {}
            self.push(ended.end, open.last().map_or(GAP, |around| around.entry));
        }
    }

    fn push(&mut self, start: u64, entry: u32) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.entries.pop();
        }
        self.starts.push(start);
        self.entries.push(entry);
    }
}

fn rank(table: &SymbolTable, entry: &Entry) -> Rank {
    let name = table.name_bytes(entry).unwrap_or_default();
    Rank {
        is_label: entry.size == 0,
        kind: entry.kind,
        binding: entry.binding,
        size: entry.size,
        underscores: name.iter().take_while(|&&byte| byte == b'_').count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(is_label: bool, size: u64) -> Rank {
        Rank { is_label, kind: Kind::Untyped, binding: Binding::Global, size, underscores: 0 }
    }

    fn sized(entry: u32, start: u64, size: u64) -> Candidate {
        Candidate { start, end: start + size, rank: rank(false, size), entry }
    }

    fn label(entry: u32, start: u64, limit: u64) -> Candidate {
        Candidate { start, end: limit, rank: rank(true, 0), entry }
    }

    /// The entry at every address from 0 to 99, and `.` for none.
    fn picture(candidates: &[Candidate]) -> String {
        let index = AddressIndex::flatten(candidates.to_vec());
        let starts: Vec<_> = (0..index.starts.len()).map(|at| index.starts.get(at)).collect();
        assert!(starts.is_sorted_by(|a, b| a < b), "{index:?}");
        let names = (0..100).map(|address| index.find(address).map_or('.', |found| (b'a' + found.entry as u8) as char));
        let text: String = names.collect();
        text.chars().step_by(5).collect()
    }

    #[test]
    fn nested_overlapping_and_endless_symbols() {
        assert_eq!(picture(&[]), "....................");
        assert_eq!(picture(&[sized(0, 10, 20), sized(1, 50, 10)]), "..aaaa....bb........");
        // A label inside a function ends with the function, and one outside with its section.
        assert_eq!(picture(&[sized(0, 10, 40), label(1, 20, 90)]), "..aabbbbbb..........");
        assert_eq!(picture(&[label(0, 10, 90), label(1, 20, 90)]), "..aabbbbbbbbbbbbbb..");
        // The function around a sized one goes on behind it, but a label does not.
        assert_eq!(picture(&[sized(0, 10, 40), sized(1, 20, 10)]), "..aabbaaaa..........");
        assert_eq!(picture(&[label(0, 10, 90), sized(1, 20, 10)]), "..aabb..............");
        // Of two that start together the inner one comes first; a label is hidden, and an alias never seen.
        assert_eq!(picture(&[sized(0, 10, 40), sized(1, 10, 10), label(2, 10, 90)]), "..bbaaaaaa..........");
        assert_eq!(picture(&[sized(0, 10, 40), sized(1, 10, 40)]), "..aaaaaaaa..........");
        // An overlap belongs to the later one, and what ended under it does not come back.
        assert_eq!(picture(&[sized(0, 10, 20), sized(1, 20, 40), sized(2, 40, 10)]), "..aabbbbccbb........");
        assert_eq!(picture(&[sized(0, 0, 80), sized(1, 10, 20), sized(2, 20, 50)]), "aabbccccccccccaa....");
    }

    #[test]
    fn the_highest_addresses_do_not_overflow() {
        let index = AddressIndex::flatten(vec![sized(0, u64::MAX - 1, 1)]);
        assert_eq!(index.find(u64::MAX - 1), Some(Found { entry: 0, extent: 1 }));
        assert_eq!(index.find(u64::MAX), None);
    }
}
