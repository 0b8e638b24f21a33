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
        Compression::Gzip => Box::new(InARow::<GzDecoder<Input>>::new(input)),
        Compression::Xz => Box::new(XzReader::new_mem_limit(input, true, XZ_MEMORY)),
        Compression::Lzma => match LzmaReader::new_mem_limit(input, XZ_MEMORY, None) {
            Ok(reader) => Box::new(reader),
            Err(error) => Box::new(Failed(Some(error))),
        },
        Compression::Zstd => Box::new(Frames::new(input, Decoder::new(ZSTD_WINDOW))),
        Compression::Lz4 => Box::new(InARow::<Lz4Frame<Input>>::new(input)),
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

/// One of several streams in a row, as `cat` makes them.
trait Stream: Read {
    fn begin(input: Input) -> Self;

    /// What comes after it.
    fn into_input(self) -> Input;

    /// Passes over what may stand before a stream, and after the last one.
    fn skip(input: &mut Input) -> io::Result<()>;
}

/// The bytes of all of them.
struct InARow<S> {
    stream: Option<S>,
    rest: Option<Input>,
}

impl<S: Stream> InARow<S> {
    fn new(input: Input) -> Self {
        Self { stream: None, rest: Some(input) }
    }
}

impl<S: Stream> Read for InARow<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(stream) = &mut self.stream {
                let count = stream.read(buf)?;
                if count > 0 {
                    return Ok(count);
                }
                self.rest = self.stream.take().map(S::into_input);
            }
            let Some(mut input) = self.rest.take() else { return Ok(0) };
            S::skip(&mut input)?;
            if input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.stream = Some(S::begin(input));
        }
    }
}

/// Zeroes after the last one are padding, of tapes and file systems: gzip passes over them without a word.
impl Stream for GzDecoder<Input> {
    fn begin(input: Input) -> Self {
        Self::new(input)
    }

    fn into_input(self) -> Input {
        self.into_inner()
    }

    fn skip(input: &mut Input) -> io::Result<()> {
        skip_zeroes(input)
    }
}

/// Some frames are to be skipped.
impl Stream for Lz4Frame<Input> {
    fn begin(input: Input) -> Self {
        Self::new(input)
    }

    fn into_input(self) -> Input {
        self.into_inner()
    }

    fn skip(input: &mut Input) -> io::Result<()> {
        skip_frames(input)
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
