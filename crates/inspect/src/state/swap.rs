//! Swap areas: where they are and how full.
//!
//! Source: `include/linux/swap.h`, `mm/swapfile.c`.

use schemars::JsonSchema;
use serde::Serialize;
use vmcore_kernel::Kernel;
use vmcore_memory::ReadVirtual;

use super::paths::path;
use super::{Collector, Listing, Missing};
use crate::object::Object;
use crate::{Hex, InspectError};

/// `MAX_SWAPFILES` is less than this.
const MAX_AREAS: u64 = 32;
/// `SWP_USED` and `SWP_WRITEOK`.
const USED: u64 = 1;
const WRITE_OK: u64 = 2;

/// Swap areas.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Swap")]
pub struct Swap {
    /// Those that are in use.
    pub areas: Listing<SwapArea>,
    /// What could not be read.
    pub gaps: Vec<Missing>,
}

impl super::State for Swap {
    fn missing(&self) -> &[Missing] {
        &self.gaps
    }

    /// A machine may well have no swap.
    fn is_empty(&self) -> bool {
        self.areas.found().is_empty() && self.areas.unread().is_some()
    }
}

/// A swap area.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "SwapArea")]
pub struct SwapArea {
    /// The address of its `struct swap_info_struct`.
    pub area: Hex,
    /// Its file or device.
    pub path: Option<String>,
    /// Its priority.
    pub priority: i64,
    /// Its size.
    pub bytes: u64,
    /// How much of it is used.
    pub used_bytes: u64,
    /// Whether more may be written to it.
    pub writable: bool,
}

/// Reads them.
#[must_use]
pub fn swap<'k>(kernel: &'k Kernel<'k>) -> Swap {
    let mut missing = Collector::default();
    let areas = missing.list("swap areas", |missing| areas(kernel, missing));
    Swap { areas, gaps: missing.into_gaps() }
}

fn areas<'k>(kernel: &'k Kernel<'k>, missing: &mut Collector) -> Result<Vec<SwapArea>, InspectError> {
    let table = kernel.symbol("swap_info").ok_or_else(|| InspectError::NoSymbol("swap_info".to_owned()))?;
    let count = Object::variable(kernel, "nr_swapfiles", "unsigned int")?.number()?.min(MAX_AREAS);
    let mut areas = Vec::new();
    for index in 0..count {
        let at = table.wrapping_add(index * 8);
        let read =
            kernel.memory().read_pointer(at).map_err(|error| InspectError::read(format!("swap_info at {at}"), error));
        let Some(at) = missing.take("swap areas", read).filter(|at| !at.is_null()) else { continue };
        let area = Object::new(kernel, "struct swap_info_struct", at)?;
        let read = read_area(area, missing);
        areas.extend(missing.take(format!("the swap_info_struct at {at}"), read).flatten());
    }
    Ok(areas)
}

fn read_area(area: Object<'_>, missing: &mut Collector) -> Result<Option<SwapArea>, InspectError> {
    let flags = area.number_at("flags")?;
    if flags & USED == 0 {
        return Ok(None);
    }
    let named = || {
        let file = area.at("swap_file.f_path")?;
        path(area.kernel(), file.at("mnt")?.pointer()?, file.at("dentry")?.pointer()?)
    };
    let bytes = |pages: u64| area.kernel().bytes_of_pages(pages);
    let pages = area.number_at("pages")?;
    let used = pages_in_use(area.number_at("inuse_pages")?, pages)
        .ok_or_else(|| InspectError::Syntax(format!("its inuse_pages are more than the {pages} pages that it has")))?;
    Ok(Some(SwapArea {
        area: area.address().into(),
        path: missing.take(format!("the path of the swap_info_struct at {}", area.address()), named()),
        priority: area.at("prio")?.value()?,
        bytes: bytes(pages),
        used_bytes: bytes(used),
        writable: flags & WRITE_OK != 0,
    }))
}

/// How many of an area's pages are in use; `None` where the count cannot be right. Since 6.13 it also says by a bit that the area is on
/// no list of those with free pages, because it is full or being switched off: `SWAP_USAGE_OFFLIST_BIT`, the second highest of
/// an `atomic_t` or of the `atomic_long_t` that it is in.
fn pages_in_use(count: u64, pages: u64) -> Option<u64> {
    const OFF_LIST: [u64; 2] = [1 << 30, 1 << 62];
    let without = OFF_LIST.map(|bit| if count & bit != 0 { count - bit } else { count });
    std::iter::once(count).chain(without).find(|&used| used <= pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_area_is_not_more_than_full() {
        for count in [1000, 1000 | 1 << 30, 1000 | 1 << 62] {
            assert_eq!(pages_in_use(count, 1000), Some(1000), "{count:#x}");
        }
        // 8 TiB, of which more than 4 are in use.
        assert_eq!(pages_in_use(5 | 1 << 30, 1 << 31), Some(5 | 1 << 30));
        assert_eq!(pages_in_use(1001, 1000), None);
    }
}
