//! Lines that a mail's quoted-printable encoding broke: `=` at the end of a piece says that the line goes on.
//!
//! Encoders break as late as they may, so a shorter line that ends in `=` is the kernel's own. So is one that ends in several, as
//! the rule above a sanitizer's report does: an encoder escapes each of them.
//!
//! Source: RFC 2045, section 6.7: lines have at most 76 characters, soft line breaks, `=3D` for `=`.

use std::borrow::Cow;

/// The lengths that a piece can have, with its `=`: an encoder breaks before an escape or a character of several bytes.
const PIECE: std::ops::RangeInclusive<usize> = 66..=76;
/// More than this is no line of a kernel's.
const MAX_LINE: usize = crate::clean::MAX_LINE;

/// Pieces of a line, until the last one comes.
#[derive(Debug, Default)]
pub(crate) struct SoftBreaks {
    pieces: Vec<u8>,
    count: u64,
    /// Whether any line was broken so far: `=` itself is escaped, too.
    seen: bool,
}

/// A whole line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Whole<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    /// As many more lines of the file it takes than one.
    pub(crate) more_lines: u64,
}

impl SoftBreaks {
    /// A line of the file; `None` while more of it follows.
    pub(crate) fn line<'a>(&mut self, bytes: &'a [u8]) -> Option<Whole<'a>> {
        let end = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if let Some(piece) = end.strip_suffix(b"=").filter(|piece| PIECE.contains(&end.len()) && !piece.ends_with(b"="))
            && self.pieces.len() + piece.len() <= MAX_LINE
        {
            self.pieces.extend_from_slice(piece);
            self.count += 1;
            self.seen = true;
            return None;
        }
        if self.count == 0 {
            return Some(Whole { bytes: self.unescaped(bytes), more_lines: 0 });
        }
        let (pieces, more_lines) = (std::mem::take(&mut self.pieces), std::mem::take(&mut self.count));
        let joined = [pieces.as_slice(), bytes].concat();
        Some(Whole { bytes: self.unescaped(&joined).into_owned().into(), more_lines })
    }

    /// What is left where the file ends in the middle of a line.
    pub(crate) fn rest(&mut self) -> Option<Whole<'static>> {
        let more_lines = std::mem::take(&mut self.count).checked_sub(1)?;
        Some(Whole { bytes: std::mem::take(&mut self.pieces).into(), more_lines })
    }

    fn unescaped<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let escapes = if self.seen { memchr::memmem::find_iter(bytes, "=3D").collect() } else { Vec::new() };
        if escapes.is_empty() {
            return bytes.into();
        }
        let mut text = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for at in escapes {
            text.extend_from_slice(bytes.get(from..=at).unwrap_or_default());
            from = at + 3;
        }
        text.extend_from_slice(bytes.get(from..).unwrap_or_default());
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Log;

    #[test]
    fn a_line_ends_where_no_break_is() {
        let mut breaks = SoftBreaks::default();
        let piece = format!("{:0>65}=", "x");
        assert_eq!(
            breaks.line(b"root=3D1 and ="),
            Some(Whole { bytes: b"root=3D1 and =".as_slice().into(), more_lines: 0 })
        );
        assert_eq!(breaks.line(piece.as_bytes()), None);
        let whole = breaks.line(b"y=3Dz\r").unwrap();
        assert_eq!(whole.bytes, format!("{:0>65}y=z\r", "x").into_bytes());
        assert_eq!((whole.more_lines, breaks.rest()), (1, None));
        assert_eq!(breaks.line(piece.as_bytes()), None);
        assert_eq!(breaks.rest().unwrap().bytes.len(), 65);
    }

    #[test]
    fn the_rule_above_a_report_of_a_sanitizer_is_whole() {
        let rule = "=".repeat(66);
        let log = Log::read(format!("{rule}\nBUG: KASAN: use-after-free in foo+0x1/0x2\n").as_bytes()).unwrap();
        assert_eq!((log.events.len(), log.extent.lines), (1, 2));
    }

    #[test]
    fn a_line_that_never_ends_is_bounded() {
        let mut breaks = SoftBreaks::default();
        let piece = format!("{:x>75}=", "");
        let longest = (0..1000).filter_map(|_| breaks.line(piece.as_bytes())).map(|whole| whole.bytes.len()).max();
        assert!(longest.unwrap() <= MAX_LINE + 76);
    }

    #[test]
    fn a_hung_task_in_a_mail() {
        let log = Log::read(
            "Jun 26 12:23:15 station kernel: [87603.066176] INFO: task kworker/u16:9=
:7088
blocked for more than 120 seconds.
Jun 26 12:23:15 station kernel: [87603.066178]      Tainted: G W 5.0.0-19=
-generic
#20-Ubuntu
Jun 26 12:23:15 station kernel: [87603.066211] Call Trace:
Jun 26 12:23:15 station kernel: [87603.066216] __schedule+0x2d0/0x840
"
            .as_bytes(),
        )
        .unwrap();
        let [hung] = &log.events[..] else { panic!("{log:?}") };
        assert_eq!((hung.event.pid, hung.event.comm.as_deref(), hung.line), (Some(7088), Some("kworker/u16:9"), 0));
        assert_eq!(log.machine.release.as_deref(), Some("5.0.0-19-generic"));
        assert_eq!(log.extent.lines, 8);
    }
}
