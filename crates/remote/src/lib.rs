//! Objects on servers: read in place, written once, listed.
//!
//! ```text
//! https://HOST/PATH?…    GET with Range and If-Match; a presigned address is enough
//! http://…               the same, of this machine only
//! s3://BUCKET/KEY        the same, signed; PUT with If-None-Match; ListObjectsV2
//! ```
//!
//! An [`Object`] is read by blocks of 256 KiB: each is fetched once, however many threads ask for it; what is read from
//! front to back is fetched in larger pieces, ahead of who reads it. Memory and disk for blocks have a bound. All blocks are
//! of one version of the object: if it is replaced, that is an error, not a mixture.
//!
//! What goes wrong on the way is tried again with longer and longer pauses. No message, and no [`std::fmt::Debug`], has
//! keys, tokens, or the query of an address. Nobody is asked for anything before an [`Address`] is opened.

#![forbid(unsafe_code)]

mod address;
mod block_files;
mod blocks;
mod client;
mod error;
mod listing;
mod object;
mod read_ahead;
mod requests;
mod settings;
mod signing;
#[cfg(test)]
mod test_support;
mod tls;

pub use address::{Address, is_address};
pub use block_files::BlockFiles;
pub use client::Client;
pub use error::RemoteError;
pub use listing::Listed;
pub use object::Object;
pub use requests::Version;
pub use settings::Settings;
pub use tls::tls;

/// Bytes of a block: of a gigabyte's dump an analysis needs some dozens of them.
pub const BLOCK: u64 = 256 << 10;
