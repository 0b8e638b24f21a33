//! A vmlinux put together from what a running kernel knows of itself, for a dump without debug files.
//!
//! A kernel with `CONFIG_KALLSYMS_ALL` and `CONFIG_DEBUG_INFO_BTF` keeps its symbol table, its types and its unwind
//! tables in memory. Whoever can read that memory collects them in [`ImageParts`]; here they become the same small ELF
//! image as a profile (see `profile.rs`), so that everything else sees one kind of vmlinux:
//!
//! ```text
//! .rodata.linux_banner   the banner                     .text, .init.text   places of code, no contents
//! .BTF, .orc_*           as collected, uncompressed     .image              place of everything, no contents
//! .note.gnu.build-id     the build-id                   .symtab             the symbols, without sizes
//! .unnamed               where not all variables have a symbol: nothing
//! ```

use std::{ops::Range, path::Path};

use vmcore_memory::{Architecture, VirtAddr};

use crate::{
    OpenError, PartSection, Vmlinux,
    elf::write::{Contents, NewSection, NewSymbol, write},
    vmlinux::BANNER,
};

/// Names the parts in errors, where a file has its path.
const NAME: &str = "the kernel's own tables";
/// `NT_GNU_BUILD_ID`.
const BUILD_ID_NOTE: u32 = 3;
/// A section that says that not all variables have a symbol.
const UNNAMED: &str = ".unnamed";
const BANNER_SYMBOL: &[u8] = b"linux_banner";

/// What a kernel knows of itself. All addresses are link-time addresses.
#[derive(Clone, Debug, Default)]
pub struct ImageParts<'a> {
    /// The machine that the kernel is for.
    pub architecture: Architecture,
    /// The symbols, in the order of their addresses.
    pub symbols: Vec<PartSymbol<'a>>,
    /// Where the image's code is, the most important range first.
    pub code: Vec<Range<VirtAddr>>,
    /// The whole image.
    pub image: Range<VirtAddr>,
    /// Sections with contents: `.BTF`, `.orc_unwind_ip`, `.orc_unwind`, `.orc_header`.
    pub sections: Vec<PartSection>,
    /// The version banner, as the variable `linux_banner` has it.
    pub banner: Option<Vec<u8>>,
    /// The GNU build-id.
    pub build_id: Option<Vec<u8>>,
    /// Whether there are variables that have no symbol.
    pub lacks_variables: bool,
}

/// A symbol of [`ImageParts`]. How many bytes belong to it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSymbol<'a> {
    /// Its name. Not trusted.
    pub name: &'a [u8],
    /// The letter that `nm` has for it: `T` is global code, `t` local code, `A` an absolute value, and so on.
    pub letter: u8,
    /// Its link-time address; of an absolute symbol, its value.
    pub address: VirtAddr,
}

