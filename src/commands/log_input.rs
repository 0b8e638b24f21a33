//! A log that ends in damage, as a compressed one that was cut: what comes before is read all the same.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

/// Why a log ended before its end, and behind how many bytes.
pub(super) type Damage = Rc<RefCell<Option<(u64, io::Error)>>>;

/// A reader that ends where the one below it is damaged.
struct UpToDamage {
    below: Box<dyn BufRead>,
    read: u64,
    damage: Damage,
}

impl Read for UpToDamage {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.below.read(buf) {
            Ok(count) => {
                self.read += count as u64;
                Ok(count)
            }
            Err(error) if self.read > 0 && is_of_content(&error) => {
                *self.damage.borrow_mut() = Some((self.read, error));
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the file itself is wrong, and not the disk or the server that it is on.
fn is_of_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

/// As much of `below` as is whole, and where to see whether that was all.
pub(super) fn up_to_damage(below: Box<dyn BufRead>) -> (impl BufRead, Damage) {
    let damage = Damage::default();
    (BufReader::new(UpToDamage { below, read: 0, damage: Rc::clone(&damage) }), damage)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many bytes, and an error of this kind.
    struct Failing(usize, io::ErrorKind);

    impl Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let count = buf.len().min(self.0);
            buf[..count].fill(b'a');
            self.0 -= count;
            if count == 0 { Err(self.1.into()) } else { Ok(count) }
        }
    }

    fn read(len: usize, kind: io::ErrorKind) -> (io::Result<String>, Option<u64>) {
        let (reader, damage) = up_to_damage(Box::new(BufReader::new(Failing(len, kind))));
        let text = io::read_to_string(reader);
        let behind = damage.borrow().as_ref().map(|(behind, _)| *behind);
        (text, behind)
    }

    #[test]
    fn what_comes_before_the_damage_is_read() {
        let (text, behind) = read(20_000, io::ErrorKind::UnexpectedEof);
        assert_eq!((text.unwrap().len(), behind), (20_000, Some(20_000)));
    }

    #[test]
    fn nothing_at_all_and_a_disk_that_fails_are_failures() {
        assert!(read(0, io::ErrorKind::UnexpectedEof).0.is_err());
        let (text, behind) = read(20_000, io::ErrorKind::TimedOut);
        assert!(text.is_err() && behind.is_none());
    }
}
