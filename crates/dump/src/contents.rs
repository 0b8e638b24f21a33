//! What each format's reader hands over.

use crate::Source;
use crate::notes::Notes;
use crate::warnings::Warnings;

/// What a format's reader found in a file; `M` finds physical memory in it.
#[derive(Debug)]
pub(crate) struct Contents<M> {
    pub(crate) source: Source,
    pub(crate) memory: M,
    pub(crate) notes: Notes,
    pub(crate) warnings: Warnings,
}

impl<M> Contents<M> {
    /// The same with its memory as one of several kinds.
    pub(crate) fn map<N>(self, kind: impl FnOnce(M) -> N) -> Contents<N> {
        Contents { source: self.source, memory: kind(self.memory), notes: self.notes, warnings: self.warnings }
    }
}
