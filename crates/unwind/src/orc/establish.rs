//! Which format ORC entries are written in.
//!
//! A kernel does not say it in words. Since 6.5 (kernel commit b9f174c811e3) `.orc_header` holds a hash of the format's
//! definition, which tells formats apart but not what they are; before, nothing does. So the table itself is asked: read
//! in the right format, nearly all of its rows are those of C functions, whose callers are found from the stack
//! pointer, and no row says anything that a kernel cannot mean. In a wrong format one of the two fails for nearly every
//! row. The hash and the debug information's `struct orc_entry` only decide where a table is too small or too plain.

use std::collections::BTreeMap;

use vmcore_memory::le_u16;

use super::{Base, ENTRY_SIZE, FramePointer, Kind, OrcEntry, OrcFormat, OrcLayout, OrcNumbering};

/// What else is known of a table than its rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct FormatHints<'a> {
    /// The contents of `.orc_header`.
    pub header: Option<&'a [u8]>,
    /// As the debug information defines `struct orc_entry`.
    pub layout: Option<OrcLayout>,
}

/// Why the format of a table is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is none of those that kernels have had.
    #[error("its {rows} rows make sense in none of the known formats")]
    NoneFits {
        /// Rows of the table.
        rows: usize,
    },
    /// There are several that it might be, which read it differently.
    #[error("its {rows} rows make sense in several formats, which read them differently")]
    Ambiguous {
        /// Rows of the table.
        rows: usize,
    },
}

/// The header of 6.5 to 7.0.
const HEADER_6_5: [u8; 20] = [
    0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5, 0xa6, 0x25, 0xea, 0xb3, 0xfe,
    0x24,
];
/// The same with RAX as number 10 (kernel commit 96f3b16a9de5 as it was proposed for 6.12 to 7.0).
const HEADER_AX: [u8; 20] = [
    0xed, 0xfa, 0x4d, 0x15, 0x55, 0x2f, 0xdd, 0x2e, 0x1d, 0x56, 0x67, 0x97, 0x28, 0x41, 0x63, 0x79, 0xf2, 0xfe, 0x45,
    0x34,
];
/// The header since 7.1.
const HEADER_7_1: [u8; 20] = [
    0x13, 0x7c, 0x36, 0xad, 0x76, 0x27, 0xc4, 0xdd, 0x55, 0x93, 0x21, 0x76, 0xbb, 0x0e, 0xcd, 0xbd, 0x50, 0x41, 0xfc,
    0x82,
];

/// The least number of rows that lead to a caller by which a table alone tells its format.
const MIN_DESCRIBED: usize = 16;

impl OrcFormat {
    /// The format that a header stands for; `None` for a hash that is not known here.
    #[must_use]
    pub fn of_header(header: &[u8]) -> Option<Self> {
        let known = [
            (HEADER_6_5, OrcNumbering::PrevSpFirst),
            (HEADER_AX, OrcNumbering::PrevSpFirst),
            (HEADER_7_1, OrcNumbering::AxFirst),
        ];
        let (_, numbering) = known.into_iter().find(|(hash, _)| hash == header)?;
        Some(Self::new(OrcLayout::Type3, numbering))
    }

    /// The format of the rows in `entries`, the contents of `.orc_unwind`.
    ///
    /// # Errors
    ///
    /// [`FormatError`] where it cannot be told: the table must not be used then, as a wrong format leads to frames that
    /// look right.
    pub fn establish(entries: &[u8], hints: FormatHints<'_>) -> Result<Self, FormatError> {
        let counts = Counts::of(entries);
        let fits = |format: &Self| counts.fit(*format).is_some();
        let rows = counts.rows;
        if let Some(format) = hints.header.and_then(Self::of_header).filter(fits) {
            return Ok(format);
        }
        let mut fitting: Vec<(usize, Self)> = Self::ALL
            .into_iter()
            .filter_map(|format| Some((counts.fit(format).filter(|fit| fit.described >= MIN_DESCRIBED)?.odd, format)))
            .collect();
        if let Some(layout) = hints.layout
            && fitting.iter().any(|(_, format)| format.layout == layout)
        {
            fitting.retain(|(_, format)| format.layout == layout);
        }
        fitting.sort_by_key(|(odd, _)| *odd);
        match *fitting.as_slice() {
            [] => Err(FormatError::NoneFits { rows }),
            [(odd, best), (next, other), ..] if odd == next && !counts.read_alike(best, other) => {
                Err(FormatError::Ambiguous { rows })
            }
            [(_, best), ..] => Ok(best),
        }
    }
}

