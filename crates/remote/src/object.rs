//! An object that is read in place.

use std::fmt;
use std::sync::Arc;

use crate::block_files::ObjectFiles;
use crate::blocks::{Block, Blocks, Claim};
use crate::{Address, BLOCK, BlockFiles, Client, RemoteError, Version};

/// Told when a part of an object cannot be had although the object is open: what was read until then proves nothing.
type OnLost = Box<dyn Fn(&RemoteError) + Send + Sync>;

/// One version of an object, read by any number of threads.
pub struct Object {
    client: Arc<Client>,
    address: Address,
    version: Version,
    blocks: Blocks,
    files: Option<ObjectFiles>,
    on_lost: OnLost,
}

impl Object {
    /// Opens an object: its first block is fetched. Blocks are kept in `files` if another version could be told from this one.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]. After that, whatever goes wrong is told to `on_lost`, too.
    pub fn open(
        client: Arc<Client>,
        address: Address,
        files: Option<&BlockFiles>,
        on_lost: Box<dyn Fn(&RemoteError) + Send + Sync>,
    ) -> Result<Self, RemoteError> {
        let (first, version) = client.get_range(&address, 0..BLOCK, None)?;
        let files = files.and_then(|files| files.of(&address, &version));
        let blocks = Blocks::default();
        if !first.is_empty() {
            blocks.fill(0..1, vec![first.into()]);
        }
        Ok(Self { client, address, version, blocks, files, on_lost })
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.version.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which version it is.
    #[must_use]
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// Says whether all of it is going to be read, from front to back.
    pub fn advise(&self, pass: bool) {
        self.blocks.advise(pass);
    }

    /// What [`Object::remember`] was given of the same version, perhaps by another process.
    #[must_use]
    pub fn recall(&self) -> Option<Vec<u8>> {
        self.files.as_ref()?.recall()
    }

    /// Keeps what was found out, if anything is kept.
    pub fn remember(&self, found: &[u8]) {
        if let Some(files) = &self.files {
            files.remember(found);
        }
    }

    /// Fills `buf` from `offset` on, all of which must lie within the object.
    ///
    /// # Errors
    ///
    /// [`RemoteError`], from then on at every call.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), RemoteError> {
        let end = offset.saturating_add(buf.len() as u64);
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let index = at / BLOCK;
            let block = self.block(index, end.div_ceil(BLOCK) - index)?;
            let from = usize::try_from(at % BLOCK).unwrap_or(usize::MAX);
            let here = block.get(from..).unwrap_or_default();
            let len = here.len().min(rest.len());
            if len == 0 {
                let reason = format!("it has no byte {at}");
                return Err(RemoteError::Answer { shown: self.address.to_string(), reason });
            }
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(here.get(..len).unwrap_or_default());
            rest = later;
            at += len as u64;
        }
        Ok(())
    }

    fn block(&self, index: u64, least: u64) -> Result<Block, RemoteError> {
        loop {
            let claimed = match self.blocks.claim(index, least, self.len().div_ceil(BLOCK))? {
                Claim::Here(block) => return Ok(block),
                Claim::Fetch(claimed) => claimed,
            };
            if let Some(kept) = self.files.as_ref().and_then(|files| files.get(index, self.block_len(index))) {
                // What follows, others may claim.
                self.blocks.fill(claimed, vec![kept.into()]);
                continue;
            }
            let range = claimed.start * BLOCK..(claimed.end * BLOCK).min(self.len());
            match self.client.get_range(&self.address, range, Some(&self.version)) {
                Ok((bytes, _)) => {
                    let blocks: Vec<Block> = bytes.chunks(BLOCK as usize).map(Block::from).collect();
                    if let Some(files) = &self.files {
                        claimed.clone().zip(&blocks).for_each(|(at, block)| files.put(at, block));
                    }
                    self.blocks.fill(claimed, blocks);
                }
                Err(error) => {
                    (self.on_lost)(&error);
                    self.blocks.fail(claimed, error.clone());
                    return Err(error);
                }
            }
        }
    }

    fn block_len(&self, index: u64) -> usize {
        usize::try_from(self.len().saturating_sub(index * BLOCK).min(BLOCK)).unwrap_or_default()
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("address", &self.address).field("version", &self.version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
