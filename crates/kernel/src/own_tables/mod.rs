//! A vmlinux made of what the crashed kernel kept of itself: analysis without any debug file.
//!
//! ```text
//! VMCOREINFO      phys_base, KERNELOFFSET, and since 6.0 (kernel commit f09bddbd8661) where kallsyms is
//! kallsyms        all symbols, without sizes; with data only if the kernel has CONFIG_KALLSYMS_ALL
//! __start_BTF ..  the types (CONFIG_DEBUG_INFO_BTF)
//! __start_orc_*   the unwind tables (CONFIG_UNWINDER_ORC), sorted when the kernel was built
//! linux_banner    the banner
//! ```
//!
//! All of this is in the kernel image, which is linear in physical memory: no page tables are needed. What a debug file
//! has besides and a kernel has not: source lines, sizes of symbols, `.debug_frame`.

mod kallsyms;
mod supply;

use std::ops::Range;

use vmcore_debuginfo::{ImageParts, OpenError, PartSection, PartSymbol, Vmlinux};
use vmcore_dump::{Dump, Vmcoreinfo};
use vmcore_memory::{MAX_READ, ReadError, ReadPhysical, ReadVirtual, VirtAddr};

use crate::address_space::AddressSpace;
pub use kallsyms::KallsymsError;
use kallsyms::{Kallsyms, MAX_SYMBOLS, Tables, Values};
pub use supply::sections_from_dump;

/// More than the names of any kernel take, compressed, in bytes; some 2 MiB are usual.
const MAX_NAMES: u64 = 32 << 20;
/// `kallsyms_token_table` in bytes, at most: the last token starts where a `u16` can say, and is shorter than this.
const MAX_TOKENS: u64 = (1 << 16) + 512;
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
pub enum OwnTablesError {
    /// Nothing says where the kernel is.
    #[error("the dump has no VMCOREINFO")]
    NoVmcoreinfo,
    /// The kernel does not say where its tables are: kernels before 6.0 do not.
    #[error("VMCOREINFO has no {0}")]
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
/// # Errors
///
/// [`OwnTablesError`] where it does not describe enough to analyze it.
pub fn vmlinux_from_dump(dump: &Dump) -> Result<Vmlinux, OwnTablesError> {
    vmlinux_from(dump, dump.vmcoreinfo().ok_or(OwnTablesError::NoVmcoreinfo)?)
}

fn vmlinux_from(physical: &dyn ReadPhysical, info: &Vmcoreinfo) -> Result<Vmlinux, OwnTablesError> {
    let phys_base = info.number("phys_base").ok_or(OwnTablesError::NotInVmcoreinfo("NUMBER(phys_base)"))?;
    let image = Image {
        memory: AddressSpace::image_only(physical, phys_base.cast_unsigned()),
        info,
        kaslr_offset: info.kerneloffset().unwrap_or(0),
    };
    let symbols = image.kallsyms()?;
    let own = Own { image, symbols: &symbols };
    own.check()?;
    Ok(Vmlinux::from_parts(&own.parts()?)?)
}

/// The kernel image in memory.
struct Image<'a> {
    memory: AddressSpace<'a>,
    info: &'a Vmcoreinfo,
    kaslr_offset: u64,
}

