//! VMCOREINFO: the crashed kernel's description of itself, lines of `KEY=value`.
//!
//! ```text
//! OSRELEASE=6.1.0-30-cloud-amd64        BUILD-ID=<hex>            PAGESIZE=4096
//! SYMBOL(init_task)=<hex address>       SIZE(page)=64             OFFSET(page.flags)=0
//! LENGTH(mem_section)=2048              NUMBER(phys_base)=<decimal, may be negative>
//! KERNELOFFSET=<hex>                    CRASHTIME=<decimal seconds>
//! ```
//!
//! Source: `kernel/vmcore_info.c` (before 6.9 `kernel/crash_core.c`) and `Documentation/admin-guide/kdump/vmcoreinfo.rst`.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use vmcore_memory::VirtAddr;
use vmcore_os::open_input;

use crate::OpenError;

/// The kernel gives it a page of 4 KiB. Text beyond this is not read.
const MAX_LEN: usize = 1 << 20;

/// A parsed VMCOREINFO. Lines that are not `KEY=value` are skipped; of two lines with one key the first counts.
#[derive(Clone, Debug)]
pub struct Vmcoreinfo {
    text: String,
    values: HashMap<Box<str>, Box<str>>,
}

impl Vmcoreinfo {
    /// Reads the note's contents. Nothing is refused: what does not parse is simply not there to be found.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        // The kernel hands over a whole page, QEMU what the guest announced: the text ends at the first zero.
        let bytes = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
        let bytes = bytes.get(..MAX_LEN).unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut values = HashMap::new();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            values.entry(Box::from(key)).or_insert_with(|| Box::from(value.trim()));
        }
        Self { text, values }
    }

    /// Reads the text of a note from a file.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unreadable`], and [`OpenError::NotVmcoreinfo`] for text that is none.
    pub fn read_text(path: &Path) -> Result<Vec<u8>, OpenError> {
        let unreadable = |cause| OpenError::Unreadable { path: path.to_owned(), cause };
        let not_one = |reason| OpenError::NotVmcoreinfo { path: path.to_owned(), reason };
        let mut text = Vec::new();
        open_input(path).map_err(unreadable)?.take(MAX_LEN as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() > MAX_LEN {
            return Err(not_one("it has more than 1 MiB"));
        }
        if !Self::parse(&text).is_plausible() {
            return Err(not_one("it has no SYMBOL lines, or neither KERNELOFFSET nor PAGESIZE"));
        }
        Ok(text)
    }

    /// Whether there is a line with a value in it.
    pub(crate) fn says_anything(&self) -> bool {
        !self.values.is_empty()
    }

    /// Whether this can be a kernel's description of itself rather than any text with a `=` in it.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let says = |key| self.values.contains_key(key);
        (says("KERNELOFFSET") || says("PAGESIZE")) && self.values.keys().any(|key| key.starts_with("SYMBOL("))
    }

    /// The text as found. Bytes that are not UTF-8 are replaced; it is not safe to print on a terminal.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of the line `key=`, without surrounding white space.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(AsRef::as_ref)
    }

    /// `SYMBOL(name)`: the address of a symbol, relocation by KASLR included.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<VirtAddr> {
        parse_hex(self.get(&format!("SYMBOL({name})"))?).map(VirtAddr::new)
    }

    /// `SIZE(name)`: the size of a type in bytes.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<u64> {
        self.get(&format!("SIZE({name})"))?.parse().ok()
    }

    /// `OFFSET(type.member)`: the offset of a member in bytes.
    #[must_use]
    pub fn offset(&self, member: &str) -> Option<u64> {
        self.get(&format!("OFFSET({member})"))?.parse().ok()
    }

    /// `LENGTH(name)`: the number of an array's elements.
    #[must_use]
    pub fn length(&self, name: &str) -> Option<u64> {
        self.get(&format!("LENGTH({name})"))?.parse().ok()
    }

    /// `NUMBER(name)`: the value of an enumerator, macro or variable.
    ///
    /// Decimal, or hexadecimal where it starts with `0x`. A value above `i64::MAX` is returned as the negative number
    /// with the same 64 bits, which is also how the kernel itself prints most of those.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        let value = self.get(&format!("NUMBER({name})"))?;
        match value.strip_prefix("0x") {
            Some(hex) => parse_hex(hex).map(u64::cast_signed),
            None => value.parse().ok().or_else(|| value.parse().ok().map(u64::cast_signed)),
        }
    }

    /// `OSRELEASE`: what `uname -r` printed on the machine.
    #[must_use]
    pub fn osrelease(&self) -> Option<&str> {
        self.get("OSRELEASE")
    }

    /// `BUILD-ID`: the kernel's build id. Kernels before 5.9 do not have it.
    #[must_use]
    pub fn build_id(&self) -> Option<Vec<u8>> {
        let hex = self.get("BUILD-ID")?.as_bytes();
        if hex.is_empty() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        hex.chunks(2)
            .map(|pair| match *pair {
                [high, low] => Some(digit(high)? << 4 | digit(low)?),
                _ => None,
            })
            .collect()
    }

    /// `KERNELOFFSET`: how far KASLR moved the kernel's text up, in bytes; 0 where it did not move it.
    #[must_use]
    pub fn kerneloffset(&self) -> Option<u64> {
        parse_hex(self.get("KERNELOFFSET")?)
    }

    /// `CRASHTIME`: when the machine crashed, in seconds since 1970. Only a kernel that saw its own crash writes it.
    #[must_use]
    pub fn crash_time(&self) -> Option<i64> {
        self.get("CRASHTIME")?.parse().ok()
    }
}

