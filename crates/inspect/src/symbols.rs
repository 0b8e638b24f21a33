//! Symbols by name, by address and by a part of their name, as `sym` shows them.

use vmcore_kernel::Kernel;
use vmcore_memory::VirtAddr;

use crate::names::{Named, name_address};
use crate::similar::similar;

/// Symbols that are listed.
const MAX_FOUND: usize = 100_000;

/// A symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSymbol {
    /// Its run-time address; of a per-CPU variable the offset in each CPU's area, or the address that it is linked at.
    pub address: VirtAddr,
    /// The symbol, with a distance where an address inside it was asked for.
    pub name: Named,
    /// Whether it is a per-CPU variable.
    pub per_cpu: bool,
    /// Its source file and line, where it is code and its file has them.
    pub source: Option<(String, Option<u32>)>,
}

/// The symbol around `address`.
#[must_use]
pub fn symbol_at(kernel: &Kernel<'_>, address: VirtAddr) -> Option<FoundSymbol> {
    let name = name_address(kernel, address)?;
    Some(FoundSymbol { address, per_cpu: false, source: source(kernel, address), name })
}

/// All symbols of that name: of the image and of modules' code.
#[must_use]
pub fn symbol_addresses(kernel: &Kernel<'_>, name: &str) -> Vec<FoundSymbol> {
    let link: Vec<VirtAddr> = kernel.vmlinux().symbols().addresses(name).collect();
    let image = link.into_iter().map(|link| of_image(kernel, link, name, true));
    let modules = kernel.module_symbols(name).into_iter().map(|(address, module)| FoundSymbol {
        address,
        per_cpu: false,
        source: source(kernel, address),
        name: Named { symbol: name.to_owned(), offset: 0, module: Some(module) },
    });
    image.chain(modules).take(MAX_FOUND).collect()
}

/// All symbols of the image that have `part` in their names, by address.
#[must_use]
pub fn find_symbols(kernel: &Kernel<'_>, part: &str) -> Vec<FoundSymbol> {
    let named = kernel.vmlinux().symbols().all().filter(|symbol| symbol.name.contains(part)).take(MAX_FOUND);
    let mut found: Vec<_> = named.map(|symbol| of_image(kernel, symbol.address, symbol.name, false)).collect();
    found.sort_by(|one, other| (one.address, &one.name.symbol).cmp(&(other.address, &other.name.symbol)));
    found.dedup();
    found
}

/// The symbol of the image whose name is `name` but for a slip.
#[must_use]
pub fn similar_symbol(kernel: &Kernel<'_>, name: &str) -> Option<String> {
    similar(name, kernel.vmlinux().symbols().all().map(|symbol| symbol.name))
}

fn of_image(kernel: &Kernel<'_>, link: VirtAddr, name: &str, with_source: bool) -> FoundSymbol {
    let per_cpu = kernel.is_percpu_symbol(link);
    let address = if per_cpu { link } else { link.wrapping_add(kernel.kaslr_offset()) };
    let source = with_source.then(|| source(kernel, address)).flatten();
    FoundSymbol { address, per_cpu, source, name: Named { symbol: name.to_owned(), offset: 0, module: None } }
}

fn source(kernel: &Kernel<'_>, address: VirtAddr) -> Option<(String, Option<u32>)> {
    let frames = kernel.source_frames(&[address]).pop()?;
    let frame = frames.last()?;
    Some((frame.file.clone()?, frame.line))
}
