//! How much to fetch at a time: one block of what is read here and there, more of what is read from front to back.

/// Blocks of the largest piece: 4 MiB.
const MOST: u64 = 16;
/// Readers that are followed at the same time.
const STREAMS: usize = 8;

/// What was fetched last, for each of a few readers.
#[derive(Debug, Default)]
pub(crate) struct ReadAhead {
    streams: Vec<Stream>,
    /// Whether somebody has said that all is going to be read.
    pass: bool,
}

#[derive(Debug)]
struct Stream {
    /// The block behind the last piece.
    next: u64,
    /// Blocks of that piece.
    len: u64,
}

impl ReadAhead {
    pub(crate) fn advise(&mut self, pass: bool) {
        self.pass = pass;
    }

    /// How many blocks to fetch from block `index` on, which nobody has.
    pub(crate) fn len(&mut self, index: u64) -> u64 {
        let found = self.streams.iter().position(|stream| stream.next == index);
        let stream = found.map(|at| self.streams.remove(at));
        let len = match stream {
            _ if self.pass => MOST,
            Some(Stream { len, .. }) => (len * 2).min(MOST),
            None => 1,
        };
        self.streams.push(Stream { next: index.saturating_add(len), len });
        if self.streams.len() > STREAMS {
            self.streams.remove(0);
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_where_one_follows_the_other() {
        let mut ahead = ReadAhead::default();
        assert_eq!([5, 900, 70].map(|index| ahead.len(index)), [1, 1, 1]);
        assert_eq!([6, 8, 12, 20, 36, 52].map(|index| ahead.len(index)), [2, 4, 8, 16, 16, 16]);
        assert_eq!([901, 71, 7].map(|index| ahead.len(index)), [2, 2, 1], "three readers, and one that went back");
        ahead.advise(true);
        assert_eq!(ahead.len(5000), MOST);
        ahead.advise(false);
        assert_eq!((ahead.len(9000), ahead.len(u64::MAX)), (1, 1));
    }
}
