//! Names of other files in a file: where its debug information went.
//!
//! ```text
//! .gnu_debuglink      name | NUL | padding to 4 bytes | u32 CRC-32 of the whole file
//! .gnu_debugaltlink   name | NUL | build-id             dwz -m: what several files share
//! .debug_sup          the same since DWARF 5
//! ```
//! Source: the GDB manual, "Debugging Information in Separate Files"; DWARF 5 standard, section 7.3.6.

use vmcore_memory::le_u32;

/// Sections of a file whose debug information refers to that of another one.
pub(super) const SUPPLEMENT_LINKS: [&str; 2] = [".gnu_debugaltlink", ".debug_sup"];

/// The file that `strip` or `objcopy --only-keep-debug` left the debug information in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DebugLink {
    /// A file name without a directory. From the file, but safe to join to a path.
    pub(crate) name: String,
    /// Of all its bytes, as zlib computes it.
    pub(crate) crc: u32,
}

impl DebugLink {
    /// Reads the contents of `.gnu_debuglink`; `None` where they are damaged or would lead out of a directory.
    pub(super) fn parse(section: &[u8]) -> Option<Self> {
        let end = memchr::memchr(0, section)?;
        let name = String::from_utf8(section.get(..end)?.to_vec()).ok()?;
        let is_file_name = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        let crc = le_u32(section, end.checked_add(1)?.checked_next_multiple_of(4)?)?;
        is_file_name.then_some(Self { name, crc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_its_padding_and_a_checksum() {
        let link = DebugLink::parse(b"vmlinux.debug\0\0\0\x78\x56\x34\x12").unwrap();
        assert_eq!(link, DebugLink { name: "vmlinux.debug".into(), crc: 0x1234_5678 });
        assert_eq!(DebugLink::parse(b"abc\0\x01\0\0\0").unwrap().crc, 1, "no padding needed");
        for damaged in [&b""[..], b"name", b"name\0\0\0\0\x01\0\0", b"\0\0\0\0\x01\0\0\0"] {
            assert_eq!(DebugLink::parse(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_directory() {
        for name in ["../etc/passwd", "/etc/passwd", "..", "."] {
            let mut section = name.as_bytes().to_vec();
            section.push(0);
            section.resize(section.len().next_multiple_of(4) + 4, 0);
            assert_eq!(DebugLink::parse(&section), None, "{name}");
        }
    }
}
