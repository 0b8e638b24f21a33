//! What can be done with objects.

use std::ops::Range;

use ureq::http::{Method, header};

use crate::client::{Answer, Ask, Client};
use crate::{Address, RemoteError};

/// What tells one content of an object from the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Bytes.
    pub len: u64,
    /// The server's mark of this content.
    pub etag: Option<String>,
    /// When it was last changed, as the server writes it.
    pub modified: Option<String>,
}

impl Version {
    fn of(answer: &Answer, len: u64) -> Self {
        let text = |name| answer.header(name).map(str::to_owned);
        Self { len, etag: text("etag"), modified: text("last-modified") }
    }

    /// Whether a server would notice that it is another.
    #[must_use]
    pub const fn is_marked(&self) -> bool {
        self.etag.is_some() || self.modified.is_some()
    }
}

impl Client {
    /// The bytes in a range of an object, as far as it has them, and its version. Of `version`, if that is given: of an
    /// object that was replaced meanwhile nothing comes.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]: [`RemoteError::Replaced`] where there is another version.
    pub fn get_range(
        &self,
        address: &Address,
        range: Range<u64>,
        version: Option<&Version>,
    ) -> Result<(Vec<u8>, Version), RemoteError> {
        let len = range.end.saturating_sub(range.start);
        let mut headers = vec![(header::RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))];
        match version {
            // A weak mark matches nothing here; that the answer has the same is seen below.
            Some(Version { etag: Some(etag), .. }) if !etag.starts_with("W/") => {
                headers.push((header::IF_MATCH, etag.clone()));
            }
            Some(Version { etag: None, modified: Some(modified), .. }) => {
                headers.push((header::IF_UNMODIFIED_SINCE, modified.clone()));
            }
            _ => {}
        }
        let method = Method::GET;
        let answer =
            self.ask(&Ask { method, address, query: String::new(), headers, body: &[], limit: len, partial: true })?;
        let shown = || address.to_string();
        let replaced = || RemoteError::Replaced { shown: shown() };
        let (start, total) = match answer.status {
            412 => return Err(replaced()),
            416 => (range.start, content_range(&answer).and_then(|(_, total)| total).unwrap_or_default()),
            206 => match content_range(&answer) {
                Some((Some(start), Some(total))) => (start, total),
                _ => return Err(RemoteError::NoRanges { shown: shown(), status: 206 }),
            },
            _ => (0, answer.body.len() as u64),
        };
        let found = Version::of(&answer, total);
        if version.is_some_and(|version| (version.len, &version.etag) != (found.len, &found.etag)) {
            return Err(replaced());
        }
        let wanted = range.end.min(total).saturating_sub(range.start);
        if answer.status != 416 && (start != range.start || answer.body.len() as u64 != wanted) {
            let reason =
                format!("of bytes {}-{} it sends {} from {start} on", range.start, range.end, answer.body.len());
            return Err(RemoteError::Answer { shown: shown(), reason });
        }
        Ok((answer.body, found))
    }

    /// All of an object, of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub fn get(&self, address: &Address, limit: u64) -> Result<Vec<u8>, RemoteError> {
        let (method, query, headers) = (Method::GET, String::new(), Vec::new());
        Ok(self.ask(&Ask { method, address, query, headers, body: &[], limit, partial: false })?.body)
    }

    /// Writes an object that must not be there yet. Whether it was not.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub fn put_new(&self, address: &Address, body: &[u8]) -> Result<bool, RemoteError> {
        self.put(address, body, vec![(header::IF_NONE_MATCH, "*".to_owned())])
    }

    /// Writes an object, in place of one that is there.
    ///
    /// # Errors
    ///
    /// [`RemoteError`].
    pub fn replace(&self, address: &Address, body: &[u8]) -> Result<(), RemoteError> {
        self.put(address, body, Vec::new()).map(drop)
    }

    fn put(
        &self,
        address: &Address,
        body: &[u8],
        headers: Vec<(header::HeaderName, String)>,
    ) -> Result<bool, RemoteError> {
        let (method, query) = (Method::PUT, String::new());
        let answer = self.ask(&Ask { method, address, query, headers, body, limit: 1 << 20, partial: false })?;
        Ok(answer.status != 412)
    }
}

/// `bytes START-END/TOTAL`, or `bytes */TOTAL`.
fn content_range(answer: &Answer) -> Option<(Option<u64>, Option<u64>)> {
    let (range, total) = answer.header("content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.trim().parse().ok());
    Some((start, total.trim().parse().ok()))
}
