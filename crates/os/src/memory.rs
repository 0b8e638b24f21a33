//! How much memory this machine has.

#![allow(unsafe_code)]

/// Bytes of physical memory; `None` where the system does not say. A container's limit is not looked at.
#[must_use]
pub fn physical_memory() -> Option<u64> {
    // SAFETY: it has no preconditions.
    let number = |name| u64::try_from(unsafe { libc::sysconf(name) }).ok();
    number(libc::_SC_PHYS_PAGES)?.checked_mul(number(libc::_SC_PAGESIZE)?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_some() {
        assert!(super::physical_memory().is_some_and(|bytes| bytes > 64 << 20));
    }
}
