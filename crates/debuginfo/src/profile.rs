//! Profiles: what an analysis needs of a vmlinux, in a few megabytes.
//!
//! A profile is itself an ELF file that [`Vmlinux::open`] reads like any other. It holds
//!
//! - the symbol table without what nobody looks up: the compiler's own labels in data, and the padding before functions
//!   (`__pfx_*`, whose addresses have no symbol, or the label before it, in a profile),
//! - `.BTF`, the ORC unwind sections and `.debug_frame`, compressed or, for [`ProfileCache`](crate::ProfileCache), as they
//!   are, so that only what is touched is read; where the vmlinux has its types in DWARF only (a kernel before 5.2, or one
//!   without `CONFIG_DEBUG_INFO_BTF`), they are written as BTF,
//! - `.notes` with the build-id, and the bytes of `linux_banner`,
//! - all other allocated sections as places in memory without contents, so that symbols keep their sections.
//!
//! Of DWARF it has nothing else, so no source lines.

use std::borrow::Cow;
use std::path::Path;

use crate::{
    BtfError, OpenError, TypesOrigin, Vmlinux,
    elf::{
        Role, Section,
        write::{Contents, NewSection, NewSymbol, write},
    },
    object_file::{ObjectFile, map},
    vmlinux::{BANNER, banner_text},
};

/// The section that holds the types.
const TYPES: &str = ".BTF";
/// Other sections whose contents are kept.
const KEPT_CONTENTS: [&str; 5] = [".orc_header", ".orc_unwind_ip", ".orc_unwind", ".debug_frame", ".eh_frame"];
/// Sections that are kept as they are.
const KEPT: [&str; 1] = [".notes"];

/// Symbols, types and sections that a profile is asked for before it is given out.
const ASKED_SYMBOLS: [&str; 7] = ["_stext", "_etext", "init_task", "runqueues", "modules", "linux_banner", "swap_info"];
const ASKED_TYPES: [&str; 7] = ["task_struct", "rq", "page", "mm_struct", "module", "list_head", "thread_info"];
const ASKED_SECTIONS: [&str; 5] = [".orc_header", ".orc_unwind_ip", ".orc_unwind", ".debug_frame", ".eh_frame"];

/// Why there is no profile of a vmlinux.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No analysis could use it.
    #[error("the vmlinux has no types, neither BTF nor DWARF, so no analysis could use a profile of it")]
    NoTypes,
    /// It has BTF, which cannot be read, and no DWARF.
    #[error("the vmlinux has no types that can be read, so no analysis could use a profile of it: {0}")]
    RefusedTypes(BtfError),
    /// The vmlinux has more than the format can express.
    #[error("the vmlinux cannot be expressed as a profile: {0}")]
    Inexpressible(String),
    /// What was made cannot be opened.
    #[error("the profile made from the vmlinux cannot be opened: {0}")]
    Unreadable(#[from] OpenError),
    /// What was made answers otherwise than the vmlinux.
    #[error("the profile made from the vmlinux does not match it: {what}")]
    Differs {
        /// The question.
        what: String,
    },
}

impl ProfileError {
    /// What the user can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoTypes => "give the unstripped vmlinux of the kernel's debug-information package",
            Self::RefusedTypes(problem) => problem.hint(),
            Self::Inexpressible(_) | Self::Unreadable(_) | Self::Differs { .. } => {
                "analyze with the vmlinux itself, and check that it is whole"
            }
        }
    }
}

/// Which kernel a profile is of. From the file: untrusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileIdentity {
    /// The GNU build-id.
    pub build_id: Option<Vec<u8>>,
    /// The kernel's banner, "Linux version ...", without its newline.
    pub banner: Option<String>,
}

/// How the contents of sections are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Small,
    Mappable,
}

impl Packing {
    const fn contents(self, bytes: Cow<'_, [u8]>) -> Contents<'_> {
        match self {
            Self::Small => Contents::Compressed(bytes),
            Self::Mappable => Contents::Bytes(bytes),
        }
    }
}

/// A profile, as it would be in a file, and opened.
#[derive(Debug)]
pub struct Profile {
    bytes: Vec<u8>,
    opened: Vmlinux,
}

impl Profile {
    /// The profile of `vmlinux`. It has been opened and answers like it.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] where it could not be made, or is of no use.
    pub fn of(vmlinux: &Vmlinux) -> Result<Self, ProfileError> {
        Self::with(vmlinux, Packing::Small)
    }

