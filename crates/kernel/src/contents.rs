//! What kind of bytes a page has.

use std::fmt;

use vmcore_memory::{PAGE_SIZE, PhysAddr, ReadPhysical, read_page};

/// Of 4096 random bytes no value is there more often than this; of code, text and tables many are.
const MOST_IN_RANDOM_PAGE: usize = 64;

/// What a page has that should have had something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Bytes as random as those of encrypted memory.
    Random,
    /// Nothing but zeroes.
    Zeroes,
    /// Other data.
    Other,
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random bytes",
            Self::Zeroes => "only zeroes",
            Self::Other => "other data",
        })
    }
}

impl Contents {
    /// Those of the page that `at` is in.
    pub(crate) fn of(physical: &dyn ReadPhysical, at: PhysAddr) -> Self {
        read_page(physical, at.pfn()).map_or(Self::Other, |page| Self::of_page(&page))
    }

    pub(crate) fn of_page(page: &[u8]) -> Self {
        let mut counts = [0usize; 256];
        for &byte in page {
            if let Some(count) = counts.get_mut(usize::from(byte)) {
                *count += 1;
            }
        }
        match counts.iter().max().copied().unwrap_or_default() {
            _ if page.iter().all(|&byte| byte == 0) => Self::Zeroes,
            ..=MOST_IN_RANDOM_PAGE if page.len() as u64 == PAGE_SIZE => Self::Random,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_are_told_from_data() {
        let mut state = 1u64;
        let random: Vec<u8> = (0..PAGE_SIZE)
            .map(|_| {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        assert_eq!(Contents::of_page(&random), Contents::Random);
        assert_eq!(Contents::of_page(&[0; PAGE_SIZE as usize]), Contents::Zeroes);
        assert_eq!(Contents::of_page(&[7; PAGE_SIZE as usize]), Contents::Other);
    }
}
