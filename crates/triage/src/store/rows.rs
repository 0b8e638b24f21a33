//! Rows written and read.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::Store;
use crate::brief::Brief;
use crate::confidence::Confidence;
use crate::document::Summary;
use crate::input::ItemKind;
use crate::row::{Failure, FailureKind, Row};
use crate::signature::Signature;
use crate::{TriageError, clock};

const COLUMNS: &str = "key, tool, kind, size, host, crashed, finished, elapsed_ns, failure, failure_text, from_log, \
    release, version, build_id, panic, panic_cpu, panic_pid, issue, confidence, summary, known_issue, in_this_kernel, \
    remedy, unknown, incomplete, signature, similar, group_id, crash";

/// Of a row `d`: that it is the newest of its content.
const NEWEST: &str = "NOT EXISTS (SELECT 1 FROM dumps n WHERE n.key = d.key \
    AND (n.finished > d.finished OR n.finished = d.finished AND n.tool > d.tool))";

/// Rows that one transaction of a merge writes.
const TOGETHER: usize = 500;

impl Store {
    /// Keeps a row with its document, in place of one that is there, and gives back the claim to it.
    ///
    /// # Errors
    ///
    /// [`TriageError::Store`].
    pub fn put(&mut self, row: &Row, document: Option<&str>) -> Result<(), TriageError> {
        let failed = self.failed();
        let transaction = self.connection.transaction().map_err(&failed)?;
        insert(&transaction, row, document).map_err(&failed)?;
        let of_row = params![row.key, row.tool];
        transaction.execute("DELETE FROM claims WHERE key = ? AND tool = ?", of_row).map_err(&failed)?;
        transaction.commit().map_err(failed)
    }

