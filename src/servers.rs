//! The one client for all servers of objects, and what was fetched with it.

use std::sync::{Arc, OnceLock};

use vmcore_remote::{Client, Settings};

/// All requests go through this one, which is made when the first is.
static CLIENT: OnceLock<Arc<Client>> = OnceLock::new();

pub(crate) fn client() -> Arc<Client> {
    Arc::clone(CLIENT.get_or_init(|| Arc::new(Client::new(Settings::read(|name| std::env::var_os(name))))))
}

/// Bytes that were fetched so far.
pub(crate) fn received() -> u64 {
    CLIENT.get().map_or(0, |client| client.received())
}

/// Says with `-v` what was fetched, at the end.
pub(crate) fn tell() {
    if let Some(client) = CLIENT.get() {
        tracing::info!("fetched {} bytes in {} requests", client.received(), client.requests());
    }
}