impl Vmlinux {
    /// A vmlinux of `parts`. It has no source lines and no symbol sizes but that of the banner.
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`] where the parts cannot be expressed as an ELF image.
    pub fn from_parts(parts: &ImageParts<'_>) -> Result<Self, OpenError> {
        let damaged = |reason: String| OpenError::Damaged { path: Path::new(NAME).into(), reason };
        let sections = sections(parts);
        let symbols = symbols(parts, &sections);
        let image = write(parts.architecture, &sections, &symbols).map_err(|error| damaged(error.to_string()))?;
        Self::from_image(Path::new(NAME), image)
    }

    /// Whether it was made of parts in which not all variables have a symbol: that there is no symbol says nothing then.
    #[must_use]
    pub fn lacks_variables(&self) -> bool {
        self.lacks_contents(UNNAMED)
    }
}

fn sections<'a>(parts: &'a ImageParts<'_>) -> Vec<NewSection<'a>> {
    let alloc = object::elf::SHF_ALLOC.0;
    let mut sections = Vec::new();
    let mut add = |name: &'a str, kind, flags, address: VirtAddr, contents| {
        let address = address.get();
        sections.push(NewSection { name: name.into(), kind, flags, address, align: 4, contents });
    };
    let data = object::elf::SHT_PROGBITS.0;
    let banner = parts.symbols.iter().find(|symbol| symbol.name == BANNER_SYMBOL);
    if let (Some(symbol), Some(banner)) = (banner, &parts.banner) {
        add(BANNER, data, alloc, symbol.address, Contents::Bytes(banner.into()));
    }
    for (range, name) in parts.code.iter().zip([".text", ".init.text", ".text.2", ".text.3"]) {
        let size = range.end.get().saturating_sub(range.start.get());
        add(name, data, alloc | object::elf::SHF_EXECINSTR.0, range.start, Contents::Nothing { size });
    }
    let size = parts.image.end.get().saturating_sub(parts.image.start.get());
    add(".image", data, alloc, parts.image.start, Contents::Nothing { size });
    for section in &parts.sections {
        // Not of the kernel's memory in this image, as in a profile: otherwise they would claim symbols.
        add(section.name, data, 0, section.address, Contents::Bytes((&section.data).into()));
    }
    if parts.lacks_variables {
        add(UNNAMED, object::elf::SHT_NOBITS.0, 0, VirtAddr::default(), Contents::Nothing { size: 0 });
    }
    if let Some(build_id) = &parts.build_id {
        let note = Contents::Bytes(build_id_note(build_id).into());
        add(".note.gnu.build-id", object::elf::SHT_NOTE.0, 0, VirtAddr::default(), note);
    }
    sections
}

/// `u32 name length | u32 contents length | u32 type | name | contents`, each padded to 4 bytes.
fn build_id_note(build_id: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4, u32::try_from(build_id.len()).unwrap_or_default(), BUILD_ID_NOTE] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"GNU\0");
    note.extend(build_id);
    note.resize(note.len().next_multiple_of(4), 0);
    note
}

/// The symbols with the sections around them, local ones first, otherwise in their order.
fn symbols<'a>(parts: &ImageParts<'a>, sections: &[NewSection<'_>]) -> Vec<NewSymbol<'a>> {
    // Section numbers, where symbols may lie: in the first section that has their address.
    let spans: Vec<(u16, Range<u64>)> = sections
        .iter()
        .zip(1u16..)
        .filter(|(section, _)| section.flags & object::elf::SHF_ALLOC.0 != 0)
        .map(|(section, number)| {
            let size = match &section.contents {
                Contents::Nothing { size } => *size,
                Contents::Bytes(bytes) | Contents::Compressed(bytes) => bytes.len() as u64,
            };
            (number, section.address..section.address.saturating_add(size))
        })
        .collect();
    let banner_size = parts.banner.as_ref().map_or(0, |banner| banner.len() as u64);
    let mut symbols: Vec<_> = parts
        .symbols
        .iter()
        .map(|symbol| {
            let value = symbol.address.get();
            let around = spans.iter().find(|(_, span)| span.contains(&value));
            let absolute = matches!(symbol.letter, b'a' | b'A');
            let section = around.filter(|_| !absolute).map_or(object::elf::SHN_ABS.0, |(number, _)| *number);
            let size = if symbol.name == BANNER_SYMBOL { banner_size } else { 0 };
            NewSymbol { name: symbol.name, info: info(symbol.letter), section, value, size }
        })
        .collect();
    symbols.sort_by_key(|symbol| symbol.info >> 4 != object::elf::STB_LOCAL.0);
    symbols
}

/// `st_info` by the letter that `nm` would print. Source: `nm(1)`.
fn info(letter: u8) -> u8 {
    let binding = match letter {
        b'w' | b'W' | b'v' | b'V' => object::elf::STB_WEAK,
        b'u' => object::elf::STB_GLOBAL,
        letter if letter.is_ascii_uppercase() => object::elf::STB_GLOBAL,
        _ => object::elf::STB_LOCAL,
    };
    let kind = match letter {
        b't' | b'T' | b'w' | b'W' | b'i' => object::elf::STT_FUNC,
        b'a' | b'A' => object::elf::STT_NOTYPE,
        _ => object::elf::STT_OBJECT,
    };
    binding.0 << 4 | kind.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VmlinuxKind;

    const TEXT: u64 = 0xffff_ffff_8100_0000;
    const BANNER: &[u8] = b"Linux version 6.1.0 (builder) #1 SMP\n\0";

    fn range(start: u64, size: u64) -> Range<VirtAddr> {
        VirtAddr::new(start)..VirtAddr::new(start + size)
    }

    fn parts() -> ImageParts<'static> {
        let symbol = |name: &'static str, letter, address| PartSymbol {
            name: name.as_bytes(),
            letter,
            address: VirtAddr::new(address),
        };
        ImageParts {
            architecture: Architecture::X86_64,
            symbols: vec![
                symbol("runqueues", b'A', 0x340),
                symbol("_stext", b'T', TEXT),
                symbol("schedule", b'T', TEXT + 0x100),
                symbol("helper", b't', TEXT + 0x200),
                symbol("linux_banner", b'D', TEXT + 0x2000),
                symbol("helper", b'W', TEXT + 0x300),
                symbol("jiffies", b'D', TEXT + 0x3000),
            ],
            code: vec![range(TEXT, 0x1000)],
            image: range(TEXT, 0x10000),
            sections: vec![PartSection {
                name: ".orc_unwind",
                address: VirtAddr::new(TEXT + 0x4000),
                data: vec![9; 12],
            }],
            banner: Some(BANNER.to_vec()),
            build_id: Some(vec![0xab; 20]),
            lacks_variables: false,
        }
    }

    #[test]
    fn parts_answer_like_a_file() {
        let vmlinux = Vmlinux::from_parts(&parts()).unwrap();
        assert_eq!(vmlinux.kind(), VmlinuxKind::Parts);
        assert_eq!(vmlinux.build_id(), Some(&[0xab; 20][..]));
        assert_eq!(vmlinux.banner().as_deref(), Some("Linux version 6.1.0 (builder) #1 SMP"));
        let symbols = vmlinux.symbols();
        assert_eq!(symbols.address("runqueues"), Some(VirtAddr::new(0x340)));
        assert_eq!(symbols.address("helper"), Some(VirtAddr::new(TEXT + 0x300)), "weak before local");
        assert_eq!(symbols.address("jiffies"), Some(VirtAddr::new(TEXT + 0x3000)));
        assert_eq!(symbols.size("schedule"), None, "sizes are not known");
        let name = |offset| symbols.lookup(VirtAddr::new(TEXT + offset)).map(|symbol| symbol.name);
        assert_eq!(name(0x1ff), Some("schedule"));
        assert_eq!(name(0x200), Some("helper"));
        assert_eq!(symbols.lookup(VirtAddr::new(0x340)), None, "a per-CPU offset is no address");
        let orc = vmlinux.section(".orc_unwind").unwrap();
        assert_eq!((orc.address, &*orc.data), (VirtAddr::new(TEXT + 0x4000), &[9; 12][..]));
        assert!(vmlinux.source().is_none() && !vmlinux.lacks_variables());
        assert!(Vmlinux::from_parts(&ImageParts { lacks_variables: true, ..parts() }).unwrap().lacks_variables());
        assert_eq!(vmlinux.types().origin(), crate::TypesOrigin::Missing);
    }

    #[test]
    fn no_parts_at_all_are_a_vmlinux_that_knows_nothing() {
        let vmlinux = Vmlinux::from_parts(&ImageParts::default()).unwrap();
        assert_eq!((vmlinux.build_id(), vmlinux.banner(), vmlinux.symbols().address("schedule")), (None, None, None));
    }
}
