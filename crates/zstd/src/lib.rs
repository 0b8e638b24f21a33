//! A zstd stream as files and pages of dumps have it (RFC 8878): frames in a row, as `pzstd` and `cat` make them, some of them to
//! be skipped, each with its size and a checksum where the writer gave them.
//!
//! The library's own reader ends after the first frame, and compares neither.
//!
//! ```
//! use std::io::Read;
//!
//! use vmcore_zstd::{Decoder, Frames, compress};
//!
//! let two = [compress(b"one, "), compress(b"two")].concat();
//! let mut unpacked = String::new();
//! Frames::new(two.as_slice(), Decoder::new(1 << 20)).read_to_string(&mut unpacked)?;
//! assert_eq!(unpacked, "one, two");
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

use std::borrow::BorrowMut;
use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read};

use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// The largest window that the format can name (RFC 8878, 3.1.1.1.2), in bytes: just under 3.75 TiB.
const FORMAT_WINDOW: u64 = (1 << 41) + 7 * (1 << 38);

/// Large tables, which are worth keeping from stream to stream.
pub struct Decoder(FrameDecoder);

impl Decoder {
    /// For streams that refer back over at most `window` bytes. Memory is taken as a stream fills it.
    #[must_use]
    pub fn new(window: u64) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(window);
        Self(decoder)
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

/// The unpacked bytes of all frames of a stream.
///
/// Reading fails with [`ErrorKind::OutOfMemory`] where a frame refers back over more than the decoder allows, with
/// [`ErrorKind::UnexpectedEof`] where the stream ends within a frame, and with another kind where that is damaged, or does not
/// have the size or the checksum that it says. What was unpacked before is given first.
#[derive(Debug)]
pub struct Frames<R, D = Decoder> {
    input: R,
    decoder: D,
    /// Bytes that the frame at hand gave so far; `None` between frames.
    given: Option<u64>,
    /// Why that frame goes no further; what it had until then is still to be given.
    failure: Option<io::Error>,
}

/// A last block without bytes (RFC 8878, 3.1.1.2), and a checksum in case the frame has one: with it the library gives away what it
/// keeps because later blocks could refer back to it.
const LAST_BLOCK: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

impl<R: BufRead, D: BorrowMut<Decoder>> Frames<R, D> {
    /// Reads `input` to its end.
    pub fn new(input: R, decoder: D) -> Self {
        Self { input, decoder, given: None, failure: None }
    }

    /// Begins the next frame that is not to be skipped; whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        let decoder = &mut self.decoder.borrow_mut().0;
        while !self.input.fill_buf()?.is_empty() {
            match decoder.init(&mut self.input) {
                Ok(()) => {
                    self.given = Some(0);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    skip(&mut self.input, length.into())?;
                }
                Err(error) => return Err(named(error)),
            }
        }
        Ok(false)
    }

    /// Unpacks blocks until there is something to give, or the frame is over, or fails.
    fn unpack(&mut self) {
        let decoder = &mut self.decoder.borrow_mut().0;
        let one_more = || BlockDecodingStrategy::UptoBlocks(1);
        while decoder.can_collect() == 0 && !decoder.is_finished() {
            let Err(why) = decoder.decode_blocks(&mut self.input, one_more()) else { continue };
            self.failure = Some(named(why));
            if decoder.decode_blocks(LAST_BLOCK.as_slice(), one_more()).is_err() {
                return;
            }
        }
    }

    /// Compares a frame with what it says of itself. A size of 0 is one that is not said.
    fn end(&mut self, given: u64) -> io::Result<()> {
        let decoder = &self.decoder.borrow_mut().0;
        let (size, checksum) = (decoder.content_size(), decoder.get_checksum_from_data());
        let wrong = |why: String| Err(io::Error::new(ErrorKind::InvalidData, why));
        if size != 0 && size != given {
            return wrong(format!("a frame gives {given} bytes instead of {size}"));
        }
        if checksum.is_some() && checksum != decoder.get_calculated_checksum() {
            return wrong("the checksum of a frame is wrong".to_owned());
        }
        self.given = None;
        Ok(())
    }
}

impl<R: BufRead, D: BorrowMut<Decoder>> Read for Frames<R, D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(given) = self.given {
                self.unpack();
                let count = self.decoder.borrow_mut().0.read(buf)?;
                if count > 0 {
                    self.given = Some(given.saturating_add(count as u64));
                    return Ok(count);
                }
                if let Some(why) = self.failure.take() {
                    self.given = None;
                    return Err(why);
                }
                self.end(given)?;
            }
            if !self.begin()? {
                return Ok(0);
            }
        }
    }
}