impl Image<'_> {
    fn kallsyms(&self) -> Result<Kallsyms, OwnTablesError> {
        let place = |name, key| self.info.symbol(name).ok_or(OwnTablesError::NotInVmcoreinfo(key));
        let names = place("kallsyms_names", "SYMBOL(kallsyms_names)")?;
        let count = place("kallsyms_num_syms", "SYMBOL(kallsyms_num_syms)")?;
        let token_table = place("kallsyms_token_table", "SYMBOL(kallsyms_token_table)")?;
        let token_index = place("kallsyms_token_index", "SYMBOL(kallsyms_token_index)")?;
        let relative = self.info.symbol("kallsyms_offsets").zip(self.info.symbol("kallsyms_relative_base"));
        let values = match relative {
            Some((offsets, _)) => offsets,
            None => place("kallsyms_addresses", "SYMBOL(kallsyms_offsets)")?,
        };
        // The tables lie together, in an order that has changed (kernel commit 404bad70fcf7, 6.4): each ends at the
        // latest where another one begins.
        let places = [names, count, token_table, token_index, values];
        let up_to_next = |start: VirtAddr, max: u64| {
            let next = places.iter().filter_map(|place| place.get().checked_sub(start.get()));
            next.filter(|&distance| distance != 0).min().map_or(max, |distance| distance.min(max))
        };

        let number = self.read("kallsyms_num_syms", count, 4)?;
        let number = number.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        if !(1..=MAX_SYMBOLS).contains(&number) {
            return Err(KallsymsError::Count(number).into());
        }
        let names = self.read("kallsyms_names", names, up_to_next(names, MAX_NAMES))?;
        let token_table = self.read("kallsyms_token_table", token_table, up_to_next(token_table, MAX_TOKENS))?;
        let token_index = self.read("kallsyms_token_index", token_index, 512)?;
        let size = if relative.is_some() { 4 } else { 8 };
        let values = self.read("the symbols' addresses", values, u64::from(number) * size)?;
        let base = relative.map(|(_, base)| self.read("kallsyms_relative_base", base, 8)).transpose()?;
        let values = match base.and_then(|bytes| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))) {
            Some(base) => Values::Relative { offsets: &values, base },
            None => Values::Addresses(&values),
        };
        Ok(Kallsyms::decode(&Tables {
            count: number,
            names: &names,
            token_table: &token_table,
            token_index: &token_index,
            values,
            kaslr_offset: self.kaslr_offset,
        })?)
    }

    /// `len` bytes at the run-time address `address`.
    fn read(&self, what: &'static str, address: VirtAddr, len: u64) -> Result<Vec<u8>, OwnTablesError> {
        self.memory.read_bytes(address, len).map_err(|source| OwnTablesError::Read { what, address, source })
    }
}

/// The image with its symbols.
struct Own<'a> {
    image: Image<'a>,
    symbols: &'a Kallsyms,
}

impl<'a> Own<'a> {
    /// Compares one symbol with what VMCOREINFO says of it: a table that was decoded wrongly would say anything.
    fn check(&self) -> Result<(), OwnTablesError> {
        let Some(vmcoreinfo) = self.image.info.symbol("_stext") else { return Ok(()) };
        let kallsyms = self.symbol("_stext").map(|address| address.wrapping_add(self.image.kaslr_offset));
        if kallsyms == Some(vmcoreinfo) {
            return Ok(());
        }
        Err(OwnTablesError::Contradiction { kallsyms: kallsyms.unwrap_or_default(), vmcoreinfo })
    }

    fn parts(&self) -> Result<ImageParts<'a>, OwnTablesError> {
        let not_built = |what, option| OwnTablesError::NotBuilt { what, option };
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
            symbols: self.symbols.iter().map(symbol).collect(),
            code: code.into_iter().filter_map(|(start, end)| self.range(start, end)).collect(),
            image: self.range("_text", "_end").or_else(|| self.range("_stext", "_end")).unwrap_or_default(),
            sections,
            banner: self.banner(),
            build_id: self.image.info.build_id(),
        })
    }

    /// The contents between two symbols; `None` where the kernel has none.
    fn section(&self, name: &'static str, start: &str, end: &str) -> Result<Option<PartSection>, OwnTablesError> {
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

    /// The link-time addresses between two symbols; `None` where there is nothing between them.
    fn range(&self, start: &str, end: &str) -> Option<Range<VirtAddr>> {
        let (start, end) = (self.symbol(start)?, self.symbol(end)?);
        (start < end).then_some(start..end)
    }

    /// The link-time address of a symbol of the image.
    fn symbol(&self, name: &str) -> Option<VirtAddr> {
        let found = self.symbols.iter().find(|symbol| symbol.name == name.as_bytes() && symbol.letter != b'A')?;
        Some(VirtAddr::new(found.address))
    }
}
