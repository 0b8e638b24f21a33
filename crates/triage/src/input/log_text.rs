//! Whether a text is a kernel's log.
//!
//! It may begin with anything: a serial capture with the firmware's and the boot loader's words, `/var/log/messages` with what
//! services say. So it is read until there is a line of a kernel, unpacked where it is compressed.

use std::io::{self, BufRead, BufReader, Cursor};
use std::path::Path;

use vmcore_dump::unpacked;
use vmcore_os::open_file_or_disk;

/// Bytes of a text that are looked at, unpacked.
const LIMIT: usize = 64 << 20;
/// Bytes of a file that are read at a time.
const BLOCK: usize = 64 << 10;
/// Bytes of a line that are looked at: the kernel's have a thousand.
const LINE: usize = 4 << 10;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// A log of a kernel.
    KernelLog,
    /// No line of it is a kernel's.
    Other,
    /// As far as it was looked at, no line is.
    Unknown,
}

impl Text {
    /// Why one of which only a part was looked at is passed over.
    pub(super) const UNKNOWN: &'static str = "no kernel log as far as it was looked at, which is not to its end";

    /// Of a file.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened, or its first bytes not be read.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        unpacked(BufReader::with_capacity(BLOCK, open_file_or_disk(path)?)).map(Self::of)
    }

    /// Of a file of which there is only the beginning, or all of it.
    pub(super) fn of_head(head: &[u8], is_whole: bool) -> Self {
        let text = unpacked(Cursor::new(head.to_vec())).map_or(Self::Unknown, Self::of);
        if text == Self::Other && !is_whole { Self::Unknown } else { text }
    }

    fn of(mut text: impl BufRead) -> Self {
        let mut seen = 0;
        // Of the line in which the last block ended.
        let mut begun: Vec<u8> = Vec::new();
        loop {
            let Ok(block) = text.fill_buf() else { return Self::Unknown };
            let len = block.len();
            let mut lines = block.split(|&byte| byte == b'\n').peekable();
            if len == 0 {
                return if is_kernel_line(&begun) { Self::KernelLog } else { Self::Other };
            }
            while let Some(line) = lines.next() {
                let room = LINE.saturating_sub(begun.len()).min(line.len());
                begun.extend(line.get(..room).unwrap_or_default());
                if lines.peek().is_some() {
                    if is_kernel_line(&begun) {
                        return Self::KernelLog;
                    }
                    begun.clear();
                }
            }
            text.consume(len);
            seen += len;
            if seen >= LIMIT {
                return Self::Unknown;
            }
        }
    }
}

/// Whether the kernel printed a line: with a time stamp, by the word of a syslog, or of a panic.
fn is_kernel_line(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    if [" kernel: ", "Linux version ", "Kernel panic - ", "watchdog: BUG: "].iter().any(|text| line.contains(text)) {
        return true;
    }
    // `[    1.234567] `, perhaps behind a level or what a serial console's log puts in front.
    line.match_indices('[').any(|(at, _)| {
        let stamp = line.get(at + 1..).and_then(|rest| rest.split(']').next()).unwrap_or_default();
        let parts = stamp.trim_start().split_once('.');
        parts.is_some_and(|(seconds, micros)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits(seconds) && micros.len() == 6 && digits(micros)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE_OF_IT: &str = "[    1.234567] BUG: unable to handle page fault\n";

    #[test]
    fn a_line_is_found_wherever_it_is() {
        let services = "Nov 28 03:14:15 host sshd[1]: Accepted publickey\n".repeat(4000);
        for (text, expected) in [
            (String::new(), Text::Other),
            ("notes\n".to_owned(), Text::Other),
            (services.clone(), Text::Other),
            (format!("{services}{LINE_OF_IT}"), Text::KernelLog),
            (format!("{services}Nov 28 03:14:15 host kernel: BUG: x"), Text::KernelLog),
            ("x".repeat(1 << 20), Text::Other),
        ] {
            // However the blocks lie.
            for block in [1, 7, 4096, BLOCK] {
                assert_eq!(Text::of(BufReader::with_capacity(block, text.as_bytes())), expected, "{block}");
            }
        }
    }

    #[test]
    fn what_was_not_seen_is_not_known() {
        assert_eq!(Text::of_head(b"sshd\n", true), Text::Other);
        assert_eq!(Text::of_head(b"sshd\n", false), Text::Unknown);
        assert_eq!(Text::of_head(LINE_OF_IT.as_bytes(), false), Text::KernelLog);
        // A gzip stream that has only begun.
        assert_eq!(Text::of_head(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], false), Text::Unknown);
        assert_eq!(Text::of(BufReader::new(io::Read::take(io::repeat(b'x'), 1 << 40))), Text::Unknown);
    }
}
