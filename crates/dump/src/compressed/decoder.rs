//! One reader of unpacked bytes for each way of compressing a file.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder as Lz4Frame;
use lzma_rust2::{LzmaReader, XzReader};
use vmcore_zstd::{Decoder, Frames, skip};

use super::avml::AvmlRanges;
use super::{Compression, Input};

/// KiB that unpacking xz may use: `xz -9` needs 65 MiB, and a header can ask for 4 GiB.
const XZ_MEMORY: u32 = 512 << 10;
/// Bytes that a zstd stream may refer back over: `zstd --ultra -22` uses 128 MiB, `zstd --long=31` 2 GiB, and a header can
/// ask for 3 TiB. Memory is taken as the stream fills it.
const ZSTD_WINDOW: u64 = 2 << 30;
/// The signatures of frames to be skipped: the last four bits are anything.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// The unpacked bytes of `input`, all streams of it one after the other.
pub(crate) fn open(compression: Compression, input: impl BufRead + 'static) -> Box<dyn Read> {
    let input: Input = Box::new(input);
    match compression {
        Compression::Gzip => Box::new(GzipMembers { member: Some(GzDecoder::new(input)), rest: None }),
        Compression::Xz => Box::new(XzReader::new_mem_limit(input, true, XZ_MEMORY)),
        Compression::Lzma => match LzmaReader::new_mem_limit(input, XZ_MEMORY, None) {
            Ok(reader) => Box::new(reader),
            Err(error) => Box::new(Failed(Some(error))),
        },
        Compression::Zstd => Box::new(Frames::new(input, Decoder::new(ZSTD_WINDOW))),
        Compression::Lz4 => Box::new(Lz4Frames { frame: None, rest: Some(input) }),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(input)),
        Compression::Avml => Box::new(AvmlRanges::new(input)),
        Compression::Tar => Box::new(input),
    }
}

/// A stream whose header already is wrong.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Members in a row, as `cat` makes them, and zeroes after the last one, as tapes and file systems pad files: gzip passes over these
/// without a word.
struct GzipMembers {
    member: Option<GzDecoder<Input>>,
    rest: Option<Input>,
}

impl Read for GzipMembers {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(member) = &mut self.member {
                let count = member.read(buf)?;
                if count > 0 {
                    return Ok(count);
                }
                self.rest = self.member.take().map(GzDecoder::into_inner);
            }
            let Some(mut input) = self.rest.take() else { return Ok(0) };
            skip_zeroes(&mut input)?;
            if input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.member = Some(GzDecoder::new(input));
        }
    }
}

fn skip_zeroes(input: &mut Input) -> io::Result<()> {
    loop {
        let bytes = input.fill_buf()?;
        let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_over = zeroes == 0 || zeroes < bytes.len();
        input.consume(zeroes);
        if is_over {
            return Ok(());
        }
    }
}

/// Frames in a row, as `cat` makes them; some are to be skipped.
struct Lz4Frames {
    frame: Option<Lz4Frame<Input>>,
    rest: Option<Input>,
}

impl Read for Lz4Frames {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(buf)?;
                if count > 0 {
                    return Ok(count);
                }
                self.rest = self.frame.take().map(Lz4Frame::into_inner);
            }
            let Some(mut input) = self.rest.take() else { return Ok(0) };
            skip_frames(&mut input)?;
            if input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = Some(Lz4Frame::new(input));
        }
    }
}

/// Passes over frames that are to be skipped: u32 signature, u32 length, as many bytes.
fn skip_frames(input: &mut Input) -> io::Result<()> {
    while let [first, second, third, fourth, ..] = *input.fill_buf()?
        && first & 0xf0 == 0x50
        && [second, third, fourth] == SKIPPABLE
    {
        let mut head = [0; 8];
        input.read_exact(&mut head)?;
        let [.., a, b, c, d] = head;
        skip(input, u32::from_le_bytes([a, b, c, d]).into())?;
    }
    Ok(())
}