    /// As [`Profile::of`], four times as large, and opened without being unpacked.
    ///
    /// # Errors
    ///
    /// As [`Profile::of`].
    pub fn mappable(vmlinux: &Vmlinux) -> Result<Self, ProfileError> {
        Self::with(vmlinux, Packing::Mappable)
    }

    fn with(vmlinux: &Vmlinux, packing: Packing) -> Result<Self, ProfileError> {
        let bytes = bytes(vmlinux, packing)?;
        let opened = Vmlinux::from_image(Path::new("the profile"), bytes.clone())?;
        match difference(vmlinux, &opened) {
            None => Ok(Self { bytes, opened }),
            Some(what) => Err(ProfileError::Differs { what }),
        }
    }

    /// Which kernel the profile at `path` is of; `None` where the file is something else. Nothing is read but the headers, the
    /// notes and the banner.
    ///
    /// # Errors
    ///
    /// [`OpenError`] where it cannot be read, or is no ELF executable of a machine that is known.
    pub fn identity(path: &Path) -> Result<Option<ProfileIdentity>, OpenError> {
        let (handle, bytes) = map(path)?;
        let file = ObjectFile::from_mapping(path, handle, bytes, Role::Vmlinux)?;
        Ok(file
            .section(BANNER)
            .map(|section| ProfileIdentity { build_id: file.elf.build_id.clone(), banner: banner_text(&section.data) }))
    }

