//! A row in brief: the columns that it takes to count rows, borrowed from the row or from the store's answer.

use crate::confidence::Confidence;
use crate::row::Row;

/// What tells of a row which crash and group it is of, and how well it stands for them.
pub(crate) struct Brief<'r> {
    pub(crate) key: &'r str,
    pub(crate) confidence: Confidence,
    /// Whether the verdict is of a dump, and not of a log.
    pub(crate) of_dump: bool,
    /// Bytes.
    pub(crate) size: u64,
    /// The exact signature.
    pub(crate) signature: &'r str,
    pub(crate) crash: Option<&'r str>,
}

impl<'r> Brief<'r> {
    pub(crate) fn of(row: &'r Row) -> Self {
        Self {
            key: &row.key,
            confidence: Confidence::of(row),
            of_dump: row.kind.is_dump() && !row.from_log,
            size: row.size,
            signature: &row.signature.exact,
            crash: row.crash.as_deref(),
        }
    }
}
