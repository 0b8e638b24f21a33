//! A vmlinux made of what the crashed kernel kept of itself: analysis without any debug file.
//!
//! ```text
//! VMCOREINFO      phys_base, KERNELOFFSET, and since 6.0 (kernel commit f09bddbd8661) where kallsyms is; before, and
//!                 without VMCOREINFO, kallsyms is found by its shape (`scan`)
//! kallsyms        all symbols, without sizes; with data only if the kernel has CONFIG_KALLSYMS_ALL
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
mod kallsyms;
mod scan;
mod supply;

use std::ops::Range;

use vmcore_debuginfo::{ImageParts, OpenError, PartSection, PartSymbol, Vmlinux};
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{
    Architecture, MAX_READ, PAGE_SIZE, PhysAddr, ReadError, ReadPhysical, ReadVirtual, VirtAddr, le_u32, le_u64,
};

use crate::KernelError;
use crate::address_space::{AddressSpace, IMAGE_BASE, MAX_IMAGE_SIZE};
use crate::arch::arm64;
use crate::arch::x86_64::location;
use crate::arch::x86_64::location::{KernelChoice, Role};
use crate::frames;
use crate::frames::Sweep;
use crate::identity::build_id_in_memory;
pub use kallsyms::KallsymsError;
use kallsyms::{Kallsyms, MAX_SYMBOLS, RawTables, ValueKind};
use scan::Found;
pub use supply::sections_from_dump;

/// More than the names of any kernel take, compressed, in bytes; some 2 MiB are usual.
const MAX_NAMES: u64 = 32 << 20;
/// `kallsyms_token_table` in bytes, at most: the last token starts where a `u16` can say, and is shorter than this.
const MAX_TOKENS: u64 = (1 << 16) + 512;
/// What the banner begins with.
const BANNER: &[u8; 14] = b"Linux version ";
/// `CONFIG_PHYSICAL_START`: where `_text` is linked to, from `IMAGE_BASE` on.
const LINK_OFFSET: u64 = 16 << 20;
/// Pages that are searched in all: 64 GiB.
const MAX_PAGES: u64 = 1 << 24;
/// The longest banner that is read, in bytes.
const MAX_BANNER: usize = 512;

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
    let found = dump.pass(|| {
        best(scan::find(&memory, &chunks, &|chunks| sweep.done(chunks, dump)).filter_map(image_and_symbols), choice)
    })?;
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

/// The kernel image in memory.
struct Image<'a> {
    memory: AddressSpace<'a>,
    kaslr_offset: u64,
}

impl<'a> Image<'a> {
    /// The image where VMCOREINFO says that it is.
    fn described(dump: &'a Dump, info: &Vmcoreinfo) -> Result<Self, FallbackTablesError> {
        match dump.architecture() {
            Architecture::X86_64 => {
                let phys_base = info.number("phys_base");
                let phys_base = phys_base.ok_or(FallbackTablesError::NotInVmcoreinfo("NUMBER(phys_base)"))?;
                Ok(Self {
                    memory: AddressSpace::image_only(dump, phys_base.cast_unsigned()),
                    kaslr_offset: info.kerneloffset().unwrap_or(0),
                })
            }
            Architecture::Arm64 => {
                let ground =
                    arm64::Ground::read(info).map_err(|error| FallbackTablesError::Ground(error.to_string()))?;
                Ok(Self { memory: ground.memory(dump, None), kaslr_offset: ground.kaslr_offset })
            }
        }
    }

    /// The image that holds the table at `inside` and has these run-time symbols: its banner is where it has to be.
    ///
    /// How far it was moved cannot be told from within. Kernels are linked to 16 MiB (`CONFIG_PHYSICAL_START`) unless
    /// somebody took the trouble to change that.
    fn around(physical: &'a dyn ReadPhysical, inside: PhysAddr, symbols: &Kallsyms) -> Option<Self> {
        let offset = |name| symbols.address(name)?.get().checked_sub(IMAGE_BASE);
        let (start, end, banner) =
            (offset("_text").or_else(|| offset("_stext"))?, offset("_end")?, offset("linux_banner")?);
        if end.checked_sub(start)? > MAX_IMAGE_SIZE {
            return None;
        }
        let lowest = inside.get().wrapping_sub(end).cast_signed();
        let highest = inside.get().wrapping_sub(start).cast_signed();
        let alignment = location::ALIGNMENT.cast_signed();
        // The first multiple of the alignment, also of negative numbers.
        let first = lowest.checked_add(lowest.wrapping_neg().rem_euclid(alignment))?;
        let has_banner = |base: &i64| {
            let mut text = [0; BANNER.len()];
            let at = PhysAddr::new(banner.wrapping_add_signed(*base));
            physical.read_physical(at, &mut text).is_ok() && text == *BANNER
        };
        let phys_base = (first..=highest).step_by(usize::try_from(alignment).ok()?).find(has_banner)?;
        let kaslr_offset = start.checked_sub(LINK_OFFSET).filter(|offset| offset.is_multiple_of(location::ALIGNMENT));
        Some(Self {
            memory: AddressSpace::image_only(physical, phys_base.cast_unsigned()),
            kaslr_offset: kaslr_offset.unwrap_or(0),
        })
    }

