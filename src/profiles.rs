//! The cache of profiles: a vmlinux is read once a kernel, and not once a dump.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use vmcore_debuginfo::{CacheError, ProfileCache, Vmlinux, VmlinuxKind};
use vmcore_dump::Dump;
use vmcore_os::BoundedHeap;
use vmcore_remote::Address;

use crate::cli::{Input, Search};
use crate::remote_debug;
use crate::run::Run;
use crate::users_cache::users_cache;

/// How large a cache may grow: a hundred kernels and more.
const LIMIT: u64 = 2 << 30;

/// The user's own, below `$XDG_CACHE_HOME` or `~/.cache`; `None` where there is no home directory.
pub(crate) fn users_directory() -> Option<PathBuf> {
    Some(users_cache()?.join("profiles"))
}

/// How many kernels' profiles a worker holds open.
const HELD: usize = 8;

/// What they may take of a worker's heap, all together. A profile of the cache is mapped, and takes some hundred kilobytes
/// beside; one of a kernel built to order may take more.
pub(crate) const HELD_MEMORY: u64 = 32 << 20;

/// A profile of the cache that is open already, for copies of this process.
struct Held {
    build_id: Vec<u8>,
    cache: PathBuf,
    opened: (Vmlinux, PathBuf),
    /// Bytes of the heap.
    takes: u64,
}

/// Those that were asked for last come last.
static HELD_OPEN: Mutex<VecDeque<Held>> = Mutex::new(VecDeque::new());

/// Has the profile of a kernel open, if the cache has it.
pub(crate) fn hold_open(build_id: &[u8], search: &Search) {
    let mut held = HELD_OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = held.iter().position(|held| held.build_id == build_id) {
        let again = held.remove(at);
        held.extend(again);
        return;
    }
    let Some(directory) = search.cache.clone() else { return };
    let (opened, takes) = BoundedHeap::measured(|| {
        let opened = cache(search)?.get(build_id)?;
        // What is made when it is first asked for is made now, once.
        let _ = opened.0.types();
        Some(opened)
    });
    if let Some(opened) = opened {
        held.push_back(Held { build_id: build_id.to_vec(), cache: directory, opened, takes });
        keep_within(&mut held, HELD, HELD_MEMORY, |held| held.takes);
    }
}

/// Drops the first until there are few enough, and they take little enough.
fn keep_within<T>(held: &mut VecDeque<T>, most: usize, memory: u64, takes: impl Fn(&T) -> u64) {
    while held.len() > most || held.iter().map(&takes).fold(0, u64::saturating_add) > memory {
        held.pop_front();
    }
}

/// One that is open, for this process alone.
fn take_held(build_id: &[u8], search: &Search) -> Option<(Vmlinux, PathBuf)> {
    let mut held = HELD_OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |held: &Held| held.build_id == build_id && Some(&held.cache) == search.cache.as_ref();
    let at = held.iter().position(is_it).filter(|_| !search.no_cache)?;
    held.remove(at).map(|held| held.opened)
}

/// The profile that stands in for the vmlinux of the dump's kernel, where the user wants that and there is one.
pub(crate) fn kept(dump: &Dump, search: &Search) -> Option<(Vmlinux, PathBuf)> {
    let build_id = dump.vmcoreinfo()?.build_id()?;
    take_held(&build_id, search).or_else(|| cache(search)?.get(&build_id))
}

/// The profile of `vmlinux`, now kept, where the user wants that; `None` where the vmlinux itself is to be read. One that
/// was found beside a dump is not kept: whoever left the dump there would answer for all dumps of that kernel.
pub(crate) fn keep(vmlinux: &Vmlinux, path: &Path, input: &Input, run: &Run) -> Option<Vmlinux> {
    let cache = cache(&input.search)?;
    let found_beside_dump = input.vmlinux.is_none() && directory_of(path) == directory_of(&input.vmcore);
    if vmlinux.kind() == VmlinuxKind::Parts || found_beside_dump {
        return None;
    }
    match run.step("making a profile of the vmlinux", || cache.get_or_make(vmlinux)) {
        Ok(made) => made.map(|(profile, entry)| {
            let shared = input.search.share_profiles.as_deref().zip(vmlinux.build_id());
            if let Some((prefix, build_id)) = shared
                && let Err(failure) = remote_debug::share(prefix, build_id, &entry)
            {
                run.warn(format_args!("the profile is not shared: {}", failure.message()));
            }
            profile
        }),
        Err(error) => {
            let hint = match error {
                CacheError::Profile(_) => "",
                CacheError::Io { .. } | CacheError::Lost(_) => "; name another directory with --cache",
            };
            run.warn(format_args!("no profile of {} is kept: {error}{hint}", path.display()));
            None
        }
    }
}

fn cache(search: &Search) -> Option<ProfileCache> {
    let limit = search.cache_size.unwrap_or(LIMIT);
    let directory = search.cache.clone().filter(|_| !search.no_cache)?;
    Some(ProfileCache::new(directory, limit, version()))
}

fn directory_of(path: &Path) -> Option<PathBuf> {
    match Address::of_path(path) {
        Ok(Some(address)) => Some(address.parent().to_string().into()),
        _ => path.canonicalize().ok()?.parent().map(Path::to_path_buf),
    }
}

const fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_has_a_bound() {
        let within = |takes: &[u64], memory| {
            let mut held = VecDeque::from(takes.to_vec());
            keep_within(&mut held, 3, memory, |takes| *takes);
            Vec::from(held)
        };
        assert_eq!(within(&[1, 2, 3], 100), [1, 2, 3]);
        assert_eq!(within(&[1, 2, 3, 4], 100), [2, 3, 4], "too many");
        assert_eq!(within(&[50, 40, 30], 80), [40, 30], "too much");
        assert_eq!(within(&[1, 2, 300], 100), [0; 0], "one that is too large by itself");
        assert_eq!(within(&[u64::MAX, 2], 100), [2]);
    }
}
