//! A vmlinux made of what the crashed kernel kept of itself: analysis without any debug file.
//!
//! ```text
//! VMCOREINFO      phys_base, KERNELOFFSET, and since 6.0 (kernel commit f09bddbd8661) where kallsyms is; before, and
//!                 without VMCOREINFO, kallsyms is found by its shape (`scan`)
//! kallsyms        all symbols, without sizes; with data only if the kernel has CONFIG_KALLSYMS_ALL: else see `variables`
//! __start_BTF ..  the types (CONFIG_DEBUG_INFO_BTF)
//! __start_orc_*   the unwind tables (CONFIG_UNWINDER_ORC), sorted when the kernel was built
//! linux_banner    the banner
//! ```
//!
//! All of this is in the kernel image, which is linear in physical memory: no page tables are needed. (On arm64, VMCOREINFO
//! has `kimage_voffset` in place of `phys_base`, and there is no other way to the tables.) What a debug file
//! has besides and a kernel has not: source lines, sizes of symbols, `.debug_frame`.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod image;
mod kallsyms;
mod parts;
mod scan;
mod supply;
mod variables;

use vmcore_debuginfo::{OpenError, Vmlinux};
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{Architecture, PhysAddr, ReadError, VirtAddr};

use crate::KernelError;
use crate::arch::x86_64::image::{IMAGE_BASE, MAX_IMAGE_SIZE};
use crate::frames;
use crate::frames::Sweep;
use crate::ground::x86_64::location::{KernelChoice, Role};
use image::Image;
use kallsyms::Kallsyms;
pub use kallsyms::KallsymsError;
use kallsyms::ValueKind;
use parts::SymbolizedImage;
use scan::Found;
pub use supply::sections_from_dump;

/// What the banner begins with.
const BANNER: &[u8; 14] = b"Linux version ";
/// Pages that are searched in all: 64 GiB.
const MAX_PAGES: u64 = 1 << 24;

/// The unwind tables: their sections, and the symbols around each.
const ORC_SECTIONS: [(&str, &str, &str); 3] = [
    (".orc_unwind_ip", "__start_orc_unwind_ip", "__stop_orc_unwind_ip"),
    (".orc_unwind", "__start_orc_unwind", "__stop_orc_unwind"),
    (".orc_header", "__start_orc_header", "__stop_orc_header"),
];
/// The same for the types.
const BTF_SECTION: (&str, &str, &str) = (".BTF", "__start_BTF", "__stop_BTF");

