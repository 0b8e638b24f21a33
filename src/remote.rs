//! Dumps on servers: opened in place, and what people see of it.
//!
//! Nothing here is reached, and no server asked for anything, unless an argument is an address.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vmcore_dump::{DumpFile, ReadAt};
use vmcore_os::end;
use vmcore_remote::{Address, BlockFiles, Object, RemoteError};
use vmcore_report::Sanitized;
use vmcore_triage::Servers;

use crate::cli::Search;
use crate::failure::Failure;
use crate::run::Run;
use crate::servers::client;
use crate::status::Status;
use crate::users_cache::users_cache;

/// How much is kept for the next command where nothing else is said.
const LIMIT: u64 = 1 << 30;

/// What a file is called wherever people or other programs see it: an address without what opens it.
pub(crate) fn shown(path: &Path) -> PathBuf {
    match Address::of_path(path) {
        Ok(Some(address)) => address.to_string().into(),
        // An address that cannot be used is an error before it is shown.
        _ => path.to_owned(),
    }
}

/// The file that an argument names, on this machine or a server.
pub(crate) fn dump_file(path: &Path, search: &Search, run: &Run) -> Result<DumpFile, Failure> {
    let Some(address) = Address::of_path(path)? else { return Ok(DumpFile::Path(path.to_owned())) };
    let name = address.to_string();
    let object = run
        .step("opening the object", || Object::open(client(), address, block_files(search).as_ref(), Box::new(lost)))?;
    if !object.version().is_marked() {
        run.warn(format_args!(
            "the server of {name} does not say which version it sends: if it is replaced meanwhile, nobody notices"
        ));
    }
    Ok(DumpFile::Remote { name: name.into(), file: Arc::new(InPlace(object)) })
}

/// How a pile's objects are asked for; what is fetched of them is kept as `search` says, if it is said.
pub(crate) fn servers(search: Option<&Search>) -> Servers {
    Servers { client, blocks: search.and_then(block_files) }
}

/// All of an object that is read from front to back; `None` where `path` is no address.
pub(crate) fn whole(path: &Path) -> Result<Option<Box<dyn Read>>, Failure> {
    let Some(address) = Address::of_path(path)? else { return Ok(None) };
    let object = Object::open(client(), address, None, Box::new(lost))?;
    object.advise(true);
    Ok(Some(Box::new(FrontToBack { object, at: 0 })))
}

/// An object on the way from its first byte to its last.
struct FrontToBack {
    object: Object,
    at: u64,
}

impl Read for FrontToBack {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.object.len().saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = left.min(buffer.len());
        if let Some(buffer) = buffer.get_mut(..len).filter(|buffer| !buffer.is_empty()) {
            self.object.read_at(self.at, buffer)?;
            self.at += len as u64;
        }
        Ok(len)
    }
}

/// Where blocks are kept.
fn block_files(search: &Search) -> Option<BlockFiles> {
    let limit = search.block_cache.unwrap_or(LIMIT);
    let directory = users_cache().filter(|_| !search.no_cache)?.join("objects");
    Some(BlockFiles { directory, limit })
}

/// Ends the process: without a part of the dump, what the rest says is no verdict.
fn lost(error: &RemoteError) {
    let message = format!("error: {}\nhint: {}\n", Sanitized::new(&error.to_string()), error.hint());
    end(&message, Status::of_remote(error).code());
}

/// An object as dumps are read.
#[derive(Debug)]
struct InPlace(Object);

impl ReadAt for InPlace {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        Ok(self.0.read_at(offset, buf)?)
    }

    fn advise(&self, pass: bool) {
        self.0.advise(pass);
    }

    fn recall(&self) -> Option<Vec<u8>> {
        self.0.recall()
    }

    fn remember(&self, found: &[u8]) {
        self.0.remember(found);
    }
}
