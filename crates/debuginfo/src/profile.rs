//! Profiles: what an analysis needs of a vmlinux, in a few megabytes.
//!
//! A profile is itself an ELF file that [`Vmlinux::open`] reads like any other. It holds
//!
//! - the symbol table without what nobody looks up: the compiler's own labels in data, and the padding before functions
//!   (`__pfx_*`, whose addresses have no symbol, or the label before it, in a profile),
//! - `.BTF`, the ORC unwind sections and `.debug_frame`, compressed,
//! - `.notes` with the build-id, and the bytes of `linux_banner`,
//! - all other allocated sections as places in memory without contents, so that symbols keep their sections.
//!
//! Of DWARF it has nothing else, so no source lines.

use std::io::{self, Write};

use crate::{
    Vmlinux,
    elf::{
        Section,
        write::{Contents, NewSection, NewSymbol, write},
    },
};

/// Sections that are kept, compressed.
const KEPT_COMPRESSED: [&str; 5] = [".BTF", ".orc_header", ".orc_unwind_ip", ".orc_unwind", ".debug_frame"];
/// Sections that are kept as they are.
const KEPT: [&str; 1] = [".notes"];
/// The section that holds the banner. No linker gives a section this name.
pub(crate) const BANNER: &str = ".rodata.linux_banner";

/// Writes the profile of `vmlinux`.
///
/// # Errors
///
/// Those of `out`, and [`io::ErrorKind::InvalidData`] where `vmlinux` cannot be expressed as a profile.
pub fn write_profile(vmlinux: &Vmlinux, out: &mut impl Write) -> io::Result<()> {
    let mut sections = Vec::new();
    // The new number of each section; 0 for those that are left out.
    let mut numbers = vec![0];
    for section in vmlinux.elf().sections.iter().skip(1) {
        let kept = keep(vmlinux, section);
        numbers.push(if kept.is_some() { u16::try_from(sections.len() + 1).map_err(io::Error::other)? } else { 0 });
        sections.extend(kept);
    }
    if let (Some(address), Some(banner)) = (vmlinux.symbols().address("linux_banner"), vmlinux.banner_bytes()) {
        sections.push(NewSection {
            name: BANNER.into(),
            kind: object::elf::SHT_PROGBITS.0,
            flags: object::elf::SHF_ALLOC.0,
            address: address.get(),
            align: 1,
            contents: Contents::Bytes(banner.into()),
        });
    }
    let symbols: Vec<NewSymbol<'_>> = vmlinux.symbols().worth_keeping(&numbers).collect();
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    out.write_all(&write(&sections, &symbols).map_err(invalid)?)
}

/// What becomes of a section; `None` where nothing does.
fn keep<'vmlinux>(vmlinux: &'vmlinux Vmlinux, section: &'vmlinux Section) -> Option<NewSection<'vmlinux>> {
    let name = section.name.as_str();
    let data = |name| vmlinux.section(name).map(|section| section.data);
    let (flags, contents) = if KEPT_COMPRESSED.contains(&name) {
        // A compressed section cannot be one of the kernel's memory. Its address stays, for the reader of ORC.
        (0, Contents::Compressed(data(name)?))
    } else if KEPT.contains(&name) {
        (section.memory_flags(), Contents::Bytes(data(name)?))
    } else if section.is_allocated() {
        (section.memory_flags(), Contents::Nothing { size: section.size })
    } else {
        return None;
    };
    let align = section.align.min(8);
    Some(NewSection { name: name.into(), kind: section.kind(), flags, address: section.address, align, contents })
}

#[cfg(test)]
mod tests {
    use vmcore_memory::VirtAddr;

    use super::*;
    use crate::VmlinuxKind;
    use crate::fixture::{Fixture, RODATA, TEXT, open};

    #[test]
    fn a_profile_answers_like_its_vmlinux() {
        let vmlinux = Fixture::with_dwarf(5, true).open();
        let mut bytes = Vec::new();
        write_profile(&vmlinux, &mut bytes).unwrap();
        let profile = open(&bytes).unwrap();
        assert_eq!(profile.build_id(), vmlinux.build_id());
        assert!(profile.banner().is_some() && profile.banner() == vmlinux.banner());
        for section in [".orc_unwind_ip", ".orc_unwind"] {
            assert!(profile.section(section).is_some() && profile.section(section) == vmlinux.section(section));
        }
        for name in ["schedule", "handler", "helper", "runqueues", "absolute", "_etext", "table", "nothing"] {
            let addresses = |vmlinux: &Vmlinux| vmlinux.symbols().addresses(name).collect::<Vec<_>>();
            assert_eq!(addresses(&profile), addresses(&vmlinux), "{name}");
            assert_eq!(profile.symbols().address(name), vmlinux.symbols().address(name), "{name}");
        }
        for address in (TEXT + 0x100..TEXT + 0x1000).chain(RODATA..RODATA + 0x100).map(VirtAddr::new) {
            assert_eq!(profile.symbols().lookup(address), vmlinux.symbols().lookup(address), "{address}");
        }
        assert_eq!((vmlinux.kind(), profile.kind()), (VmlinuxKind::File, VmlinuxKind::Profile));
        assert!(profile.source().is_none());
        assert!(profile.symbols().len() < vmlinux.symbols().len());
    }

    #[test]
    fn errors_of_the_destination_are_passed_on() {
        let vmlinux = Fixture::new().open();
        let mut full: &mut [u8] = &mut [0; 100];
        assert_eq!(write_profile(&vmlinux, &mut full).unwrap_err().kind(), io::ErrorKind::WriteZero);
    }
}
