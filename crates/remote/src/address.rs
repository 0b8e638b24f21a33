//! What names an object on a server.

use std::fmt;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::RemoteError;

/// In a key, everything but these is encoded, as signatures have it; slashes separate.
const IN_KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// An object on a server, or a prefix of such.
///
/// Shown ([`fmt::Display`], [`fmt::Debug`]) without the query: in that of a presigned address is what opens it.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// `https://…`, as it was given; on this machine also `http://…`.
    Http(String),
    /// `s3://bucket/key`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key, not encoded; of a prefix perhaps nothing.
        key: String,
    },
}

/// Whether a path is an address, though perhaps one that cannot be used.
#[must_use]
pub fn is_address(path: &Path) -> bool {
    !matches!(Address::of_path(path), Ok(None))
}

impl Address {
    /// The address that `text` is; `None` where it is none, but the name of a file.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Address`] where it begins like an address and cannot be used.
    pub fn parse(text: &str) -> Result<Option<Self>, RemoteError> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
        let wrong = |reason| {
            Err(RemoteError::Address {
                shown: format!("{}://{}", scheme, rest.split(END).next().unwrap_or_default()),
                reason,
            })
        };
        match scheme {
            "s3" => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                let is_bucket = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
                if bucket.is_empty() || !bucket.bytes().all(is_bucket) {
                    return wrong("it names no bucket");
                }
                Ok(Some(Self::S3 { bucket: bucket.to_owned(), key: key.to_owned() }))
            }
            "https" | "http" => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                if authority.contains('@') {
                    return Err(RemoteError::Address {
                        shown: format!("{scheme}://…"),
                        reason: "a name and a password in it are not used",
                    });
                }
                if authority.is_empty() {
                    return wrong("it names no server");
                }
                if scheme == "http" && !is_loopback(authority) {
                    return wrong("without encryption only this machine is asked: it must be https");
                }
                // A fragment is not for the server.
                let url = text.split('#').next().unwrap_or_default();
                Ok(Some(Self::Http(url.to_owned())))
            }
            _ => Ok(None),
        }
    }

    /// The address that a path is, or `None` where it is a path.
    ///
    /// # Errors
    ///
    /// As [`Address::parse`].
    pub fn of_path(path: &Path) -> Result<Option<Self>, RemoteError> {
        path.to_str().map_or(Ok(None), Self::parse)
    }

    /// Whether it has something that must not be seen, so that [`fmt::Display`] does not give it back whole.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Http(url) if url.contains('?'))
    }

    /// The address of `name` below this one, of a prefix or directory.
    #[must_use]
    pub fn join(&self, name: &str) -> Self {
        let below = |path: &str| match path.trim_end_matches('/') {
            "" => name.to_owned(),
            path => format!("{path}/{name}"),
        };
        match self {
            Self::Http(url) => Self::Http(below(url.split('?').next().unwrap_or_default())),
            Self::S3 { bucket, key } => Self::S3 { bucket: bucket.clone(), key: below(key) },
        }
    }

    /// The directory that it is in.
    #[must_use]
    pub fn parent(&self) -> Self {
        let above = |path: &str| path.rsplit_once('/').map_or(String::new(), |(above, _)| above.to_owned());
        match self {
            Self::Http(url) => Self::Http(above(url.split('?').next().unwrap_or_default())),
            Self::S3 { bucket, key } => Self::S3 { bucket: bucket.clone(), key: above(key) },
        }
    }
}

/// Where what identifies a file ends, and what may be secret begins.
const END: [char; 2] = ['?', '#'];

/// A key as it stands in a URL.
pub(crate) fn encoded(key: &str) -> impl fmt::Display + '_ {
    utf8_percent_encode(key, IN_KEY)
}

pub(crate) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url.split(END).next().unwrap_or_default()),
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Address> {
        Address::parse(text).unwrap()
    }

    #[test]
    fn addresses_and_paths() {
        let s3 = |bucket: &str, key: &str| Some(Address::S3 { bucket: bucket.into(), key: key.into() });
        assert_eq!(parsed("s3://crash-dumps/2026/web 1/vmcore"), s3("crash-dumps", "2026/web 1/vmcore"));
        assert_eq!((parsed("s3://b"), parsed("s3://b/")), (s3("b", ""), s3("b", "")));
        for path in ["vmcore", "/var/crash/vmcore", "./s3:/x", "ftp://host/vmcore", "", "file:///x"] {
            assert_eq!(parsed(path), None, "{path}");
        }
        assert!(matches!(parsed("https://host/vmcore?X-Amz-Signature=s"), Some(Address::Http(_))));
        for local in ["http://127.0.0.1:9000/x", "http://localhost/x", "http://[::1]:80/x"] {
            assert!(parsed(local).is_some(), "{local}");
        }
    }

    #[test]
    fn what_is_refused_says_why_without_the_secret() {
        for text in
            ["s3://", "s3://no bucket/key", "https:///x?secret", "http://host/x?secret", "https://me:secret@host/x"]
        {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_query_is_never_shown() {
        let address = parsed("https://host/a/vmcore?X-Amz-Signature=secret").unwrap();
        assert_eq!(
            (address.to_string(), format!("{address:?}")),
            ("https://host/a/vmcore".into(), "https://host/a/vmcore".into())
        );
        assert!(address.is_secret());
    }

    #[test]
    fn beside_and_below() {
        let address = parsed("s3://b/2026/web1/vmcore").unwrap();
        assert_eq!(address.parent().join("vmlinux").to_string(), "s3://b/2026/web1/vmlinux");
        assert_eq!(parsed("s3://b").unwrap().join("debug").to_string(), "s3://b/debug");
        assert_eq!(parsed("s3://b/top").unwrap().parent().join("x").to_string(), "s3://b/x");
        assert_eq!(encoded("a b/ü+").to_string(), "a%20b/%C3%BC%2B");
    }
}