/// How often each combination of bits occurs: a few dozen in a table of half a million rows.
struct Counts {
    by_bits: BTreeMap<u16, usize>,
    rows: usize,
}

/// How a table looks in a format in which it may be written.
struct Fit {
    /// Rows that lead to a caller.
    described: usize,
    /// Rows that no kernel would write in this format.
    odd: usize,
}

impl Counts {
    fn of(entries: &[u8]) -> Self {
        let mut counts = vec![0_usize; 1 << 16];
        let rows = entries.chunks_exact(ENTRY_SIZE);
        let len = rows.len();
        for bits in rows.filter_map(|row| le_u16(row, 4)) {
            if let Some(count) = counts.get_mut(usize::from(bits)) {
                *count += 1;
            }
        }
        let by_bits = (0..=u16::MAX).zip(counts).filter(|(_, count)| *count > 0).collect();
        Self { by_bits, rows: len }
    }

    /// `None` where the table cannot be of this format.
    fn fit(&self, format: OrcFormat) -> Option<Fit> {
        let (mut odd, mut described, mut by_sp, mut by_bp) = (0, 0, 0, 0);
        for (&bits, &count) in &self.by_bits {
            let Some(entry) = decode(bits, format).filter(|entry| is_plausible(bits, *entry, format.layout)) else {
                odd += count;
                continue;
            };
            match (entry.kind, entry.sp_base) {
                (Kind::Undefined | Kind::EndOfStack, _) => continue,
                (Kind::Call, Base::Sp) => by_sp += count,
                (Kind::Call, Base::Bp) => by_bp += count,
                _ => {}
            }
            described += count;
        }
        // Of half a million rows of a distribution's kernel up to 10 are odd, and 98 of 100 calls count from the stack
        // pointer; a few more odd rows are damage. With frame pointers a third still does: that of every function's first instructions.
        let fits = odd * 32 <= self.rows && by_sp * 5 >= described && (by_sp + by_bp) * 10 >= described * 9;
        (fits && described > 0).then_some(Fit { described, odd })
    }

    /// Whether the two formats give every row of this table the same meaning.
    fn read_alike(&self, one: OrcFormat, other: OrcFormat) -> bool {
        self.by_bits.keys().all(|&bits| decode(bits, one) == decode(bits, other))
    }
}

fn decode(bits: u16, format: OrcFormat) -> Option<OrcEntry> {
    let [low, high] = bits.to_le_bytes();
    OrcEntry::decode(&[0, 0, 0, 0, low, high], format)
}

