//! Downloads debug information by build-id from debuginfod servers, into the cache that all debuginfod clients share.
//!
//! ```text
//! GET URL/buildid/HEX/debuginfo          for each URL of DEBUGINFOD_URLS, until one answers
//! CACHE/HEX/debuginfo                    the file; empty: no server had it when the file was made
//! CACHE/cache_miss_s                     for how many seconds an empty file holds [600]
//! ```
//! Nothing here parses what was downloaded: the caller says whether a file is what it should be, before it gets its
//! place in the cache. Servers are not trusted with more than the user's time: what they send is bounded in size, and
//! one that stalls is left behind.
//!
//! Sources: `debuginfod-client-config(7)`, and `debuginfod/debuginfod-client.c` of elfutils 0.192 for what the manual
//! leaves open.
//!
//! ```
//! use vmcore_debuginfod::{Client, Settings};
//!
//! // As in the environment, but for a cache that has nothing.
//! let settings = Settings::read(|name| match name {
//!     "DEBUGINFOD_URLS" => Some("https://debuginfod.example.org".into()),
//!     "DEBUGINFOD_CACHE_PATH" => Some("/nonexistent".into()),
//!     _ => None,
//! });
//! assert_eq!(settings.servers.len(), 1);
//! // Only the cache is looked at; `fetch` asks the servers.
//! let whatever = |_: &std::path::Path| Ok(());
//! assert_eq!(Client::new(settings).cached(&[0xab; 20], &whatever), None);
//! ```

#![forbid(unsafe_code)]

mod cache;
mod client;
mod download;
mod settings;

pub use client::{Client, FetchError, Progress, Verify};
pub use settings::Settings;