    /// The image whose `kallsyms_offsets` are at `place` and count from there, with its symbols.
    ///
    /// Nothing in such tables tells where the image was linked to or moved to, only what is how far from what: it is
    /// given the address that kernels are linked to.
    fn at_place(physical: &'a dyn ReadPhysical, place: PhysAddr, tables: &RawTables) -> Option<(Self, Kallsyms)> {
        let at = |place: u64| RawTables { kind: ValueKind::PlaceRelative { place }, ..tables.clone() }.decode(0).ok();
        // Far enough above the lowest address of images for all that lies before the tables.
        let guess = IMAGE_BASE + MAX_IMAGE_SIZE;
        let guessed = at(guess)?;
        let start = guessed.address("_text").or_else(|| guessed.address("_stext"))?;
        let before = guess.checked_sub(start.get())?;
        let symbols = at(IMAGE_BASE + LINK_OFFSET + before)?;
        let phys_base = place.get().wrapping_sub(before).wrapping_sub(LINK_OFFSET);
        let image = Self { memory: AddressSpace::image_only(physical, phys_base), kaslr_offset: 0 };
        let mut banner = [0; BANNER.len()];
        image.memory.read_virtual(symbols.address("linux_banner")?, &mut banner).ok()?;
        (banner == *BANNER).then_some((image, symbols))
    }

    /// What the kernel with these run-time symbols was doing.
    fn role(&self, symbols: &Kallsyms) -> Role {
        Role::of(self.memory.physical(), &|name| symbols.address(name), self.memory.phys_base())
    }

    /// The physical addresses of the image with these run-time symbols.
    fn range(&self, symbols: &Kallsyms) -> Option<Range<PhysAddr>> {
        let at = |name| self.memory.translate(symbols.address(name)?).ok();
        Some(at("_text").or_else(|| at("_stext"))?..at("_end")?)
    }

    /// The tables, by their shape: in the image, if VMCOREINFO says where that is.
    fn search(&self, dump: &Dump, info: &Vmcoreinfo) -> Option<RawTables> {
        let start = self.memory.translate(info.symbol("_stext")?).ok()?.pfn().get();
        let end = start.saturating_add(MAX_IMAGE_SIZE / PAGE_SIZE);
        let chunks = frames::chunks(dump, MAX_PAGES).into_iter();
        let within = |frames: Range<u64>| frames.start.max(start)..frames.end.min(end);
        let chunks: Vec<_> = chunks.map(within).filter(|frames| !frames.is_empty()).collect();
        let tables = dump.pass(|| scan::find(&dump.apart(), &chunks, &|_| ()).next())?.tables;
        let kind = match tables.kind {
            ValueKind::PlaceRelative { place } => {
                let first = PhysAddr::new(start.checked_mul(PAGE_SIZE)?);
                let distance = place.wrapping_sub(first.get());
                let stext = info.symbol("_stext")?.get() & !(PAGE_SIZE - 1);
                ValueKind::PlaceRelative { place: stext.wrapping_add(distance).wrapping_sub(self.kaslr_offset) }
            }
            kind => kind,
        };
        Some(RawTables { kind, ..tables })
    }

    /// The tables, where VMCOREINFO says that they are.
    fn tables(&self, info: &Vmcoreinfo) -> Result<RawTables, FallbackTablesError> {
        let place = |name, key| info.symbol(name).ok_or(FallbackTablesError::NotInVmcoreinfo(key));
        let names = place("kallsyms_names", "SYMBOL(kallsyms_names)")?;
        let count = place("kallsyms_num_syms", "SYMBOL(kallsyms_num_syms)")?;
        let token_table = place("kallsyms_token_table", "SYMBOL(kallsyms_token_table)")?;
        let token_index = place("kallsyms_token_index", "SYMBOL(kallsyms_token_index)")?;
        let offsets = info.symbol("kallsyms_offsets");
        let values = match offsets {
            Some(offsets) => offsets,
            None => place("kallsyms_addresses", "SYMBOL(kallsyms_offsets) and no SYMBOL(kallsyms_addresses)")?,
        };
        let kind = match (offsets, info.symbol("kallsyms_relative_base")) {
            (None, _) => ValueKind::Addresses,
            (Some(_), Some(base)) => {
                let base = self.read("kallsyms_relative_base", base, 8)?;
                ValueKind::Relative { base: le_u64(&base, 0).unwrap_or_default() }
            }
            (Some(offsets), None) => ValueKind::PlaceRelative { place: offsets.get().wrapping_sub(self.kaslr_offset) },
        };
        // The tables lie together, in an order that has changed (see `scan`): each ends at the latest where another
        // one begins.
        let places = [names, count, token_table, token_index, values];
        let up_to_next = |start: VirtAddr, max: u64| {
            let next = places.iter().filter_map(|place| place.get().checked_sub(start.get()));
            next.filter(|&distance| distance != 0).min().map_or(max, |distance| distance.min(max))
        };
        let number = |bytes: Vec<u8>| le_u32(&bytes, 0).unwrap_or_default();
        let count = number(self.read("kallsyms_num_syms", count, 4)?);
        if !(1..=MAX_SYMBOLS).contains(&count) {
            return Err(KallsymsError::Count(count).into());
        }
        Ok(RawTables {
            count,
            names: self.read("kallsyms_names", names, up_to_next(names, MAX_NAMES))?,
            token_table: self.read("kallsyms_token_table", token_table, up_to_next(token_table, MAX_TOKENS))?,
            token_index: self.read("kallsyms_token_index", token_index, scan::INDEX_LEN as u64)?,
            values: self.read("the symbols' addresses", values, u64::from(count) * kind.width())?,
            kind,
        })
    }

