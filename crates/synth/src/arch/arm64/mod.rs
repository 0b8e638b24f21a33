//! 64-bit ARM.

mod code;
mod entries;
mod layout;
mod registers;

pub(crate) use entries::Entries;
pub(crate) use layout::{bounds, link_base, paging, regions};
pub(crate) use registers::{KERNEL_MODE, copy, user, user_pt_regs};

use serde::Deserialize;

/// What only kernels of arm64 have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Facts {
    /// The size of the region of modules, in MiB: the image comes behind it.
    pub(crate) modules_mib: u64,
    /// `ARM64_PA_BITS`.
    pub(crate) physical_bits: u32,
    /// Whether pages of 4 and 16 KiB go with addresses of 52 bits (LPA2, 6.9 and later): the array of `struct page` ends 1 GiB
    /// below the top then.
    pub(crate) large_addresses: bool,
    pub(crate) swap: SwapForm,
    /// Functions that take the offset out of a swap entry.
    pub(crate) swap_readers: Vec<String>,
    /// Whether return addresses are signed.
    pub(crate) signed_returns: bool,
}

/// Where an entry that is not valid keeps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SwapForm {
    /// Type from bit 3, offset from bit 8; bit 59 marks a huge page that is being split.
    FromBit8,
    /// Type from bit 6, offset from bit 12; bit 11 marks a huge page that is being split.
    FromBit12,
}