/// Why a kernel's own tables cannot stand in for a debug file.
#[derive(Debug, thiserror::Error)]
pub enum FallbackTablesError {
    /// Nothing but VMCOREINFO says where a kernel of arm64 is.
    #[error("{}", KernelError::NoVmcoreinfo)]
    NoVmcoreinfo,
    /// VMCOREINFO does not say where the kernel is.
    #[error("{0}")]
    Ground(String),
    /// Nothing says where the kernel is, and nothing in memory looks like its tables.
    #[error("no kernel's symbol table (kallsyms) with its banner was found in memory")]
    NotFound,
    /// The kernel does not say where its tables are, as kernels before 6.0, and they are not in its image either.
    #[error("VMCOREINFO has no {0}, and the kernel's image has no symbol table (kallsyms)")]
    NotInVmcoreinfo(&'static str),
    /// The tables are not in the dump.
    #[error("cannot read {what} at {address}: {source}")]
    Read {
        /// What should be there.
        what: &'static str,
        /// Where.
        address: VirtAddr,
        /// Why it could not be read.
        source: ReadError,
    },
    /// The symbols cannot be decoded.
    #[error(transparent)]
    Kallsyms(#[from] KallsymsError),
    /// What was decoded contradicts what else is known.
    #[error("kallsyms says that _stext is at {kallsyms}, VMCOREINFO says {vmcoreinfo}")]
    Contradiction {
        /// The run-time address by kallsyms; 0 where it has no such symbol.
        kallsyms: VirtAddr,
        /// The run-time address by VMCOREINFO.
        vmcoreinfo: VirtAddr,
    },
    /// The kernel was built without what is needed.
    #[error("the kernel has no {what} (it was built without {option})")]
    NotBuilt {
        /// What is missing.
        what: &'static str,
        /// The configuration option that would have built it.
        option: &'static str,
    },
    /// The tables make no vmlinux.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The vmlinux that the kernel in `dump` is able to describe.
///
/// Where VMCOREINFO does not lead to it, all memory is searched for it, and `sweep` says how far that has come; of several kernels in memory `choice` says which
/// is meant, as far as they are of different builds.
///
/// # Errors
///
/// [`FallbackTablesError`] where it does not describe enough to analyze it.
pub fn vmlinux_from_dump(dump: &Dump, choice: KernelChoice, sweep: &Sweep) -> Result<Vmlinux, FallbackTablesError> {
    let info = dump.vmcoreinfo();
    if dump.architecture() == Architecture::Arm64 {
        return by_vmcoreinfo(dump, info.ok_or(FallbackTablesError::NoVmcoreinfo)?);
    }
    let Some(info) = info else {
        return by_search(dump, choice, sweep).ok_or(FallbackTablesError::NotFound)?;
    };
    // An earlier kernel's VMCOREINFO leads to anything.
    by_vmcoreinfo(dump, info).or_else(|why| by_search(dump, choice, sweep).unwrap_or(Err(why)))
}

/// The kernel's own symbols, at link-time addresses: by what VMCOREINFO says of the image, else by their shape.
fn symbols_of(dump: &Dump) -> Option<Kallsyms> {
    let described = dump.vmcoreinfo().and_then(|info| described(dump, info).ok());
    let found = || match dump.architecture() {
        Architecture::X86_64 => found(dump, KernelChoice::Best, &Sweep::default()),
        Architecture::Arm64 => None,
    };
    described.or_else(found).map(|(_, symbols)| symbols)
}

/// By what VMCOREINFO says of the image.
fn by_vmcoreinfo(dump: &Dump, info: &Vmcoreinfo) -> Result<Vmlinux, FallbackTablesError> {
    let (image, symbols) = described(dump, info)?;
    let symbolized = SymbolizedImage { image, symbols: &symbols, build_id: info.build_id() };
    Ok(Vmlinux::from_parts(&symbolized.parts(dump.architecture())?)?)
}

fn described<'a>(dump: &'a Dump, info: &Vmcoreinfo) -> Result<(Image<'a>, Kallsyms), FallbackTablesError> {
    let image = Image::described(dump, info)?;
    let tables = match image.tables(info) {
        Err(FallbackTablesError::NotInVmcoreinfo(what)) => {
            image.search(dump, info).ok_or(FallbackTablesError::NotInVmcoreinfo(what))?
        }
        tables => tables?,
    };
    let symbols = tables.decode(image.kaslr_offset)?;
    image.check(&symbols, info)?;
    let symbols = variables::added_to(symbols, &image, info, dump.architecture());
    Ok((image, symbols))
}

/// By the shape of the tables alone; `None` where there are none, or none as `choice` has it.
fn by_search(dump: &Dump, choice: KernelChoice, sweep: &Sweep) -> Option<Result<Vmlinux, FallbackTablesError>> {
    let (image, symbols) = found(dump, choice, sweep)?;
    let symbolized = SymbolizedImage { image, symbols: &symbols, build_id: None };
    Some(symbolized.parts(dump.architecture()).and_then(|parts| Ok(Vmlinux::from_parts(&parts)?)))
}

fn found<'a>(dump: &'a Dump, choice: KernelChoice, sweep: &Sweep) -> Option<(Image<'a>, Kallsyms)> {
    let chunks = frames::chunks(dump, MAX_PAGES);
    sweep.begin(&chunks);
    let image_and_symbols = |found: Found| {
        if let ValueKind::PlaceRelative { place } = found.tables.kind {
            return Image::at_place(dump, PhysAddr::new(place), &found.tables);
        }
        let symbols = found.tables.decode(0).ok()?;
        Some((Image::around(dump, found.index, &symbols)?, symbols))
    };
    let memory = dump.apart();
    let (images, done) = (IMAGE_BASE..IMAGE_BASE + MAX_IMAGE_SIZE, |chunks: &[_]| sweep.done(chunks, dump));
    let found =
        dump.pass(|| best(scan::find(&memory, &chunks, images, &done).filter_map(image_and_symbols), choice))?;
    let (image, symbols) = found;
    let symbols = symbols.moved_back(image.kaslr_offset);
    Some((image, symbols))
}

/// The kernel that is meant. A crashed one is the only one of its kind; to tell that there is no better one than another,
/// all have to be found.
fn best<'a>(found: impl Iterator<Item = (Image<'a>, Kallsyms)>, choice: KernelChoice) -> Option<(Image<'a>, Kallsyms)> {
    let mut best: Option<(Role, (Image<'a>, Kallsyms))> = None;
    for (image, symbols) in found {
        let role = image.role(&symbols);
        match choice {
            KernelChoice::At(address) if !image.range(&symbols).is_some_and(|it| it.contains(&address)) => continue,
            KernelChoice::At(_) => return Some((image, symbols)),
            KernelChoice::Best if role == Role::Crashed => return Some((image, symbols)),
            KernelChoice::Best | KernelChoice::Number(_) => {}
        }
        if best.as_ref().is_none_or(|(best, _)| role > *best) {
            best = Some((role, (image, symbols)));
        }
    }
    best.map(|(_, found)| found)
}
