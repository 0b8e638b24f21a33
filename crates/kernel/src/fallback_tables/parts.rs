//! The image with its symbols, as parts of a vmlinux.

use std::ops::Range;

use vmcore_debuginfo::{ImageParts, PartSection, PartSymbol};
use vmcore_memory::{Architecture, MAX_READ, ReadVirtual, VirtAddr};

use super::image::Image;
use super::kallsyms::{self, Kallsyms};
use super::{BTF_SECTION, FallbackTablesError, ORC_SECTIONS};
use crate::identity::build_id_in_memory;

/// The longest banner that is read, in bytes.
const MAX_BANNER: usize = 512;

/// The image with its symbols.
pub(super) struct SymbolizedImage<'a> {
    pub(super) image: Image<'a>,
    pub(super) symbols: &'a Kallsyms,
    /// As VMCOREINFO says.
    pub(super) build_id: Option<Vec<u8>>,
}

impl<'a> SymbolizedImage<'a> {
    pub(super) fn parts(&self, architecture: Architecture) -> Result<ImageParts<'a>, FallbackTablesError> {
        let not_built = |what, option| FallbackTablesError::NotBuilt { what, option };
        if !self.symbols.has_variables() {
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
            image: self.bounds(),
            sections,
            banner: self.banner(),
            build_id: self.build_id(),
            lacks_variables: !self.symbols.has_all_variables(),
        })
    }

    /// The whole image; without a symbol at its end, as far as there are symbols.
    fn bounds(&self) -> Range<VirtAddr> {
        let known = self.range("_text", "_end").or_else(|| self.range("_stext", "_end"));
        let to_last = || {
            let last = self.symbols.iter().map(|symbol| symbol.address).max()?;
            Some(self.symbol("_stext")?..VirtAddr::new(last).checked_add(1)?)
        };
        known.or_else(to_last).unwrap_or_default()
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
