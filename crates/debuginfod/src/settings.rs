//! What the environment says: servers, cache, limits.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A server that has not sent this much for the length of the timeout is given up, in bytes.
pub(crate) const LEAST_PROGRESS: u64 = 100 << 10;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(90);
/// The most that is ever downloaded, in bytes: several times the debug information of the largest kernels.
const MAX_SIZE: u64 = 16 << 30;

/// Where to ask and what to bear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Base URLs, in the order in which they are asked. Without any, only the cache is looked at.
    pub servers: Vec<String>,
    /// Servers that are not asked, each with the reason.
    pub refused: Vec<String>,
    /// The directory of the cache; `None` where the environment does not lead to one.
    pub cache: Option<PathBuf>,
    /// For how long a server may fail to make progress; `None` for ever.
    pub timeout: Option<Duration>,
    /// For how long one download may take in all.
    pub max_time: Option<Duration>,
    /// The largest file that is wanted, in bytes.
    pub max_size: u64,
    /// Whether `max_size` is the user's: servers are told then.
    pub size_is_limited: bool,
}

impl Settings {
    /// Reads the environment variables that all debuginfod clients heed; `variable` looks one up.
    #[must_use]
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name| variable(name).and_then(|value| value.into_string().ok());
        let number = |name| text(name).and_then(|value| value.trim().parse::<i64>().ok());
        let seconds = |number: i64| u64::try_from(number).ok().filter(|&number| number > 0).map(Duration::from_secs);
        let (servers, refused) = servers(&text("DEBUGINFOD_URLS").unwrap_or_default());
        let limit = number("DEBUGINFOD_MAXSIZE").and_then(|limit| u64::try_from(limit).ok()).filter(|&limit| limit > 0);
        Self {
            servers,
            refused,
            cache: cache(&variable),
            // Zero and less mean none.
            timeout: number("DEBUGINFOD_TIMEOUT").map_or(Some(DEFAULT_TIMEOUT), seconds),
            max_time: number("DEBUGINFOD_MAXTIME").and_then(seconds),
            max_size: limit.map_or(MAX_SIZE, |limit| limit.min(MAX_SIZE)),
            size_is_limited: limit.is_some(),
        }
    }
}

/// The usable URLs in a list with spaces between them, and why others are not.
///
/// A word such as `ima:enforcing` sets a policy for the URLs behind it: whether files must be signed. Signatures are
/// not checked here, so servers whose files must have one are not asked.
fn servers(list: &str) -> (Vec<String>, Vec<String>) {
    let (mut usable, mut refused) = (Vec::new(), Vec::new());
    let mut must_be_signed = false;
    for word in list.split_ascii_whitespace() {
        if let Some(policy) = word.strip_prefix("ima:") {
            must_be_signed = policy != "ignore";
            continue;
        }
        let url = word.trim_end_matches('/');
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http" | "https") if must_be_signed => {
                refused.push(format!("{url}: its files must be signed (ima:enforcing), which cannot be checked"));
            }
            Some("http" | "https") => usable.push(url.to_owned()),
            _ => refused.push(format!("{url}: neither http:// nor https://")),
        }
    }
    (usable, refused)
}

/// `$DEBUGINFOD_CACHE_PATH`, else the directory of older clients if it is there, else that of the XDG specification.
fn cache(variable: &impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(cache) = path("DEBUGINFOD_CACHE_PATH") {
        return Some(cache);
    }
    let home = path("HOME");
    let old = home.as_ref().map(|home| home.join(".debuginfod_client_cache")).filter(|old| old.is_dir());
    let base = || path("XDG_CACHE_HOME").or_else(|| Some(home.as_ref()?.join(".cache")));
    old.or_else(|| Some(base()?.join("debuginfod_client")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn nothing_is_asked_without_servers() {
        let settings = read(&[("HOME", "/nowhere/home")]);
        assert!(settings.servers.is_empty() && settings.refused.is_empty());
        assert_eq!(settings.cache, Some("/nowhere/home/.cache/debuginfod_client".into()));
        assert_eq!((settings.timeout, settings.max_time), (Some(DEFAULT_TIMEOUT), None));
        assert_eq!(read(&[]).cache, None);
    }

    #[test]
    fn servers_are_separated_by_spaces_and_tags_are_heeded() {
        let list = " http://a/  https://b:8002 ima:enforcing https://c ima:ignore HTTP://d file:///e ftp://f ";
        let settings = read(&[("DEBUGINFOD_URLS", list)]);
        assert_eq!(settings.servers, ["http://a", "https://b:8002", "HTTP://d"]);
        assert_eq!(settings.refused.len(), 3, "{:?}", settings.refused);
        assert!(settings.refused[0].starts_with("https://c: its files must be signed"));
    }

    #[test]
    fn the_cache_is_where_other_clients_have_theirs() {
        let home = tempfile::tempdir().unwrap();
        let home_path = home.path().to_str().unwrap();
        let all = [("DEBUGINFOD_CACHE_PATH", "/c"), ("XDG_CACHE_HOME", "/x"), ("HOME", home_path)];
        assert_eq!(read(&all).cache, Some("/c".into()));
        assert_eq!(read(&all[1..]).cache, Some("/x/debuginfod_client".into()));
        assert_eq!(read(&all[2..]).cache, Some(home.path().join(".cache/debuginfod_client")));
        assert_eq!(
            read(&[("DEBUGINFOD_CACHE_PATH", ""), ("XDG_CACHE_HOME", "/x")]).cache.unwrap(),
            PathBuf::from("/x/debuginfod_client")
        );
        let old = home.path().join(".debuginfod_client_cache");
        std::fs::create_dir(&old).unwrap();
        assert_eq!(read(&all[1..]).cache, Some(old));
    }

    #[test]
    fn numbers_that_make_no_sense_are_not_there() {
        let of = |name, value| read(&[(name, value)]);
        assert_eq!(of("DEBUGINFOD_TIMEOUT", "5").timeout, Some(Duration::from_secs(5)));
        assert_eq!(of("DEBUGINFOD_TIMEOUT", "0").timeout, None);
        assert_eq!(of("DEBUGINFOD_TIMEOUT", "-1").timeout, None);
        assert_eq!(of("DEBUGINFOD_TIMEOUT", "soon").timeout, Some(DEFAULT_TIMEOUT));
        assert_eq!(of("DEBUGINFOD_MAXTIME", "60").max_time, Some(Duration::from_secs(60)));
        let limited = of("DEBUGINFOD_MAXSIZE", "1000");
        assert_eq!((limited.max_size, limited.size_is_limited), (1000, true));
        for value in ["0", "-5", "much"] {
            let settings = of("DEBUGINFOD_MAXSIZE", value);
            assert_eq!((settings.max_size, settings.size_is_limited), (MAX_SIZE, false), "{value}");
        }
    }
}
