//! New addresses for those in a log. What a reader of interleaved reports goes by stays: which are the same, which are in one
//! stack or near each other, and in which order they lie.

use std::collections::{BTreeMap, BTreeSet};

use vmcore_synth::scenario::LogLine;

use crate::words::{SHORTEST_ADDRESS, pieces};

/// Where addresses of the kernel are put: nothing else of a scenario's machine is there.
const FIRST_KERNEL_ADDRESS: u64 = 0xffff_c900_1000_0000;
/// Smaller numbers are counts and flags, those as close to the end error codes: they are in everybody's registers.
const SMALL: u64 = 1 << 16;
/// What a stack is aligned to, and may be smaller than.
const STACK: u64 = 16 << 10;
/// Addresses closer than this stay as far from each other.
const NEAR: u64 = 2 * STACK;
/// Per-CPU areas closer than this are of one memory node.
const NODE: u64 = 16 << 30;

/// Where addresses go, by what they were.
#[derive(Debug)]
pub(crate) struct Places(BTreeMap<u64, u64>);

impl Places {
    /// For all addresses in these lines: of user space by `place`.
    pub(crate) fn of(lines: &[LogLine], mut place: impl FnMut(u64) -> u64) -> Self {
        let words = lines.iter().flat_map(|line| pieces(line.text()));
        let addresses: BTreeSet<u64> = words.filter_map(|word| address(&word)).collect();
        let (user, kernel): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| is_of_user(*address));
        let user = user.into_iter().map(|address| (address, place(address)));
        Self(user.chain(of_kernel(&kernel)).collect())
    }

    /// Those of user space, those of the kernel, and each alone.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Self> {
        let part = |of_user: bool| {
            Self(self.0.iter().map(|(old, new)| (*old, *new)).filter(|(old, _)| is_of_user(*old) == of_user).collect())
        };
        let each = self.0.iter().map(|(old, new)| Self(BTreeMap::from([(*old, *new)])));
        [part(true), part(false)].into_iter().chain(each)
    }

    /// The line with its addresses moved.
    pub(crate) fn moved(&self, line: &str) -> String {
        let mut pieces = pieces(line);
        for piece in &mut pieces {
            if let Some(new) = address(piece).and_then(|old| self.0.get(&old)) {
                *piece = format!("{new:0width$x}", width = piece.len());
            }
        }
        pieces.concat()
    }
}

/// A word as an address: of user space, or of the kernel.
fn address(word: &str) -> Option<u64> {
    let long = word.len() >= SHORTEST_ADDRESS;
    let value = u64::from_str_radix(word, 16).ok().filter(|_| long)?;
    let is_address = matches!(value >> 56, 0 | 0xff) && (SMALL..u64::MAX - SMALL).contains(&value);
    is_address.then_some(value)
}

const fn is_of_user(address: u64) -> bool {
    address >> 56 == 0
}

/// In the same order; neighbours as far from each other as they were, and others far from each other.
fn of_kernel(addresses: &[u64]) -> Vec<(u64, u64)> {
    let mut moved: Vec<(u64, u64)> = Vec::new();
    for &address in addresses {
        let in_stack = address % STACK;
        let new = match moved.last() {
            None => FIRST_KERNEL_ADDRESS + in_stack,
            Some((old, new)) => match address.saturating_sub(*old) {
                gap @ ..NEAR => new.saturating_add(gap),
                NEAR..NODE => (new / STACK * STACK).saturating_add(2 * NEAR + in_stack),
                _ => (new / STACK * STACK).saturating_add(NODE + STACK + in_stack),
            },
        };
        moved.push((address, new));
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_one_stack_stays_there_and_nothing_else_comes_to_it() {
        let old = [
            0xffff_8880_0010_0010, // a stack
            0xffff_8880_0010_3ff0,
            0xffff_8880_0010_4008, // the next one
            0xffff_8880_0500_0000,
            0xffff_9990_0000_0040,
            0xffff_ffff_8100_0000,
        ];
        let new: Vec<u64> = of_kernel(&old).into_iter().map(|(_, new)| new).collect();
        for (a, b) in (0..old.len()).flat_map(|a| (0..old.len()).map(move |b| (a, b))) {
            assert_ne!(old[a], new[b]);
            assert_eq!(old[a] < old[b], new[a] < new[b], "{a} {b}");
            assert_eq!(old[a] / STACK == old[b] / STACK, new[a] / STACK == new[b] / STACK, "{a} {b}");
            assert_eq!(old[a].abs_diff(old[b]) < STACK, new[a].abs_diff(new[b]) < STACK, "{a} {b}");
            assert_eq!(old[a].abs_diff(old[b]) < NODE, new[a].abs_diff(new[b]) < NODE, "{a} {b}");
        }
    }

    #[test]
    fn counts_and_error_codes_are_no_addresses() {
        for word in ["0000000000008000", "ffffffffffffffda", "00000246", "1234567", "deadbeefdeadbeef", "do_mmap0"] {
            assert_eq!(address(word), None, "{word}");
        }
        assert_eq!(address("00007fac8ee08140"), Some(0x7fac_8ee0_8140));
        assert_eq!(address("ffffb1c2c0123e48"), Some(0xffff_b1c2_c012_3e48));
    }

    #[test]
    fn lines_keep_everything_else() {
        let line = "RDX: 0000000000000090 RSI: ffffa389886efdf8 RDI: 00007fac8ee08140";
        let places = Places::of(&[LogLine::Text(line.to_owned())], |address| address % 0x20_0000 + 0x7000_0000);
        assert_eq!(places.moved(line), "RDX: 0000000000000090 RSI: ffffc90010003df8 RDI: 0000000070008140");
        assert_eq!(places.parts().count(), 2 + 2);
    }
}
