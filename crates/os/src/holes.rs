//! Where a sparse file has data: `lseek(2)` with `SEEK_DATA` and `SEEK_HOLE`.

#![allow(unsafe_code)]

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// More pieces than this are taken for one: to look up each would take longer than to read what is between them.
const MAX_PIECES: usize = 1 << 16;

/// The parts of `range` in which `file` has data, in their order; the rest are holes, which read as zeroes. All of it where
/// the file's system does not say. The position of the file is changed.
#[must_use]
pub fn data_ranges(file: &File, range: Range<u64>) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    let mut at = range.start;
    while at < range.end {
        if ranges.len() == MAX_PIECES {
            ranges.push(at..range.end);
            break;
        }
        let start = match seek(file, at, libc::SEEK_DATA) {
            Ok(Some(start)) => start.max(at),
            // Nothing but a hole up to the end.
            Ok(None) => break,
            Err(()) => {
                ranges.push(at..range.end);
                break;
            }
        };
        if start >= range.end {
            break;
        }
        let end = seek(file, start, libc::SEEK_HOLE).ok().flatten().unwrap_or(range.end).clamp(start + 1, range.end);
        ranges.push(start..end);
        at = end;
    }
    ranges
}

/// Where the next data or hole begins from `at` on; `None` where there is none, an error where that cannot be told.
fn seek(file: &File, at: u64, whence: libc::c_int) -> Result<Option<u64>, ()> {
    let at = libc::off_t::try_from(at).map_err(|_| ())?;
    // SAFETY: the descriptor is that of `file`, which lives on; the call touches no memory.
    let found = unsafe { libc::lseek(file.as_raw_fd(), at, whence) };
    match u64::try_from(found) {
        Ok(found) => Ok(Some(found)),
        Err(_) if std::io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Err(_) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn holes_are_left_out() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(&[1; 4096], 8 << 20).unwrap();
        file.write_all_at(&[1; 4096], 40 << 20).unwrap();
        let ranges = data_ranges(&file, 0..64 << 20);
        let holds = |at: u64| ranges.iter().any(|range| range.contains(&at));
        assert!(holds(8 << 20) && holds(40 << 20), "{ranges:?}");
        // A file system without holes says that all is data.
        assert!(ranges.len() == 1 || !holds(24 << 20), "{ranges:?}");
        let part = data_ranges(&file, 8 << 20..(8 << 20) + 100);
        assert_eq!(part, vec![8 << 20..(8 << 20) + 100]);
        assert_eq!(data_ranges(&file, 5..5), []);
    }
}
