//! How much memory this machine has, and this process may use.

#![allow(unsafe_code)]

/// Bytes of physical memory; `None` where the system does not say. A container's limit is not looked at.
#[must_use]
pub fn physical_memory() -> Option<u64> {
    // SAFETY: it has no preconditions.
    let number = |name| u64::try_from(unsafe { libc::sysconf(name) }).ok();
    number(libc::_SC_PHYS_PAGES)?.checked_mul(number(libc::_SC_PAGESIZE)?)
}

/// Bytes of addresses that this process may still map (`RLIMIT_AS`, `ulimit -v`); `None` where there is no limit.
#[must_use]
pub fn address_space_left() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is a valid `rlimit` to write to.
    let is_known = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) } == 0;
    if !is_known || limit.rlim_cur == libc::RLIM_INFINITY {
        return None;
    }
    // The first number is the size of the program in pages (proc(5)).
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().next()?.parse().ok()?;
    // SAFETY: it has no preconditions.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    Some(limit.rlim_cur.saturating_sub(pages.saturating_mul(page)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_some() {
        assert!(super::physical_memory().is_some_and(|bytes| bytes > 64 << 20));
    }
}
