//! Who asks servers of objects, if a path is an address.

use std::path::Path;
use std::sync::Arc;

use vmcore_remote::{Address, BlockFiles, Client, Object, RemoteError, Settings};

/// How servers are asked: not at all unless a path is an address.
#[derive(Clone, Debug)]
pub struct Servers {
    /// The client, made when it is first wanted.
    pub client: fn() -> Arc<Client>,
    /// Where blocks of objects are kept, for the process that analyzes what was looked at here.
    pub blocks: Option<BlockFiles>,
}

impl Default for Servers {
    fn default() -> Self {
        Self { client: || Arc::new(Client::new(Settings::read(|name| std::env::var_os(name)))), blocks: None }
    }
}

impl Servers {
    /// The object that a path names, opened; `None` where it is a path.
    pub(crate) fn object(&self, path: &Path) -> Result<Option<Object>, RemoteError> {
        let Some(address) = Address::of_path(path)? else { return Ok(None) };
        // Who reads it sees the error.
        Object::open((self.client)(), address, self.blocks.as_ref(), Box::new(|_| {})).map(Some)
    }
}
