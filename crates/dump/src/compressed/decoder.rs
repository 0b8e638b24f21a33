//! One reader of unpacked bytes for each way of compressing a file.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::Compression;

/// KiB that unpacking xz may use: `xz -9` needs 65 MiB, and a header can ask for 4 GiB.
const XZ_MEMORY: u32 = 512 << 10;
/// Bytes that a zstd stream may refer back over: `zstd --ultra -22` uses 128 MiB, and a header can ask for 3 TiB.
const ZSTD_WINDOW: u64 = 512 << 20;

/// The unpacked bytes of `input`, all streams of it one after the other.
pub(crate) fn open(compression: Compression, input: impl BufRead + 'static) -> Box<dyn Read> {
    match compression {
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Xz => Box::new(XzReader::new_mem_limit(input, true, XZ_MEMORY)),
        Compression::Zstd => Box::new(ZstdFrames { input, frame: None }),
    }
}

/// A zstd file is frames in a row, as `pzstd` and `cat` make them; some are to be skipped.
struct ZstdFrames<R> {
    input: R,
    frame: Option<FrameDecoder>,
}

impl<R: BufRead> ZstdFrames<R> {
    /// Begins the next frame; `None` after one to be skipped.
    fn next_frame(&mut self) -> io::Result<Option<FrameDecoder>> {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(ZSTD_WINDOW);
        match frame.init(&mut self.input) {
            Ok(()) => Ok(Some(frame)),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                io::copy(&mut self.input.by_ref().take(length.into()), &mut io::sink())?;
                Ok(None)
            }
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(frame) = &mut self.frame {
                while frame.can_collect() == 0 && !frame.is_finished() {
                    let one_more = BlockDecodingStrategy::UptoBlocks(1);
                    frame.decode_blocks(&mut self.input, one_more).map_err(io::Error::other)?;
                }
                let count = frame.read(buf)?;
                if count > 0 {
                    return Ok(count);
                }
                if frame.get_checksum_from_data().is_some_and(|sum| Some(sum) != frame.get_calculated_checksum()) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of a frame is wrong"));
                }
            }
            if self.input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.frame = self.next_frame()?;
        }
    }
}
