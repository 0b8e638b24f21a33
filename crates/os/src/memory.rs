//! How much memory this machine has, and this process may use.

#![allow(unsafe_code)]

/// Bytes of physical memory; `None` where the system does not say. A container's limit is not looked at.
#[must_use]
pub fn physical_memory() -> Option<u64> {
    // SAFETY: it has no preconditions.
    let number = |name| u64::try_from(unsafe { libc::sysconf(name) }).ok();
    number(libc::_SC_PHYS_PAGES)?.checked_mul(number(libc::_SC_PAGESIZE)?)
}

/// Whether this process may map so many more bytes of addresses, which `RLIMIT_AS` (`ulimit -v`) limits: tried, and given back.
#[must_use]
pub fn has_room_for(bytes: usize) -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, which the system places where there is none, and which nobody reads or writes.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: exactly what was mapped above, and nothing refers to it.
    unsafe { libc::munmap(at, bytes) };
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_some() {
        assert!(super::physical_memory().is_some_and(|bytes| bytes > 64 << 20));
    }

    #[test]
    fn there_is_room_and_not_for_everything() {
        assert!(super::has_room_for(1 << 20));
        assert!(!super::has_room_for(usize::MAX >> 1));
    }
}