    /// Runs `work`, which adds many rows; they are written together, some hundred at a time.
    pub(crate) fn many(
        &mut self,
        work: impl FnOnce(&mut Batch<'_>) -> Result<(), TriageError>,
    ) -> Result<(), TriageError> {
        let failed = self.failed();
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(&failed)?;
        let worked = work(&mut Batch { store: self, added: 0 });
        let end = if worked.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.connection.execute_batch(end).map_err(failed);
        worked.and(ended)
    }

    /// Drops the rows of this key, which is no content's any more.
    pub(crate) fn forget(&self, key: &str) -> Result<(), TriageError> {
        let failed = self.failed();
        // Most have none, and to find that out takes no lock.
        let sql = "SELECT 1 FROM dumps WHERE key = ?";
        if self.connection.prepare_cached(sql).and_then(|mut there| there.exists([key])).map_err(&failed)? {
            self.connection.execute("DELETE FROM dumps WHERE key = ?", [key]).map_err(&failed)?;
        }
        Ok(())
    }

    /// Remembers one more path of content.
    pub(crate) fn put_path(&mut self, key: &str, path: &str) -> Result<(), TriageError> {
        let failed = self.failed();
        let sql = "INSERT OR REPLACE INTO files (path, key, seen) VALUES (?, ?, ?)";
        self.connection.execute(sql, params![path, key, clock::now()]).map(drop).map_err(failed)
    }

    /// The row of this content by this version of the program, or by the one that wrote the newest.
    ///
    /// # Errors
    ///
    /// [`TriageError::Store`].
    pub fn row(&self, key: &str, tool: &str) -> Result<Option<Row>, TriageError> {
        let failed = self.failed();
        let sql = format!("SELECT {COLUMNS} FROM dumps WHERE key = ? AND tool = ?");
        let row = self.connection.prepare_cached(&sql).map_err(&failed)?.query_row(params![key, tool], read);
        let Some(mut row) = row.optional().map_err(&failed)? else { return Ok(None) };
        row.paths = self.paths(key)?;
        Ok(Some(row))
    }

    fn paths(&self, key: &str) -> Result<Vec<String>, TriageError> {
        let failed = self.failed();
        let sql = "SELECT path FROM files WHERE key = ? ORDER BY path";
        let mut statement = self.connection.prepare_cached(sql).map_err(&failed)?;
        let paths = statement.query_map([key], |row| row.get(0)).map_err(&failed)?;
        paths.collect::<Result<_, _>>().map_err(failed)
    }

    /// All rows by content, of each content only the newest, one after the other.
    ///
    /// # Errors
    ///
    /// [`TriageError::Store`], or what `each` returns.
    pub fn each_row<E: From<TriageError>>(&self, mut each: impl FnMut(Row) -> Result<(), E>) -> Result<(), E> {
        let failed = self.failed();
        let sql = format!("SELECT {COLUMNS} FROM dumps d WHERE {NEWEST} ORDER BY key, tool");
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        while let Some(found) = rows.next().map_err(&failed)? {
            let mut row = read(found).map_err(&failed)?;
            row.paths = self.paths(&row.key)?;
            each(row)?;
        }
        Ok(())
    }

    /// Of the same rows, in the same order, what groups are made by.
    pub(crate) fn each_brief(&self, mut each: impl FnMut(Brief<'_>)) -> Result<(), TriageError> {
        let failed = self.failed();
        let sql = format!(
            "SELECT key, failure, from_log, confidence, kind, size, signature, crash FROM dumps d WHERE {NEWEST} ORDER BY key, tool"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(&failed)?;
        let mut rows = statement.query([]).map_err(&failed)?;
        while let Some(found) = rows.next().map_err(&failed)? {
            each(brief(found).map_err(&failed)?);
        }
        Ok(())
    }

    /// Does `work`, to which the store is as it is now, whatever others write meanwhile.
    pub(crate) fn reading<T>(&self, work: impl FnOnce() -> Result<T, TriageError>) -> Result<T, TriageError> {
        self.connection.execute_batch("BEGIN").map_err(self.failed())?;
        let done = work();
        let ended = self.connection.execute_batch("COMMIT").map_err(self.failed());
        done.and_then(|done| ended.map(|()| done))
    }

    /// The whole document of a row.
    ///
    /// # Errors
    ///
    /// [`TriageError::Store`].
    pub fn document(&self, key: &str, tool: &str) -> Result<Option<String>, TriageError> {
        let failed = self.failed();
        let sql = "SELECT json FROM documents WHERE key = ? AND tool = ?";
        self.connection.query_row(sql, params![key, tool], |row| row.get(0)).optional().map_err(failed)
    }

    /// Whether some row is in this group.
    ///
    /// # Errors
    ///
    /// [`TriageError::Store`].
    pub fn has_group(&self, group: &str) -> Result<bool, TriageError> {
        let failed = self.failed();
        let sql = "SELECT 1 FROM dumps WHERE group_id = ? LIMIT 1";
        let found: Option<i64> =
            self.connection.query_row(sql, [group], |row| row.get(0)).optional().map_err(failed)?;
        Ok(found.is_some())
    }
}

/// Rows that are being added together.
pub(crate) struct Batch<'s> {
    store: &'s Store,
    added: usize,
}

impl Batch<'_> {
    /// Drops the rows of this key, which is no content's any more.
    pub(crate) fn forget(&mut self, key: &str) -> Result<(), TriageError> {
        self.store.forget(key)
    }

    /// Adds a row, or only its paths where its content has one by the same version of the program.
    pub(crate) fn add(&mut self, row: &Row, document: Option<&str>) -> Result<(), TriageError> {
        let connection = &self.store.connection;
        let add = || {
            let sql = "SELECT 1 FROM dumps WHERE key = ? AND tool = ?";
            if connection.prepare_cached(sql)?.exists(params![row.key, row.tool])? {
                insert_paths(connection, row)
            } else {
                insert(connection, row, document)
            }
        };
        add().map_err(self.store.failed())?;
        self.added += 1;
        if self.added.is_multiple_of(TOGETHER) {
            connection.execute_batch("COMMIT; BEGIN IMMEDIATE").map_err(self.store.failed())?;
        }
        Ok(())
    }
}

fn insert(connection: &Connection, row: &Row, document: Option<&str>) -> rusqlite::Result<()> {
    let places = vec!["?"; COLUMNS.split(',').count()].join(", ");
    connection
        .prepare_cached(&format!("INSERT OR REPLACE INTO dumps ({COLUMNS}) VALUES ({places})"))?
        .execute(params_from_iter(values(row)))?;
    let of_row = params![row.key, row.tool];
    connection.prepare_cached("DELETE FROM documents WHERE key = ? AND tool = ?")?.execute(of_row)?;
    if let Some(json) = document {
        let sql = "INSERT INTO documents (key, tool, json) VALUES (?, ?, ?)";
        connection.prepare_cached(sql)?.execute(params![row.key, row.tool, json])?;
    }
    insert_paths(connection, row)
}

fn insert_paths(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    row.paths.iter().try_for_each(|path| {
        let sql = "INSERT OR REPLACE INTO files (path, key, seen) VALUES (?, ?, ?)";
        connection.prepare_cached(sql)?.execute(params![path, row.key, clock::now()]).map(drop)
    })
}

fn values(row: &Row) -> Vec<Value> {
    let text = |text: &Option<String>| text.clone().map_or(Value::Null, Value::Text);
    let own = |text: &str| Value::Text(text.to_owned());
    let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let maybe = |number: Option<i64>| number.map_or(Value::Null, Value::Integer);
    let Summary { release, version, build_id, panic, panic_cpu, panic_pid, issue, confidence, .. } = &row.summary;
    let Summary { text: summary, known_issue, in_this_kernel, remedy, unknown, incomplete, .. } = &row.summary;
    let failure = row.failure.as_ref();
    vec![
        own(&row.key),
        own(&row.tool),
        own(row.kind.name()),
        number(row.size),
        text(&row.host),
        maybe(row.crashed),
        Value::Integer(row.finished),
        number(row.elapsed_ns),
        failure.map_or(Value::Null, |failure| own(failure.kind.name())),
        failure.map_or(Value::Null, |failure| own(&failure.message)),
        Value::Integer(row.from_log.into()),
        text(release),
        text(version),
        text(build_id),
        text(panic),
        maybe(panic_cpu.and_then(|cpu| i64::try_from(cpu).ok())),
        maybe(*panic_pid),
        text(issue),
        text(confidence),
        text(summary),
        text(known_issue),
        text(in_this_kernel),
        text(remedy),
        number(*unknown as u64),
        Value::Integer((*incomplete).into()),
        own(&row.signature.exact),
        own(&row.signature.similar),
        own(&row.signature.group()),
        text(&row.crash),
    ]
}

fn brief<'r>(row: &'r rusqlite::Row<'_>) -> rusqlite::Result<Brief<'r>> {
    let from_log: bool = row.get("from_log")?;
    let text = |column: &str| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
    let failed = text("failure")?.is_some();
    Ok(Brief {
        key: text("key")?.unwrap_or_default(),
        confidence: Confidence::of_columns(failed, from_log, text("confidence")?),
        of_dump: !from_log && ItemKind::named(text("kind")?.unwrap_or_default()).is_dump(),
        size: u64::try_from(row.get::<_, i64>("size")?).unwrap_or(0),
        signature: text("signature")?.unwrap_or_default(),
        crash: text("crash")?,
    })
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let number = |column: &str| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
    let failure: Option<String> = row.get("failure")?;
    let failure_text: Option<String> = row.get("failure_text")?;
    let failure =
        failure.map(|kind| Failure { kind: FailureKind::named(&kind), message: failure_text.unwrap_or_default() });
    Ok(Row {
        key: row.get("key")?,
        tool: row.get("tool")?,
        kind: ItemKind::named(&row.get::<_, String>("kind")?),
        paths: Vec::new(),
        size: number("size")?,
        host: row.get("host")?,
        crashed: row.get("crashed")?,
        finished: row.get("finished")?,
        elapsed_ns: number("elapsed_ns")?,
        failure,
        from_log: row.get("from_log")?,
        summary: Summary {
            release: row.get("release")?,
            version: row.get("version")?,
            build_id: row.get("build_id")?,
            nodename: None,
            panic: row.get("panic")?,
            panic_cpu: row.get::<_, Option<i64>>("panic_cpu")?.and_then(|cpu| u64::try_from(cpu).ok()),
            panic_pid: row.get("panic_pid")?,
            issue: row.get("issue")?,
            confidence: row.get("confidence")?,
            text: row.get("summary")?,
            known_issue: row.get("known_issue")?,
            in_this_kernel: row.get("in_this_kernel")?,
            remedy: row.get("remedy")?,
            unknown: usize::try_from(number("unknown")?).unwrap_or(usize::MAX),
            incomplete: row.get("incomplete")?,
        },
        signature: Signature { exact: row.get("signature")?, similar: row.get("similar")? },
        crash: row.get("crash")?,
    })
}
