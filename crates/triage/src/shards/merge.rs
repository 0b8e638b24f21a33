//! One store of all rows.

use std::path::{Path, PathBuf};

use super::plan::{Plan, Planned};
use super::row_file::Rows;
use crate::{Servers, Store, TriageError, one};

/// Missing items that are named; the rest is only counted.
const NAMED: usize = 20;
/// Rows that are read at the same time, from a store of objects.
const TOGETHER: usize = 32;

/// How far a pile is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Items of the plan.
    pub planned: usize,
    /// Those without a row.
    pub missing: usize,
    /// The first of them.
    pub named: Vec<PathBuf>,
}

/// Puts the rows of all items of a plan into a store, in the order of the plan; those that are there already stay. One
/// after the other: whatever the plan's length, no more than one row is in memory.
///
/// # Errors
///
/// [`TriageError`] where the plan cannot be read, or the store fails.
pub fn merge(
    plan: &Path,
    directory: &Path,
    store: &mut Store,
    servers: &Servers,
    mut watch: impl FnMut(usize),
) -> Result<Merged, TriageError> {
    let rows = Rows::of(directory, servers)?;
    let mut merged = Merged::default();
    store.many(|store| {
        let mut plan = Plan::open(plan, servers)?;
        loop {
            let some: Vec<Planned> = plan.by_ref().take(TOGETHER).collect::<Result<_, _>>()?;
            if some.is_empty() {
                return Ok(());
            }
            let keys: Vec<_> = some.iter().map(|planned| planned.key.as_str()).collect();
            for (planned, found) in some.iter().zip(rows.get_all(&keys)?) {
                merged.planned += 1;
                match found {
                    Some((row, document)) => {
                        // It may have been empty, or not for this user, when it was merged before.
                        let old = one::without_content(&planned.item());
                        if old != row.key {
                            store.forget(&old)?;
                        }
                        store.add(&row, document.as_deref())?;
                    }
                    None => {
                        merged.missing += 1;
                        if merged.named.len() < NAMED {
                            merged.named.push(planned.item().path);
                        }
                    }
                }
                watch(merged.planned);
            }
        }
    })?;
    rows.remove_stale();
    Ok(merged)
}
