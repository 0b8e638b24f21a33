//! What differs from one machine architecture to another: instructions, page tables, where memory is, registers.
//!
//! The rest of the crate asks [`Target`], [`Instructions`], [`Paging`] and the functions of [`registers`]; it names no machine.
//! What needs more than these, whole objects of a kernel, stands in modules named after a machine beside its users.

pub(crate) mod arm64;
mod instructions;
mod paging;
mod regions;
pub(crate) mod registers;
pub(crate) mod x86_64;

pub(crate) use instructions::{Instructions, Kind, Sketch};
pub(crate) use paging::{Access, Entries, Level, Paging};
pub(crate) use regions::Regions;

use serde::Deserialize;
use vmcore_memory::{Architecture, VirtAddr};

use crate::SynthError;
use crate::random::Random;

/// The machine of a kernel generation, and what of it only such machines have.
#[derive(Debug, Deserialize)]
pub(crate) enum Target {
    #[serde(rename = "x86-64")]
    X86_64(x86_64::Facts),
    #[serde(rename = "arm64")]
    Arm64(arm64::Facts),
}

/// What a scenario says of page tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// Levels of page tables.
    pub(crate) levels: Option<u8>,
    /// The size of a page in KiB.
    pub(crate) page_kib: Option<u32>,
    /// Bits of a virtual address.
    pub(crate) va_bits: Option<u32>,
}

impl Target {
    pub(crate) const fn architecture(&self) -> Architecture {
        match self {
            Self::X86_64(_) => Architecture::X86_64,
            Self::Arm64(_) => Architecture::Arm64,
        }
    }

    /// How it is built.
    pub(crate) fn instructions(&self) -> &dyn Instructions {
        match self {
            Self::X86_64(_) => &x86_64::Code,
            Self::Arm64(facts) => facts,
        }
    }

    /// Its page tables.
    pub(crate) fn paging(&self, wanted: Wanted) -> Result<Paging, SynthError> {
        match self {
            Self::X86_64(_) => x86_64::paging(wanted),
            Self::Arm64(facts) => arm64::paging(facts, wanted),
        }
    }

    /// The link-time addresses of `_text` and `_stext`.
    pub(crate) const fn link_base(&self, paging: Paging) -> (VirtAddr, VirtAddr) {
        match self {
            Self::X86_64(_) => (x86_64::TEXT, x86_64::TEXT),
            Self::Arm64(facts) => arm64::link_base(facts, paging),
        }
    }

    /// Where KASLR puts everything in a machine with so many bytes of memory.
    pub(crate) fn regions(&self, random: &mut Random, paging: Paging, memory: u64) -> Result<Regions, SynthError> {
        match self {
            Self::X86_64(_) => Ok(x86_64::regions(random, paging)),
            Self::Arm64(facts) => arm64::regions(facts, random, paging, memory),
        }
    }
}