    /// What to write to a file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The profile as [`Vmlinux::open`] would open that file.
    #[must_use]
    pub fn opened(&self) -> &Vmlinux {
        &self.opened
    }
}

/// What the two answer differently.
fn difference(vmlinux: &Vmlinux, profile: &Vmlinux) -> Option<String> {
    if vmlinux.build_id() != profile.build_id() {
        return Some("its build-id".into());
    }
    if vmlinux.banner() != profile.banner() {
        return Some("its banner".into());
    }
    let symbol = |name: &&str| vmlinux.symbols().address(name) != profile.symbols().address(name);
    let size = |name: &&str| vmlinux.types().size_of(name) != profile.types().size_of(name);
    let section = |name: &&str| {
        let data = |of: &Vmlinux| of.section(name).map(|section| (section.address, section.data.into_owned()));
        data(vmlinux) != data(profile)
    };
    let symbol = ASKED_SYMBOLS.into_iter().find(symbol).map(|name| format!("the symbol {name}"));
    symbol
        .or_else(|| Some(format!("the size of {}", ASKED_TYPES.into_iter().find(size)?)))
        .or_else(|| Some(format!("the section {}", ASKED_SECTIONS.into_iter().find(section)?)))
}

fn bytes(vmlinux: &Vmlinux, packing: Packing) -> Result<Vec<u8>, ProfileError> {
    let types = types(vmlinux)?;
    let mut sections = Vec::new();
    // The new number of each section; 0 for those that are left out.
    let mut numbers = vec![0];
    let inexpressible = |why: String| ProfileError::Inexpressible(why);
    for section in vmlinux.elf().sections.iter().skip(1) {
        let kept = keep(vmlinux, section, &types, packing);
        let number = u16::try_from(sections.len() + 1).map_err(|_| inexpressible("too many sections".into()))?;
        numbers.push(if kept.is_some() { number } else { 0 });
        sections.extend(kept);
    }
    if vmlinux.elf().section(TYPES).is_none() {
        let kind = object::elf::SHT_PROGBITS.0;
        let contents = packing.contents(types);
        sections.push(NewSection { name: TYPES.into(), kind, flags: 0, address: 0, align: 4, contents });
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
    write(vmlinux.elf().architecture, &sections, &symbols).map_err(|error| inexpressible(error.to_string()))
}

/// The types, as BTF.
fn types(vmlinux: &Vmlinux) -> Result<Cow<'_, [u8]>, ProfileError> {
    let blob = match vmlinux.types().origin() {
        TypesOrigin::Btf => vmlinux.section(TYPES).map(|section| section.data),
        TypesOrigin::Dwarf => vmlinux.types().dwarf_as_btf().map(Cow::from),
        TypesOrigin::Missing => None,
    };
    blob.ok_or_else(|| vmlinux.btf_problem().cloned().map_or(ProfileError::NoTypes, ProfileError::RefusedTypes))
}

/// What becomes of a section; `None` where nothing does.
fn keep<'vmlinux>(
    vmlinux: &'vmlinux Vmlinux,
    section: &'vmlinux Section,
    types: &Cow<'vmlinux, [u8]>,
    packing: Packing,
) -> Option<NewSection<'vmlinux>> {
    let name = section.name.as_str();
    let data = |name| vmlinux.section(name).map(|section| section.data);
    let (flags, contents) = if name == TYPES {
        (0, packing.contents(types.clone()))
    } else if let Some(contents) = KEPT_CONTENTS.contains(&name).then(|| data(name)).flatten() {
        // A compressed section cannot be one of the kernel's memory. Its address stays, for the reader of ORC.
        (0, packing.contents(contents))
    } else if let Some(notes) = KEPT.contains(&name).then(|| data(name)).flatten() {
        (section.memory_flags(), Contents::Bytes(notes))
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
        let profile = open(Profile::of(&vmlinux).unwrap().bytes()).unwrap();
        assert_eq!((vmlinux.types().origin(), profile.types().origin()), (TypesOrigin::Dwarf, TypesOrigin::Btf));
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
    fn a_mappable_one_holds_its_sections_as_they_are() {
        let vmlinux = Fixture::with_dwarf(5, true).open();
        let small = Profile::of(&vmlinux).unwrap();
        let profile = Profile::mappable(&vmlinux).unwrap();
        assert_eq!(difference(&vmlinux, profile.opened()), None);
        assert_ne!(profile.bytes(), small.bytes());
        let orc = profile.opened().section(".orc_unwind").unwrap();
        assert!(matches!(orc.data, Cow::Borrowed(_)));
        assert_eq!(orc.data, small.opened().section(".orc_unwind").unwrap().data);
    }

    #[test]
    fn what_is_declared_and_not_there_stays_so() {
        let vmlinux = Fixture::with_dwarf(5, true).without_contents(".orc_unwind_ip").open();
        let profile = Profile::mappable(&vmlinux).unwrap();
        assert!(vmlinux.lacks_contents(".orc_unwind_ip") && profile.opened().lacks_contents(".orc_unwind_ip"));
    }

    #[test]
    fn types_from_dwarf_answer_like_it() {
        for (version, aranges) in [(4, true), (5, true), (5, false)] {
            let vmlinux = Fixture::with_dwarf(version, aranges).open();
            let profile = Profile::of(&vmlinux).unwrap();
            let profile = profile.opened();
            let (ours, theirs) = (profile.types(), vmlinux.types());
            for name in ["struct task", "task", "pid_t", "union task", "enum mode", "int", "char", "nothing"] {
                assert_eq!(ours.size_of(name), theirs.size_of(name), "{name}");
                assert_eq!(ours.member_names(name), theirs.member_names(name), "{name}");
            }
            for member in ["pid", "old", "now", "next", "next.pid", "mode", "run", "grid[7]", "more[2]", "nothing"] {
                assert_eq!(ours.member("task", member), theirs.member("task", member), "{member}");
            }
            for enumerator in ["OFF", "ON", "MAYBE"] {
                assert_eq!(ours.enumerator(enumerator), theirs.enumerator(enumerator), "{enumerator}");
                assert_eq!(ours.enumerator_of("mode", enumerator), theirs.enumerator_of("mode", enumerator));
            }
            for variable in ["tasks", "schedule"] {
                assert_eq!(ours.variable_array_len(variable), theirs.variable_array_len(variable), "{variable}");
                assert_eq!(ours.variable_type_size(variable), theirs.variable_type_size(variable), "{variable}");
            }
        }
    }

    #[test]
    fn a_vmlinux_without_types_makes_no_profile() {
        assert!(matches!(Profile::of(&Fixture::new().open()), Err(ProfileError::NoTypes)));
        let with_btf = |mut fixture: Fixture| {
            fixture.add(".BTF", 0, 0, Contents::Bytes(vec![0x9f, 0xeb, 9, 0].into()));
            fixture.open()
        };
        let refused = Profile::of(&with_btf(Fixture::new())).unwrap_err();
        assert!(matches!(refused, ProfileError::RefusedTypes(BtfError::UnknownVersion { found: 9 })));
        let vmlinux = with_btf(Fixture::with_dwarf(5, true));
        assert!(Profile::of(&vmlinux).unwrap().opened().types().has_type("struct task"), "DWARF stands in");
    }

    #[test]
    fn one_that_answers_otherwise_is_noticed() {
        let vmlinux = Fixture::with_dwarf(5, true).open();
        assert_eq!(difference(&vmlinux, &vmlinux), None);
        let difference = difference(&vmlinux, &Fixture::new().open());
        assert!(difference.is_some(), "it has other sections");
    }
}
