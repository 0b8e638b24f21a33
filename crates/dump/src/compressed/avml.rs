//! AVML's compressed memory images, unpacked to LiME's form, from which they come.
//!
//! ```text
//! for each range: u32 "AVML", u32 version (2), u64 first address, u64 last address, 8 bytes of zeroes
//!                 the bytes, as a stream of snappy frames
//!                 u64 length of that stream
//! ```
//!
//! Source: AVML's `src/image.rs`; snappy's `framing_format.txt`.

use std::io::{self, BufRead, Cursor, Read};

use snap::read::FrameDecoder;
use vmcore_memory::{le_u32, le_u64};

use super::Input;
use crate::lime;

const SIGNATURE: &[u8] = b"AVML";
/// Bytes behind the frames of a range.
const TRAILER_LEN: usize = 8;

/// The image as LiME would have written it.
pub(super) struct AvmlRanges {
    input: Input,
    head: Cursor<Vec<u8>>,
    /// Bytes of the range that are still to come.
    left: u64,
    /// What is unpacked of the frame that is being read.
    frame: Cursor<Vec<u8>>,
    begun: bool,
}

impl AvmlRanges {
    pub(super) fn new(input: Input) -> Self {
        Self { input, head: Cursor::default(), left: 0, frame: Cursor::default(), begun: false }
    }

    /// Begins the next range; `false` at the end of the file.
    fn next_range(&mut self) -> io::Result<bool> {
        if self.begun {
            self.input.read_exact(&mut [0; TRAILER_LEN])?;
        }
        self.begun = true;
        if self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut head = [0; lime::HEADER_LEN as usize];
        self.input.read_exact(&mut head)?;
        let range = || {
            let (first, last) = (le_u64(&head, 8)?, le_u64(&head, 16)?);
            let is_range = head.starts_with(SIGNATURE) && le_u32(&head, 4) == Some(2);
            is_range.then_some((first, last, last.checked_sub(first)?.checked_add(1)?))
        };
        let (first, last, len) = range()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no header of a range where one should be"))?;
        self.head = Cursor::new(lime::header(first, last));
        self.left = len;
        Ok(true)
    }

    /// Unpacks the next chunk of frames: u8 kind, u24 length, contents.
    fn next_frame(&mut self) -> io::Result<()> {
        /// The chunk that begins a stream.
        const IDENTIFIER: &[u8] = b"\xff\x06\0\0sNaPpY";
        let mut chunk = IDENTIFIER.to_vec();
        let mut head = [0; 4];
        self.input.read_exact(&mut head)?;
        let len = u64::from(u32::from_le_bytes(head) >> 8);
        // Every stream begins with one; it is in front of each chunk here.
        let is_identifier = head == [0xff, 6, 0, 0];
        if !is_identifier {
            chunk.extend(head);
        }
        let mut contents = Vec::new();
        self.input.by_ref().take(len).read_to_end(&mut contents)?;
        if contents.len() as u64 != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut unpacked = Vec::new();
        if !is_identifier {
            chunk.extend(contents);
            FrameDecoder::new(chunk.as_slice()).read_to_end(&mut unpacked)?;
        }
        self.frame = Cursor::new(unpacked);
        Ok(())
    }
}

impl Read for AvmlRanges {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.head.read(buf)?;
            if count > 0 {
                return Ok(count);
            }
            let wanted = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            let count = self.frame.read(buf.get_mut(..wanted).unwrap_or_default())?;
            if count > 0 {
                self.left -= count as u64;
                return Ok(count);
            }
            if self.left > 0 {
                self.next_frame()?;
            } else if !self.next_range()? {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::test_support::{assert_bytes, file, page, read};
    use crate::{Dump, Format};

    fn range(first: u64, frames: std::ops::Range<u64>) -> Vec<u8> {
        let bytes: Vec<u8> = frames.flat_map(page).collect();
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(&bytes).unwrap();
        let packed = encoder.into_inner().unwrap();
        let mut out = b"AVML\x02\0\0\0".to_vec();
        out.extend(first.to_le_bytes());
        out.extend((first + bytes.len() as u64 - 1).to_le_bytes());
        out.extend([0; 8]);
        let len = packed.len() as u64;
        out.extend(packed);
        out.extend(len.to_le_bytes());
        out
    }

    #[test]
    fn ranges_are_unpacked_to_where_they_belong() {
        let image = [range(0x1000, 1..100), range(0x10_0000, 256..260)].concat();
        let file = file(&image);
        let dump = Dump::open(file.path()).unwrap();
        assert_eq!((dump.format(), dump.incomplete(), dump.warnings().len()), (Format::Lime, None, 0));
        for frame in (1..100).chain(256..260) {
            assert_bytes(read(&dump, frame * 4096, 4096), page(frame));
        }
    }

    #[test]
    fn a_part_of_an_image_is_used() {
        let image = [range(0x1000, 1..100), range(0x10_0000, 256..300)].concat();
        for len in [image.len() - 9, image.len() - 70_000, 40] {
            let file = file(&image[..len]);
            let dump = Dump::open(file.path());
            if let Ok(dump) = dump {
                assert!(dump.incomplete().is_some() || !dump.warnings().is_empty(), "{len}");
            }
        }
    }
}
