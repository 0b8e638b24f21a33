//! The index of a flattened file, kept for the next time: of a file on a server every record's header had to be fetched.
//!
//! ```text
//! 8 bytes "VMFLATI1", u64 pieces
//! pieces: u64 start, end, then of their run: u64 dump offset, file offset, record length
//! ```
//!
//! All numbers are little-endian. It comes from a cache, so that it is checked like everything else: an index that does not
//! fit the file is not used.

use vmcore_memory::le_u64;

use super::{MAX_RUNS, Piece, RECORD_HEADER_LEN, RECORDS_AT, Run};

const SIGNATURE: &[u8; 8] = b"VMFLATI1";
const HEADER_LEN: usize = 16;
const PIECE_LEN: usize = 40;

/// The bytes to be kept.
pub(super) fn encode(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    let mut add = |number: u64| bytes.extend(number.to_le_bytes());
    add(pieces.len() as u64);
    for Piece { start, end, run: Run { dump_offset, file_offset, record_len } } in pieces {
        [*start, *end, *dump_offset, *file_offset, *record_len].into_iter().for_each(&mut add);
    }
    bytes
}

/// The pieces of a file of `file_len` bytes; `None` where they cannot be its.
pub(super) fn parse(bytes: &[u8], file_len: u64) -> Option<Vec<Piece>> {
    let count = usize::try_from(le_u64(bytes, SIGNATURE.len())?).ok()?;
    let body = bytes.strip_prefix(SIGNATURE)?.get(HEADER_LEN - SIGNATURE.len()..)?;
    // A run may be cut into pieces by later records.
    if count > 2 * MAX_RUNS || body.len() != count.checked_mul(PIECE_LEN)? {
        return None;
    }
    let pieces: Vec<_> = body.chunks_exact(PIECE_LEN).map(piece).collect::<Option<_>>()?;
    let in_order = pieces.windows(2).all(|pair| matches!(pair, [first, second] if first.end <= second.start));
    (in_order && pieces.iter().all(|piece| is_within(piece, file_len))).then_some(pieces)
}

fn piece(bytes: &[u8]) -> Option<Piece> {
    let number = |index: usize| le_u64(bytes, index * 8);
    let run = Run { dump_offset: number(2)?, file_offset: number(3)?, record_len: number(4)? };
    Some(Piece { start: number(0)?, end: number(1)?, run })
}

/// Whether every byte of a piece is in the file, and computing where makes no overflow.
fn is_within(piece: &Piece, file_len: u64) -> bool {
    let Piece { start, end, run: Run { dump_offset, file_offset, record_len } } = *piece;
    let last_place = || {
        let in_run = end.checked_sub(1)?.checked_sub(dump_offset)?;
        let records = in_run.checked_div(record_len)?.checked_mul(record_len.checked_add(RECORD_HEADER_LEN)?)?;
        file_offset.checked_add(records)?.checked_add(in_run % record_len)
    };
    start < end && start >= dump_offset && file_offset >= RECORDS_AT && last_place().is_some_and(|at| at < file_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces() -> Vec<Piece> {
        let run = Run { dump_offset: 0, file_offset: RECORDS_AT + 16, record_len: 100 };
        let other = Run { dump_offset: 350, file_offset: 9000, record_len: 50 };
        vec![Piece { start: 0, end: 250, run }, Piece { start: 360, end: 400, run: other }]
    }

    #[test]
    fn what_is_kept_comes_back() {
        assert_eq!(parse(&encode(&pieces()), 9050), Some(pieces()));
        assert_eq!(parse(&encode(&[]), 5000), Some(Vec::new()));
    }

    #[test]
    fn what_does_not_fit_the_file_is_not_used() {
        let good = encode(&pieces());
        assert_eq!(parse(&good, 9049), None, "the last byte is not in the file");
        assert_eq!(parse(&good[..good.len() - 1], 9050), None);
        assert_eq!(parse(b"", 9050), None);
        let with = |change: fn(&mut Vec<Piece>)| {
            let mut pieces = pieces();
            change(&mut pieces);
            parse(&encode(&pieces), 9050)
        };
        assert_eq!(with(|pieces| pieces[0].run.record_len = 0), None);
        assert_eq!(with(|pieces| pieces[0].run.record_len = u64::MAX), None);
        assert_eq!(with(|pieces| pieces[0].end = u64::MAX), None);
        assert_eq!(with(|pieces| pieces[0].end = 361), None, "they overlap");
        assert_eq!(with(|pieces| pieces[1].run.dump_offset = 370), None);
        assert_eq!(with(|pieces| pieces[1].run.file_offset = 0), None);
    }
}