/// Whether a kernel would write these bits.
fn is_plausible(bits: u16, entry: OrcEntry, layout: OrcLayout) -> bool {
    let used = if layout == OrcLayout::End { 11 } else { 12 };
    let end = match layout {
        OrcLayout::End => bits >> 10 & 1 != 0,
        OrcLayout::SignalEnd => bits >> 11 & 1 != 0,
        OrcLayout::Type3 => false,
    };
    let nothing_else = entry.sp_base == Base::Undefined && entry.frame_pointer == FramePointer::Unchanged;
    bits >> used == 0
        && match entry.kind {
            Kind::Undefined | Kind::EndOfStack => nothing_else && !entry.signal,
            Kind::Call => entry.sp_base != Base::Undefined && entry.sp_base != Base::PrevSp && !end && !entry.signal,
            Kind::Regs | Kind::PartialRegs => entry.sp_base != Base::Undefined && !end && entry.signal,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: OrcNumbering = OrcNumbering::PrevSpFirst;

    /// Rows with these bits, as often as they say.
    fn table(rows: &[(u16, usize)]) -> Vec<u8> {
        let row = |bits: u16| [8, 0, 0, 0, bits.to_le_bytes()[0], bits.to_le_bytes()[1]];
        rows.iter().flat_map(|&(bits, count)| std::iter::repeat_n(row(bits), count)).flatten().collect()
    }

    /// The rows of a distribution's kernel of 5.10, a hundredth of those that are frequent.
    const ROWS_5_10: [(u16, usize); 13] = [
        (0x5, 1807),
        (0x15, 1087),
        (0, 380),
        (0x14, 29),
        (0x205, 7),
        (0x105, 2),
        (0x48, 1),
        (0x6, 1),
        (0x46, 1),
        (0x400, 1),
        (0x7, 1),
        (0x47, 1),
        (0x202, 1),
    ];
    /// The same of 6.12.
    const ROWS_6_12: [(u16, usize); 14] = [
        (0x205, 2254),
        (0x215, 1424),
        (0, 507),
        (0x214, 42),
        (0xc05, 8),
        (0xb05, 2),
        (0x248, 2),
        (0x206, 2),
        (0x246, 2),
        (0x100, 1),
        (0x219, 1),
        (0x209, 1),
        (0x405, 1),
        (0xc02, 1),
    ];
    /// The same of 7.3.
    const ROWS_7_3: [(u16, usize); 14] = [
        (0x203, 2675),
        (0x283, 1767),
        (0, 598),
        (0x284, 49),
        (0xc03, 8),
        (0x24a, 3),
        (0xb03, 2),
        (0x246, 2),
        (0x206, 2),
        (0x100, 1),
        (0x289, 1),
        (0x209, 1),
        (0x403, 1),
        (0xc02, 1),
    ];
    /// Those of 5.10 as 6.3 would have written them.
    const ROWS_6_3: [(u16, usize); 8] =
        [(0x5, 1807), (0x15, 1087), (0, 380), (0x14, 29), (0x605, 7), (0x505, 2), (0x48, 1), (0x800, 1)];

    #[test]
    fn a_table_tells_its_format_by_itself() {
        for (rows, expected) in [
            (&ROWS_5_10[..], OrcFormat::new(OrcLayout::End, OLD)),
            (&ROWS_6_3, OrcFormat::new(OrcLayout::SignalEnd, OLD)),
            (&ROWS_6_12, OrcFormat::new(OrcLayout::Type3, OLD)),
            (&ROWS_7_3, OrcFormat::new(OrcLayout::Type3, OrcNumbering::AxFirst)),
        ] {
            assert_eq!(OrcFormat::establish(&table(rows), FormatHints::default()), Ok(expected));
            // A header that says otherwise is a wrong label, and an unknown one none.
            for header in [HEADER_6_5, HEADER_7_1, [7; 20]] {
                let hints = FormatHints { header: Some(&header), layout: None };
                assert_eq!(OrcFormat::establish(&table(rows), hints), Ok(expected));
            }
        }
    }

    #[test]
    fn a_kernel_with_frame_pointers_counts_from_rbp() {
        let rows = [(0x205, 1000), (0x214, 1900), (0, 300), (0xc05, 8)];
        let expected = Ok(OrcFormat::new(OrcLayout::Type3, OLD));
        assert_eq!(OrcFormat::establish(&table(&rows), FormatHints::default()), expected);
    }

    #[test]
    fn a_small_table_needs_its_header() {
        let rows = table(&[(0x203, 3), (0x283, 1)]);
        let establish = |header| OrcFormat::establish(&rows, FormatHints { header, layout: None });
        assert_eq!(establish(None), Err(FormatError::NoneFits { rows: 4 }));
        assert_eq!(establish(Some(&HEADER_7_1)), Ok(OrcFormat::new(OrcLayout::Type3, OrcNumbering::AxFirst)));
        assert_eq!(establish(Some(&HEADER_6_5)), Err(FormatError::NoneFits { rows: 4 }));
    }

    #[test]
    fn where_rows_read_alike_the_debug_information_decides() {
        // Nothing but calls, which 6.2 and 6.3 write alike.
        let rows = table(&[(0x5, 100), (0x15, 50)]);
        let establish = |layout| OrcFormat::establish(&rows, FormatHints { header: None, layout });
        assert_eq!(establish(Some(OrcLayout::SignalEnd)), Ok(OrcFormat::new(OrcLayout::SignalEnd, OLD)));
        assert!(establish(None).is_ok());
    }

    #[test]
    fn what_no_format_explains_is_refused() {
        // The stack pointer is register 2, as in no kernel.
        let strange = table(&[(0x202, 1000), (0x212, 500), (0, 100)]);
        assert!(OrcFormat::establish(&strange, FormatHints::default()).is_err());
        assert!(OrcFormat::establish(&[0x5a; 600], FormatHints::default()).is_err());
        assert!(OrcFormat::establish(&[0; 600], FormatHints::default()).is_err());
        assert!(OrcFormat::establish(&[], FormatHints::default()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_rows_never_panic(entries: Vec<u8>, header: Option<Vec<u8>>) {
            let _ = OrcFormat::establish(&entries, FormatHints { header: header.as_deref(), layout: None });
        }
    }
}
