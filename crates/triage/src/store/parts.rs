//! A store taken into another: how a merge becomes a tree.
//!
//! SQLite copies from file to file, so that memory has no part in how many rows there are. What both have, by content and
//! version of the program, stays as it is in the store that takes; so several stores in the order of their plans make the
//! same one as a single merge of all.

use std::path::Path;

use super::Store;
use crate::TriageError;

/// What `part` has and this store has not. Documents belong to rows: those of a row that was there stay, too.
const TAKE: &str = "
    BEGIN IMMEDIATE;
    CREATE TEMP TABLE fresh AS SELECT key, tool FROM part.dumps EXCEPT SELECT key, tool FROM main.dumps;
    INSERT INTO main.dumps SELECT d.* FROM part.dumps d JOIN fresh USING (key, tool);
    INSERT INTO main.documents (key, tool, json) SELECT o.key, o.tool, o.json FROM part.documents o JOIN fresh USING (key, tool);
    INSERT OR REPLACE INTO main.files (path, key, seen) SELECT path, key, seen FROM part.files;
    DROP TABLE fresh;
    COMMIT;";

impl Store {
    /// Takes all rows of the store in the file `part` in.
    ///
    /// # Errors
    ///
    /// [`TriageError::Input`] where `part` is not there or is this store; else as [`Store::open`].
    pub fn take_in(&mut self, part: &Path) -> Result<(), TriageError> {
        let input = |cause| TriageError::Input { path: part.to_owned(), cause };
        let (own, other) = (self.path.canonicalize(), part.canonicalize().map_err(input)?);
        if own.is_ok_and(|own| own == other) {
            return Err(input(std::io::Error::other("it is the store that takes")));
        }
        // Brings it up to date, and finds out whether it is a store at all.
        drop(Self::open(part)?);
        let failed = |cause| TriageError::Store { path: part.to_owned(), cause };
        self.connection.execute("ATTACH DATABASE ? AS part", [other.to_string_lossy()]).map_err(failed)?;
        let taken = self.connection.execute_batch(TAKE);
        if taken.is_err() {
            // There may be nothing to take back.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        let detached = self.connection.execute_batch("DETACH DATABASE part");
        taken.and(detached).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;
    use crate::store::tests::row;

    fn all(store: &Store) -> Vec<(Row, Option<String>)> {
        let mut rows = Vec::new();
        let each = store.each_row(|row| {
            let document = store.document(&row.key, &row.tool)?;
            rows.push((row, document));
            Ok::<_, TriageError>(())
        });
        each.unwrap();
        rows
    }

    #[test]
    fn a_tree_of_merges_makes_what_one_merge_makes() {
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str| Store::open(&directory.path().join(name)).unwrap();
        let rows: Vec<Row> = (0..40)
            .map(|number| Row {
                paths: vec![format!("/crash/{number}")],
                host: Some(format!("host{number}")),
                // Some contents are in two places, and those in parts of their own.
                ..row(&format!("{:032x}", number % 25))
            })
            .collect();
        let fill = |store: &mut Store, rows: &[Row]| {
            let document = |row: &Row| format!("{{\"of\":\"{}\"}}", row.paths[0]);
            store.many(|store| rows.iter().try_for_each(|row| store.add(row, Some(&document(row))))).unwrap();
        };
        let mut one = open("one");
        fill(&mut one, &rows);
        let mut leaves = Vec::new();
        for (number, rows) in rows.chunks(10).enumerate() {
            let name = format!("leaf{number}");
            fill(&mut open(&name), rows);
            leaves.push(directory.path().join(name));
        }
        let mut tops = Vec::new();
        for (number, pair) in leaves.chunks(2).enumerate() {
            let name = format!("top{number}");
            let mut store = open(&name);
            pair.iter().for_each(|leaf| store.take_in(leaf).unwrap());
            tops.push(directory.path().join(name));
        }
        let mut root = open("root");
        tops.iter().for_each(|top| root.take_in(top).unwrap());
        // Once more changes nothing.
        root.take_in(&tops[0]).unwrap();
        assert_eq!(all(&root), all(&one));
        assert_eq!(all(&root).len(), 25);
    }

    #[test]
    fn what_is_no_other_store_is_refused_and_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut store = Store::open(&path("own")).unwrap();
        assert!(matches!(store.take_in(&path("none")), Err(TriageError::Input { .. })));
        assert!(!path("none").exists());
        assert!(matches!(store.take_in(&path("own")), Err(TriageError::Input { .. })));
        std::fs::write(path("text"), "no store\n".repeat(1000)).unwrap();
        assert!(matches!(store.take_in(&path("text")), Err(TriageError::Store { .. })));
        store.put(&row("a"), None).unwrap();
    }
}
