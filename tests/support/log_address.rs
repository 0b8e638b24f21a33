//! Which words of a log are addresses, for tests that none is left.

/// Whether it is long enough for the address of a page. Counts and error codes are in everybody's registers.
pub(crate) fn is_address(word: &str) -> bool {
    let number = u64::from_str_radix(word, 16).ok().filter(|_| word.len() >= 12);
    number.is_some_and(|number| (1 << 16..u64::MAX - (1 << 16)).contains(&number))
}
