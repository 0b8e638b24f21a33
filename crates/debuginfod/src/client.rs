//! The cache, then one server after the other.

use std::path::{Path, PathBuf};

use crate::Settings;
use crate::cache::{Place, State};
use crate::download::{DownloadError, Downloader};

/// No linker makes a longer build-id, in bytes.
const MAX_BUILD_ID: usize = 64;

/// Says whether a file is what was asked for; if not, why not.
pub type Verify<'v> = &'v dyn Fn(&Path) -> Result<(), String>;

/// How far a download is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'p> {
    /// Where from.
    pub url: &'p str,
    /// Bytes that have arrived.
    pub received: u64,
    /// Bytes that the server said it would send.
    pub size: Option<u64>,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A build-id of a length that none has.
    #[error("a build-id of {0} bytes is not valid")]
    BuildId(usize),
    /// There is no cache to put it in.
    #[error("neither DEBUGINFOD_CACHE_PATH, XDG_CACHE_HOME nor HOME says where the cache is")]
    NoCache,
    /// There is nothing to ask.
    #[error("{}", if .0.is_empty() { "DEBUGINFOD_URLS names no server".to_owned() } else { .0.join("; ") })]
    NoServers(Vec<String>),
    /// No server had it a short time ago.
    #[error("no server had it a short time ago ({} remembers that)", .0.display())]
    MissedBefore(PathBuf),
    /// No server has it, or gives it. Each with its reason.
    #[error("{}", .0.join("; "))]
    Servers(Vec<String>),
    /// The cache cannot be written.
    #[error("cannot write below {}: {source}", .directory.display())]
    Cache {
        /// The cache.
        directory: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Gets debug information by build-id.
#[derive(Clone, Debug)]
pub struct Client {
    settings: Settings,
}

impl Client {
    /// A client with these settings. It does nothing until it is asked.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The debug information of `build_id` if the cache has it and it is what it should be.
    #[must_use]
    pub fn cached(&self, build_id: &[u8], verify: Verify<'_>) -> Option<PathBuf> {
        let place = self.place(build_id).ok()?;
        (place.state() == State::Present && verify(place.file()).is_ok()).then(|| place.file().to_owned())
    }

    /// The debug information of `build_id`: from the cache or, if that has none, from the first server that gives what
    /// passes `verify`, by way of the cache. `progress` is called before each request and while data arrives.
    ///
    /// # Errors
    ///
    /// [`FetchError`] where there is none to be had.
    pub fn fetch(
        &self,
        build_id: &[u8],
        verify: Verify<'_>,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<PathBuf, FetchError> {
        let place = self.place(build_id)?;
        if let Some(cached) = self.cached(build_id, verify) {
            return Ok(cached);
        }
        let Settings { servers, refused, .. } = &self.settings;
        if servers.is_empty() {
            return Err(FetchError::NoServers(refused.clone()));
        }
        if place.state() == State::Missed {
            return Err(FetchError::MissedBefore(place.file().to_owned()));
        }
        let downloader = Downloader::new(&self.settings);
        let mut reasons = refused.clone();
        let mut nowhere = true;
        for server in servers {
            let url = format!("{server}/buildid/{}/debuginfo", hex(build_id));
            let error = match self.download(&downloader, &url, &place, verify, &mut progress)? {
                Ok(()) => return Ok(place.file().to_owned()),
                Err(error) => error,
            };
            nowhere &= matches!(error, Refusal::Download(DownloadError::NotThere));
            reasons.push(format!("{server} {error}"));
        }
        if nowhere {
            place.note_miss().map_err(|source| self.cache_error(source))?;
        }
        Err(FetchError::Servers(reasons))
    }

    /// Downloads to a file without a name that anybody looks for, and names it when it has proved right.
    fn download(
        &self,
        downloader: &Downloader<'_>,
        url: &str,
        place: &Place,
        verify: Verify<'_>,
        progress: &mut impl FnMut(Progress<'_>),
    ) -> Result<Result<(), Refusal>, FetchError> {
        let mut file = place.new_file().map_err(|source| self.cache_error(source))?;
        progress(Progress { url, received: 0, size: None });
        let show = |received, size| progress(Progress { url, received, size });
        if let Err(error) = downloader.get(url, &mut file, show) {
            return Ok(Err(Refusal::Download(error)));
        }
        if let Err(why) = verify(file.path()) {
            return Ok(Err(Refusal::Wrong(why)));
        }
        place.keep(file).map_err(|source| self.cache_error(source)).map(Ok)
    }

    fn place(&self, build_id: &[u8]) -> Result<Place, FetchError> {
        if build_id.is_empty() || build_id.len() > MAX_BUILD_ID {
            return Err(FetchError::BuildId(build_id.len()));
        }
        let cache = self.settings.cache.as_deref().ok_or(FetchError::NoCache)?;
        Ok(Place::new(cache, &hex(build_id)))
    }

    fn cache_error(&self, source: std::io::Error) -> FetchError {
        FetchError::Cache { directory: self.settings.cache.clone().unwrap_or_default(), source }
    }
}

/// Why the file of one server is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Download(DownloadError),
    #[error("sent a file that is not used: {0}")]
    Wrong(String),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
