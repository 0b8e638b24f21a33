//! The cache of profiles: a vmlinux is read once a kernel, and not once a dump.

use std::env;
use std::path::{Path, PathBuf};

use vmcore_debuginfo::{CacheError, ProfileCache, Vmlinux, VmlinuxKind};
use vmcore_dump::Dump;

use crate::cli::{Input, Search};
use crate::run::Run;

/// How large a cache may grow: a hundred kernels and more.
const LIMIT: u64 = 2 << 30;

/// The user's own, below `$XDG_CACHE_HOME` or `~/.cache`; `None` where there is no home directory.
pub(crate) fn users_directory() -> Option<PathBuf> {
    Some(users_cache()?.join("profiles"))
}

/// The directory of all that this program keeps for the user.
pub(crate) fn users_cache() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    Some(cache.or_else(home)?.join("vmcore-thp"))
}

/// The profile that stands in for the vmlinux of the dump's kernel, where the user wants that and there is one.
pub(crate) fn kept(dump: &Dump, search: &Search) -> Option<(Vmlinux, PathBuf)> {
    cache(search)?.get(&dump.vmcoreinfo()?.build_id()?)
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
        Ok(made) => made.map(|(profile, _)| profile),
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
    path.canonicalize().ok()?.parent().map(Path::to_path_buf)
}

const fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