/// What a caller can tell apart of the library's errors.
fn named(error: FrameDecoderError) -> io::Error {
    let too_far = |requested: u64, most: u64| {
        let why = format!("it refers back over {requested} bytes, and {most} are the most");
        io::Error::new(ErrorKind::OutOfMemory, why)
    };
    match error {
        FrameDecoderError::WindowSizeTooBig { requested, max } => too_far(requested, max),
        // More than the format allows.
        FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { got }) => too_far(got, FORMAT_WINDOW),
        error if is_end(&error) => io::Error::new(ErrorKind::UnexpectedEof, "it ends within a frame"),
        error => io::Error::new(ErrorKind::InvalidData, error),
    }
}

/// Whether the input ended.
fn is_end(error: &FrameDecoderError) -> bool {
    let mut causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source());
    causes.any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::UnexpectedEof))
}

/// Passes over `length` bytes of `input`, which must be there.
///
/// # Errors
///
/// [`ErrorKind::UnexpectedEof`] where it ends before.
pub fn skip(input: &mut impl BufRead, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut input.by_ref().take(length), &mut io::sink())?;
    if skipped < length { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

/// One frame of `bytes`, with size and checksum.
#[must_use]
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 8 << 20;

    fn unpack(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut unpacked = Vec::new();
        Frames::new(packed, Decoder::new(WINDOW)).read_to_end(&mut unpacked).map(|_| unpacked)
    }

    fn noise(len: u32) -> Vec<u8> {
        (0..len).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect()
    }

    fn skipped() -> Vec<u8> {
        b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec()
    }

    #[test]
    fn all_frames_are_read_and_some_skipped() {
        let packed =
            [skipped(), compress(&noise(5000)), skipped(), skipped(), compress(b" the end"), skipped()].concat();
        assert_eq!(unpack(&packed).unwrap(), [noise(5000).as_slice(), b" the end"].concat());
        assert_eq!((unpack(&[]).unwrap(), unpack(&skipped()).unwrap()), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_decoder_is_used_again_also_after_damage() {
        let mut decoder = Decoder::new(WINDOW);
        for cut in [0, 100, 7] {
            let packed = compress(&noise(500));
            let mut unpacked = Vec::new();
            let read = Frames::new(&packed[..packed.len() - cut], &mut decoder).read_to_end(&mut unpacked);
            assert_eq!(read.is_ok(), cut == 0, "{cut}");
        }
        let mut unpacked = Vec::new();
        Frames::new(compress(b"again").as_slice(), &mut decoder).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, b"again");
    }

    #[test]
    fn damage_is_an_error_wherever_it_is() {
        let packed = compress(&noise(5000));
        let mut flipped = packed.clone();
        flipped[5000] ^= 1;
        assert!(unpack(&flipped).unwrap_err().to_string().contains("checksum"));
        for cut in 1..packed.len() {
            assert!(unpack(&packed[..packed.len() - cut]).is_err(), "{cut}");
        }
        // Whatever comes before it, and also where nothing comes after.
        let before = compress(b"whole");
        for cut in 1..skipped().len() {
            let rest = &skipped()[..skipped().len() - cut];
            assert!(unpack(&[&before, rest].concat()).is_err(), "{cut}");
        }
        let length = unpack(&skipped()[..10]).unwrap_err();
        assert_eq!(length.kind(), ErrorKind::UnexpectedEof);
    }

    /// A frame that names its size is none of another size, whatever its checksum says.
    #[test]
    fn another_size_is_an_error() {
        // A header with a size of one byte (RFC 8878, 3.1.1.1), a raw block of three, no checksum.
        let frame = |size: u8| [b"\x28\xb5\x2f\xfd\x20".as_slice(), &[size], b"\x19\0\0abc"].concat();
        assert_eq!(unpack(&frame(3)).unwrap(), b"abc");
        assert!(unpack(&frame(4)).unwrap_err().to_string().contains("3 bytes instead of 4"));
    }

    /// Blocks can refer back over the whole window, which the library keeps for them: it is given all the same.
    #[test]
    fn a_stream_that_is_cut_gives_all_that_it_has() {
        let bytes = noise(100_000);
        let packed = compress(&bytes);
        for (cut, lost) in [(1, 0), (4, 0), (5, 128 << 10), (100_000, 256 << 10)] {
            let mut unpacked = Vec::new();
            let cut_off = &packed[..packed.len() - cut];
            let error = Frames::new(cut_off, Decoder::new(WINDOW)).read_to_end(&mut unpacked).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{cut}");
            assert_eq!(error.to_string(), "it ends within a frame");
            assert!(bytes.starts_with(&unpacked) && unpacked.len() + lost >= bytes.len(), "{cut}: {}", unpacked.len());
        }
    }

    #[test]
    fn windows_have_a_limit() {
        // A header that asks for a window of 1 GiB (exponent 20).
        let error = unpack(b"\x28\xb5\x2f\xfd\0\xa0\x01\0\0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        // The largest that there is (exponent 31, mantissa 7).
        let error = unpack(b"\x28\xb5\x2f\xfd\0\xff\x01\0\0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    }
}