    /// Compares one symbol with what VMCOREINFO says of it: a table that was decoded wrongly would say anything.
    fn check(&self, symbols: &Kallsyms, info: &Vmcoreinfo) -> Result<(), FallbackTablesError> {
        let Some(vmcoreinfo) = info.symbol("_stext") else { return Ok(()) };
        let kallsyms = symbols.address("_stext").map(|address| address.wrapping_add(self.kaslr_offset));
        if kallsyms == Some(vmcoreinfo) {
            return Ok(());
        }
        Err(FallbackTablesError::Contradiction { kallsyms: kallsyms.unwrap_or_default(), vmcoreinfo })
    }

    /// `len` bytes at the run-time address `address`.
    fn read(&self, what: &'static str, address: VirtAddr, len: u64) -> Result<Vec<u8>, FallbackTablesError> {
        self.memory.read_bytes(address, len).map_err(|source| FallbackTablesError::Read { what, address, source })
    }
}

/// The image with its symbols.
struct SymbolizedImage<'a> {
    image: Image<'a>,
    symbols: &'a Kallsyms,
    /// As VMCOREINFO says.
    build_id: Option<Vec<u8>>,
}

impl<'a> SymbolizedImage<'a> {
    fn parts(&self, architecture: Architecture) -> Result<ImageParts<'a>, FallbackTablesError> {
        let not_built = |what, option| FallbackTablesError::NotBuilt { what, option };
        if self.symbol("init_task").is_none() {
            return Err(not_built("names of variables in kallsyms", "CONFIG_KALLSYMS_ALL"));
        }
        let (name, start, end) = BTF_SECTION;
        let btf = self.section(name, start, end)?;
        let mut sections = vec![btf.ok_or_else(|| not_built("type information", "CONFIG_DEBUG_INFO_BTF"))?];
        // Without ORC the unwinder has other means, and says so.
        for (name, start, end) in ORC_SECTIONS {
            sections.extend(self.section(name, start, end)?);
        }
        let symbol = |it: kallsyms::Symbol<'a>| PartSymbol {
            name: it.name,
            letter: it.letter,
            address: VirtAddr::new(it.address),
        };
        let code = [("_stext", "_etext"), ("_sinittext", "_einittext")];
        Ok(ImageParts {
            architecture,
            symbols: self.symbols.iter().map(symbol).collect(),
            code: code.into_iter().filter_map(|(start, end)| self.range(start, end)).collect(),
            image: self.range("_text", "_end").or_else(|| self.range("_stext", "_end")).unwrap_or_default(),
            sections,
            banner: self.banner(),
            build_id: self.build_id(),
        })
    }

    /// The contents between two symbols; `None` where the kernel has none.
    fn section(&self, name: &'static str, start: &str, end: &str) -> Result<Option<PartSection>, FallbackTablesError> {
        let Some(range) = self.range(start, end) else { return Ok(None) };
        let len = range.end.get().saturating_sub(range.start.get()).min(MAX_READ);
        let data = self.image.read(name, range.start.wrapping_add(self.image.kaslr_offset), len)?;
        Ok(Some(PartSection { name, address: range.start, data }))
    }

    /// The bytes of the variable, its terminator included.
    fn banner(&self) -> Option<Vec<u8>> {
        let address = self.symbol("linux_banner")?.wrapping_add(self.image.kaslr_offset);
        let mut banner = self.image.memory.read_c_string(address, MAX_BANNER).ok()?;
        banner.push(0);
        Some(banner)
    }

    /// The build-id: without VMCOREINFO, as the image itself has it.
    fn build_id(&self) -> Option<Vec<u8>> {
        let run_time = |name| Some(self.symbol(name)?.wrapping_add(self.image.kaslr_offset));
        let in_memory =
            || build_id_in_memory(&self.image.memory, run_time("__start_notes")?, run_time("__stop_notes")?);
        self.build_id.clone().or_else(in_memory)
    }

    /// The link-time addresses between two symbols; `None` where there is nothing between them.
    fn range(&self, start: &str, end: &str) -> Option<Range<VirtAddr>> {
        let (start, end) = (self.symbol(start)?, self.symbol(end)?);
        (start < end).then_some(start..end)
    }

    /// The link-time address of a symbol of the image.
    fn symbol(&self, name: &str) -> Option<VirtAddr> {
        self.symbols.address(name)
    }
}
