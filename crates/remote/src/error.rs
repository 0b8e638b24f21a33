//! Why an object could not be read, written or listed. No message has keys, tokens, or the query of an address.

use std::io;

/// Why an object could not be read, written or listed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteError {
    /// An address that cannot be used.
    #[error("{shown} cannot be used: {reason}")]
    Address {
        /// The address, as far as it may be seen.
        shown: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nobody says with what to sign requests.
    #[error("there are no credentials for {shown}: {reason}")]
    Credentials {
        /// The object.
        shown: String,
        /// What was said.
        reason: String,
    },
    /// The server has no such object.
    #[error("{shown} is not there (status {status})")]
    NotThere {
        /// The object.
        shown: String,
        /// The status.
        status: u16,
    },
    /// The server does not want to give it.
    #[error("{shown} is refused (status {status}{code})")]
    Refused {
        /// The object.
        shown: String,
        /// The status.
        status: u16,
        /// The server's own word for why, with a comma before it, if it has one.
        code: String,
    },
    /// Another object has this name now.
    #[error("{shown} was replaced while it was read")]
    Replaced {
        /// The object.
        shown: String,
    },
    /// The server gives all or nothing.
    #[error("{shown} cannot be read in place: its server does not answer requests for a part of it (status {status})")]
    NoRanges {
        /// The object.
        shown: String,
        /// The status.
        status: u16,
    },
    /// No answer that can be used, however often it was tried.
    #[error("{shown} could not be had in {attempts} attempts: {reason}")]
    Lost {
        /// The object.
        shown: String,
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        reason: String,
    },
    /// An answer that makes no sense.
    #[error("the server of {shown} sent an invalid answer: {reason}")]
    Answer {
        /// The object.
        shown: String,
        /// What.
        reason: String,
    },
}

impl RemoteError {
    /// What the user could try.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Address { .. } => "addresses are https://HOST/PATH, presigned or public, and s3://BUCKET/KEY",
            Self::Credentials { .. } => {
                "they come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a web identity, or the instance's role"
            }
            Self::NotThere { .. } => "check the address, and AWS_ENDPOINT_URL if the store is not Amazon's",
            Self::Refused { .. } => {
                "a presigned address may have expired; otherwise check what the credentials may read"
            }
            Self::Replaced { .. } => "run it again: it is about what is there now",
            Self::NoRanges { .. } => "download it first",
            Self::Lost { .. } => "run it again when the server can be reached; what was fetched is kept",
            Self::Answer { .. } => "download it first, with a tool that reports more",
        }
    }

    /// Whether another run may well succeed: what is wrong is the way to the server, not the object.
    #[must_use]
    pub const fn is_of_the_way(&self) -> bool {
        matches!(self, Self::Credentials { .. } | Self::Refused { .. } | Self::Lost { .. })
    }
}

impl From<RemoteError> for io::Error {
    fn from(error: RemoteError) -> Self {
        let kind = match error {
            RemoteError::NotThere { .. } => io::ErrorKind::NotFound,
            RemoteError::Credentials { .. } | RemoteError::Refused { .. } => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