fn parse_hex(text: &str) -> Option<u64> {
    // `from_str_radix` would take a sign too.
    if text.starts_with('+') {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vmcoreinfo {
        Vmcoreinfo::parse(
            b"OSRELEASE=6.1.0\nBUILD-ID=0aFf\nSYMBOL(init_task)=ffffffff82a1aa40\nSIZE(page)=64\n\
              OFFSET(page.flags)=0\nLENGTH(zone.free_area)=11\nNUMBER(phys_base)=-1048576\nNUMBER(mask)=0xffffffffffffffff\n\
              NUMBER(big)=18446744073709551615\nKERNELOFFSET=1a000000\nCRASHTIME=1700000000\nno line\nSIZE(page)=1\n\0\0SIZE(x)=1",
        )
    }

    #[test]
    fn every_kind_of_line() {
        let info = sample();
        assert_eq!(info.osrelease(), Some("6.1.0"));
        assert_eq!(info.build_id(), Some(vec![0x0a, 0xff]));
        assert_eq!(info.symbol("init_task"), Some(VirtAddr::new(0xffff_ffff_82a1_aa40)));
        assert_eq!(
            (info.size("page"), info.offset("page.flags"), info.length("zone.free_area")),
            (Some(64), Some(0), Some(11))
        );
        assert_eq!(
            (info.number("phys_base"), info.number("mask"), info.number("big")),
            (Some(-1_048_576), Some(-1), Some(-1))
        );
        assert_eq!((info.kerneloffset(), info.crash_time()), (Some(0x1a00_0000), Some(1_700_000_000)));
    }

    #[test]
    fn any_text_is_not_a_vmcoreinfo() {
        assert!(sample().is_plausible());
        let texts = ["", "A=1\n", "PAGESIZE=4096\n", "SYMBOL(a)=1\n", "PAGESIZE=1\nSIZE(a)=1\n"];
        assert!(texts.iter().all(|text| !Vmcoreinfo::parse(text.as_bytes()).is_plausible()));
    }

    #[test]
    fn what_is_not_there_or_not_a_number() {
        let info = sample();
        assert_eq!((info.size("x"), info.symbol("nothing"), info.get("no line")), (None, None, None));
        let odd = Vmcoreinfo::parse(b"BUILD-ID=abc\nSYMBOL(a)=+1\nSIZE(b)=\xff\n=\n");
        assert_eq!((odd.build_id(), odd.symbol("a"), odd.size("b")), (None, None, None));
        assert_eq!(Vmcoreinfo::parse(b"BUILD-ID=\n").build_id(), None);
    }
}
