//! Where things are kept for the user's next command.

use std::env;
use std::path::{Path, PathBuf};

/// The directory of all that this program keeps for the user.
pub(crate) fn users_cache() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    Some(cache.or_else(home)?.join("vmcore-thp"))
}
