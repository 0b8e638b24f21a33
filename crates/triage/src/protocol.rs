//! What a run of `triage` and its workers say to each other, through pipes.
//!
//! ```text
//! request  u8 kind | u32 number of words | for each: u32 length, its bytes
//!          kind 1: the words of a command line, to be run in a copy of the worker
//!          kind 2: one word, the build-id of a kernel whose debug information is to be kept open
//! answer   i32 status, as wait(2) has it | u32 length of the output | u32 of the messages | both
//! ```
//! All numbers are little-endian. The other end is this same program; what it says is bounded all the same.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Words of a request, and bytes of all of them: more than a command line can have.
const MAX_WORDS: u32 = 1 << 16;
const MAX_BYTES: u32 = 4 << 20;

/// Bytes of output that a worker passes on: ten times what the largest document has.
pub const MAX_OUTPUT: u64 = 256 << 20;
/// Bytes of messages that a worker passes on.
pub const MAX_MESSAGES: u64 = 64 << 10;

/// What a worker is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To run this command line, without the name of the program.
    Run(Vec<OsString>),
    /// To keep the debug information of the kernel with this build-id open, if it is in the cache.
    Open(Vec<u8>),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// As `wait(2)` has it; 0 where debug information is open now.
    pub status: i32,
    /// What it wrote to standard output.
    pub output: Vec<u8>,
    /// What it wrote to standard error.
    pub messages: Vec<u8>,
}

impl Request {
    /// Sends it.
    ///
    /// # Errors
    ///
    /// Where the pipe is closed.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, words): (u8, Vec<&OsStr>) = match self {
            Self::Run(words) => (1, words.iter().map(OsString::as_os_str).collect()),
            Self::Open(build_id) => (2, vec![OsStr::from_bytes(build_id)]),
        };
        let mut bytes = vec![kind];
        bytes.extend(length(words.len())?);
        for word in words {
            bytes.extend(length(word.len())?);
            bytes.extend(word.as_bytes());
        }
        to.write_all(&bytes)?;
        to.flush()
    }

    /// Receives the next; `None` where there are no more.
    ///
    /// # Errors
    ///
    /// Where the pipe is closed in the middle of one, or it is none.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut kind = [0];
        if from.read(&mut kind)? == 0 {
            return Ok(None);
        }
        let count = number(from)?;
        let mut left = MAX_BYTES;
        let mut words = Vec::new();
        for _ in 0..count.min(MAX_WORDS) {
            let len = number(from)?;
            left = left.checked_sub(len).ok_or_else(not_understood)?;
            words.push(OsString::from_vec(bytes(from, len)?));
        }
        match (kind, words.as_slice()) {
            ([1], _) if count <= MAX_WORDS => Ok(Some(Self::Run(words))),
            ([2], [build_id]) => Ok(Some(Self::Open(build_id.as_bytes().to_vec()))),
            _ => Err(not_understood()),
        }
    }
}

impl Answer {
    /// Sends it.
    ///
    /// # Errors
    ///
    /// Where the pipe is closed.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        to.write_all(&self.status.to_le_bytes())?;
        to.write_all(&length(self.output.len())?)?;
        to.write_all(&length(self.messages.len())?)?;
        to.write_all(&self.output)?;
        to.write_all(&self.messages)?;
        to.flush()
    }

    /// Receives one.
    ///
    /// # Errors
    ///
    /// Where the pipe is closed in the middle of it, or it is none.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let status = number(from)?.cast_signed();
        let (output, messages) = (number(from)?, number(from)?);
        if u64::from(output) > MAX_OUTPUT || u64::from(messages) > MAX_MESSAGES {
            return Err(not_understood());
        }
        Ok(Self { status, output: bytes(from, output)?, messages: bytes(from, messages)? })
    }
}

fn length(len: usize) -> io::Result<[u8; 4]> {
    u32::try_from(len).map(u32::to_le_bytes).map_err(|_| not_understood())
}

fn number(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Exactly `len` bytes; memory is taken as they come.
fn bytes(from: &mut impl Read, len: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(len.into()).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == u64::from(len) { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "what came through the pipe is not understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let requests = [
            Request::Run(vec!["analyze".into(), OsString::from_vec(vec![b'/', 0xff, b'\n']), OsString::new()]),
            Request::Open(vec![0, 1, 0xff]),
        ];
        let mut pipe = Vec::new();
        for request in &requests {
            request.write(&mut pipe).unwrap();
        }
        let mut from = pipe.as_slice();
        assert_eq!(Request::read(&mut from).unwrap().as_ref(), requests.first());
        assert_eq!(Request::read(&mut from).unwrap().as_ref(), requests.last());
        assert_eq!(Request::read(&mut from).unwrap(), None);
        let answer = Answer { status: 0x0100, output: b"{}".to_vec(), messages: vec![7; 1000] };
        let mut pipe = Vec::new();
        answer.write(&mut pipe).unwrap();
        assert_eq!(Answer::read(&mut pipe.as_slice()).unwrap(), answer);
        for len in 0..pipe.len() {
            assert!(Answer::read(&mut &pipe[..len]).is_err(), "{len}");
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_else_is_refused(bytes: Vec<u8>) {
            let _ = Request::read(&mut bytes.as_slice());
            let _ = Answer::read(&mut bytes.as_slice());
        }
    }
}
