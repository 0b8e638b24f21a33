//! The kernel image in memory: where it is, and the tables of kallsyms in it.

use std::ops::Range;

use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{Architecture, PAGE_SIZE, PhysAddr, ReadPhysical, ReadVirtual, VirtAddr, le_u32, le_u64};

use super::kallsyms::{Kallsyms, KallsymsError, MAX_SYMBOLS, RawTables, ValueKind};
use super::{BANNER, FallbackTablesError, MAX_PAGES, scan};
use crate::address_space::AddressSpace;
use crate::arch::x86_64::image::{IMAGE_BASE, MAX_IMAGE_SIZE};
use crate::frames;
use crate::ground::arm64::Ground;
use crate::ground::x86_64::location::{self, Role};

/// More than the names of any kernel take, compressed, in bytes; some 2 MiB are usual.
const MAX_NAMES: u64 = 32 << 20;
/// `kallsyms_token_table` in bytes, at most: the last token starts where a `u16` can say, and is shorter than this.
const MAX_TOKENS: u64 = (1 << 16) + 512;
/// `CONFIG_PHYSICAL_START`: where `_text` is linked to, from `IMAGE_BASE` on.
const LINK_OFFSET: u64 = 16 << 20;

/// The kernel image in memory.
pub(super) struct Image<'a> {
    pub(super) memory: AddressSpace<'a>,
    /// Run-time minus link-time address.
    pub(super) kaslr_offset: u64,
}

impl<'a> Image<'a> {
    /// The image where VMCOREINFO says that it is.
    pub(super) fn described(dump: &'a Dump, info: &Vmcoreinfo) -> Result<Self, FallbackTablesError> {
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
                let ground = Ground::read(info).map_err(|error| FallbackTablesError::Ground(error.to_string()))?;
                Ok(Self { memory: ground.memory(dump, None), kaslr_offset: ground.kaslr_offset })
            }
        }
    }

    /// The image that holds the table at `inside` and has these run-time symbols: its banner is where it has to be.
    ///
    /// How far it was moved cannot be told from within. Kernels are linked to 16 MiB (`CONFIG_PHYSICAL_START`) unless
    /// somebody took the trouble to change that.
    pub(super) fn around(physical: &'a dyn ReadPhysical, inside: PhysAddr, symbols: &Kallsyms) -> Option<Self> {
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
    pub(super) fn at_place(
        physical: &'a dyn ReadPhysical,
        place: PhysAddr,
        tables: &RawTables,
    ) -> Option<(Self, Kallsyms)> {
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
    pub(super) fn role(&self, symbols: &Kallsyms) -> Role {
        Role::of(self.memory.physical(), &|name| symbols.address(name), self.memory.phys_base())
    }

    /// The physical addresses of the image with these run-time symbols.
    pub(super) fn range(&self, symbols: &Kallsyms) -> Option<Range<PhysAddr>> {
        let at = |name| self.memory.translate(symbols.address(name)?).ok();
        Some(at("_text").or_else(|| at("_stext"))?..at("_end")?)
    }

    /// The tables, by their shape: in the image, if VMCOREINFO says where that is.
    pub(super) fn search(&self, dump: &Dump, info: &Vmcoreinfo) -> Option<RawTables> {
        let start = self.memory.translate(info.symbol("_stext")?).ok()?.pfn().get();
        let end = start.saturating_add(MAX_IMAGE_SIZE / PAGE_SIZE);
        let chunks = frames::chunks(dump, MAX_PAGES).into_iter();
        let within = |frames: Range<u64>| frames.start.max(start)..frames.end.min(end);
        let chunks: Vec<_> = chunks.map(within).filter(|frames| !frames.is_empty()).collect();
        let images = match dump.architecture() {
            Architecture::X86_64 => IMAGE_BASE..IMAGE_BASE + MAX_IMAGE_SIZE,
            // Anywhere among the kernel's addresses: that one is known.
            Architecture::Arm64 => {
                let stext = info.symbol("_stext")?.get();
                stext.saturating_sub(MAX_IMAGE_SIZE)..stext.saturating_add(1)
            }
        };
        let tables = dump.pass(|| scan::find(&dump.apart(), &chunks, images, &|_| ()).next())?.tables;
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
    pub(super) fn tables(&self, info: &Vmcoreinfo) -> Result<RawTables, FallbackTablesError> {
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
    pub(super) fn check(&self, symbols: &Kallsyms, info: &Vmcoreinfo) -> Result<(), FallbackTablesError> {
        let Some(vmcoreinfo) = info.symbol("_stext") else { return Ok(()) };
        let kallsyms = symbols.address("_stext").map(|address| address.wrapping_add(self.kaslr_offset));
        if kallsyms == Some(vmcoreinfo) {
            return Ok(());
        }
        Err(FallbackTablesError::Contradiction { kallsyms: kallsyms.unwrap_or_default(), vmcoreinfo })
    }

    /// `len` bytes at the run-time address `address`.
    pub(super) fn read(&self, what: &'static str, address: VirtAddr, len: u64) -> Result<Vec<u8>, FallbackTablesError> {
        self.memory.read_bytes(address, len).map_err(|source| FallbackTablesError::Read { what, address, source })
    }
}
