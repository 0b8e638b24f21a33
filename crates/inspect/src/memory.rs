//! Raw memory as words, as `rd` shows it.

use vmcore_kernel::Kernel;
use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadError, ReadVirtual, VirtAddr, le_uint};

use crate::InspectError;
use crate::names::{Named, name_address};

/// Words that are read at once.
const MAX_WORDS: u64 = 1 << 20;

/// Words that stand side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    /// Where the first is.
    pub space: Space,
    /// Bytes of each: 1, 2, 4 or 8.
    pub width: u64,
    /// The bytes, as far as they could be read.
    pub bytes: Vec<u8>,
    /// What the words are called, where they are addresses of something that has a name.
    pub names: Vec<Option<Named>>,
    /// Why there are not more.
    pub missing: Option<String>,
}

impl Words {
    /// Each word behind the number of its address.
    pub fn words(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let width = usize::try_from(self.width).unwrap_or(8).max(1);
        let word = move |(index, bytes): (usize, &[u8])| {
            let at = self.space.start().wrapping_add((index as u64).wrapping_mul(self.width));
            Some((at, le_uint(bytes, 0, width)?))
        };
        self.bytes.chunks_exact(width).enumerate().filter_map(word)
    }
}

/// Where words are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The kernel's virtual memory.
    Kernel(VirtAddr),
    /// Physical memory.
    Physical(PhysAddr),
    /// A process's memory, by its `mm_struct`.
    User {
        /// Its `struct mm_struct`.
        mm: VirtAddr,
        /// The address.
        address: VirtAddr,
    },
}

impl Space {
    const fn start(self) -> u64 {
        match self {
            Self::Kernel(address) | Self::User { address, .. } => address.get(),
            Self::Physical(address) => address.get(),
        }
    }

    fn read(self, kernel: &Kernel<'_>, skip: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        match self {
            Self::Kernel(address) => kernel.memory().read_virtual(address.wrapping_add(skip), buf),
            Self::Physical(address) => {
                let address =
                    address.checked_add(skip).ok_or(ReadError::BadRange { address: address.get(), len: skip })?;
                kernel.memory().physical().read_physical(address, buf)
            }
            Self::User { mm, address } => {
                let address = address.wrapping_add(skip);
                let tables = kernel.user_tables(mm)?;
                let physical = kernel.memory().physical();
                physical.read_physical(tables.translate(physical, address)?, buf)
            }
        }
    }
}

/// Reads `count` words of `width` bytes.
///
/// # Errors
///
/// [`InspectError`] where not even the first can be read, or too many are asked for.
pub fn read_words(kernel: &Kernel<'_>, space: Space, count: u64, width: u64) -> Result<Words, InspectError> {
    if count > MAX_WORDS {
        return Err(InspectError::TooMuch(format!("no more than {MAX_WORDS} words can be read at once")));
    }
    let wanted = usize::try_from(count.saturating_mul(width)).unwrap_or_default();
    let mut bytes = Vec::new();
    let mut missing = None;
    while bytes.len() < wanted {
        let done = bytes.len() as u64;
        let in_page = PAGE_SIZE - (space.start().wrapping_add(done) & (PAGE_SIZE - 1));
        let mut chunk = vec![0; usize::try_from(in_page).unwrap_or(1).min(wanted - bytes.len())];
        match space.read(kernel, done, &mut chunk) {
            Ok(()) => bytes.append(&mut chunk),
            Err(error) if bytes.is_empty() => {
                return Err(InspectError::read(format!("{:#x}", space.start()), error));
            }
            Err(error) => {
                missing = Some(error.to_string());
                break;
            }
        }
    }
    let mut words = Words { space, width, bytes, names: Vec::new(), missing };
    if width == 8 {
        words.names = words.words().map(|(_, word)| name_address(kernel, VirtAddr::new(word))).collect();
    }
    Ok(words)
}
