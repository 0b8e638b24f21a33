//! What an address is called: a symbol of the image or of a module, with the distance from its start.

use std::fmt;

use vmcore_kernel::Kernel;
use vmcore_memory::VirtAddr;

/// A symbol and the distance from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The symbol. A module's is from the dump: untrusted.
    pub symbol: String,
    /// Bytes from its start.
    pub offset: u64,
    /// The module that it is in; `None` for the image.
    pub module: Option<String>,
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.symbol)?;
        if self.offset != 0 {
            write!(f, "+{:#x}", self.offset)?;
        }
        self.module.as_ref().map_or(Ok(()), |module| write!(f, " [{module}]"))
    }
}

/// The symbol around `address`: code of the image and of modules, and data of the image.
#[must_use]
pub fn name_address(kernel: &Kernel<'_>, address: VirtAddr) -> Option<Named> {
    if let Some(name) = kernel.name_code(address, address) {
        return Some(Named { symbol: name.name, offset: name.offset, module: name.module });
    }
    let link = kernel.link_address(address);
    // The compiler's own labels of constants say nothing.
    let symbol = kernel.vmlinux().symbols().lookup(link).filter(|symbol| !symbol.name.starts_with(".L"))?;
    // Labels such as `_end` reach over whatever is behind them.
    let offset = link.get().checked_sub(symbol.address.get())?;
    (offset == 0 || offset < symbol.size).then(|| Named { symbol: symbol.name.to_owned(), offset, module: None })
}
